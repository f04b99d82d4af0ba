#include "images/registries.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <set>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "images/images.hpp"
#include "images/pull.hpp"
#include "images/push.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;
using registry::Failure;

/// A failure of one endpoint, and whether the next may be asked.
struct Verdict {
    bool next = false;
    bool transport_ok = false;
};

// Source: moby distribution/errors.go, continueOnError.
Verdict judge(const base::Error& error, bool mirror, bool connected) {
    if (!connected) return {.next = true, .transport_ok = false};
    Verdict verdict{.next = true, .transport_ok = true};
    if (const auto* const failure = dynamic_cast<const Failure*>(&error)) {
        if (failure->reason() == Failure::Reason::coded) verdict.next = mirror;
    } else if (dynamic_cast<const ConfigError*>(&error) != nullptr) {
        verdict.next = mirror;
    } else if (dynamic_cast<const UnsupportedMedia*>(&error) != nullptr) {
        verdict.next = false;
    }
    return verdict;
}

// Source: moby distribution/errors.go, translatePullError, notFoundError.
[[noreturn]] void throw_translated(const base::Error& error, const model::Reference& reference) {
    const auto* const failure = dynamic_cast<const Failure*>(&error);
    if (failure == nullptr) {
        const bool known = error.kind() == ErrorKind::unavailable ||
                           dynamic_cast<const UnsupportedMedia*>(&error) != nullptr;
        base::fail(known ? error.kind() : ErrorKind::internal, error.what());
    }
    const std::string& first = failure->first();
    const bool own_answer = failure->reason() == Failure::Reason::coded;
    if (own_answer && failure->code() == "DENIED") {
        base::fail(ErrorKind::not_found,
                   fmt::format("pull access denied for {}, repository does not exist or may require "
                               "'docker login': {}",
                               reference.familiar_name(), first));
    }
    if (own_answer && failure->code() == "MANIFEST_UNKNOWN") {
        base::fail(ErrorKind::not_found,
                   fmt::format("manifest for {} not found: {}", reference.familiar(), first));
    }
    if (own_answer && failure->code() == "NAME_UNKNOWN") {
        base::fail(ErrorKind::not_found,
                   fmt::format("repository {} not found: {}", reference.familiar_name(), first));
    }
    base::fail(distribution_kind(*failure), first);
}

model::Reference reference_of(const PullOptions& options) {
    std::string image = options.image;
    // The client's way of asking for all tags.
    if (image.ends_with(':')) image.pop_back();
    const auto reference = model::Reference::parse(image);
    if (options.tag.empty()) return reference;
    try {
        model::check_digest(options.tag);
    } catch (const base::Error&) {
        return reference.with_tag(options.tag);
    }
    return reference.with_digest(options.tag);
}

void check_not_reserved(const model::Reference& reference) {
    // Source: moby distribution/errors.go, reservedNameError.
    if (reference.familiar_name() != "scratch") return;
    base::fail(ErrorKind::permission_denied, "'scratch' is a reserved name");
}

/// Source: moby dockerversion/useragent.go, DockerUserAgent.
std::string user_agent(const std::string& client) {
    utsname names{};
    (void)::uname(&names);  // cannot fail with a valid pointer
    std::string out = fmt::format("docker/{} kernel/{} os/linux arch/{}", docker_version,
                                  names.release, store::native_architecture());
    if (client.empty()) return out;
    out += " UpstreamClient(";
    for (const char c : client) {
        if (c == '\\' || c == '(' || c == ')' || c == ';') out += '\\';
        if (static_cast<unsigned char>(c) >= ' ') out += c;
    }
    return out + ")";
}

}  // namespace

registry::Caller registry_caller(const RegistryCaller& caller,
                                 base::CancellationPtr cancellation) {
    registry::Caller out;
    out.credentials = {.username = caller.credentials.username,
                       .password = caller.credentials.password,
                       .server_address = caller.credentials.server_address,
                       .identity_token = caller.credentials.identity_token,
                       .registry_token = caller.credentials.registry_token};
    out.user_agent = user_agent(caller.user_agent);
    for (const auto& [name, value] : caller.meta) out.meta.add(name, value);
    out.cancellation = std::move(cancellation);
    return out;
}

Registries::Registries(const std::string& data_root, store::Images& store, Images& images,
                       Events& events, const RegistrySettings& settings)
    : images_(images),
      parts_{.images = store,
             .events = events,
             .service = registry::Service(settings.registry),
             .blobs = store::BlobMap(data_root),
             .manifests = store::ManifestCache(data_root),
             .builds = {},
             .downloads = {data_root + "/image/overlay2/distribution/partial",
                           {.concurrent = settings.max_concurrent_downloads,
                            .attempts = settings.max_download_attempts}},
             .uploads = Slots(settings.max_concurrent_uploads)} {}

void Registries::set_settings(const RegistrySettings& settings) {
    parts_.service.set_options(settings.registry);
    parts_.downloads.set_limits({.concurrent = settings.max_concurrent_downloads,
                                 .attempts = settings.max_download_attempts});
    parts_.uploads.set_limit(settings.max_concurrent_uploads);
}

