#include "images/pull.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "images/images.hpp"
#include "images/pull_layers.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;
using registry::Descriptor;
using registry::ImageManifest;
using registry::ManifestList;
using registry::Schema1Manifest;

/// Source: containerd remotes/docker, MaxManifestSize; a configuration is read into memory.
constexpr std::size_t max_config = 4U << 20U;
// Source: moby distribution/pull_v2.go, defaultMaxSchemaPullAttempts, defaultSchemaPullBackoff.
constexpr int config_attempts = 5;
constexpr std::chrono::milliseconds config_backoff{250};

[[noreturn]] void fail(const std::string& text) { base::fail(ErrorKind::internal, text); }

// Source: moby distribution/registry.go, defaultImageTypes; errors.go, invalidManifestClassError.
void check_config_type(const std::string& type) {
    static constexpr auto images = std::to_array<std::string_view>(
        {registry::media::docker_config, "application/vnd.oci.image.config.v1+json",
         "application/octet-stream", "application/json", "text/html", ""});
    if (std::ranges::find(images, type) != images.end()) return;
    const bool plugin = type == "application/vnd.docker.plugin.v1+json";
    throw UnsupportedMedia(ErrorKind::invalid_argument,
                           fmt::format("Encountered remote {}({}) when fetching", base::quote(type),
                                       plugin ? "plugin" : "unknown"));
}

// Source: moby distribution/pull_v2.go, checkSupportedMediaType.
void check_media_type(const std::string& type) {
    const std::string lower = base::to_lower(type);
    if (lower.starts_with("application/vnd.docker.ai.")) {
        throw UnsupportedMedia(ErrorKind::invalid_argument,
                               "AI models are not yet supported by the Engine, please use \"docker "
                               "model pull/run\" instead");
    }
    static constexpr auto supported = std::to_array<std::string_view>(
        {"application/vnd.oci.image", "application/vnd.docker", "application/octet-stream",
         "application/json", "text/html", ""});
    const bool known = std::ranges::any_of(supported, [&](std::string_view one) {
        return lower == one || lower.starts_with(fmt::format("{}.", one));
    });
    if (known) return;
    throw UnsupportedMedia(ErrorKind::invalid_argument, "unsupported media type " + type);
}

void check_layer_digest(const std::string& digest) {
    try {
        model::check_digest(digest);
    } catch (const base::Error& error) {
        fail(fmt::format("could not validate layer digest {}: {}", base::quote(digest),
                         error.what()));
    }
    if (!model::is_sha256_digest(digest)) {
        fail(fmt::format("could not validate layer digest {}: unsupported digest algorithm",
                         base::quote(digest)));
    }
}

/// Entries of a list that this machine can run, the best first.
/// Source: moby distribution/pull_v2_unix.go, filterManifests.
std::vector<Descriptor> matching(const ManifestList& list, const std::string& platform) {
    const auto choices =
        platform_choices(platform.empty() ? most_of_host() : Platform::parse(platform));
    std::vector<std::pair<std::size_t, Descriptor>> ranked;
    for (const Descriptor& entry : list.manifests) {
        const std::size_t rank =
            entry.has_platform
                ? choice_rank(choices, {entry.os, entry.architecture, entry.variant})
                : choices.size() + 1;
        if (rank != choices.size()) ranked.emplace_back(rank, entry);
    }
    std::ranges::stable_sort(ranked, {}, [](const auto& pair) { return pair.first; });
    std::vector<Descriptor> out;
    for (auto& [rank, entry] : ranked) out.push_back(std::move(entry));
    return out;
}

[[noreturn]] void no_match(const std::string& platform) {
    // Source: moby distribution/pull_v2.go, noMatchesErr.
    const Platform shown = platform.empty() ? Platform::host() : Platform::parse(platform);
    fail(fmt::format("no matching manifest for {} in the manifest list entries", shown.text()));
}

}  // namespace

