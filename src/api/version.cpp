#include "version.hpp"

#include <charconv>

namespace dockerd::api {
namespace {

/// The next number of `text`, which loses it and the dot behind it.
int take_number(std::string_view& text) {
    const auto dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    text = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
    int value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error == std::errc::result_out_of_range) return INT32_MAX;
    return error == std::errc{} && end == part.data() + part.size() ? value : 0;
}

}  // namespace

int compare_versions(std::string_view a, std::string_view b) {
    while (!a.empty() || !b.empty()) {
        const int left = take_number(a);
        const int right = take_number(b);
        if (left != right) return left < right ? -1 : 1;
    }
    return 0;
}

http::ApiVersion parse_version(std::string_view text) {
    const int major = take_number(text);
    return {major, take_number(text)};
}

}  // namespace dockerd::api
