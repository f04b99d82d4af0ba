#include "images/pull_layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/thread.hpp>

namespace dockerd::engine {
namespace {

/// Layers of one pull that are unpacked at a time.
std::size_t unpack_threads() {
    return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 2, 4);
}

[[noreturn]] void mismatch() {
    // Source: moby distribution/pull_v2.go, errRootFSMismatch.
    base::fail(base::ErrorKind::internal, "layers from manifest don't match image configuration");
}

/// Source: moby pkg/stringid, TruncateID.
std::string short_id(const std::string& digest) {
    return digest.substr(digest.find(':') + 1).substr(0, 12);
}

}  // namespace

LayerPull::LayerPull(RegistryParts& parts, std::shared_ptr<registry::Repository> repository,
                     std::string repository_name, ProgressBoard& board,
                     base::CancellationPtr cancellation)
    : parts_(parts),
      repository_(std::move(repository)),
      repository_name_(std::move(repository_name)),
      board_(board),
      cancellation_(std::move(cancellation)) {}

LayerPull::~LayerPull() {
    const bool all_ready = std::ranges::all_of(layers_, [](const Layer& l) { return l.ready; });
    if (!all_ready) cancellation_->cancel();
    for (std::thread& thread : threads_) thread.join();
}

/// Takes a layer that is here already, while all below it are.
bool LayerPull::reuse(Layer& layer, std::string& chain) {
    const auto diff_id = parts_.blobs.diff_id_of(layer.blob.digest);
    if (!diff_id) return false;
    const std::string chain_id = store::chain_id_of(chain, *diff_id);
    try {
        (void)parts_.images.layers().acquire(chain_id);
    } catch (const base::Error&) {
        return false;  // it was removed
    }
    holds_.emplace_back(parts_.images.layers(), chain_id);
    layer.diff_id = *diff_id;
    layer.chain_id = chain = chain_id;
    layer.ready = true;
    board_.action(layer.id, "Already exists");
    parts_.blobs.add(*diff_id, {.digest = layer.blob.digest, .repository = repository_name_, .hmac = {}});
    return true;
}

// Source: moby distribution/xfer/download.go, Download.
void LayerPull::begin(const std::vector<registry::Descriptor>& layers) {
    layers_.reserve(layers.size());
    std::string chain;
    bool missing = false;
    for (const registry::Descriptor& blob : layers) {
        Layer& layer = layers_.emplace_back();
        layer.blob = blob;
        layer.id = short_id(blob.digest);
        if (!missing && reuse(layer, chain)) {
            ++present_;
            continue;
        }
        missing = true;
        const auto first = std::find_if(
            layers_.begin() + static_cast<std::ptrdiff_t>(present_), layers_.end() - 1,
            [&](const Layer& other) { return other.blob.digest == blob.digest; });
        if (first != layers_.end() - 1) {
            layer.repeated = true;
            layer.ticket = first->ticket;
            continue;
        }
        board_.action(layer.id, "Pulling fs layer");
        start_download(layer);
    }
    next_ = present_;
}

void LayerPull::start_download(Layer& layer) {
    layer.ticket = parts_.downloads.fetch(
        layer.blob.digest, layer.blob.size,
        {.open =
             [repository = repository_, digest = layer.blob.digest](
                 std::int64_t offset, const base::CancellationPtr& cancellation) {
                 return repository->open_blob(digest, offset, cancellation);
             },
         .step = [this, id = layer.id](const std::string& action) { board_.action(id, action); },
         .bytes =
             [this, id = layer.id](std::int64_t current, std::int64_t total) {
                 board_.bytes(id, "Downloading", current, total);
             },
         .cancellation = cancellation_});
}

void LayerPull::finish(const std::vector<std::string>& diff_ids) {
    if (diff_ids.size() != layers_.size()) mismatch();
    std::string chain;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        Layer& layer = layers_[i];
        if (i < present_ && layer.diff_id != diff_ids[i]) {
            // It may be the note that is wrong: the next pull looks for itself.
            parts_.blobs.forget(layer.blob.digest);
            mismatch();
        }
        layer.parent = chain;
        layer.diff_id = diff_ids[i];
        layer.chain_id = chain = store::chain_id_of(chain, diff_ids[i]);
    }
    start_workers();
    for (std::size_t at = present_; at < layers_.size();) {
        wait_for(layers_[at]);
        at = place_from(at);
    }
}

void LayerPull::start_workers() {
    const std::size_t count = std::min(layers_.size() - present_, unpack_threads());
    for (std::size_t i = 0; i < count; ++i) {
        threads_.push_back(base::start_quiet_thread([this] { work(); }));
    }
}

