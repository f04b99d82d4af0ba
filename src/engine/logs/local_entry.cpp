#include <optional>

#include "logs/entry.hpp"

namespace dockerd::engine::logs {

namespace {

constexpr std::size_t length_bytes = 4;
constexpr std::uint32_t max_message = 1'000'000;  // Source: moby daemon/logger/local/read.go

std::uint32_t big_endian(const char* bytes) {
    const auto* const raw = reinterpret_cast<const unsigned char*>(bytes);
    return (std::uint32_t{raw[0]} << 24) | (std::uint32_t{raw[1]} << 16) |
           (std::uint32_t{raw[2]} << 8) | raw[3];
}

/// Reads protobuf's wire format.
class Wire {
public:
    explicit Wire(std::string_view data) : data_(data) {}

    [[nodiscard]] bool empty() const { return data_.empty(); }

    std::optional<std::uint64_t> varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !data_.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(data_.front());
            data_.remove_prefix(1);
            value |= std::uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) return value;
        }
        return std::nullopt;
    }
    std::optional<std::string_view> bytes() {
        const auto size = varint();
        if (!size || *size > data_.size()) return std::nullopt;
        const auto found = data_.substr(0, *size);
        data_.remove_prefix(*size);
        return found;
    }
    /// Skips a value of `type`; false when there is none.
    bool skip(std::uint64_t type) {
        switch (type) {
            case 0:
                return varint().has_value();
            case 1:
                return drop(8);
            case 2:
                return bytes().has_value();
            case 5:
                return drop(4);
            default:
                return false;
        }
    }

private:
    bool drop(std::size_t count) {
        if (data_.size() < count) return false;
        data_.remove_prefix(count);
        return true;
    }
    std::string_view data_;
};

/// PartialLogEntryMetadata.last; nullopt when malformed.
std::optional<bool> is_last_part(std::string_view metadata) {
    Wire wire(metadata);
    bool last = false;
    while (!wire.empty()) {
        const auto key = wire.varint();
        if (!key) return std::nullopt;
        if (*key == (1U << 3U)) {
            const auto value = wire.varint();
            if (!value) return std::nullopt;
            last = *value != 0;
        } else if (!wire.skip(*key & 7U)) {
            return std::nullopt;
        }
    }
    return last;
}

Source source_of(std::string_view name) {
    if (name == "stdout") return Source::stdout_stream;
    return name == "stderr" ? Source::stderr_stream : Source::other;
}

base::WallTime from_unix_nano(std::int64_t nano) {
    std::int64_t seconds = nano / 1'000'000'000;
    std::int64_t rest = nano % 1'000'000'000;
    if (rest < 0) {
        rest += 1'000'000'000;
        --seconds;
    }
    return {seconds, static_cast<std::int32_t>(rest)};
}

bool parse_message(std::string_view message, Entry& entry) {
    Wire wire(message);
    bool partial = false;
    bool last = false;
    while (!wire.empty()) {
        const auto key = wire.varint();
        if (!key) return false;
        if (*key == 0x0A || *key == 0x1A || *key == 0x2A) {  // source, line, partial_log_metadata
            const auto value = wire.bytes();
            if (!value) return false;
            if (*key == 0x0A) entry.source = source_of(*value);
            if (*key == 0x1A) entry.text = *value;
            if (*key == 0x2A) {
                const auto found = is_last_part(*value);
                if (!found) return false;
                last = *found;
            }
        } else if (*key == 0x10 || *key == 0x20) {  // time_nano, partial
            const auto value = wire.varint();
            if (!value) return false;
            if (*key == 0x10) entry.time = from_unix_nano(static_cast<std::int64_t>(*value));
            if (*key == 0x20) partial = *value != 0;
        } else if (!wire.skip(*key & 7U)) {
            return false;
        }
    }
    entry.newline = !partial || last;
    return true;
}

}  // namespace

LocalRecord scan_local_record(std::string_view data) {
    LocalRecord record;
    record.size = length_bytes;
    if (data.size() < length_bytes) return record;
    const std::uint32_t length = big_endian(data.data());
    if (length > max_message) {
        record.state = LocalRecord::State::corrupt;
        return record;
    }
    record.size = length + 2 * length_bytes;
    if (data.size() < record.size) return record;
    const bool whole = big_endian(data.data() + length_bytes + length) == length &&
                       parse_message(data.substr(length_bytes, length), record.entry);
    record.state = whole ? LocalRecord::State::complete : LocalRecord::State::corrupt;
    return record;
}

}  // namespace dockerd::engine::logs
