#pragma once

#include <sys/stat.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::engine::builds {

/// Files that COPY and ADD take from: the context of a build, or an image.
///
/// Paths are looked up by the kernel inside the tree, links included, without devices. Nobody
/// writes to the tree meanwhile. What was hashed is remembered.
/// Thread: any.
class SourceTree {
public:
    /// What becomes of the files when all is done. Given: they are of no use to anybody then, so that one of
    /// them may become a layer's own, by a link. It is never written to again, under neither name.
    enum class Files { kept, given };
    /// `root`: a directory; it is seen through a mount of its own, nodev, nosuid and noexec.
    /// Throws: internal, "open_tree: <errno text>".
    explicit SourceTree(int root, Files files = Files::kept);

    [[nodiscard]] int root() const { return root_.get(); }
    /// A file that is given, by a path without links, where links to it can be made; nothing otherwise.
    [[nodiscard]] base::Fd open_given(const std::string& path) const;
    /// What is at `path`, links followed; nullopt when it is not there.
    /// Throws: internal, "stat <path>: <errno text>".
    [[nodiscard]] std::optional<struct stat> look_at(const std::string& path) const;
    /// Without links, "." and "..": "a/b"; also of what is not there.
    [[nodiscard]] std::string resolve(const std::string& path) const;
    /// A regular file, up to `limit` bytes. Throws: as look_at; "<path> is too large".
    [[nodiscard]] std::string read(const std::string& path, std::size_t limit) const;

    /// "file:<sum>" of a file, "dir:<sum>" of all that is in a directory: of names, modes,
    /// ownership, capabilities and bytes, not of times.
    /// Source: moby builder/dockerfile/copy.go, calcCopyInfo; pkg/tarsum for the form of the sums.
    [[nodiscard]] std::string hash(const std::string& path);
    /// Paths that a pattern matches, in order. Source: copy.go, copyWithWildcards.
    [[nodiscard]] std::vector<std::string> match(const std::string& pattern) const;

    /// Paths below a directory for which `wanted` says yes, as "a/b" from there, and the directories they
    /// are in before them. `sum` becomes what they hash to, as hash() does.
    [[nodiscard]] std::vector<std::string> choose(
        const std::string& directory, const std::function<bool(const std::string& path)>& wanted,
        std::string& sum);

private:
    [[nodiscard]] std::string hash_one(const std::string& path);

    base::Fd root_;
    base::Fd given_;  ///< the same directory, not through that mount
    base::Mutex mutex_;  ///< held while files are hashed
    std::map<std::string, std::string> hashes_;
};

/// A path that a Dockerfile or a client names, without "." and "..": taken by its text, before links.
/// Throws: internal, "forbidden path outside the build context: <given> ()".
std::string cleaned_source(const std::string& given);

/// The sum of a file that is not in any tree. `sum` as hash() without "file:".
std::string hash_of_text(const std::string& name, const std::string& text);
/// "prefix:<sum>" of several sums. Source: copy.go, hashStringSlice.
std::string hash_of_list(const std::string& prefix, const std::vector<std::string>& sums);

/// A directory's mount of its own: nodev, nosuid and noexec, nothing above it.
base::Fd separate_tree(int directory);

}  // namespace dockerd::engine::builds
