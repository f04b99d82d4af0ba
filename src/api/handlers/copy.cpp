#include "copy.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "../codec/copy.hpp"
#include "../params.hpp"

namespace dockerd::api {

using http::BodyReader;
using http::Request;
using http::Response;
using http::ResponseWriter;

namespace {

constexpr const char* stat_header = "X-Docker-Container-Path-Stat";

// Source: moby api/server/httputils/form.go, ArchiveFormValues; badParameterError, as it is
// spelled there.
std::string path_of(const Request& request) {
    const auto refuse = [](const std::string& name) {
        base::fail(base::ErrorKind::invalid_argument, "bad parameter: " + name + "cannot be empty");
    };
    if (request.path_param("name").empty()) refuse("name");
    std::string path = request.param("path", "");
    if (path.empty()) refuse("path");
    return path;
}

std::string stat_text(const engine::PathStat& stat) {
    return base::base64_encode(codec::encode_path_stat(stat));
}

}  // namespace

// HEAD /containers/{name}/archive
Response CopyHandlers::stat(const Request& request) {
    const std::string path = path_of(request);
    Response response;
    response.headers.add(stat_header,
                         stat_text(containers_.stat_path(request.path_param("name"), path)));
    return response;
}

// GET /containers/{name}/archive
void CopyHandlers::archive(Request& request, BodyReader& /*in*/, ResponseWriter& out) {
    const std::string path = path_of(request);
    const auto encoding = codec::decode_content_encoding(request);
    const auto found = [&](const engine::PathStat& stat) {
        http::Headers headers{{stat_header, stat_text(stat)},
                              {"Content-Type", "application/x-tar"}};
        if (encoding == engine::ContentEncoding::gzip) headers.add("Content-Encoding", "gzip");
        if (encoding == engine::ContentEncoding::deflate) {
            headers.add("Content-Encoding", "deflate");
        }
        out.head(200, std::move(headers));
    };
    containers_.archive_path(request.path_param("name"), path, encoding, found,
                             [&](std::string_view bytes) { out.write(bytes); });
}

// PUT /containers/{name}/archive
void CopyHandlers::extract(Request& request, BodyReader& in, ResponseWriter& /*out*/) {
    const std::string path = path_of(request);
    engine::ExtractPathOptions options;
    options.no_overwrite_dir_non_dir = bool_param(request, "noOverwriteDirNonDir");
    options.copy_uid_gid = bool_param(request, "copyUIDGID");
    containers_.extract_to_path(request.path_param("name"), path, options,
                                [&](std::span<char> buffer) { return in.read(buffer); });
}

// GET /containers/{name}/export
void CopyHandlers::export_files(Request& request, BodyReader& /*in*/, ResponseWriter& out) {
    // Docker names no type; this is what Go's server makes of a tar.
    out.head(200, {{"Content-Type", "application/octet-stream"}});
    containers_.export_files(request.path_param("name"),
                             [&](std::string_view bytes) { out.write(bytes); });
}

}  // namespace dockerd::api
