#pragma once

#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::store {

/// Where the compressed form of a layer was seen.
struct BlobSource {
    std::string digest;      ///< of the blob: "sha256:..."
    std::string repository;  ///< "docker.io/library/busybox"
    std::string hmac;        ///< ties the entry to credentials; empty for anonymous access
};

/// Remembers which blobs unpack to which layers, so that a pull need not fetch what is here and a
/// push not send what a registry has: image/overlay2/distribution/ in Docker's own form.
///
/// A loss costs a transfer, not correctness, so nothing here waits for the disk.
/// Source: moby distribution/metadata/v2_metadata_service.go.
/// Thread: every function may be called from any thread.
class BlobMap {
public:
    explicit BlobMap(const std::string& data_root);

    /// The layer a blob unpacks to; nullopt when it was never seen.
    [[nodiscard]] std::optional<std::string> diff_id_of(const std::string& digest) const;
    /// Where a layer's blobs were seen, latest last; at most 50.
    [[nodiscard]] std::vector<BlobSource> sources_of(const std::string& diff_id) const;
    /// Forgets to which layer a blob unpacks.
    void forget(const std::string& digest);
    /// Notes a blob that was unpacked to this layer, or made of it. Pre: its bytes were seen.
    void add(const std::string& diff_id, const BlobSource& source);
    /// Forgets a blob a registry turned out not to have.
    void remove(const std::string& diff_id, const BlobSource& source);

private:
    [[nodiscard]] std::vector<BlobSource> read_sources(const std::string& diff_id) const;
    void write_sources(const std::string& diff_id, const std::vector<BlobSource>& all) const;

    [[nodiscard]] base::Fd diff_ids() const;
    [[nodiscard]] base::Fd sources() const;

    std::string root_;
    mutable base::Mutex mutex_;
};

}  // namespace dockerd::store
