#include "default_bridge.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::net {

namespace log = base::log;

namespace {

std::optional<IpPrefix> parse_flag(std::string_view flag, const std::string& text) {
    if (text.empty()) return std::nullopt;
    const auto prefix = IpPrefix::parse(text);
    if (!prefix) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("parse {} failed: invalid CIDR address: {}", flag, text));
    }
    return prefix;
}

/// The address of the bridge that goes with --fixed-cidr, or else the first.
std::optional<IpPrefix> select_address(const DefaultBridgeFlags& flags,
                                       const std::optional<IpPrefix>& fixed,
                                       std::vector<IpPrefix> present) {
    const IpPrefix link_local{*IpAddress::parse("fe80::"), 64};
    // The kernel's own address is nobody's choice.
    if (!fixed || !link_local.contains(fixed->address)) {
        std::erase_if(present,
                      [&](const IpPrefix& entry) { return link_local.contains(entry.address); });
    }
    if (present.empty()) return std::nullopt;
    IpPrefix chosen = present.front();
    for (const IpPrefix& entry : present) {
        if (!fixed) break;
        if (entry.contains(fixed->address)) {
            chosen = entry;
            break;
        }
        if (fixed->contains(entry.address) && !fixed->contains(chosen.address)) chosen = entry;
    }
    if (!flags.managed || !fixed) return chosen;
    // Of our own bridge what does not fit is from an earlier configuration.
    if (!chosen.contains(fixed->address)) return std::nullopt;
    chosen.bits = std::min(chosen.bits, fixed->bits);
    return chosen;
}

}  // namespace

model::IpamConfig plan_default_bridge(const DefaultBridgeFlags& flags,
                                      std::vector<IpPrefix> present) {
    const char* const fixed_name = flags.v6 ? "fixed-cidr-v6" : "fixed-cidr";
    const auto fixed = parse_flag(fixed_name, flags.fixed_cidr);
    auto address = parse_flag(flags.v6 ? "bip6" : "bip", flags.bip);
    if (!address) address = select_address(flags, fixed, std::move(present));
    model::IpamConfig out;
    if (address && address->address.is_v6() != flags.v6) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("error creating default \"bridge\" network: failed to allocate "
                               "gateway ({}): cannot find address pool for poolID:{}/invalid "
                               "Prefix",
                               address->address.str(), address->masked().str()));
    }
    if (address) {
        out.subnet = address->masked().str();
        out.gateway = address->address.str();
    }
    if (fixed) {
        out.ip_range = fixed->masked().str();
        if (!address) out.subnet = out.ip_range;
        const bool outside = address && !flags.managed &&
                             (!address->contains(fixed->address) || fixed->bits < address->bits);
        if (outside && flags.v6) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("{}={} is outside any subnet implied by addresses on the "
                                   "user-managed default bridge",
                                   fixed_name, flags.fixed_cidr));
        }
        if (outside) {
            log::warn("{}={} is outside any subnet implied by addresses on the user-managed "
                      "default bridge, this may be treated as an error in a future release",
                      fixed_name, flags.fixed_cidr);
            out.ip_range.clear();
        }
    }
    if (flags.gateway) {
        out.aux_address[flags.v6 ? "DefaultGatewayIPv6" : "DefaultGatewayIPv4"] =
            flags.gateway.str();
    }
    return out;
}

}  // namespace dockerd::net
