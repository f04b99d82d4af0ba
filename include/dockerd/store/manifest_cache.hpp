#pragma once

#include <optional>
#include <string>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::store {

/// Manifests as registries sent them, by digest, and in which repositories they were seen: a pull
/// of what has not changed then asks for no manifest, which registries count.
///
/// They lie in image/overlay2/distribution/manifests/, the newest 1000 of them and at most 64 MiB.
/// A loss costs a request, not correctness, so nothing here waits for the disk; what is found is
/// checked against its digest.
/// Source: moby distribution/manifest.go, manifestStore.
/// Thread: every function may be called from any thread.
class ManifestCache {
public:
    explicit ManifestCache(const std::string& data_root);

    struct Kept {
        std::string content_type;
        std::string text;
        bool seen_here = false;  ///< in the repository that was asked about
    };
    /// `repository`: "docker.io/library/busybox". Anything but a sha256 digest is not kept.
    [[nodiscard]] std::optional<Kept> find(const std::string& digest,
                                           const std::string& repository) const;
    /// Keeps a manifest, or notes one more repository that has it. Repositories that gave the same
    /// bytes as another type are forgotten: what they are read as is up to each. A disk that refuses
    /// costs nothing. Pre: `digest` is that of `text`.
    void add(const std::string& digest, const std::string& content_type, const std::string& text,
             const std::string& repository) noexcept;

private:
    [[nodiscard]] base::Fd folder() const;
    void make_room(int directory) const;

    std::string root_;
    mutable base::Mutex mutex_;
};

}  // namespace dockerd::store
