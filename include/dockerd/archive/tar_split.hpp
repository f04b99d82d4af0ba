#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tar.hpp>

namespace dockerd::archive {

/// Writes tar-split.json.gz while a tar is read: what is needed beside the files to make the
/// very same tar again. Source: vbatts/tar-split tar/asm/disassemble.go, tar/storage.
class TarSplitWriter : public TarTap {
public:
    explicit TarSplitWriter(ByteSink file) : gzip_(std::move(file)) {}

    void raw(std::string_view bytes) override;
    void begin(const TarEntry& entry) override;
    void data(std::string_view bytes) override;
    void end(const TarEntry& entry) override;
    /// Writes the last segment and the gzip trailer.
    void finish();

private:
    void flush_segment();
    void line(const std::string& text);

    GzipSink gzip_;
    std::string segment_;
    std::string lines_;
    std::set<std::string> seen_;
    std::int64_t position_ = 0;
    std::uint64_t crc_ = 0;
    bool as_raw_ = false;
};

}  // namespace dockerd::archive
