#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/archive/stream.hpp>

namespace dockerd::store {

/// One line of tar-split.json. The views live until the next one is read.
struct TarSplitEntry {
    enum class Type { other, file, segment };
    Type type = Type::other;
    std::string_view name;
    std::int64_t size = 0;
    std::string_view payload;  ///< base64: a segment's bytes, a file's checksum

    /// Bytes of the payload, without decoding it.
    [[nodiscard]] std::int64_t payload_size() const;
    /// The payload itself. Throws: internal, "tar-split: invalid entry".
    [[nodiscard]] std::string payload_bytes() const;
};

/// Reads the lines of a tar-split.json.gz.
/// Source: vbatts/tar-split tar/storage/entry.go.
class TarSplitReader {
public:
    explicit TarSplitReader(archive::ByteSource packed);

    /// The next line; nullptr at the end. Throws: internal, "tar-split: invalid entry".
    const TarSplitEntry* next();

private:
    bool refill();
    void parse(std::string_view line);
    [[nodiscard]] bool parse_usual(std::string_view line);
    void parse_any(std::string_view line);

    archive::ByteSource source_;
    std::vector<char> buffer_;
    std::string text_;
    std::size_t start_ = 0;
    std::size_t searched_ = 0;
    TarSplitEntry entry_;
    std::string name_;     ///< where an entry's words are not those of the line
    std::string payload_;  ///< the same
};

}  // namespace dockerd::store