// Source: moby distribution/errors.go, DeprecatedSchema1ImageError.
void throw_schema1(const model::Reference& reference) {
    base::fail(ErrorKind::invalid_argument,
               fmt::format("Docker Image Format v1 and Docker Image manifest version 2, schema 1 "
                           "support has been removed. Suggest the author of {} to upgrade the image "
                           "to the OCI Format or Docker Image manifest v2, schema 2. More "
                           "information at https://docs.docker.com/go/deprecated-image-specs/",
                           reference.full()));
}

Puller::Puller(RegistryParts& parts, const registry::Endpoint& endpoint,
               const model::Reference& reference, const std::string& platform,
               ProgressBoard& board, registry::Caller caller)
    : parts_(parts),
      endpoint_(endpoint),
      reference_(reference),
      platform_(platform),
      board_(board),
      caller_(std::move(caller)) {}

void Puller::connect() {
    repository_ = std::make_shared<registry::Repository>(
        parts_.service, endpoint_, reference_.path(), registry::Repository::Access::pull, caller_);
}

void Puller::pull() {
    bool changed = false;
    if (reference_.is_name_only()) {
        for (const std::string& tag : repository_->tags()) {
            changed = pull_one(reference_.with_tag(tag)) || changed;
        }
    } else {
        changed = pull_one(reference_);
    }
    board_.message("", (changed ? "Status: Downloaded newer image for "
                                : "Status: Image is up to date for ") +
                           reference_.familiar());
}

/// True when something new came.
bool Puller::pull_one(const model::Reference& reference) {
    Descriptor wanted;
    std::string shown;
    if (!reference.digest().empty()) {
        wanted.digest = reference.digest();
        shown = reference.full();
    } else {
        wanted = repository_->resolve_tag(reference.tag());
        shown = reference.tag();
    }
    std::string digest = wanted.digest;
    const registry::Manifest manifest = get(reference, wanted, digest);
    if (const auto* const image = std::get_if<ImageManifest>(&manifest)) {
        if (image->media_type == registry::media::docker_manifest) {
            check_config_type(image->config.media_type);
        }
    }
    board_.message(shown, "Pulling from " + repository_->path());
    const Pulled pulled = pull_manifest(manifest, digest, reference);
    board_.message("", "Digest: " + pulled.digest);
    return name_image(reference, pulled);
}

/// Whether the repository says that it has a manifest, of the same type. What else it says, asking
/// for it will tell.
bool Puller::has(const std::string& digest, const std::string& content_type) {
    try {
        const auto here = repository_->manifest_type(digest);
        return here && registry::media_type_of(*here) == registry::media_type_of(content_type);
    } catch (const base::Error& error) {
        caller_.cancellation->check();
        base::log::debug("manifest {}: {}", digest, error.what());
        return false;
    }
}

/// A manifest that is here from an earlier pull. One that was asked for by digest must be known
/// to be in the repository, for a digest alone is no proof that the repository ever had it; nor
/// does another repository say as what this one gives the bytes.
/// Source: moby distribution/manifest.go, manifestStore.getLocal.
std::optional<registry::Manifest> Puller::kept(const model::Reference& reference,
                                               const Descriptor& wanted) {
    if (wanted.digest.empty()) return std::nullopt;
    const auto found = parts_.manifests.find(wanted.digest, reference.name());
    if (!found) return std::nullopt;
    const bool typed = !wanted.media_type.empty();
    if (typed && registry::media_type_of(wanted.media_type) !=
                     registry::media_type_of(found->content_type)) {
        return std::nullopt;
    }
    if (!found->seen_here) {
        const bool to_ask = !typed || !reference.digest().empty();
        if (to_ask && !has(wanted.digest, found->content_type)) return std::nullopt;
        parts_.manifests.add(wanted.digest, found->content_type, found->text, reference.name());
    }
    return registry::parse_manifest(found->content_type, found->text);
}

