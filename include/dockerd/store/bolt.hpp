#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <dockerd/base/fd.hpp>

namespace dockerd::store {

class Batch;
class StartWrites;

/// Contents of one bbolt bucket: values by key, and buckets inside it.
struct BoltBucket {
    std::map<std::string, std::string> values;
    std::map<std::string, BoltBucket> buckets;
    std::uint64_t sequence = 0;
};

/// A bbolt database held open and locked, as whole contents in memory.
///
/// A save is a transaction as bbolt makes them: pages that are free, then the meta page that makes them
/// count, each with a wait for the disk, which has no block to find and no name to change for it. The file
/// has room for two trees, which take turns. When they have outgrown it, and with the first save, a
/// complete new file is written, locked (bbolt locks the inode) and renamed into place.
/// Source: go.etcd.io/bbolt, db.go, page.go, bucket.go: the file format.
class BoltFile {
public:
    /// Opens or makes the file and waits up to `timeout` for its lock. What is no database any more
    /// is set aside under another name, ".damaged-..."; what can still be read of it is kept.
    /// Throws: unavailable, "<path> is locked: ..." when another process holds it.
    ///
    /// With `later` what is changed while nobody is answered stays in memory until release(), or the
    /// first save after that; a new file stays empty, which is a database for bbolt, too.
    BoltFile(const std::string& path, std::chrono::milliseconds timeout, mode_t mode = 0600,
             const StartWrites* later = nullptr);

    [[nodiscard]] const BoltBucket& root() const { return root_; }
    /// Writes `root` as the file's new contents; durable on return. On an error the old ones stay.
    void save(BoltBucket root);
    /// Writes what is held back, if anything is. Returns the folder the file is in or -1.
    int release(Batch& batch);

private:
    base::Fd write(const std::string& bytes, const std::string& temporary) const;
    void recover(const std::string& bytes, const char* reason);
    bool change(const BoltBucket& root);
    void replace(const BoltBucket& root);

    std::string path_;
    mode_t mode_;
    base::Fd folder_;
    const StartWrites* later_;
    bool changed_ = false;  ///< and held back
    base::Fd damaged_;  ///< stays locked: another engine may wait for it
    base::Fd file_;
    std::uint64_t transaction_ = 0;
    std::uint32_t page_size_ = 4096;
    std::uint64_t total_ = 0;   ///< pages of a file that this object has laid out; else 0
    bool in_second_half_ = false;
    BoltBucket root_;
};

/// Parses a database file's bytes. Throws: internal, "invalid database" and where.
BoltBucket parse_bolt(std::string_view file, std::uint64_t* transaction = nullptr,
                      std::uint32_t* page_size = nullptr);
/// What can be read of a damaged database file: elements that do not fit are left out.
BoltBucket salvage_bolt(std::string_view file);
/// A complete database file with these contents, of transaction `transaction` + 1. They lie in the first
/// half of what follows the meta pages.
std::string format_bolt(const BoltBucket& root, std::uint64_t transaction,
                        std::uint32_t page_size = 4096);

/// What one transaction writes, and where in the file. The pages are on the disk before the meta page
/// is written.
struct BoltChange {
    std::uint64_t pages_at = 0;
    std::string pages;
    std::uint64_t meta_at = 0;
    std::string meta;
};

/// The contents for one half of a file of `total` pages; nullopt when they do not fit there.
std::optional<BoltChange> format_bolt_change(const BoltBucket& root, std::uint64_t transaction,
                                             std::uint64_t total, bool second_half,
                                             std::uint32_t page_size);

}  // namespace dockerd::store
