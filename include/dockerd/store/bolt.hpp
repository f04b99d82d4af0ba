#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <dockerd/base/fd.hpp>

namespace dockerd::store {

/// Contents of one bbolt bucket: values by key, and buckets inside it.
struct BoltBucket {
    std::map<std::string, std::string> values;
    std::map<std::string, BoltBucket> buckets;
    std::uint64_t sequence = 0;
};

/// A bbolt database held open and locked, as whole contents in memory.
///
/// bbolt locks the inode, so the descriptor of the current file stays open and locked for the
/// object's life; a save writes a complete new file, locks that, and renames it into place.
/// Source: go.etcd.io/bbolt, db.go, page.go, bucket.go: the file format.
class BoltFile {
public:
    /// Opens or makes the file and waits up to `timeout` for its lock.
    /// Throws: unavailable, "timeout" when another process holds it; internal, "invalid database".
    BoltFile(const std::string& path, std::chrono::milliseconds timeout, mode_t mode = 0600);

    [[nodiscard]] const BoltBucket& root() const { return root_; }
    /// Writes `root` as the file's new contents; durable on return. On an error the old ones stay.
    void save(BoltBucket root);

private:
    std::string path_;
    mode_t mode_;
    base::Fd file_;
    std::uint64_t transaction_ = 0;
    std::uint32_t page_size_ = 4096;
    BoltBucket root_;
};

/// Parses a database file's bytes. Throws: internal, "invalid database" and where.
BoltBucket parse_bolt(std::string_view file, std::uint64_t* transaction = nullptr,
                      std::uint32_t* page_size = nullptr);
/// A complete database file with these contents.
std::string format_bolt(const BoltBucket& root, std::uint64_t transaction,
                        std::uint32_t page_size = 4096);

}  // namespace dockerd::store
