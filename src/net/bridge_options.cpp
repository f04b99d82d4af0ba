#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "networks_impl.hpp"

namespace dockerd::net {

namespace {

using base::ErrorKind;
using base::fail;

/// Source: moby bridge/bridge_linux.go, parseErr.
[[noreturn]] void bad_option(std::string_view option, std::string_view value,
                             std::string_view reason) {
    fail(ErrorKind::invalid_argument,
         fmt::format("failed to parse {} value: {} ({})", option, value, reason));
}

/// Go's strconv.ParseBool.
bool parse_bool(std::string_view option, std::string_view value) {
    for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
        if (value == yes) return true;
    }
    for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
        if (value == no) return false;
    }
    bad_option(option, value,
               fmt::format("strconv.ParseBool: parsing {}: invalid syntax", base::quote(value)));
}

IpAddress parse_address(std::string_view option, std::string_view value) {
    const auto address = IpAddress::parse(value);
    if (!address) bad_option(option, value, "nil ip");
    return *address;
}

/// Go's strconv.Atoi.
int parse_number(std::string_view option, std::string_view value) {
    const std::string_view digits =
        value.substr(value.starts_with('-') || value.starts_with('+') ? 1 : 0);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) {
        bad_option(option, value,
                   fmt::format("strconv.Atoi: parsing {}: invalid syntax", base::quote(value)));
    }
    const auto number = base::parse_int(value.starts_with('+') ? digits : value);
    if (!number) {
        bad_option(option, value,
                   fmt::format("strconv.Atoi: parsing {}: value out of range", base::quote(value)));
    }
    // No link has more; what the kernel refuses it refuses in its own words.
    return static_cast<int>(std::clamp<std::int64_t>(*number, -1, INT32_MAX));
}

constexpr std::array<std::pair<GatewayMode, std::string_view>, 5> gateway_modes{
    {{GatewayMode::standard, ""},
     {GatewayMode::nat, "nat"},
     {GatewayMode::nat_unprotected, "nat-unprotected"},
     {GatewayMode::routed, "routed"},
     {GatewayMode::isolated, "isolated"}}};

/// Source: moby bridge/bridge_linux.go, newGwMode.
GatewayMode parse_mode(std::string_view option, std::string_view value) {
    for (const auto& [mode, name] : gateway_modes) {
        if (!name.empty() && name == value) return mode;
    }
    bad_option(option, value, fmt::format("unknown gateway mode {}", value));
}

/// Several errors as Docker lists them. Source: moby internal/multierror, Join.
std::string join_errors(const std::vector<std::string>& errors) {
    if (errors.size() == 1) return errors.front();
    std::vector<std::string> lines;
    for (const std::string& error : errors) lines.push_back("* " + error);
    return base::join(lines, "\n");
}

std::string_view family_name(const IpAddress& address) { return address.is_v6() ? "IPv6" : "IPv4"; }

void check_range(std::vector<std::string>& errors, const std::string& text,
                 const IpPrefix& subnet) {
    if (text.empty()) return;
    const auto range = IpPrefix::parse(text);
    if (!range) {
        errors.push_back(fmt::format("invalid ip-range {}: invalid CIDR block notation", text));
        return;
    }
    if (range->address.family() != subnet.address.family()) {
        errors.push_back(fmt::format("invalid ip-range {}: parent subnet is an {} block", text,
                                     family_name(subnet.address)));
        return;
    }
    if (range->bits < subnet.bits) {
        errors.push_back(
            fmt::format("invalid ip-range {}: CIDR block is bigger than its parent "
                        "subnet {}",
                        text, subnet.str()));
    }
    if (*range != range->masked()) {
        errors.push_back(fmt::format("invalid ip-range {}: it should be {}", range->str(),
                                     range->masked().str()));
    }
    if (!subnet.overlaps(*range)) {
        errors.push_back(
            fmt::format("invalid ip-range {}: parent subnet {} doesn't contain "
                        "ip-range",
                        text, subnet.str()));
    }
}

void check_address(std::vector<std::string>& errors, std::string_view what, const std::string& text,
                   const IpPrefix& subnet) {
    if (text.empty()) return;
    const auto address = IpAddress::parse(text);
    if (!address) {
        errors.push_back(fmt::format("{}: invalid address", what));
    } else if (address->family() != subnet.address.family()) {
        errors.push_back(
            fmt::format("{}: parent subnet is an {} block", what, family_name(subnet.address)));
    } else if (!subnet.contains(*address)) {
        errors.push_back(
            fmt::format("{}: parent subnet {} doesn't contain this address", what, subnet.str()));
    }
}

}  // namespace

std::string own_bridge_name(const NetworkRecord& record) { return "br-" + record.id.substr(0, 12); }

