#include "images/push.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <thread>
#include <utility>

#include <dockerd/archive/compression.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/thread.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/model/json.hpp>

namespace dockerd::engine {
namespace {

using Json = nlohmann::ordered_json;
using registry::Descriptor;

// Source: moby distribution/push_v2.go, smallLayerMaximumSize, middleLayerMaximumSize.
constexpr std::int64_t small_layer = 100LL << 10;
constexpr std::int64_t middle_layer = 10LL << 20;
// Source: moby distribution/xfer/upload.go, maxUploadAttempts.
constexpr int max_attempts = 5;
/// Threads of one push; the daemon's limit is counted beside.
constexpr std::size_t max_threads = 8;

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

/// How hard it is looked for a way around sending a layer of this size.
/// Source: push_v2.go, getMaxMountAndExistenceCheckAttempts.
struct Attempts {
    std::size_t mounts;
    std::size_t checks;
    bool elsewhere;
};
Attempts attempts_for(std::int64_t size) {
    if (size > middle_layer) return {4, 3, true};
    if (size > small_layer) return {3, 1, false};
    return {1, 1, false};
}

/// Source: moby distribution/metadata/v2_metadata_service.go, ComputeV2MetadataHMACKey.
std::string key_of(const registry::Credentials& credentials) {
    Json json = Json::object();
    const auto add = [&](const char* name, const std::string& value) {
        if (!value.empty()) json[name] = value;
    };
    add("username", credentials.username);
    add("password", credentials.password);
    add("identitytoken", credentials.identity_token);
    add("registrytoken", credentials.registry_token);
    return archive::sha256_digest(model::to_html_safe_text(json));
}

std::string raw_sha256(const std::string& bytes) {
    archive::Sha256 hash;
    hash.update(bytes);
    const std::string hex = hash.hex();
    std::string out;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    return out;
}

/// Source: RFC 2104.
std::string hmac_sha256(std::string key, const std::string& text) {
    constexpr std::size_t block = 64;
    if (key.size() > block) key = raw_sha256(key);
    key.resize(block, '\0');
    std::string inner = key;
    std::string outer = key;
    for (char& c : inner) c = static_cast<char>(c ^ 0x36);
    for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
    archive::Sha256 hash;
    hash.update(outer + raw_sha256(inner + text));
    return hash.hex();
}

std::size_t common_parts(const std::string& a, const std::string& b) {
    const auto left = base::split(a, '/');
    const auto right = base::split(b, '/');
    std::size_t n = 0;
    while (n < left.size() && n < right.size() && left[n] == right[n]) ++n;
    return n;
}

std::string path_of(const std::string& repository) {
    return repository.substr(repository.find('/') + 1);
}

Json document_of(const Descriptor& blob) {
    return {{"mediaType", blob.media_type}, {"size", blob.size}, {"digest", blob.digest}};
}

}  // namespace

Pusher::Pusher(RegistryParts& parts, const registry::Endpoint& endpoint,
               const model::Reference& reference, ProgressBoard& board, registry::Caller caller)
    : parts_(parts),
      endpoint_(endpoint),
      reference_(reference),
      board_(board),
      caller_(std::move(caller)),
      key_(key_of(caller_.credentials)) {}

void Pusher::connect() {
    repository_ = std::make_shared<registry::Repository>(
        parts_.service, endpoint_, reference_.path(), registry::Repository::Access::push, caller_);
}

void Pusher::push() {
    if (!reference_.tag().empty()) {
        const auto image = parts_.images.find_reference(reference_);
        if (!image) fail("tag does not exist: " + reference_.familiar());
        push_tag(reference_, image->id);
        return;
    }
    if (!reference_.digest().empty()) fail("cannot push a digest reference");
    bool any = false;
    for (const auto& [name, id] : parts_.images.references_of_repository(reference_)) {
        const auto one = model::Reference::parse(name);
        if (one.tag().empty()) continue;
        any = true;
        push_tag(one, id);
    }
    if (!any) fail("no tags to push for " + reference_.familiar_name());
}

void Pusher::push_tag(const model::Reference& reference, const std::string& image_id) {
    const auto image = parts_.images.find(image_id);
    if (!image) fail("could not find image from tag " + reference.familiar());
    const std::string config = parts_.images.raw_config(image_id);
    store::Layers& store = parts_.images.layers();
    std::vector<store::LayerHold> holds;
    std::vector<Layer> layers;
    for (std::string at = image->chain_id; !at.empty();) {
        const auto info = store.acquire(at);
        holds.emplace_back(store, at);
        layers.push_back({.info = info, .id = info.diff_id.substr(7, 12), .checked = {}, .remote = {}});
        at = info.parent;
    }
    push_layers(layers);
    Json manifest;
    manifest["schemaVersion"] = 2;
    manifest["mediaType"] = registry::media::docker_manifest;
    manifest["config"] = document_of(push_config(config));
    manifest["layers"] = Json::array();
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
        manifest["layers"].push_back(document_of(layer->remote));
    }
    // As Go's encoder indents it: the digest depends on it.
    const std::string text = manifest.dump(3);
    (void)repository_->put_manifest(reference.tag(), std::string(registry::media::docker_manifest),
                                    text);
    const std::string digest = archive::sha256_digest(text);
    board_.message("", fmt::format("{}: digest: {} size: {}", reference.tag(), digest, text.size()));
    const auto by_digest = reference.with_digest(digest);
    if (!parts_.images.find_reference(by_digest)) parts_.images.tag(by_digest, image_id);
    board_.aux(Json({{"Tag", reference.tag()}, {"Digest", digest}, {"Size", text.size()}}).dump());
}

