#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tar.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::store {

/// Writes tar-split.json.gz while a tar is read: what is needed beside the files to make the
/// very same tar again. Source: vbatts/tar-split tar/asm/disassemble.go, tar/storage.
class TarSplitWriter : public archive::TarTap {
public:
    explicit TarSplitWriter(archive::ByteSink file) : gzip_(std::move(file)) {}

    void raw(std::string_view bytes) override;
    void begin(const archive::TarEntry& entry) override;
    void data(std::string_view bytes) override;
    void end(const archive::TarEntry& entry) override;
    /// Writes the last segment and the gzip trailer.
    void finish();

private:
    void flush_segment();
    void line(const std::string& text);

    archive::GzipSink gzip_;
    std::string segment_;
    std::string lines_;
    std::set<std::string> seen_;
    std::int64_t position_ = 0;
    std::uint64_t crc_ = 0;
    bool as_raw_ = false;
};

/// The tar that `tar_split` (gzipped JSON lines) and the files below `diff` describe.
/// Throws while reading: internal, "file integrity checksum failed for "x"".
archive::ByteSource assemble_tar(archive::ByteSource tar_split, base::Fd diff);

/// Length of that tar, without reading any file.
std::int64_t assembled_size(archive::ByteSource tar_split);

}  // namespace dockerd::store
