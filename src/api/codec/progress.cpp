#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "images.hpp"

namespace dockerd::api::codec {
namespace {

/// "1.23MB": four significant digits, powers of a thousand.
/// Source: docker/go-units size.go, HumanSize.
std::string human_size(double bytes) {
    constexpr std::array units{"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    std::size_t unit = 0;
    while (bytes >= 1000.0 && unit + 1 < units.size()) {
        bytes /= 1000.0;
        ++unit;
    }
    return fmt::format("{:.4g}{}", bytes, units[unit]);
}

/// The bar that terminals of old clients print as it is.
/// Source: moby pkg/jsonmessage, JSONProgress.String, at its width of 200 columns.
std::string progress_bar(std::int64_t current, std::int64_t total) {
    if (current <= 0 && total <= 0) return "";
    const auto done = static_cast<double>(current);
    if (total <= 0) return fmt::format("{:>8}", human_size(done));
    const auto all = static_cast<double>(total);
    const int percent = std::min(static_cast<int>(done / all * 100) / 2, 50);
    const auto filled = static_cast<std::size_t>(std::max(percent, 0));
    std::string bar = "[" + std::string(filled, '=') + ">" + std::string(50 - filled, ' ') + "] ";
    bar += fmt::format("{:>8}", human_size(done));
    if (current <= total) bar += "/" + human_size(all);
    return bar;
}

}  // namespace

std::string encode_progress(const engine::Progress& progress) {
    if (!progress.error.empty()) return encode_stream_error(progress.error);
    Text out(Text::Escape::html);
    {
        Object object(out);
        object.some("stream", progress.stream);
        object.some("status", progress.status);
        if (progress.current || progress.total) {
            const std::int64_t current = progress.current.value_or(0);
            const std::int64_t total = progress.total.value_or(0);
            Object{object.key("progressDetail")}.some("current", current).some("total", total);
            object.some("progress", progress_bar(current, total));
        } else if (progress.action) {
            Object{object.key("progressDetail")};
        }
        object.some("id", progress.id);
        if (!progress.aux_json.empty()) object("aux", Raw{progress.aux_json});
    }
    out.raw("\r\n");
    return out.take();
}

std::string encode_stream_error(std::string_view message, std::int64_t code) {
    Text out(Text::Escape::html);
    {
        Object object(out);
        Object{object.key("errorDetail")}.some("code", code).some("message", message);
        object.some("error", message);
    }
    out.raw("\r\n");
    return out.take();
}

}  // namespace dockerd::api::codec
