#include <fmt/format.h>

#include <utility>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "repository_impl.hpp"

namespace dockerd::registry {
namespace {

using Reason = Failure::Reason;

/// Source: docker/distribution registry/client/blob_writer.go, handleErrorResponse.
[[noreturn]] void throw_upload_answer(http::ClientResponse& answer) {
    if (answer.status() == 404) throw Failure(Reason::other, "blob upload unknown");
    throw_answer(answer);
}

http::ClientRequest at_location(std::string method, const std::string& location) {
    http::ClientRequest request;
    request.method = std::move(method);
    request.url = http::Url::parse(location);
    return request;
}

/// Where the upload goes on. Source: repository.go, sanitizeLocation.
std::string location_of(const http::ClientResponse& answer) {
    return answer.url().resolve(answer.headers().get("Location")).text();
}

}  // namespace

std::string Repository::put_manifest(const std::string& reference, const std::string& content_type,
                                     const std::string& text) const {
    auto request = impl_->request("PUT", "manifests/" + reference);
    request.headers.set("Content-Type", content_type);
    request.body = text;
    auto answer = impl_->fetch(request);
    if (!is_success(answer.status())) throw_answer(answer);
    std::string digest(answer.headers().get("Docker-Content-Digest"));
    model::check_digest(digest);
    return digest;
}

Repository::Upload Repository::start_upload(const std::string& mount,
                                            const std::string& from) const {
    std::string rest = "blobs/uploads/";
    if (!mount.empty()) {
        rest += fmt::format("?from={}&mount={}", http::query_escape(from), http::query_escape(mount));
    }
    auto answer = impl_->fetch(impl_->request("POST", rest));
    if (answer.status() == 201 && !mount.empty()) return {};
    if (answer.status() != 202) throw_answer(answer);
    return {location_of(answer)};
}

void Repository::upload(Upload upload, const std::function<std::size_t(std::span<char>)>& source,
                        const std::function<std::string()>& digest) const {
    auto bytes = at_location("PATCH", upload.location);
    bytes.headers = impl_->meta;
    bytes.headers.set("Content-Type", "application/octet-stream");
    bytes.body_source = source;
    auto sent = impl_->fetch(bytes);
    if (!is_success(sent.status())) throw_upload_answer(sent);
    auto close = at_location("PUT", location_of(sent));
    close.headers = impl_->meta;
    close.url.query += fmt::format("{}digest={}", close.url.query.empty() ? "" : "&",
                                   http::query_escape(digest()));
    auto closed = impl_->fetch(close);
    if (!is_success(closed.status())) throw_upload_answer(closed);
}

void Repository::try_cancel_upload(const Upload& upload) const noexcept {
    try {
        (void)impl_->fetch(at_location("DELETE", upload.location));
    } catch (const base::Error& error) {
        base::log::debug("cancel upload, ignoring: {}", error.what());
    }
}

}  // namespace dockerd::registry
