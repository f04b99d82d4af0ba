#include <dockerd/registry/repository.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <utility>

#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "repository_impl.hpp"

namespace dockerd::registry {
namespace {

using Json = nlohmann::json;
using Reason = Failure::Reason;

constexpr std::size_t max_tag_page = 8U << 20U;
constexpr std::size_t max_tags = 100'000;

[[noreturn]] void fail(const std::string& text) { throw Failure(Reason::other, text); }

void accept_manifests(http::Headers& headers) {
    for (const std::string_view type : {media::docker_manifest, media::docker_list,
                                        media::oci_index, media::oci_manifest,
                                        media::signed_schema1, std::string_view("application/json")}) {
        headers.add("Accept", std::string(type));
    }
}

std::int64_t length_header(const http::ClientResponse& response) {
    const auto length = base::parse_int(response.headers().get("Content-Length"));
    return length && *length >= 0 ? *length : -1;
}

/// The page after this one, or empty. Source: repository.go, tags.All.
std::string next_page(const http::ClientResponse& response) {
    std::string_view link = response.headers().get("Link");
    link = link.substr(0, link.find(';'));
    while (!link.empty() && (link.front() == '<' || link.front() == ' ')) link.remove_prefix(1);
    while (!link.empty() && (link.back() == '>' || link.back() == ' ')) link.remove_suffix(1);
    return std::string(link);
}

void add_tags(const std::string& text, std::vector<std::string>& out) {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) fail("json: the list of tags cannot be read");
    const auto tags = json.find("tags");
    if (tags == json.end() || tags->is_null()) return;
    if (!tags->is_array()) fail("json: the list of tags cannot be read");
    for (const Json& tag : *tags) {
        if (!tag.is_string()) fail("json: the list of tags cannot be read");
        out.push_back(tag.get<std::string>());
    }
    if (out.size() > max_tags) fail("the registry lists too many tags");
}

/// Checks "bytes 100-199/200" against what was asked, and returns the whole size.
/// Source: docker/distribution registry/client/transport/http_reader.go, reader.
std::int64_t check_range(const std::string& header, std::int64_t offset) {
    if (header.empty()) fail("no Content-Range header found in HTTP 206 response");
    const auto bad = [&] { fail("could not parse Content-Range header: " + header); };
    const std::size_t dash = header.find('-');
    const std::size_t slash = header.find('/');
    if (!header.starts_with("bytes ") || dash == std::string::npos || slash == std::string::npos ||
        slash < dash) {
        bad();
    }
    const auto first = base::parse_int(std::string_view(header).substr(6, dash - 6));
    const auto last = base::parse_int(std::string_view(header).substr(dash + 1, slash - dash - 1));
    if (!first || !last) bad();
    if (*first != offset) {
        fail(fmt::format("received Content-Range starting at offset {} instead of requested {}",
                         *first, offset));
    }
    const std::string whole = header.substr(slash + 1);
    if (whole == "*") return -1;
    const auto size = base::parse_int(whole);
    if (!size) bad();
    if (*last + 1 != *size) {
        fail("range in Content-Range stops before the end of the content: " + header);
    }
    return *size;
}

}  // namespace

Repository::Impl::Impl(const Service& service, const Endpoint& where, std::string name,
                       Access access, const Caller& caller)
    : endpoint(where),
      path(std::move(name)),
      client(service.client(where, caller)),
      authorizer(service, where, caller,
                 {.scope = fmt::format("repository:{}:{}", path,
                                       access == Access::pull ? "pull" : "push,pull")}),
      meta(caller.meta),
      timeout(caller.timeout) {}

http::ClientRequest Repository::Impl::request(std::string method, const std::string& rest) {
    http::ClientRequest out;
    out.method = std::move(method);
    out.url = endpoint.root();
    out.url.path += fmt::format("/{}/{}", path, rest.substr(0, rest.find('?')));
    if (const std::size_t mark = rest.find('?'); mark != std::string::npos) {
        out.url.query = rest.substr(mark + 1);
    }
    out.headers = meta;
    out.timeout = timeout;
    return out;
}

http::ClientResponse Repository::Impl::fetch(const http::ClientRequest& request) {
    return client.fetch(request, [this](http::ClientRequest& next) {
        const auto wrapped = [&](const base::Error& error) {
            return fmt::format("{}{} {}: {}", next.method[0], base::to_lower(next.method.substr(1)),
                               base::quote(next.url.text()), error.what());
        };
        endpoint.add_headers(next);
        try {
            authorizer.authorize(next);
        } catch (const Failure& failure) {
            // As every failure of a request: it is not this registry's own answer any more.
            const bool retry = is_worth_retrying(failure);
            throw Failure(retry ? Reason::other : Reason::no_credentials, wrapped(failure),
                          failure);
        } catch (const http::ClientError& error) {
            throw http::ClientError(error.kind(), wrapped(error), error.errno_value(),
                                    error.cause());
        }
    });
}