void LayerPull::work() noexcept {
    for (;;) {
        Layer* layer = nullptr;
        {
            const base::Lock lock(mutex_);
            if (failure_ || next_ == layers_.size()) return;
            layer = &layers_[next_++];
        }
        try {
            prepare(*layer);
            const base::Lock lock(mutex_);
            layer->ready = true;
            changed_.notify_all();
        } catch (...) {
            fail(std::current_exception());
            return;
        }
    }
}

void LayerPull::fail(std::exception_ptr failure) {
    {
        const base::Lock lock(mutex_);
        if (!failure_) failure_ = std::move(failure);
        changed_.notify_all();
    }
    cancellation_->cancel();
}

void LayerPull::wait_for(const Layer& layer) {
    base::Lock lock(mutex_);
    changed_.wait(lock, [&] { return layer.ready || failure_; });
    if (failure_) std::rethrow_exception(failure_);
}

/// Has the layer either claimed and staged, or found: somebody else made it.
void LayerPull::prepare(Layer& layer) {
    layer.claim.emplace(parts_.builds.claim(layer.chain_id, layer.blob.digest, *cancellation_));
    store::Layers& store = parts_.images.layers();
    if (store.find(layer.chain_id)) {
        try {
            (void)store.acquire(layer.chain_id);
            layer.hold.emplace(store, layer.chain_id);
            return;
        } catch (const base::Error&) {
            // It went between the two calls: then we make it.
        }
    }
    for (;;) {
        try {
            stage(layer);
            return;
        } catch (const DownloadTicket::Restarted&) {
            layer.staged.reset();
        }
    }
}

void LayerPull::stage(Layer& layer) {
    store::Layers& store = parts_.images.layers();
    try {
        layer.staged.emplace(store.stage(store.unpacker().decompress(watched(layer))));
    } catch (const base::Error& error) {
        cancellation_->check();
        // What is wrong with the blob itself is the better word.
        layer.ticket->wait(cancellation_);
        base::fail(base::ErrorKind::internal,
                   fmt::format("failed to register layer: {}", error.what()));
    }
    // A tar may end before its blob does.
    layer.ticket->wait(cancellation_);
    if (layer.staged->diff_id() != layer.diff_id) mismatch();
    if (!layer.repeated) {
        board_.bytes(layer.id, "Extracting", layer.ticket->total(), layer.ticket->total());
    }
}

/// The blob's bytes, their progress told. It is told once the download is through: a layer is
/// seen to be downloaded, then extracted.
archive::ByteSource LayerPull::watched(Layer& layer) {
    return [this, &layer, source = layer.ticket->source(cancellation_),
            done = std::int64_t{0}](std::span<char> buffer) mutable {
        const std::size_t n = source(buffer);
        done += static_cast<std::int64_t>(n);
        if (!layer.repeated && layer.ticket->is_complete()) {
            board_.bytes(layer.id, "Extracting", done, layer.ticket->total());
        }
        return n;
    };
}

/// Puts the layer on what is below it, and with it all above that are ready as well: one wait for
/// the disk does for all of them. Returns the place behind them.
std::size_t LayerPull::place_from(std::size_t first) {
    if (!layers_[first].staged) {
        holds_.push_back(*std::move(layers_[first].hold));
        layers_[first].hold.reset();
        layers_[first].ticket->not_needed();
        placed(layers_[first]);
        return first + 1;
    }
    std::vector<store::StagedLayer> staged;
    std::size_t end = first;
    for (; end < layers_.size() && is_ready(layers_[end]) && layers_[end].staged; ++end) {
        staged.push_back(*std::move(layers_[end].staged));
        layers_[end].staged.reset();
    }
    store::Layers& store = parts_.images.layers();
    try {
        for (const auto& info : store.commit(std::move(staged), layers_[first].parent)) {
            holds_.emplace_back(store, info.chain_id);
        }
    } catch (const base::Error& error) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("failed to register layer: {}", error.what()));
    }
    for (std::size_t i = first; i < end; ++i) {
        Layer& layer = layers_[i];
        // Noted of what was unpacked here alone: of a layer that was here nobody has seen that this
        // blob unpacks to it.
        parts_.blobs.add(layer.diff_id, {.digest = layer.blob.digest,
                                         .repository = repository_name_,
                                         .hmac = {}});
        placed(layer);
    }
    return end;
}

void LayerPull::placed(Layer& layer) {
    layer.claim.reset();
    layer.ticket.reset();
    if (!layer.repeated) board_.action(layer.id, "Pull complete");
}

bool LayerPull::is_ready(const Layer& layer) {
    const base::Lock lock(mutex_);
    return layer.ready;
}

}  // namespace dockerd::engine
