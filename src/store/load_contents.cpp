#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>

#include "load.hpp"

namespace dockerd::store {
namespace {

/// Source: containerd remotes/docker, MaxManifestSize: nobody writes larger documents.
constexpr std::size_t max_document = 4 << 20;
constexpr std::size_t max_documents = 64U << 20U;
constexpr std::size_t sniffed = 1024;
/// Source: moby pkg/progress/progressreader.go: how often a line goes out.
constexpr std::int64_t progress_step = 512 * 1024;
constexpr std::string_view blob_folder = "blobs/sha256/";

[[noreturn]] void missing(const std::string& path) {
    base::fail(base::ErrorKind::invalid_argument,
               fmt::format("open {}: no such file or directory", path));
}

std::string clean(std::string_view path) {
    std::vector<std::string> parts;
    for (std::string& part : base::split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == "..") {
            if (!parts.empty()) parts.pop_back();
            continue;
        }
        parts.push_back(std::move(part));
    }
    return base::join(parts, "/");
}

/// The hex digits a blob's name claims, or empty.
std::string claimed_digest(const std::string& path) {
    if (!path.starts_with(blob_folder)) return {};
    const std::string hex = path.substr(blob_folder.size());
    return base::is_full_id(hex) ? hex : std::string();
}

/// What the client sees as the layer's id before its diff id is known.
std::string progress_id(const std::string& path) {
    const std::string hex = claimed_digest(path);
    return (hex.empty() ? path : hex).substr(0, 12);
}

bool is_layer(std::string_view head, const std::string& path) {
    if (archive::detect_compression(head) != archive::Compression::none) return true;
    return archive::looks_like_tar(head) || path.ends_with("layer.tar");
}

archive::ByteSource with_head(std::string head, archive::TarReader& reader) {
    auto first = std::make_shared<archive::ByteSource>(archive::memory_source(std::move(head)));
    return [first, &reader](std::span<char> buffer) {
        const std::size_t n = (*first)(buffer);
        return n > 0 ? n : reader.read(buffer);
    };
}

}  // namespace

void ArchiveContents::read(archive::ByteSource stream) {
    archive::TarReader reader(layers_.unpacker().decompress(std::move(stream)));
    while (const archive::TarEntry* entry = reader.next()) member(reader, *entry);
    reader.drain();
}

void ArchiveContents::member(archive::TarReader& reader, const archive::TarEntry& entry) {
    const std::string path = clean(entry.name);
    if (entry.type == archive::TarEntry::Type::symlink ||
        entry.type == archive::TarEntry::Type::hard_link) {
        const bool relative =
            entry.type == archive::TarEntry::Type::symlink && !entry.link_name.starts_with('/');
        const std::size_t slash = path.rfind('/');
        const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
        links_[path] = clean(relative ? folder + entry.link_name : entry.link_name);
        return;
    }
    if (entry.type != archive::TarEntry::Type::file) return;
    std::string head(sniffed, '\0');
    head.resize(archive::read_full(reader.data_source(), head));
    if (is_layer(head, path)) {
        layer(reader, entry, path, std::move(head));
        return;
    }
    const archive::ByteSource whole = with_head(std::move(head), reader);
    add_document(path, archive::read_all(whole, max_document, path));
}

void ArchiveContents::layer(archive::TarReader& reader, const archive::TarEntry& entry,
                            const std::string& path, std::string head) {
    Blob blob;
    const std::string claimed = claimed_digest(path);
    const bool plain = archive::detect_compression(head) == archive::Compression::none;
    if (!claimed.empty() && plain) {
        // The same bytes are here already; the data may pass by unread.
        if (const auto known = layers_.find_by_diff("sha256:" + claimed)) {
            (void)layers_.acquire(known->chain_id);
            reused_.emplace_back(layers_, known->chain_id);
            blob.diff_id = known->diff_id;
            blobs_.insert_or_assign(path, std::move(blob));
            return;
        }
    }
    auto hash = claimed.empty() || plain ? nullptr : std::make_shared<archive::Sha256>();
    const std::int64_t total = entry.size;
    archive::ByteSource stored = with_head(std::move(head), reader);
    archive::ByteSource watched = [this, stored, hash, total, id = progress_id(path),
                                   done = std::int64_t{0},
                                   told = std::int64_t{0}](std::span<char> buffer) mutable {
        const std::size_t n = stored(buffer);
        if (hash) hash->update({buffer.data(), n});
        done += static_cast<std::int64_t>(n);
        if (progress_ && (done - told >= progress_step || (n == 0 && told < done))) {
            told = done;
            progress_({.status = "Loading layer", .id = id, .current = done, .total = total});
        }
        return n;
    };
    archive::ByteSource shared = [inner =
                                      std::make_shared<archive::ByteSource>(std::move(watched))](
                                     std::span<char> buffer) { return (*inner)(buffer); };
    blob.staged = layers_.stage(plain ? shared : layers_.unpacker().decompress(shared));
    blob.diff_id = blob.staged->diff_id();
    if (hash) {
        // A compressed stream may end before its member does.
        std::vector<char> rest(64 * 1024);
        while (shared(rest) > 0) {
        }
        blob.blob_digest = hash->digest();
    } else if (!claimed.empty()) {
        blob.blob_digest = blob.diff_id;
    }
    blobs_.insert_or_assign(path, std::move(blob));
}

