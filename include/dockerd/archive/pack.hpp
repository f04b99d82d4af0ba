#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/archive/stream.hpp>

namespace dockerd::archive {

/// What goes into a tar and under which names.
struct PackOptions {
    /// Devices 0:0 become ".wh.x", the opaque attribute ".wh..wh..opq".
    bool overlay_whiteouts = false;
    /// Called with an O_PATH descriptor of each file and directory that has extended attributes,
    /// before it is packed. May throw.
    std::function<void(int fd)> on_attributes;
    /// The directory or file below the root to pack; empty is everything.
    std::string path;
    /// Name in the tar in place of the last part of `path` (docker cp).
    std::string rename;
    /// Also writes a member for the start directory itself.
    bool include_start = false;
    /// Set: every member belongs to this user and group.
    std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
};

/// Writes a tar of the tree below the directory `root`, in lexical order as Docker does.
///
/// A file that changes or vanishes meanwhile does not break the archive: what was promised in
/// the header is written, padded with zeros or cut.
/// Source: moby/go-archive archive.go, TarWithOptions and addTarFile.
void pack(int root, const PackOptions& options, const ByteSink& sink);

/// One change of a tree against the one it was made from.
struct PackedChange {
    std::string path;  ///< below the root: "etc/hosts"
    bool removed = false;
};

/// Writes a tar of single files and directories below `root`, in the order given: a removed one
/// as ".wh.x", a directory without what is in it.
/// Source: moby/go-archive changes.go, ExportChanges.
void pack_changes(int root, const std::vector<PackedChange>& changes, const ByteSink& sink);

}  // namespace dockerd::archive