std::string_view gateway_mode_name(GatewayMode mode) {
    for (const auto& [candidate, name] : gateway_modes) {
        if (candidate == mode) return name;
    }
    return {};
}

BridgeSettings parse_bridge_options(const model::StringMap& options, bool internal) {
    BridgeSettings out;
    const std::string bridge = "com.docker.network.bridge.";
    for (const auto& [option, value] : options) {
        if (option == bridge + "name") {
            out.name = value;
        } else if (option == "com.docker.network.driver.mtu") {
            out.mtu = parse_number(option, value);
        } else if (option == bridge + "enable_icc") {
            out.icc = parse_bool(option, value);
        } else if (option == bridge + "enable_ip_masquerade") {
            out.masquerade = parse_bool(option, value);
        } else if (option == bridge + "default_bridge") {
            out.default_bridge = parse_bool(option, value);
        } else if (option == bridge + "inhibit_ipv4") {
            out.inhibit_ipv4 = parse_bool(option, value);
        } else if (option == bridge + "host_binding_ipv4") {
            out.binding_ip = parse_address(option, value);
        } else if (option == "com.docker.network.host_ipv4") {
            out.snat4 = parse_address(option, value);
        } else if (option == "com.docker.network.host_ipv6") {
            out.snat6 = parse_address(option, value);
        } else if (option == "com.docker.network.container_iface_prefix") {
            if (!value.empty()) out.interface_prefix = value;
        } else if (option == bridge + "trusted_host_interfaces") {
            for (const std::string& name : base::split(value, ':')) {
                if (!name.empty()) out.trusted_interfaces.push_back(name);
            }
        } else if (option == bridge + "gateway_mode_ipv4") {
            out.mode4 = parse_mode(option, value);
        } else if (option == bridge + "gateway_mode_ipv6") {
            out.mode6 = parse_mode(option, value);
        }
    }
    const bool isolated =
        out.mode4 == GatewayMode::isolated || out.mode6 == GatewayMode::isolated;
    if (isolated && !internal) {
        fail(ErrorKind::internal,
             "gateway mode 'isolated' can only be used for an internal network");
    }
    return out;
}

bool Network::is_without_gateway(bool ipv6) const {
    if (sublink) return sublink->internal;
    return (ipv6 ? bridge.mode6 : bridge.mode4) == GatewayMode::isolated ||
           (!ipv6 && bridge.inhibit_ipv4 && record.internal);
}

namespace {

void check_v6_subnet(const NetworkSubnet& subnet) {
    const IpAddress& address = subnet.gateway ? subnet.gateway : subnet.subnet.address;
    const std::string fault = ipv6_subnet_fault({address, subnet.subnet.bits});
    if (!fault.empty()) fail(ErrorKind::invalid_argument, fault);
}

}  // namespace

/// Source: moby bridge/bridge_linux.go, processIPAM, networkConfiguration.Validate.
void validate_bridge(const Network& network) {
    if (network.v4.size() > 1 || network.v6.size() > 1) {
        fail(ErrorKind::permission_denied, "bridge driver doesn't support multiple subnets");
    }
    if (network.bridge.mtu < 0) {
        fail(ErrorKind::invalid_argument,
             fmt::format("invalid MTU number: {}",
                         network.record.options.at("com.docker.network.driver.mtu")));
    }
    for (const NetworkSubnet& subnet : network.v6) check_v6_subnet(subnet);
    const bool other_gateway =
        !network.v4.empty() && network.v4.front().aux.contains("DefaultGatewayIPv4");
    if (other_gateway && network.record.internal) {
        fail(ErrorKind::invalid_argument, "no gateway can be set on an internal bridge network");
    }
}

void validate_ipam(const model::Ipam& ipam, bool enable_ipv6) {
    std::vector<std::string> errors;
    for (const model::IpamConfig& config : ipam.config) {
        const auto subnet = IpPrefix::parse(config.subnet);
        if (!subnet) {
            errors.push_back(
                fmt::format("invalid subnet {}: invalid CIDR block notation", config.subnet));
            continue;
        }
        if (subnet->address.is_v6() && !enable_ipv6) continue;
        if (*subnet != subnet->masked()) {
            errors.push_back(fmt::format("invalid subnet {}: it should be {}", subnet->str(),
                                         subnet->masked().str()));
        }
        check_range(errors, config.ip_range, *subnet);
        check_address(errors, "invalid gateway " + config.gateway, config.gateway, *subnet);
        for (const auto& [name, address] : config.aux_address) {
            check_address(errors, "invalid auxiliary address " + name, address, *subnet);
        }
    }
    if (errors.empty()) return;
    fail(ErrorKind::invalid_argument, "invalid network config:\n" + join_errors(errors));
}

}  // namespace dockerd::net
