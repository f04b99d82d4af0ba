#include "message.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <dockerd/base/strings.hpp>

namespace dockerd::net::dns {
namespace {

constexpr std::uint16_t flag_response = 0x8000;
constexpr std::uint16_t mask_opcode = 0x7800;
constexpr std::uint16_t flag_truncated = 0x0200;
constexpr std::uint16_t flag_recursion_desired = 0x0100;
constexpr std::uint16_t flag_recursion_available = 0x0080;
constexpr std::uint16_t flag_authentic = 0x0020;
constexpr std::uint16_t flag_checking_disabled = 0x0010;
constexpr unsigned opcode_shift = 11;
constexpr unsigned opcode_query = 0;
constexpr unsigned opcode_notify = 4;

constexpr std::size_t max_label = 63;
constexpr std::size_t max_name = 255;
constexpr std::uint8_t pointer_bits = 0xc0;
/// The name of the question, which every answer is about.
constexpr std::uint16_t pointer_to_question = 0xc000 | header_size;
constexpr std::uint16_t class_internet = 1;
/// Source: moby libnetwork/resolver.go, respTTL.
constexpr std::uint32_t time_to_live = 600;
constexpr std::size_t record_head = 12;  // pointer, type, class, time to live, size

std::uint16_t number16(Bytes bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8U | bytes[at + 1]);
}

void put16(std::string& out, std::uint16_t value) {
    out += static_cast<char>(value >> 8U);
    out += static_cast<char>(value & 0xffU);
}

void put32(std::string& out, std::uint32_t value) {
    put16(out, static_cast<std::uint16_t>(value >> 16U));
    put16(out, static_cast<std::uint16_t>(value));
}

void put_bytes(std::string& out, Bytes bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// Source: miekg/dns msg.go, UnpackDomainName.
void put_text_byte(std::string& out, std::uint8_t byte) {
    constexpr std::string_view special = ".()\"; @\\";
    if (byte < ' ' || byte > '~') {
        out += '\\';
        out += static_cast<char>('0' + byte / 100);
        out += static_cast<char>('0' + byte / 10 % 10);
        out += static_cast<char>('0' + byte % 10);
        return;
    }
    if (special.find(static_cast<char>(byte)) != std::string_view::npos) out += '\\';
    out += static_cast<char>(byte);
}

/// Reads an uncompressed name at `at` and moves behind it; false when it is none.
bool read_name(Bytes bytes, std::size_t& at, std::string& text) {
    const std::size_t first = at;
    for (;;) {
        if (at >= bytes.size()) return false;
        const std::size_t size = bytes[at++];
        if (size == 0) break;
        if (size > max_label || size > bytes.size() - at) return false;
        if (at + size - first >= max_name) return false;
        for (const std::uint8_t byte : bytes.subspan(at, size)) put_text_byte(text, byte);
        text += '.';
        at += size;
    }
    if (text.empty()) text += '.';
    return true;
}

/// Moves behind a name that may end with a pointer.
bool skip_name(Bytes bytes, std::size_t& at) {
    const std::size_t first = at;
    while (at < bytes.size()) {
        const std::size_t size = bytes[at];
        if ((size & pointer_bits) == pointer_bits) {
            at += 2;
            return at <= bytes.size();
        }
        if (size > max_label) return false;
        at += 1 + size;
        if (at - first > max_name) return false;
        if (size == 0) return true;
    }
    return false;
}

/// Moves behind a record. An EDNS record's size of UDP messages goes to `udp_size`.
bool skip_record(Bytes bytes, std::size_t& at, std::size_t& udp_size) {
    if (!skip_name(bytes, at)) return false;
    constexpr std::size_t fixed = 10;
    if (bytes.size() - at < fixed) return false;
    if (number16(bytes, at) == static_cast<std::uint16_t>(Type::opt)) {
        udp_size = std::max<std::size_t>(plain_udp_size, number16(bytes, at + 2));
    }
    const std::size_t size = number16(bytes, at + 8);
    at += fixed;
    if (bytes.size() - at < size) return false;
    at += size;
    return true;
}

/// Moves behind all records that the header counts.
bool skip_records(Bytes bytes, std::size_t& at, std::size_t& udp_size) {
    const std::size_t count = std::size_t{number16(bytes, 6)} + number16(bytes, 8) +
                              number16(bytes, 10);
    for (std::size_t i = 0; i < count; ++i) {
        if (!skip_record(bytes, at, udp_size)) return false;
    }
    return true;
}

std::string head(std::uint16_t id, std::uint16_t flags, bool with_question, std::uint16_t answers) {
    std::string out;
    put16(out, id);
    put16(out, flags);
    put16(out, with_question ? 1 : 0);
    put16(out, answers);
    put32(out, 0);
    return out;
}

/// What a reply takes over from the query. Source: miekg/dns defaults.go, SetReply.
std::uint16_t reply_flags(const Query& query) {
    std::uint16_t out = flag_response | (query.flags & mask_opcode);
    if ((query.flags & mask_opcode) == 0) {
        out |= query.flags & (flag_recursion_desired | flag_checking_disabled);
    }
    return out;
}

void put_record_head(std::string& out, std::uint16_t type, std::size_t size) {
    put16(out, pointer_to_question);
    put16(out, type);
    put16(out, class_internet);
    put32(out, time_to_live);
    put16(out, static_cast<std::uint16_t>(size));
}

Reading refuse(Bytes bytes, Bytes question, Code code) {
    const std::uint16_t kept = number16(bytes, 2);
    // A format error is told as an answer to an ordinary query.
    // Source: miekg/dns defaults.go, SetRcodeFormatError.
    std::uint16_t flags = flag_response | (kept & (flag_truncated | flag_recursion_desired |
                                                   flag_recursion_available | flag_authentic |
                                                   flag_checking_disabled)) |
                          static_cast<std::uint16_t>(code);
    if (code == Code::not_implemented) flags |= kept & mask_opcode;
    Reading out;
    out.verdict = Verdict::refuse;
    out.refusal = head(number16(bytes, 0), flags, !question.empty(), 0);
    put_bytes(out.refusal, question);
    return out;
}

char lower(std::uint8_t byte) {
    return static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char small = lower(static_cast<std::uint8_t>(c));
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

/// `name` without `suffix`, whatever their case; nullopt without it.
std::optional<std::string_view> without_suffix(std::string_view name, std::string_view suffix) {
    if (name.size() < suffix.size()) return std::nullopt;
    const std::string_view end = name.substr(name.size() - suffix.size());
    const bool same = std::ranges::equal(end, suffix, {}, [](char c) {
        return lower(static_cast<std::uint8_t>(c));
    });
    if (!same) return std::nullopt;
    return name.substr(0, name.size() - suffix.size());
}

}  // namespace

Reading read_query(Bytes bytes) {
    if (bytes.size() < header_size) return {};
    const std::uint16_t flags = number16(bytes, 2);
    if ((flags & flag_response) != 0) return {};
    const unsigned opcode = (flags & mask_opcode) >> opcode_shift;
    if (opcode != opcode_query && opcode != opcode_notify) {
        return refuse(bytes, {}, Code::not_implemented);
    }
    if (number16(bytes, 4) != 1 || number16(bytes, 6) > 1 || number16(bytes, 8) > 1 ||
        number16(bytes, 10) > 2) {
        return refuse(bytes, {}, Code::format_error);
    }
    if (bytes.size() == header_size) return {};
    Reading out;
    out.verdict = Verdict::answer;
    Query& query = out.query;
    query.id = number16(bytes, 0);
    query.flags = flags;
    std::size_t at = header_size;
    if (!read_name(bytes, at, query.name) || bytes.size() - at < 4) {
        return refuse(bytes, {}, Code::format_error);
    }
    query.type = number16(bytes, at);
    at += 4;
    query.question = bytes.subspan(header_size, at - header_size);
    if (!skip_records(bytes, at, query.udp_size)) {
        return refuse(bytes, query.question, Code::format_error);
    }
    query.message = bytes.first(at);
    return out;
}

std::size_t match_response(Bytes bytes, std::uint16_t id, Bytes question) {
    if (bytes.size() < header_size || number16(bytes, 0) != id ||
        (number16(bytes, 2) & flag_response) == 0) {
        return 0;
    }
    std::size_t at = header_size;
    const std::uint16_t questions = number16(bytes, 4);
    // A server that could not read the question does not repeat it.
    if (questions > 1 || (questions == 0 && code_of(bytes) == Code::no_error)) return 0;
    if (questions == 1) {
        if (bytes.size() - at < question.size()) return 0;
        // Case is the sender's choice, and some servers do not keep it.
        if (!std::ranges::equal(bytes.subspan(at, question.size()), question, {}, lower, lower)) {
            return 0;
        }
        at += question.size();
    }
    std::size_t ignored = 0;
    return skip_records(bytes, at, ignored) ? at : 0;
}

Code code_of(Bytes response) { return static_cast<Code>(response[3] & 0x0fU); }

std::uint16_t id_of(Bytes message) { return number16(message, 0); }

void set_id(std::string& message, std::uint16_t id) {
    message[0] = static_cast<char>(id >> 8U);
    message[1] = static_cast<char>(id & 0xffU);
}

std::string answer_addresses(const Query& query, const std::vector<IpAddress>& addresses,
                             std::size_t limit) {
    const std::size_t used = header_size + query.question.size();
    const std::size_t each = record_head + (query.is(Type::aaaa) ? 16 : 4);
    const std::size_t most = limit > used ? (limit - used) / each : 0;
    const std::size_t count = std::min(addresses.size(), most);
    std::uint16_t flags = reply_flags(query) | flag_recursion_available;
    if (count < addresses.size()) flags |= flag_truncated;
    std::string out = head(query.id, flags, true, static_cast<std::uint16_t>(count));
    out.reserve(used + count * each);
    put_bytes(out, query.question);
    for (std::size_t i = 0; i < count; ++i) {
        put_record_head(out, query.type, addresses[i].size());
        put_bytes(out, {addresses[i].data(), addresses[i].size()});
    }
    return out;
}

std::optional<std::string> answer_name(const Query& query, std::string_view name) {
    std::string encoded;
    for (const std::string& label : base::split(name, '.')) {
        if (label.empty() || label.size() > max_label) return std::nullopt;
        encoded += static_cast<char>(label.size());
        encoded += label;
    }
    encoded += '\0';
    if (encoded.size() > max_name) return std::nullopt;
    std::string out = head(query.id, reply_flags(query) | flag_recursion_available, true, 1);
    put_bytes(out, query.question);
    put_record_head(out, query.type, encoded.size());
    return out + encoded;
}

std::string answer_empty(const Query& query, Code code) {
    std::uint16_t flags = reply_flags(query) | static_cast<std::uint16_t>(code);
    if (code == Code::no_error) flags |= flag_recursion_available;
    std::string out = head(query.id, flags, true, 0);
    put_bytes(out, query.question);
    return out;
}

std::optional<IpAddress> reverse_address(std::string_view name) {
    if (const auto labels = without_suffix(name, ".in-addr.arpa.")) {
        std::vector<std::string> parts = base::split(*labels, '.');
        if (parts.size() != 4) return std::nullopt;
        std::ranges::reverse(parts);
        const std::string text = base::join(parts, ".");
        const auto address = IpAddress::parse(text);
        // Only the one way to write it: no leading zeros.
        return address && address->is_v4() && address->str() == text ? address : std::nullopt;
    }
    const auto labels = without_suffix(name, ".ip6.arpa.");
    constexpr std::size_t nibbles = 32;
    if (!labels || labels->size() != 2 * nibbles - 1) return std::nullopt;
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < nibbles; ++i) {
        const int digit = hex_digit((*labels)[2 * i]);
        if (digit < 0 || (i > 0 && (*labels)[2 * i - 1] != '.')) return std::nullopt;
        const std::size_t place = nibbles - 1 - i;
        bytes[place / 2] |= static_cast<std::uint8_t>(place % 2 == 0 ? digit << 4 : digit);
    }
    return IpAddress::v6(bytes);
}

}  // namespace dockerd::net::dns