/// Source: moby distribution/xfer/upload.go, Upload.
void Pusher::push_layers(std::vector<Layer>& layers) {
    std::vector<Layer*> todo;
    for (Layer& layer : layers) {
        board_.action(layer.id, "Preparing");
        const bool again = std::ranges::any_of(
            todo, [&](const Layer* other) { return other->info.diff_id == layer.info.diff_id; });
        if (!again) todo.push_back(&layer);
    }
    base::Mutex mutex;
    std::size_t next = 0;
    std::exception_ptr failure;
    std::vector<std::thread> threads;
    const auto work = [&] {
        for (;;) {
            Layer* layer = nullptr;
            {
                const base::Lock lock(mutex);
                if (failure || next == todo.size()) return;
                layer = todo[next++];
            }
            try {
                push_layer(*layer);
            } catch (...) {
                const base::Lock lock(mutex);
                if (!failure) failure = std::current_exception();
                caller_.cancellation->cancel();
            }
        }
    };
    {
        const base::Undo join([&]() noexcept {
            for (std::thread& thread : threads) thread.join();
        });
        threads.reserve(max_threads);
        base::Undo stop([&]() noexcept { caller_.cancellation->cancel(); });
        for (std::size_t i = 0; i < std::min(todo.size(), max_threads); ++i) {
            threads.push_back(base::start_quiet_thread(work));
        }
        stop.dismiss();
    }
    if (failure) std::rethrow_exception(failure);
    const base::Lock lock(mutex_);
    for (Layer& layer : layers) layer.remote = remote_.at(layer.info.diff_id);
}

void Pusher::push_layer(Layer& layer) {
    if (!parts_.uploads.try_take()) {
        board_.action(layer.id, "Waiting");
        parts_.uploads.take(*caller_.cancellation);
    }
    const base::Undo give_back([this]() noexcept { parts_.uploads.give_back(); });
    push_layer_with_retries(layer);
}

void Pusher::push_layer_with_retries(Layer& layer) {
    for (int attempt = 1;; ++attempt) {
        try {
            push_layer_once(layer);
            return;
        } catch (const base::Error& error) {
            caller_.cancellation->check();
            if (!registry::is_worth_retrying(error) || attempt == max_attempts) {
                registry::throw_cause(error);
            }
            base::log::error("Upload failed, retrying: {}", error.what());
        }
        base::Mutex mutex;
        std::condition_variable_any never;
        for (int delay = attempt * 5; delay > 0; --delay) {
            board_.action(layer.id,
                          fmt::format("Retrying in {} second{}", delay, delay == 1 ? "" : "s"));
            base::Lock lock(mutex);
            (void)never.wait_for(lock, caller_.cancellation->token(), std::chrono::seconds(1),
                                 [] { return false; });
            caller_.cancellation->check();
        }
    }
}

/// Source: push_v2.go, pushDescriptor.Upload.
void Pusher::push_layer_once(Layer& layer) {
    if (known_here(layer)) return;
    const Attempts attempts = attempts_for(layer.info.size);
    if (exists(layer, /*elsewhere=*/true, 1)) return;
    if (mount(layer, attempts.mounts)) return;
    if (attempts.checks > layer.checked.size() &&
        exists(layer, attempts.elsewhere, attempts.checks - layer.checked.size())) {
        return;
    }
    upload(layer);
}

/// Of another tag of the same push.
bool Pusher::known_here(Layer& layer) {
    const base::Lock lock(mutex_);
    if (!remote_.contains(layer.info.diff_id)) return false;
    board_.action(layer.id, "Layer already exists");
    return true;
}

std::string Pusher::seal(const std::string& digest, const std::string& repository) const {
    return hmac_sha256(key_, digest + repository);
}

