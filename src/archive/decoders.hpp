#pragma once

#include <dockerd/archive/stream.hpp>

namespace dockerd::archive {

ByteSource gunzip(ByteSource source);
ByteSource unzstd(ByteSource source);
ByteSource unxz(ByteSource source);
ByteSource unbzip2(ByteSource source);

}  // namespace dockerd::archive