std::string ArchiveContents::resolve(std::string path) const {
    path = clean(path);
    for (int hops = 0; hops < 16; ++hops) {
        const auto link = links_.find(path);
        if (link == links_.end()) break;
        path = link->second;
    }
    return path;
}

bool ArchiveContents::has_document(const std::string& path) const {
    return documents_.contains(resolve(path));
}

const std::string& ArchiveContents::document(const std::string& path) const {
    const auto found = documents_.find(resolve(path));
    if (found == documents_.end()) missing(path);
    return found->second;
}

std::vector<std::string> ArchiveContents::documents() const {
    std::vector<std::string> out;
    for (const auto& [path, text] : documents_) out.push_back(path);
    return out;
}

void ArchiveContents::add_document(const std::string& path, std::string text) {
    document_bytes_ += text.size();
    if (document_bytes_ > max_documents) {
        base::fail(base::ErrorKind::invalid_argument, "archive has too many documents");
    }
    documents_[path] = std::move(text);
}

const std::string& ArchiveContents::diff_id(const std::string& path) const {
    const auto found = blobs_.find(resolve(path));
    if (found == blobs_.end()) missing(path);
    return found->second.diff_id;
}

/// What the archive has under the layer's path, which must be that layer.
ArchiveContents::Blob& ArchiveContents::checked(const Layer& layer, const std::string& diff_id,
                                                std::size_t number) {
    const auto found = blobs_.find(resolve(layer.path));
    if (found == blobs_.end()) missing(layer.path);
    Blob& blob = found->second;
    if (blob.diff_id != diff_id) {
        // Source: moby image/tarexport/load.go.
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("invalid diffID for layer {}: expected {}, got {}", number,
                               base::quote(diff_id), base::quote(blob.diff_id)));
    }
    if (!layer.digest.empty() && !blob.blob_digest.empty() && blob.blob_digest != layer.digest) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("invalid digest of {}: expected {}, got {}", layer.path,
                               layer.digest, blob.blob_digest));
    }
    return blob;
}

std::vector<LayerHold> ArchiveContents::place(const std::vector<Layer>& layers,
                                              const std::vector<std::string>& diff_ids) {
    std::vector<LayerHold> holds;
    holds.reserve(layers.size());
    std::vector<StagedLayer> staged;  // on top of `below`, not in the store yet
    std::string below;
    std::string top;
    const auto put = [&](const LayerInfo& info) {
        holds.emplace_back(layers_, info.chain_id);
        below = info.chain_id;
    };
    const auto commit_staged = [&] {
        if (staged.empty()) return;
        for (const LayerInfo& info : layers_.commit(std::move(staged), below)) put(info);
        staged.clear();
    };
    for (std::size_t i = 0; i < layers.size(); ++i) {
        top = chain_id_of(top, diff_ids[i]);
        if (layers_.find(top)) {
            commit_staged();
            put(layers_.acquire(top));
            continue;
        }
        Blob& blob = checked(layers[i], diff_ids[i], i);
        if (blob.staged) {
            staged.push_back(std::move(*blob.staged));
            blob.staged.reset();
            continue;
        }
        commit_staged();
        put(copied(layers[i], diff_ids[i], below));
    }
    commit_staged();
    return holds;
}

/// A layer whose bytes stand on another parent already, from this archive or from before.
LayerInfo ArchiveContents::copied(const Layer& layer, const std::string& diff_id,
                                  const std::string& parent) {
    const auto twin = layers_.find_by_diff(diff_id);
    if (!twin) missing(layer.path);
    (void)layers_.acquire(twin->chain_id);
    const LayerHold hold(layers_, twin->chain_id);
    return layers_.apply(parent, layers_.open_tar(twin->chain_id));
}

}  // namespace dockerd::store
