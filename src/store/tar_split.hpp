#pragma once

#include <cstdint>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::store {

/// The tar that `tar_split` (gzipped JSON lines) and the files below `diff` describe.
/// Throws while reading: internal, "file integrity checksum failed for "x"".
archive::ByteSource assemble_tar(archive::ByteSource tar_split, base::Fd diff);

/// Length of that tar, without reading any file.
std::int64_t assembled_size(archive::ByteSource tar_split);

}  // namespace dockerd::store
