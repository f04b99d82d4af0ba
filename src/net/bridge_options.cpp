#include <algorithm>

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

int parse_number(std::string_view option, std::string_view value) {
    const auto number = base::parse_int(value);
    if (!number || *number < 0 || *number > 65535) {
        bad_option(option, value,
                   fmt::format("strconv.Atoi: parsing {}: invalid syntax", base::quote(value)));
    }
    return static_cast<int>(*number);
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

BridgeSettings parse_bridge_options(const model::StringMap& options) {
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
        } else if (option == bridge + "gateway_mode_ipv4" ||
                   option == bridge + "gateway_mode_ipv6") {
            if (value == "nat" || value.empty()) continue;
            // Differs from Docker: the other gateway modes are refused.
            bad_option(option, value, "unsupported gateway mode " + value);
        }
    }
    return out;
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
