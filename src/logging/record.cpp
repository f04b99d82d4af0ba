#include <unistd.h>

#include <array>

#include "driver.hpp"

namespace dockerd::logging {

namespace {

/// Reads protobuf fields; `ok` turns false at the first one that is none.
class Fields {
public:
    explicit Fields(std::string_view bytes) : rest_(bytes) {}

    /// Goes to the next field; false at the end.
    bool next() {
        if (rest_.empty() || !ok) return false;
        const std::uint64_t key = varint();
        number = key >> 3U;
        value = 0;
        text = {};
        switch (key & 7U) {
            case 0:
                value = varint();
                return ok;
            case 1:
                skip(8);
                return ok;
            case 2:
                text = skip(varint());
                return ok;
            case 5:
                skip(4);
                return ok;
            default:
                ok = false;
                return false;
        }
    }

    std::uint64_t number = 0;
    std::uint64_t value = 0;
    std::string_view text;
    bool ok = true;

private:
    std::uint64_t varint() {
        std::uint64_t result = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (rest_.empty()) break;
            const auto byte = static_cast<unsigned char>(rest_[0]);
            rest_.remove_prefix(1);
            result |= std::uint64_t{byte & 0x7fU} << shift;
            if (byte < 0x80) return result;
        }
        ok = false;
        return 0;
    }

    std::string_view skip(std::uint64_t size) {
        if (size > rest_.size()) {
            ok = false;
            return {};
        }
        const auto taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }

    std::string_view rest_;
};

bool decode_partial(std::string_view bytes, Record& record) {
    Fields fields(bytes);
    while (fields.next()) {
        if (fields.number == 1) record.last = fields.value != 0;
        if (fields.number == 2) record.partial_id = fields.text;
        if (fields.number == 3) record.ordinal = static_cast<std::int64_t>(fields.value);
    }
    return fields.ok;
}

bool decode_entry(std::string_view bytes, Record& record) {
    Fields fields(bytes);
    while (fields.next()) {
        if (fields.number == 1) record.is_error = fields.text == "stderr";
        if (fields.number == 2) record.time = static_cast<std::int64_t>(fields.value);
        if (fields.number == 3) record.line = fields.text;
        if (fields.number == 4) record.partial = fields.value != 0;
        if (fields.number == 5 && !decode_partial(fields.text, record)) return false;
    }
    return fields.ok;
}

std::size_t length_at(std::string_view data, std::size_t at) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        length = length << 8U | static_cast<unsigned char>(data[at + i]);
    }
    return length;
}

}  // namespace

std::ptrdiff_t decode_record(std::string_view data, Record& record) {
    constexpr std::size_t longest = 16 * 1024 * 1024;
    if (data.size() < 4) return 0;
    const std::size_t length = length_at(data, 0);
    if (length > longest) return -1;
    if (data.size() < length + 8) return 0;
    record = Record{};
    if (length_at(data, length + 4) != length) return -1;
    return decode_entry(data.substr(4, length), record) ? static_cast<std::ptrdiff_t>(length + 8)
                                                        : -1;
}

std::string host_name() {
    std::array<char, 256> name{};
    (void)::gethostname(name.data(), name.size() - 1);  // only fails for a buffer that is short
    return name.data();
}

}  // namespace dockerd::logging