namespace {

/// Tries the endpoints in turn. Source: moby distribution/pull.go, pullEndpoints.
void pull_from_any(RegistryParts& parts, const model::Reference& reference,
                   const std::string& platform, const RegistryCaller& caller,
                   ProgressBoard& board, const base::CancellationPtr& cancellation) {
    std::optional<base::Error> last;
    std::set<std::string> confirmed_tls;
    for (const auto& endpoint : parts.service.pull_endpoints(reference.domain(), *cancellation)) {
        if (endpoint.url.scheme != "https" && confirmed_tls.contains(endpoint.url.host)) continue;
        base::log::debug("Trying to pull {} from {}", reference.familiar_name(),
                         endpoint.url.text());
        // What one endpoint's failure ends must not end the next one's try.
        const auto own = std::make_shared<base::Cancellation>(cancellation);
        Puller puller(parts, endpoint, reference, platform, board, registry_caller(caller, own));
        try {
            puller.connect();
            puller.pull();
            return;
        } catch (const base::Error& error) {
            own->cancel();
            if (cancellation->is_cancelled()) throw;
            const Verdict verdict = judge(error, endpoint.mirror, puller.is_connected());
            if (!verdict.next) {
                base::log::error("Not continuing with pull after error: {}", error.what());
                throw_translated(error, reference);
            }
            base::log::info("Attempting next endpoint for pull after error: {}", error.what());
            if (verdict.transport_ok && endpoint.url.scheme == "https") {
                confirmed_tls.insert(endpoint.url.host);
            }
            try {
                throw_translated(error, reference);
            } catch (const base::Error& translated) {
                last.emplace(translated);
            }
        }
    }
    if (last) throw base::Error(*last);
    base::fail(ErrorKind::internal, "no endpoints found for " + reference.familiar());
}

}  // namespace

void Registries::pull(const PullOptions& options, const RegistryCaller& caller,
                      const ProgressSink& progress) {
    const base::ScopeTimer timer(metrics().image_actions["pull"]);
    const auto reference = reference_of(options);
    check_not_reserved(reference);
    if (!options.platform.empty()) (void)Platform::parse(options.platform);
    const auto cancellation = std::make_shared<base::Cancellation>();
    run_watched(caller.connection, progress, cancellation, [&](ProgressBoard& board) {
        pull_from_any(parts_, reference, options.platform, caller, board, cancellation);
        parts_.events.image("pull", reference.familiar(), reference.familiar_name(), {});
        if (options.platform.empty() || reference.is_name_only()) return;
        // An image of one platform is taken whichever that is, with a word.
        try {
            require_platform(*parts_.images.get(reference.full()), reference.full(),
                             options.platform);
        } catch (const base::Error& error) {
            if (error.kind() != ErrorKind::not_found) throw;
            board.message("", fmt::format("WARNING: {}", error.what()));
        }
    });
}

LoginResult Registries::login(const RegistryCaller& caller) {
    const auto cancellation = std::make_shared<base::Cancellation>();
    return {.status = "Login Succeeded",
            .identity_token =
                parts_.service.login(registry_caller(caller, cancellation)).identity_token};
}

namespace {

/// Source: moby distribution/push.go, Push.
void push_to_any(RegistryParts& parts, const model::Reference& reference,
                 const RegistryCaller& caller, ProgressBoard& board,
                 const base::CancellationPtr& cancellation) {
    board.message("", fmt::format("The push refers to repository [{}]", reference.name()));
    if (parts.images.references_of_repository(reference).empty()) {
        base::fail(ErrorKind::internal, "An image does not exist locally with the tag: " +
                                            reference.familiar_name());
    }
    std::optional<base::Error> last;
    std::set<std::string> confirmed_tls;
    for (const auto& endpoint : parts.service.push_endpoints(reference.domain(), *cancellation)) {
        if (endpoint.url.scheme != "https" && confirmed_tls.contains(endpoint.url.host)) continue;
        const auto own = std::make_shared<base::Cancellation>(cancellation);
        Pusher pusher(parts, endpoint, reference, board, registry_caller(caller, own));
        try {
            pusher.connect();
            pusher.push();
            return;
        } catch (const base::Error& error) {
            own->cancel();
            if (cancellation->is_cancelled()) throw;
            const Verdict verdict = judge(error, /*mirror=*/false, pusher.is_connected());
            if (!verdict.next) throw;
            base::log::info("Attempting next endpoint for push after error: {}", error.what());
            if (verdict.transport_ok && endpoint.url.scheme == "https") {
                confirmed_tls.insert(endpoint.url.host);
            }
            last.emplace(error);
        }
    }
    throw base::Error(*last);
}

}  // namespace

void Registries::push(const PushOptions& options, const RegistryCaller& caller,
                      const ProgressSink& progress) {
    const base::ScopeTimer timer(metrics().image_actions["push"]);
    auto reference = model::Reference::parse(options.image);
    if (!options.tag.empty()) {
        if (!reference.digest().empty()) {
            base::fail(ErrorKind::invalid_argument, "cannot import digest reference");
        }
        reference = reference.with_tag(options.tag);
    }
    if (!options.platform.empty()) {
        require_platform(*parts_.images.get(reference.full()), reference.full(), options.platform);
    }
    const auto cancellation = std::make_shared<base::Cancellation>();
    run_watched(caller.connection, progress, cancellation, [&](ProgressBoard& board) {
        push_to_any(parts_, reference, caller, board, cancellation);
        parts_.events.image("push", reference.familiar(), reference.familiar_name(), {});
    });
}

}  // namespace dockerd::engine
