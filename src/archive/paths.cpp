#include "paths.hpp"

#include <vector>

#include <dockerd/base/strings.hpp>

namespace dockerd::archive {

std::string clean_name(std::string_view name) {
    const bool absolute = name.starts_with('/');
    std::vector<std::string_view> parts;
    while (!name.empty()) {
        const std::size_t slash = name.find('/');
        const std::string_view part = name.substr(0, slash);
        name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
        if (part.empty() || part == ".") continue;
        if (part == ".." && !parts.empty() && parts.back() != "..") {
            parts.pop_back();
        } else if (part != ".." || !absolute) {
            parts.push_back(part);
        }
    }
    std::string out;
    for (const std::string_view part : parts) {
        if (!out.empty()) out += '/';
        out += part;
    }
    return out.empty() ? "." : out;
}

std::pair<std::string, std::string> split_path(const std::string& cleaned) {
    const std::size_t slash = cleaned.rfind('/');
    if (slash == std::string::npos) return {"", cleaned};
    return {cleaned.substr(0, slash), cleaned.substr(slash + 1)};
}

}  // namespace dockerd::archive