/// Gets a manifest and checks it against the digest it was asked for by.
registry::Manifest Puller::get(const model::Reference& reference, const Descriptor& wanted,
                               std::string& digest) {
    if (auto found = kept(reference, wanted)) {
        digest = wanted.digest;
        return *std::move(found);
    }
    const auto document = repository_->get_manifest(
        wanted.digest.empty() ? reference.tag() : wanted.digest);
    const registry::Manifest manifest =
        registry::parse_manifest(document.content_type, document.text);
    digest = archive::sha256_digest(document.text);
    if (!wanted.digest.empty() && digest != wanted.digest) {
        fail("manifest verification failed for digest " + wanted.digest);
    }
    parts_.manifests.add(digest, document.content_type, document.text, reference.name());
    return manifest;
}

Puller::Pulled Puller::pull_manifest(const registry::Manifest& manifest, const std::string& digest,
                                     const model::Reference& reference) {
    if (const auto* const list = std::get_if<ManifestList>(&manifest)) {
        return {pull_list(*list, reference), digest};
    }
    if (const auto* const image = std::get_if<ImageManifest>(&manifest)) {
        return {pull_image(*image), digest};
    }
    throw_schema1(reference);
}

std::string Puller::pull_list(const ManifestList& list, const model::Reference& reference) {
    for (const Descriptor& entry : matching(list, platform_)) {
        check_layer_digest(entry.digest);
        std::string digest;
        const registry::Manifest manifest = get(reference, entry, digest);
        if (std::holds_alternative<Schema1Manifest>(manifest)) throw_schema1(reference);
        if (const auto* const image = std::get_if<ImageManifest>(&manifest)) {
            return pull_image(*image);
        }
        fail("a manifest list within a manifest list is not supported");
    }
    no_match(platform_);
}

std::string Puller::pull_image(const ImageManifest& manifest) {
    if (parts_.images.find(manifest.config.digest)) return manifest.config.digest;
    check_media_type(manifest.config.media_type);
    check_layer_digest(manifest.config.digest);
    for (const Descriptor& layer : manifest.layers) {
        check_layer_digest(layer.digest);
        check_media_type(layer.media_type);
    }
    // Before anything is fetched. Source: moby layer/layer.go, ErrMaxDepthExceeded.
    if (std::cmp_greater(manifest.layers.size(), store::max_layers)) {
        fail("failed to register layer: max depth exceeded");
    }
    LayerPull layers(parts_, repository_, reference_.name(), board_, caller_.cancellation);
    layers.begin(manifest.layers);
    const std::string json = get_config(manifest.config.digest);
    const store::ImageConfig config = store::parse_image_config(json);
    layers.finish(config.diff_ids);
    return parts_.images.create(json);
}

std::string Puller::get_config(const std::string& digest) {
    base::Mutex mutex;
    std::condition_variable_any never;
    auto pause = config_backoff;
    for (int attempt = 1;; ++attempt) {
        try {
            std::string json = repository_->get_blob(digest, max_config);
            if (archive::sha256_digest(json) == digest) return json;
            break;
        } catch (const base::Error& error) {
            caller_.cancellation->check();
            if (!registry::is_worth_retrying(error) || attempt == config_attempts) {
                throw ConfigError(
                    error.with_context(fmt::format("download failed after attempts={}", attempt)));
            }
            base::log::debug("retrying after error: {}", error.what());
        }
        base::Lock lock(mutex);
        (void)never.wait_for(lock, caller_.cancellation->token(), pause, [] { return false; });
        pause *= 2;
    }
    throw ConfigError(base::Error(ErrorKind::internal,
                                  "image config verification failed for digest " + digest));
}

/// True when the name stands for another image than before.
bool Puller::name_image(const model::Reference& reference, const Pulled& pulled) {
    store::Images& images = parts_.images;
    const auto before = images.find_reference(reference);
    const bool same = before && before->id == pulled.image_id;
    const auto by_digest = reference.with_digest(pulled.digest);
    if (!images.find_reference(by_digest)) images.tag(by_digest, pulled.image_id);
    if (!same && reference.digest().empty()) images.tag(reference, pulled.image_id);
    return !same;
}

}  // namespace dockerd::engine
