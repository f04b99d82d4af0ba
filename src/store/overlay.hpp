#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/store/durable.hpp>

namespace dockerd::store {

/// One folder below overlay2/ as other layers need it.
struct OverlayDir {
    std::string id;     ///< folder name
    std::string link;   ///< 26 characters below l/
    std::string lower;  ///< contents of the file `lower`, empty on base layers

    /// The `lower` of a layer on top of this one.
    [[nodiscard]] std::string as_lower() const {
        return "l/" + link + (lower.empty() ? "" : ":" + lower);
    }
};

/// A file or directory as the layers below show it.
struct LowerNode {
    enum class Kind { none, directory, other };
    Kind kind = Kind::none;
    struct stat info {};
    std::string capability;           ///< security.capability, or empty
    std::vector<std::size_t> layers;  ///< for a directory: which layers it merges, top first
};

/// The folder overlay2/ and its conventions.
/// Source: moby daemon/graphdriver/overlay2/overlay.go.
class Overlay {
public:
    explicit Overlay(const std::string& data_root);

    [[nodiscard]] int fd() const { return root_fd_.get(); }
    [[nodiscard]] const std::string& root() const { return root_; }

    /// Makes `<id>/` with diff/ and link, work/ and lower when there is a parent.
    OverlayDir create(const std::string& id, const std::optional<OverlayDir>& parent,
                      std::uint32_t uid, std::uint32_t gid, Batch& batch) const;
    /// Adds lower and work/ to a folder that was made without a parent.
    void add_parent(OverlayDir& dir, const OverlayDir& parent) const;
    /// Writes the marker of a layer that others stand on.
    void mark_committed(const std::string& id) const;
    /// Reads link and lower. Throws: internal.
    [[nodiscard]] OverlayDir open(const std::string& id) const;
    /// Deletes the folder and its short link. Throws: as remove_tree.
    void remove(const std::string& id, const std::atomic<bool>* stop = nullptr) const;

    [[nodiscard]] std::string path(const std::string& id, const char* part) const {
        return root_ + "/" + id + "/" + part;
    }
    /// Directory descriptor of `<id>/diff`.
    [[nodiscard]] base::Fd open_diff(const std::string& id) const;
    /// Real paths of all lower directories, joined by ":".
    [[nodiscard]] std::string lower_paths(const OverlayDir& dir) const;
    /// Folder names behind `dir.lower`, top first.
    [[nodiscard]] std::vector<std::string> lower_ids(const OverlayDir& dir) const;

    /// Mounts `dir` at `<id>/merged`; one that is there already is used.
    void mount(const OverlayDir& dir) const;
    [[nodiscard]] bool is_mounted(const std::string& id) const;
    /// Detaches `<id>/merged`. The returned descriptor keeps the file system alive: closing the
    /// last one makes the kernel flush the whole backing file system, so close it elsewhere.
    base::Fd unmount(const std::string& id) const;

private:
    std::string root_;
    base::Fd root_fd_;
    bool has_index_option_ = false;
};

/// Looks things up in a stack of layers as overlayfs would, without mounting it.
class LowerStack {
public:
    /// `ids`: folder names, top first.
    LowerStack(const Overlay& overlay, std::vector<std::string> ids)
        : overlay_(overlay), ids_(std::move(ids)) {}

    [[nodiscard]] LowerNode root() const;
    /// `name` inside the directory `parent`, whose path from the root is `parent_path`.
    [[nodiscard]] LowerNode child(const LowerNode& parent, const std::string& parent_path,
                                  const std::string& name) const;
    /// From the root: "etc/hosts".
    [[nodiscard]] LowerNode find(const std::string& path) const;
    /// Names in a merged directory, sorted.
    [[nodiscard]] std::vector<std::string> names(const LowerNode& directory,
                                                 const std::string& path) const;

private:
    const Overlay& overlay_;
    std::vector<std::string> ids_;
};

bool is_whiteout(const struct stat& info);
bool is_opaque(int fd);
/// Whether overlayfs keeps something of this file or directory elsewhere: a directory that was
/// renamed, a file whose data still lies below. Only a mount shows such things whole.
/// Source: kernel Documentation/filesystems/overlayfs.rst, redirect_dir and metacopy.
bool is_redirected(int fd);

}  // namespace dockerd::store