Repository::Repository(const Service& service, const Endpoint& endpoint, std::string path,
                       Access access, const Caller& caller)
    : impl_(std::make_unique<Impl>(service, endpoint, std::move(path), access, caller)) {}
Repository::~Repository() = default;

const std::string& Repository::path() const { return impl_->path; }
const Endpoint& Repository::endpoint() const { return impl_->endpoint; }

Descriptor Repository::resolve_tag(const std::string& tag) const {
    const auto ask = [&](const char* method) {
        auto request = impl_->request(method, "manifests/" + tag);
        accept_manifests(request.headers);
        return impl_->fetch(request);
    };
    // Many registries bill for GET; HEAD tells all we need.
    auto answer = ask("HEAD");
    if (!is_success(answer.status()) ||
        answer.headers().get("Docker-Content-Digest").empty()) {
        answer = ask("GET");
        if (!is_success(answer.status())) throw_answer(answer);
    }
    Descriptor out;
    out.media_type = answer.headers().get("Content-Type");
    if (out.media_type.empty()) fail("missing or empty Content-Type header");
    out.digest = answer.headers().get("Docker-Content-Digest");
    out.size = length_header(answer);
    if (!out.digest.empty()) model::check_digest(out.digest);
    if (!out.digest.empty() && out.size < 0) fail("missing or empty Content-Length header");
    return out;
}

Repository::Document Repository::get_manifest(const std::string& reference) const {
    auto request = impl_->request("GET", "manifests/" + reference);
    accept_manifests(request.headers);
    auto answer = impl_->fetch(request);
    if (!is_success(answer.status())) throw_answer(answer);
    Document out;
    out.content_type = answer.headers().get("Content-Type");
    out.text = answer.read_all(max_manifest);
    return out;
}

std::optional<std::string> Repository::manifest_type(const std::string& digest) const {
    auto request = impl_->request("HEAD", "manifests/" + digest);
    accept_manifests(request.headers);
    auto answer = impl_->fetch(request);
    if (is_success(answer.status())) return std::string(answer.headers().get("Content-Type"));
    if (answer.status() == 404) return std::nullopt;
    throw_answer(answer);
}

std::vector<std::string> Repository::tags() const {
    std::vector<std::string> out;
    auto request = impl_->request("GET", "tags/list");
    for (;;) {
        auto answer = impl_->fetch(request);
        if (!is_success(answer.status())) throw_answer(answer);
        const std::string next = next_page(answer);
        const std::size_t before = out.size();
        add_tags(answer.read_all(max_tag_page), out);
        // A page without tags that names a next one would never end.
        if (next.empty() || out.size() == before) return out;
        request.url = request.url.resolve(next);
    }
}

Repository::Blob Repository::open_blob(const std::string& digest, std::int64_t offset,
                                       const base::CancellationPtr& cancellation) const {
    auto request = impl_->request("GET", "blobs/" + digest);
    request.cancellation = cancellation;
    if (offset > 0) request.headers.set("Range", fmt::format("bytes={}-", offset));
    auto answer = impl_->fetch(request);
    const int status = answer.status();
    if (status == 404) throw Failure(Reason::blob_unknown, "unknown blob");
    if (offset > 0 && status == 416) {
        // There is no such place: what we have is not a beginning of this blob.
        return open_blob(digest, 0, cancellation);
    }
    if (!is_success(status)) throw_answer(answer);
    Blob out{.body = std::move(answer)};
    if (offset > 0 && status == 206) {
        out.offset = offset;
        out.size = check_range(std::string(out.body.headers().get("Content-Range")), offset);
    } else if (status == 200) {
        out.size = out.body.content_length();
    }
    return out;
}

std::string Repository::get_blob(const std::string& digest, std::size_t limit) const {
    return open_blob(digest, 0, {}).body.read_all(limit);
}

std::optional<std::int64_t> Repository::stat_blob(const std::string& digest) const {
    auto answer = impl_->fetch(impl_->request("HEAD", "blobs/" + digest));
    if (answer.status() == 404) return std::nullopt;
    if (!is_success(answer.status())) throw_answer(answer);
    const std::int64_t size = length_header(answer);
    if (size < 0) {
        fail("missing content-length header for request: " + answer.url().text());
    }
    return size;
}

}  // namespace dockerd::registry
