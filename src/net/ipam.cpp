#include "ipam.hpp"

#include <algorithm>
#include <utility>

#include <dockerd/base/error.hpp>

namespace dockerd::net {

namespace {

/// Offsets are kept in 64 bits; of larger IPv6 subnets the first 2^62 addresses are used.
constexpr unsigned max_offset_bits = 62;

/// How many addresses `prefix` has, at most 2^62.
std::uint64_t address_count(const IpPrefix& prefix) {
    return std::uint64_t{1} << std::min(prefix.address.bits() - prefix.bits, max_offset_bits);
}

/// `address` - `base`, both of one family, `base` the lower; only the low 64 bits count.
std::uint64_t distance(const IpAddress& base, const IpAddress& address) {
    const auto low = [](const IpAddress& value) {
        std::uint64_t out = 0;
        for (std::size_t i = value.size() > 8 ? value.size() - 8 : 0; i < value.size(); ++i) {
            out = out << 8 | value.data()[i];
        }
        return out;
    };
    return low(address) - low(base);
}

}  // namespace

std::vector<AddressPool> default_address_pools() {
    const auto pool = [](const char* base, unsigned size) {
        return AddressPool{*IpPrefix::parse(base), size};
    };
    return {pool("172.17.0.0/16", 16), pool("172.18.0.0/16", 16), pool("172.19.0.0/16", 16),
            pool("172.20.0.0/14", 16), pool("172.24.0.0/14", 16), pool("172.28.0.0/14", 16),
            pool("192.168.0.0/16", 20)};
}

Ipam::Ipam(std::vector<AddressPool> predefined)
    : predefined_(predefined.empty() ? default_address_pools() : std::move(predefined)) {}

IpPrefix Ipam::take_any_subnet(const std::vector<IpPrefix>& reserved, bool v6) {
    const auto blocker = [&](const IpPrefix& candidate) -> std::optional<IpPrefix> {
        for (const auto& [subnet, pool] : pools_) {
            if (subnet.overlaps(candidate)) return subnet;
        }
        const auto found = std::ranges::find_if(
            reserved, [&](const IpPrefix& other) { return other.overlaps(candidate); });
        if (found != reserved.end()) return *found;
        return std::nullopt;
    };
    for (const AddressPool& pool : predefined_) {
        if (pool.base.address.is_v6() != v6) continue;
        IpPrefix candidate{pool.base.masked().address, pool.size};
        while (pool.base.contains(candidate.address)) {
            const auto obstacle = blocker(candidate);
            if (!obstacle) return take_subnet(candidate);
            // On to the first subnet behind the obstacle, or behind the candidate.
            const IpAddress end = std::max(obstacle->last(), candidate.last());
            const IpAddress next = IpPrefix{end, pool.size}.masked().last().plus(1);
            if (next <= candidate.address) break;  // wrapped around
            candidate.address = next;
        }
    }
    base::fail(base::ErrorKind::invalid_argument,
               "all predefined address pools have been fully subnetted");
}

IpPrefix Ipam::take_subnet(const IpPrefix& requested) {
    const IpPrefix subnet = requested.masked();
    for (const auto& [other, pool] : pools_) {
        if (other.overlaps(subnet)) {
            base::fail(base::ErrorKind::permission_denied,
                       "invalid pool request: Pool overlaps with other one on this address space");
        }
    }
    Pool pool;
    const unsigned host_bits = subnet.address.bits() - subnet.bits;
    // A /31 is a point-to-point link whose two addresses are both usable (RFC 3021).
    if (subnet.address.is_v6() || host_bits > 1) pool.taken.insert(0);
    if (subnet.address.is_v4() && host_bits > 1) pool.taken.insert(address_count(subnet) - 1);
    pools_.emplace(subnet, std::move(pool));
    return subnet;
}

void Ipam::release_subnet(const IpPrefix& subnet) { pools_.erase(subnet.masked()); }

std::optional<IpAddress> Ipam::take_any(const IpPrefix& subnet, const IpPrefix& range) {
    const auto found = pools_.find(subnet.masked());
    if (found == pools_.end()) return std::nullopt;
    Pool& pool = found->second;
    const IpAddress base = found->first.address;
    const IpPrefix within = range && range.bits > subnet.bits ? range.masked() : found->first;
    const bool whole = within == found->first;
    const std::uint64_t first = distance(base, within.address);
    const std::uint64_t end = first + address_count(within);
    std::uint64_t offset = whole ? pool.first_maybe_free : first;
    for (auto taken = pool.taken.lower_bound(offset); taken != pool.taken.end() && *taken == offset;
         ++taken) {
        ++offset;
    }
    if (offset >= end) return std::nullopt;
    pool.taken.insert(offset);
    if (whole) pool.first_maybe_free = offset + 1;
    return base.plus(offset);
}

void Ipam::take(const IpPrefix& subnet, const IpAddress& address) {
    const auto found = pools_.find(subnet.masked());
    if (found == pools_.end() || !found->first.contains(address)) {
        base::fail(base::ErrorKind::invalid_argument, "requested address is out of range");
    }
    if (!found->second.taken.insert(distance(found->first.address, address)).second) {
        base::fail(base::ErrorKind::permission_denied, "Address already in use");
    }
}

void Ipam::release(const IpPrefix& subnet, const IpAddress& address) {
    const auto found = pools_.find(subnet.masked());
    if (found == pools_.end() || !found->first.contains(address)) return;
    Pool& pool = found->second;
    const std::uint64_t offset = distance(found->first.address, address);
    if (pool.taken.erase(offset) != 0) {
        pool.first_maybe_free = std::min(pool.first_maybe_free, offset);
    }
}

}  // namespace dockerd::net
