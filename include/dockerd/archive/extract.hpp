#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <dockerd/archive/tar.hpp>

namespace dockerd::archive {

/// How members of a tar become files.
struct ExtractOptions {
    enum class Whiteouts {
        plain,    ///< ".wh.x" is a file like any other
        overlay,  ///< ".wh.x" becomes a device 0:0, ".wh..wh..opq" the opaque attribute
        apply,    ///< ".wh.x" removes x: unpacking layers on top of each other
    };
    Whiteouts whiteouts = Whiteouts::plain;
    /// Where below the root the members go: a path without links, "." or slashes at its ends.
    /// Links met on the way still lead anywhere inside the root. Empty is the root itself; the
    /// size of what was replaced is only made out then.
    std::string below;
    /// Set: everything belongs to this user and group.
    std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
    /// A directory may not replace a file or the other way round (docker cp).
    bool no_overwrite_dir_non_dir = false;
    /// A name that leads out of the root, "../x", means "x" instead of being refused.
    /// Source: moby pkg/tarsum/tarsum.go, through which contexts of builds go.
    bool names_stay_inside = false;
    /// Skips members that may not be made here instead of failing: xattrs, devices.
    bool best_effort = false;
    /// Stops with an error beyond this many bytes of data; 0 is no limit.
    std::int64_t max_bytes = 0;
    /// Starts writing data back at once, so that a later syncfs has little to do.
    bool start_writeback = false;
};

/// What was unpacked.
struct ExtractResult {
    std::int64_t size = 0;  ///< bytes of files and symlinks, hard links once: Docker's layer size
    std::int64_t entries = 0;
};

/// Unpacks all of `reader` below the directory `root`.
///
/// Nothing outside `root` is ever touched: every path is resolved by the kernel beneath `root`
/// without magic links; symlinks met on the way are followed inside `root` only. Hostile members
/// throw. Changes the working directory: it is for programs that do nothing else, and what others
/// made goes to Unpacker.
/// Throws: invalid_argument with the member's name in front.
/// Source: moby/go-archive archive.go, Unpack and createTarFile, for what becomes of a member.
ExtractResult extract(TarReader& reader, int root, const ExtractOptions& options);

/// The same for a stream of any compression.
ExtractResult extract(ByteSource source, int root, const ExtractOptions& options);

}  // namespace dockerd::archive
