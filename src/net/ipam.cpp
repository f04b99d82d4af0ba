#include "ipam.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::net {

std::vector<AddressPool> default_address_pools() {
    const auto pool = [](const char* base, unsigned size) {
        return AddressPool{*IpPrefix::parse(base), static_cast<int>(size)};
    };
    return {pool("172.17.0.0/16", 16), pool("172.18.0.0/16", 16), pool("172.19.0.0/16", 16),
            pool("172.20.0.0/14", 16), pool("172.24.0.0/14", 16), pool("172.28.0.0/14", 16),
            pool("192.168.0.0/16", 20)};
}

namespace {

/// The pools in order, without those that lie in another.
/// Source: moby libnetwork/ipams/defaultipam, splitByIPFamily and newAddrSpace.
std::vector<AddressPool> checked_pools(std::vector<AddressPool> pools) {
    for (std::size_t i = 0; i < pools.size(); ++i) {
        const AddressPool& pool = pools[i];
        const auto bad = [&](const std::string& why) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("could not construct local address space: network at index {} "
                                   "(&{{{} {}}}) {}",
                                   i, pool.base ? pool.base.str() : "invalid Prefix", pool.size,
                                   why));
        };
        if (!pool.base || pool.size == 0) bad("is not in canonical form");
        if (static_cast<int>(pool.base.bits) > pool.size) {
            bad(fmt::format("has a smaller prefix (/{}) than the target size of that pool (/{})",
                            pool.base.bits, pool.size));
        }
    }
    for (AddressPool& pool : pools) pool.base = pool.base.masked();
    std::ranges::stable_sort(pools, {}, &AddressPool::base);
    std::vector<AddressPool> out;
    for (AddressPool& pool : pools) {
        if (out.empty() || !out.back().base.overlaps(pool.base)) out.push_back(pool);
    }
    return out;
}

}  // namespace

Ipam::Ipam(std::vector<AddressPool> predefined)
    : predefined_(
          checked_pools(predefined.empty() ? default_address_pools() : std::move(predefined))) {}

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
        const auto size = static_cast<unsigned>(pool.size);
        if (size > pool.base.address.bits()) {
            // What Docker says in the end of a subnet longer than an address.
            base::fail(base::ErrorKind::internal,
                       "failed to allocate gateway (): invalid pool id: LocalDefault/invalid "
                       "Prefix");
        }
        IpPrefix candidate{pool.base.address, size};
        while (pool.base.contains(candidate.address)) {
            const auto obstacle = blocker(candidate);
            if (!obstacle) return take_subnet(candidate);
            // On to the first subnet behind the obstacle, or behind the candidate.
            const IpAddress end = std::max(obstacle->last(), candidate.last());
            const IpAddress next = IpPrefix{end, size}.masked().last().plus(1);
            if (next <= candidate.address) break;  // wrapped around
            candidate.address = next;
        }
    }
    base::fail(base::ErrorKind::invalid_argument,
               "all predefined address pools have been fully subnetted");
}

IpPrefix Ipam::take_subnet(const IpPrefix& requested, const IpPrefix& requested_range) {
    const IpPrefix subnet = requested.masked();
    // A range that is wider than its subnet, from before such were refused, is the subnet.
    const IpPrefix range = requested_range.bits < subnet.bits && requested_range
                               ? subnet
                               : requested_range.masked();
    const bool overlaps =
        range ? pools_.contains(subnet) && pools_.at(subnet).ranges.contains(range)
              : std::ranges::any_of(
                    pools_, [&](const auto& entry) { return entry.first.overlaps(subnet); });
    if (overlaps) {
        base::fail(base::ErrorKind::permission_denied,
                   "invalid pool request: Pool overlaps with other one on this address space");
    }
    const auto [found, fresh] = pools_.try_emplace(subnet);
    Pool& pool = found->second;
    if (range) {
        pool.ranges.insert(range);
    } else {
        pool.whole = true;
    }
    if (!fresh) return subnet;
    pool.first_maybe_free = subnet.address;
    const unsigned host_bits = subnet.address.bits() - subnet.bits;
    // A /31 is a point-to-point link whose two addresses are both usable (RFC 3021).
    if (subnet.address.is_v6() || host_bits > 1) pool.taken.insert(subnet.address);
    if (subnet.address.is_v4() && host_bits > 1) pool.taken.insert(subnet.last());
    return subnet;
}

void Ipam::release_subnet(const IpPrefix& requested, const IpPrefix& requested_range) {
    const IpPrefix subnet = requested.masked();
    const auto found = pools_.find(subnet);
    if (found == pools_.end()) return;
    Pool& pool = found->second;
    if (!requested_range) {
        pool.whole = false;
    } else {
        pool.ranges.erase(requested_range.bits < subnet.bits ? subnet : requested_range.masked());
    }
    if (!pool.whole && pool.ranges.empty()) pools_.erase(found);
}

std::optional<IpAddress> Ipam::take_any(const IpPrefix& subnet, const IpPrefix& range) {
    const auto found = pools_.find(subnet.masked());
    if (found == pools_.end()) return std::nullopt;
    Pool& pool = found->second;
    if (range && !subnet.overlaps(range)) {
        // Of a bridge's flags; elsewhere it is refused before.
        // Source: moby libnetwork/internal/addrset, AddAnyInRange.
        base::fail(base::ErrorKind::internal,
                   fmt::format("add-any, range '{}' is not in subnet '{}'", range.masked().str(),
                               subnet.masked().str()));
    }
    const IpPrefix within = range && range.bits > subnet.bits ? range.masked() : found->first;
    const bool whole = within == found->first;
    IpAddress address = whole ? pool.first_maybe_free : within.address;
    for (auto taken = pool.taken.lower_bound(address);
         taken != pool.taken.end() && *taken == address; ++taken) {
        address = address.plus(1);
    }
    if (!within.contains(address)) return std::nullopt;
    pool.taken.insert(address);
    if (whole) pool.first_maybe_free = address.plus(1);
    return address;
}

void Ipam::take(const IpPrefix& subnet, const IpAddress& address) {
    const auto found = pools_.find(subnet.masked());
    if (found == pools_.end() || !found->first.contains(address)) {
        base::fail(base::ErrorKind::invalid_argument, "requested address is out of range");
    }
    if (!found->second.taken.insert(address).second) {
        base::fail(base::ErrorKind::permission_denied, "Address already in use");
    }
}

void Ipam::release(const IpPrefix& subnet, const IpAddress& address) {
    const auto found = pools_.find(subnet.masked());
    if (found == pools_.end()) return;
    Pool& pool = found->second;
    if (pool.taken.erase(address) != 0) {
        pool.first_maybe_free = std::min(pool.first_maybe_free, address);
    }
}

}  // namespace dockerd::net
