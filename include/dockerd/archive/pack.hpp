#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tar.hpp>

struct stat;

namespace dockerd::archive {

/// What goes into a tar and under which names.
struct PackOptions {
    /// Devices 0:0 become ".wh.x", the opaque attribute ".wh..wh..opq".
    bool overlay_whiteouts = false;
    /// Set: the start directory is a member too, of this name, and all others lie below it. An
    /// empty name makes "/" of it (docker cp of the root).
    std::optional<std::string> start_name;
    /// Called with an open descriptor of each file and directory that has extended attributes,
    /// before it is packed. May throw.
    std::function<void(int fd)> on_attributes;
    /// Set: every member belongs to this user and group.
    std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
    /// Set: every file and directory has these permission bits.
    std::optional<std::uint32_t> mode;
    /// Without what chown(2) takes from a file: set-user-ID, set-group-ID of what the group may
    /// execute, capabilities.
    bool as_chowned = false;
    /// Called with an open descriptor of each file whose bytes would be packed. It may change the member;
    /// with size 0 no bytes follow.
    std::function<void(int fd, const struct ::stat& info, TarEntry& member)> on_file;
    /// Hears of all that is written.
    TarTap* tap = nullptr;
};

/// Writes a tar of the tree below the directory `root`, in lexical order as Docker does. Follows no
/// link. What lies deeper than a path can say (PATH_MAX), sockets, and what cannot be read are left
/// out.
///
/// Pre: where others may write below `root` meanwhile, its mount is nodev: a file may become a
/// device between the look at it and its opening.
/// A file that changes or vanishes meanwhile does not break the archive: what was promised in
/// the header is written, padded with zeros or cut.
/// Source: moby/go-archive archive.go, TarWithOptions and addTarFile.
void pack(int root, const PackOptions& options, const ByteSink& sink);

/// Writes a tar of the single file, link or node `name` in `directory`, as `member`. What does not
/// exist any more leaves an empty archive.
void pack_one(int directory, const std::string& name, const std::string& member,
              const ByteSink& sink, const PackOptions& options = {});

/// One change of a tree against the one it was made from.
struct PackedChange {
    std::string path;  ///< below the root: "etc/hosts"
    bool removed = false;
};

/// Writes a tar of single files and directories below `root`, in the order given: a removed one
/// as ".wh.x", a directory without what is in it.
/// Source: moby/go-archive changes.go, ExportChanges.
void pack_changes(int root, const std::vector<PackedChange>& changes, const ByteSink& sink,
                  const PackOptions& options = {});

}  // namespace dockerd::archive
