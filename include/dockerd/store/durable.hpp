#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::store {

/// Replaces `directory`/`name` by `content`: temporary file beside it, fsync, rename, fsync of
/// the directory. After the return the content survives a power cut.
///
/// Throws: internal, "write <name>: <errno text>"; the old file is then still whole.
void write_durable(int directory, const std::string& name, std::string_view content,
                   mode_t mode = 0600);
void write_durable(const std::string& path, std::string_view content, mode_t mode = 0600);

/// When a change has to be durable.
enum class Flush {
    now,    ///< before the return
    later,  ///< with the next change that is, and never before one it follows
};

/// Collects changes that become durable together, by one flush instead of one for each file.
///
/// On ext4 and xfs the journal is one sequence: once the data of new files is on its way to the
/// disk, an fsync of the directory changed last commits everything before it. Elsewhere, and
/// when in doubt, syncfs is used. So a container's create costs one commit, not fifteen.
class Batch {
public:
    Batch() = default;
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch();

    /// Creates or truncates `directory`/`name` and begins to write it back. Not atomic for a
    /// reader: for files in directories nobody looks into yet.
    void write_new(int directory, const std::string& name, std::string_view content,
                   mode_t mode = 0644);
    /// Writes a temporary file and renames it over `name`.
    void replace(int directory, const std::string& name, std::string_view content,
                 mode_t mode = 0600);
    /// Waits until the data of the files is written, so that a rename after it shows whole files.
    void flush_data();
    /// Gives the file `from` of the directory, all written, the name `to`.
    void rename(int directory, const base::Fd& file, const std::string& from, const std::string& to);
    /// Makes all changes up to here durable; `directory` must be the one changed last.
    void commit(int directory);
    /// Flush::later: the data of the files is written, the rest is the next commit's. Where changes may
    /// reach the disk in another order than they were made, this is commit().
    void order(int directory);
    void finish(int directory, Flush flush) {
        flush == Flush::now ? commit(directory) : order(directory);
    }

private:
    std::vector<base::Fd> files_;
};

/// What a start has to write before anybody is answered: it becomes durable behind the first answer and all
/// together, instead of keeping that waiting for one flush after the other. It is what the next start
/// would find out again. What requests change is written at once as ever.
class StartWrites {
public:
    /// Writes into the directory it returns, as part of the batch; -1 when there is nothing to do.
    using Write = std::function<int(Batch&)>;

    /// Pre: settle() was not called.
    void add(Write write) { writes_.push_back(std::move(write)); }
    /// From here on somebody may be answered: nothing is held back any more.
    void serve() { serves_ = true; }
    [[nodiscard]] bool serves() const { return serves_; }
    /// Does all of it. A write that fails is logged; its owner writes all anew with its next change.
    /// Thread: any, once.
    void settle() noexcept;

private:
    std::vector<Write> writes_;
    std::atomic<bool> serves_ = false;
};

/// Writes the data of every file below the directories; a Batch's commit after it makes the trees
/// durable. This is one syncfs, or file by file where there are few, or where so much else is dirty that
/// waiting for it would hurt.
void flush_trees(const std::vector<int>& directories);

/// Removes temporary files (".tmp-*") that a crash left in `directory`.
void sweep_temporaries(int directory);

/// Deletes the tree `directory`/`name`, also one still busy with mounts below it: those are
/// detached first. Missing is success. Throws: internal, "remove <name>: <errno text>", of ECANCELED
/// once `stop` is set.
void remove_tree(int directory, const std::string& name, const std::atomic<bool>* stop = nullptr);

/// Gives what is damaged another name, "<path>.damaged-...", and returns that.
/// Throws: internal, "rename <path>: <errno text>".
std::string set_aside(const std::string& path);

/// Opens a regular file; no symlink below `directory` is followed, and nothing is waited for.
/// Throws: internal "read <name>: ..."; not_found when there is none.
base::Fd open_regular(int directory, const std::string& name, int flags);

/// The bytes of a regular file, as open_regular() opens it; at most `limit` of them.
/// Throws: internal "read <name>: ..."; not_found when there is none.
std::string read_file(int directory, const std::string& name, std::size_t limit = 64U << 20U);

/// Opens a directory, making it and its parents with `mode` if they are missing.
base::Fd open_or_make_directory(const std::string& path, mode_t mode = 0700);

}  // namespace dockerd::store
