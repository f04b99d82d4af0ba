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
    /// Opens or makes the file and waits up to `timeout` for its lock. What is no database any more
    /// is set aside under another name, ".damaged-..."; what can still be read of it is kept.
    /// Throws: unavailable, "<path> is locked: ..." when another process holds it.
    BoltFile(const std::string& path, std::chrono::milliseconds timeout, mode_t mode = 0600);

    [[nodiscard]] const BoltBucket& root() const { return root_; }
    /// Writes `root` as the file's new contents; durable on return. On an error the old ones stay.
    void save(BoltBucket root);

private:
    void recover(const std::string& bytes, const char* reason);

    std::string path_;
    mode_t mode_;
    base::Fd damaged_;  ///< stays locked: another engine may wait for it
    base::Fd file_;
    std::uint64_t transaction_ = 0;
    std::uint32_t page_size_ = 4096;
    BoltBucket root_;
};

/// Parses a database file's bytes. Throws: internal, "invalid database" and where.
BoltBucket parse_bolt(std::string_view file, std::uint64_t* transaction = nullptr,
                      std::uint32_t* page_size = nullptr);
/// What can be read of a damaged database file: elements that do not fit are left out.
BoltBucket salvage_bolt(std::string_view file);
/// A complete database file with these contents.
std::string format_bolt(const BoltBucket& root, std::uint64_t transaction,
                        std::uint32_t page_size = 4096);

}  // namespace dockerd::store
