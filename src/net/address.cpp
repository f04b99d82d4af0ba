#include <dockerd/net/address.hpp>

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::net {

IpAddress IpAddress::v4(std::uint32_t host_order) {
    IpAddress out;
    out.family_ = Family::v4;
    for (unsigned i = 0; i < 4; ++i) {
        out.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    }
    return out;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) {
    IpAddress out;
    out.family_ = Family::v6;
    out.bytes_ = bytes;
    return out;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (text.size() >= INET6_ADDRSTRLEN || text.empty()) return std::nullopt;
    const std::string z(text);
    in_addr four{};
    if (::inet_pton(AF_INET, z.c_str(), &four) == 1) return v4(ntohl(four.s_addr));
    in6_addr six{};
    if (::inet_pton(AF_INET6, z.c_str(), &six) != 1) return std::nullopt;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
        std::uint32_t raw = 0;
        std::memcpy(&raw, &six.s6_addr[12], 4);
        return v4(ntohl(raw));
    }
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), six.s6_addr, 16);
    return v6(bytes);
}

std::uint32_t IpAddress::to_v4() const {
    return std::uint32_t{bytes_[0]} << 24 | std::uint32_t{bytes_[1]} << 16 |
           std::uint32_t{bytes_[2]} << 8 | std::uint32_t{bytes_[3]};
}

bool IpAddress::is_unspecified() const {
    return family_ != Family::none &&
           std::ranges::all_of(bytes_, [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_loopback() const {
    if (is_v4()) return bytes_[0] == 127;
    if (!is_v6()) return false;
    return bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1,
                                          [](std::uint8_t byte) { return byte == 0; });
}

std::string IpAddress::str() const {
    if (family_ == Family::none) return {};
    char text[INET6_ADDRSTRLEN];
    ::inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
    return text;
}

IpAddress IpAddress::plus(std::uint64_t offset) const {
    IpAddress out = *this;
    for (std::size_t i = size(); i-- > 0 && offset != 0;) {
        offset += out.bytes_[i];
        out.bytes_[i] = static_cast<std::uint8_t>(offset);
        offset >>= 8;
    }
    return out;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = IpAddress::parse(text.substr(0, slash));
    const std::string_view length = text.substr(slash + 1);
    if (!address || length.empty() || length.size() > 3 ||
        !std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; })) {
        return std::nullopt;
    }
    const auto bits = base::parse_int(length);
    if (!bits || *bits < 0 || *bits > address->bits()) return std::nullopt;
    return IpPrefix{*address, static_cast<unsigned>(*bits)};
}

namespace {

/// `address` with the bits after the first `bits` cleared or set.
IpAddress with_host_bits(const IpAddress& address, unsigned bits, bool set) {
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), address.data(), address.size());
    for (std::size_t i = 0; i < address.size(); ++i) {
        const unsigned start = static_cast<unsigned>(i * 8);
        const unsigned kept = bits <= start ? 0 : std::min(8U, bits - start);
        const auto mask = static_cast<std::uint8_t>(0xff00U >> kept);
        bytes[i] = static_cast<std::uint8_t>(set ? bytes[i] | ~mask : bytes[i] & mask);
    }
    if (address.is_v6()) return IpAddress::v6(bytes);
    return IpAddress::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                         std::uint32_t{bytes[2]} << 8 | bytes[3]);
}

}  // namespace

IpPrefix IpPrefix::masked() const {
    if (!address) return {};
    return {with_host_bits(address, bits, false), bits};
}

IpAddress IpPrefix::last() const {
    if (!address) return {};
    return with_host_bits(address, bits, true);
}

bool IpPrefix::contains(const IpAddress& other) const {
    return address && other.family() == address.family() &&
           IpPrefix{other, bits}.masked().address == masked().address;
}

bool IpPrefix::overlaps(const IpPrefix& other) const {
    if (!address || address.family() != other.address.family()) return false;
    return bits <= other.bits ? contains(other.address) : other.contains(address);
}

std::string IpPrefix::str() const {
    return address ? fmt::format("{}/{}", address.str(), bits) : std::string();
}

std::string ipv6_subnet_fault(const IpPrefix& subnet) {
    if (!subnet.address.is_v6()) {
        return fmt::format("'{}' is not a valid IPv6 subnet", subnet.str());
    }
    const IpPrefix link_local{*IpAddress::parse("fe80::"), 64};
    if (*subnet.address.data() == 0xff) {
        return fmt::format("multicast subnet '{}' is not allowed", subnet.str());
    }
    if (subnet.masked() != link_local && link_local.overlaps(subnet)) {
        return fmt::format("'{}' clashes with the Link-Local prefix 'fe80::/64'", subnet.str());
    }
    return {};
}

MacAddress MacAddress::random() {
    MacAddress out;
    if (::getrandom(out.bytes.data(), out.bytes.size(), 0) !=
        static_cast<ssize_t>(out.bytes.size())) {
        base::throw_errno(errno, "getrandom");
    }
    out.bytes[0] = static_cast<std::uint8_t>((out.bytes[0] & 0xfeU) | 0x02U);
    return out;
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
    const auto digit = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    if (text.size() != 17) return std::nullopt;
    MacAddress out;
    for (std::size_t i = 0; i < 6; ++i) {
        const int high = digit(text[i * 3]);
        const int low = digit(text[i * 3 + 1]);
        const char separator = i < 5 ? text[i * 3 + 2] : ':';
        if (high < 0 || low < 0 || (separator != ':' && separator != '-')) return std::nullopt;
        out.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return out;
}

std::string MacAddress::str() const {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                       bytes[3], bytes[4], bytes[5]);
}

}  // namespace dockerd::net
