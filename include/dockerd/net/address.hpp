#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dockerd::net {

/// An IPv4 or IPv6 address in network byte order. The default value is "no address".
class IpAddress {
public:
    enum class Family : std::uint8_t { none, v4, v6 };

    IpAddress() = default;
    /// From numbers, the first byte of the address first.
    static IpAddress v4(std::uint32_t host_order);
    static IpAddress v6(const std::array<std::uint8_t, 16>& bytes);
    /// Parses text without prefix length or zone; nullopt when it is something else.
    /// An IPv4-mapped IPv6 address is IPv4.
    static std::optional<IpAddress> parse(std::string_view text);

    [[nodiscard]] Family family() const { return family_; }
    [[nodiscard]] bool is_v4() const { return family_ == Family::v4; }
    [[nodiscard]] bool is_v6() const { return family_ == Family::v6; }
    explicit operator bool() const { return family_ != Family::none; }
    /// 4 or 16 bytes, network byte order.
    [[nodiscard]] const std::uint8_t* data() const { return bytes_.data(); }
    [[nodiscard]] std::size_t size() const { return is_v4() ? 4 : is_v6() ? 16 : 0; }
    [[nodiscard]] unsigned bits() const { return static_cast<unsigned>(size() * 8); }
    [[nodiscard]] std::uint32_t to_v4() const;
    [[nodiscard]] bool is_unspecified() const;
    [[nodiscard]] bool is_loopback() const;
    /// Canonical text; "" for no address.
    [[nodiscard]] std::string str() const;
    /// The address `offset` further on, wrapping within the family.
    [[nodiscard]] IpAddress plus(std::uint64_t offset) const;

    friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

private:
    Family family_ = Family::none;
    std::array<std::uint8_t, 16> bytes_{};
};

/// An address with a prefix length: a subnet, or a host's address within one.
struct IpPrefix {
    IpAddress address;
    unsigned bits = 0;

    /// Parses "172.17.0.0/16"; host bits are kept. nullopt when it is something else.
    static std::optional<IpPrefix> parse(std::string_view text);
    explicit operator bool() const { return static_cast<bool>(address); }
    /// With the host bits cleared.
    [[nodiscard]] IpPrefix masked() const;
    [[nodiscard]] bool contains(const IpAddress& other) const;
    [[nodiscard]] bool overlaps(const IpPrefix& other) const;
    /// The highest address of the subnet.
    [[nodiscard]] IpAddress last() const;
    [[nodiscard]] std::string str() const;

    friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

/// Why no bridge can have this IPv6 subnet, in Docker's words; "" when one can.
/// Source: moby bridge/bridge_linux.go, validateIPv6Subnet.
std::string ipv6_subnet_fault(const IpPrefix& subnet);

/// An Ethernet address.
struct MacAddress {
    std::array<std::uint8_t, 6> bytes{};

    /// A random, unicast, locally administered one.
    /// Source: moby libnetwork/netutils, GenerateRandomMAC.
    static MacAddress random();
    /// Parses "02:42:ac:11:00:02"; nullopt when it is something else.
    static std::optional<MacAddress> parse(std::string_view text);
    [[nodiscard]] std::string str() const;
    /// All zeros: an endpoint without an address of its own.
    [[nodiscard]] bool is_none() const { return bytes == decltype(bytes){}; }

    friend bool operator==(const MacAddress&, const MacAddress&) = default;
};

}  // namespace dockerd::net
