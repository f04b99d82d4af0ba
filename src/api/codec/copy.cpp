#include "copy.hpp"

#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <dockerd/base/strings.hpp>

#include "text.hpp"

namespace dockerd::api::codec {
namespace {

/// Source: Go io/fs, FileMode; os/stat_linux.go, fillFileStatFromSys.
std::uint32_t go_file_mode(std::uint32_t mode) {
    std::uint32_t out = mode & 0777U;
    switch (mode & static_cast<std::uint32_t>(S_IFMT)) {
        case S_IFDIR:
            out |= 1U << 31U;
            break;
        case S_IFLNK:
            out |= 1U << 27U;
            break;
        case S_IFBLK:
            out |= 1U << 26U;
            break;
        case S_IFCHR:
            out |= 1U << 26U | 1U << 21U;
            break;
        case S_IFIFO:
            out |= 1U << 25U;
            break;
        case S_IFSOCK:
            out |= 1U << 24U;
            break;
        default:
            break;
    }
    if ((mode & S_ISUID) != 0) out |= 1U << 23U;
    if ((mode & S_ISGID) != 0) out |= 1U << 22U;
    if ((mode & S_ISVTX) != 0) out |= 1U << 20U;
    return out;
}

struct Accepted {
    std::string value;
    double quality = 1;
};

/// Items of Accept-Encoding. Source: golang/gddo httputil/header, ParseAccept.
std::vector<Accepted> accepted_encodings(const http::Headers& headers) {
    std::vector<Accepted> out;
    for (const http::Header& header : headers.all()) {
        if (!base::iequals(header.name, "Accept-Encoding")) continue;
        for (const std::string& item : base::split(header.value, ',')) {
            const auto parts = base::split(item, ';');
            Accepted accepted{.value = std::string(base::trim(parts.front()))};
            for (std::size_t i = 1; i < parts.size(); ++i) {
                const std::string_view part = base::trim(parts[i]);
                if (!part.starts_with("q=")) continue;
                // What is no number wants nothing.
                accepted.quality = std::strtod(std::string(part.substr(2)).c_str(), nullptr);
            }
            if (!accepted.value.empty()) out.push_back(std::move(accepted));
        }
    }
    return out;
}

}  // namespace

std::string encode_path_stat(const engine::PathStat& stat) {
    Text out(Text::Escape::html);
    Object{out}("name", stat.name)("size", stat.size)("mode", go_file_mode(stat.mode))(
        "mtime", stat.mtime)("linkTarget", stat.link_target);
    return out.take();
}

engine::ContentEncoding decode_content_encoding(const http::Request& request) {
    using engine::ContentEncoding;
    const auto accepted = accepted_encodings(request.headers);
    auto best = ContentEncoding::identity;
    double best_quality = -1;
    const auto offer = [&](std::string_view name, ContentEncoding encoding) {
        for (const Accepted& item : accepted) {
            if (item.quality <= best_quality || (item.value != "*" && item.value != name)) continue;
            best_quality = item.quality;
            best = encoding;
        }
    };
    offer("gzip", ContentEncoding::gzip);
    offer("deflate", ContentEncoding::deflate);
    return best_quality == 0 ? ContentEncoding::identity : best;
}

}  // namespace dockerd::api::codec