/// Notes about the layer's blobs: of these credentials first, then of like names, the newest first.
/// Source: push_v2.go, sortV2MetadataByLikenessAndAge.
std::vector<store::BlobSource> Pusher::sorted_sources(const Layer& layer) const {
    auto sources = parts_.blobs.sources_of(layer.info.diff_id);
    std::ranges::reverse(sources);
    std::ranges::stable_sort(sources, [&](const auto& a, const auto& b) {
        const bool mine_a = a.hmac == seal(a.digest, a.repository);
        const bool mine_b = b.hmac == seal(b.digest, b.repository);
        if (mine_a != mine_b) return mine_a;
        return common_parts(a.repository, reference_.name()) >
               common_parts(b.repository, reference_.name());
    });
    return sources;
}

/// Asks for up to `most` digests the layer is known to have had.
bool Pusher::exists(Layer& layer, bool elsewhere, std::size_t most) {
    for (const auto& source : sorted_sources(layer)) {
        if (most == 0) return false;
        if (!elsewhere && !source.repository.empty() && source.repository != reference_.name()) {
            continue;
        }
        if (!layer.checked.insert(source.digest).second) continue;
        --most;
        try {
            if (const auto size = repository_->stat_blob(source.digest)) {
                board_.action(layer.id, "Layer already exists");
                note(layer, source.digest, *size);
                return true;
            }
            if (source.repository == reference_.name()) {
                parts_.blobs.remove(layer.info.diff_id, source);
            }
        } catch (const base::Error& error) {
            caller_.cancellation->check();
            base::log::debug("Failed to check for presence of layer {}: {}", layer.info.diff_id,
                             error.what());
        }
    }
    return false;
}

/// Has the registry take the blob from another of its repositories.
bool Pusher::mount(Layer& layer, std::size_t most) {
    for (const auto& source : sorted_sources(layer)) {
        if (most == 0) return false;
        const bool same_registry = source.repository.starts_with(reference_.domain() + "/");
        if (!same_registry || source.repository == reference_.name()) continue;
        --most;
        try {
            const auto upload = repository_->start_upload(source.digest, path_of(source.repository));
            if (upload.location.empty()) {
                const auto size = repository_->stat_blob(source.digest);
                if (!size) continue;
                board_.action(layer.id, "Mounted from " + path_of(source.repository));
                note(layer, source.digest, *size);
                return true;
            }
            repository_->try_cancel_upload(upload);
        } catch (const base::Error& error) {
            caller_.cancellation->check();
            base::log::debug("failed to mount layer {} from {}: {}", layer.info.diff_id,
                             source.repository, error.what());
        }
        if (source.hmac.empty() || source.hmac == seal(source.digest, source.repository)) {
            parts_.blobs.remove(layer.info.diff_id, source);
        }
    }
    return false;
}

void Pusher::upload(Layer& layer) {
    const auto place = repository_->start_upload();
    store::Layers& store = parts_.images.layers();
    const auto cancellation = caller_.cancellation;
    const auto packed = archive::produce([&store, &layer, cancellation,
                                          this](const archive::ByteSink& sink) {
        archive::GzipSink gzip(sink);
        std::int64_t done = 0;
        (void)archive::copy_ahead(
            store.open_tar(layer.info.chain_id), [&](std::string_view bytes) {
                cancellation->check();
                done += static_cast<std::int64_t>(bytes.size());
                board_.bytes(layer.id, "Pushing", done, layer.info.size);
                gzip.write(bytes);
            });
        gzip.finish();
    });
    archive::Sha256 hash;
    std::int64_t size = 0;
    std::string digest;
    repository_->upload(
        place,
        [&](std::span<char> buffer) {
            const std::size_t n = packed(buffer);
            hash.update({buffer.data(), n});
            size += static_cast<std::int64_t>(n);
            return n;
        },
        [&] { return digest = hash.digest(); });
    board_.action(layer.id, "Pushed");
    note(layer, digest, size);
}

void Pusher::note(Layer& layer, const std::string& digest, std::int64_t size) {
    parts_.blobs.add(layer.info.diff_id, {.digest = digest,
                                          .repository = reference_.name(),
                                          .hmac = seal(digest, reference_.name())});
    const base::Lock lock(mutex_);
    Descriptor& blob = remote_[layer.info.diff_id];
    blob.media_type = registry::media::docker_layer;
    blob.digest = digest;
    blob.size = size;
}

Descriptor Pusher::push_config(const std::string& json) {
    Descriptor blob;
    blob.media_type = registry::media::docker_config;
    blob.digest = archive::sha256_digest(json);
    blob.size = static_cast<std::int64_t>(json.size());
    if (repository_->stat_blob(blob.digest)) return blob;
    repository_->upload(repository_->start_upload(), archive::memory_source(json),
                        [&] { return blob.digest; });
    return blob;
}

}  // namespace dockerd::engine
