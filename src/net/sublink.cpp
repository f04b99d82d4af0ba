#include "sublink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::net {

namespace {

using base::ErrorKind;
using base::fail;

template <std::size_t Count>
bool is_one_of(const std::string& value, const std::array<const char*, Count>& values) {
    return std::ranges::find(values, value) != values.end();
}

constexpr std::array macvlan_modes{"bridge", "private", "vepa", "passthru"};
constexpr std::array ipvlan_modes{"l2", "l3", "l3s"};
constexpr std::array ipvlan_flags{"bridge", "private", "vepa"};

}  // namespace

bool is_sublink(std::string_view driver) { return driver == "macvlan" || driver == "ipvlan"; }

std::optional<SublinkSettings> parse_sublink(std::string_view driver,
                                             const model::StringMap& options, bool internal) {
    SublinkSettings out;
    if (!is_sublink(driver)) return std::nullopt;
    const bool macvlan = driver == "macvlan";
    out.kind = macvlan ? SublinkSettings::Kind::macvlan : SublinkSettings::Kind::ipvlan;
    const auto option = [&](const char* name, const char* otherwise) {
        const auto found = options.find(name);
        return found == options.end() || found->second.empty() ? otherwise : found->second;
    };
    out.parent = option("parent", "");
    out.mode = macvlan ? option("macvlan_mode", "bridge") : option("ipvlan_mode", "l2");
    if (!macvlan) out.flag = option("ipvlan_flag", "bridge");
    if (macvlan && !is_one_of(out.mode, macvlan_modes)) {
        fail(ErrorKind::internal, fmt::format("requested macvlan mode '{}' is not valid, 'bridge' "
                                              "mode is the macvlan driver default",
                                              out.mode));
    }
    if (!macvlan && !is_one_of(out.mode, ipvlan_modes)) {
        fail(ErrorKind::internal, fmt::format("requested ipvlan mode '{}' is not valid, 'l2' mode "
                                              "is the ipvlan driver default",
                                              out.mode));
    }
    if (!macvlan && !is_one_of(out.flag, ipvlan_flags)) {
        fail(ErrorKind::internal, fmt::format("requested ipvlan flag '{}' is not valid, 'bridge' "
                                              "is the ipvlan driver default",
                                              out.flag));
    }
    if (out.parent == "lo") {
        fail(ErrorKind::internal,
             fmt::format("loopback interface is not a valid {} parent link", driver));
    }
    out.internal = internal || out.parent.empty();
    return out;
}

std::string dummy_parent(SublinkSettings::Kind kind, std::string_view network_id) {
    return fmt::format("{}-{}", kind == SublinkSettings::Kind::macvlan ? "dm" : "di",
                       network_id.substr(0, 12));
}

std::pair<std::string, unsigned> parse_vlan(const std::string& name) {
    if (name.find('.') == std::string::npos) {
        fail(ErrorKind::internal, fmt::format("invalid subinterface vlan name {}, example "
                                              "formatting is eth0.10",
                                              name));
    }
    const auto parts = base::split(name, '.');
    if (parts.size() != 2) {
        fail(ErrorKind::internal, fmt::format("required interface name format is: name.vlan_id, "
                                              "ex. eth0.10 for vlan 10, instead received {}",
                                              name));
    }
    const auto number = base::parse_int(parts[1]);
    if (!number) {
        fail(ErrorKind::internal, fmt::format("unable to parse a valid vlan id from: {} (ex. "
                                              "eth0.10 for vlan 10)",
                                              parts[1]));
    }
    if (*number < 1 || *number > 4094) {
        fail(ErrorKind::internal,
             fmt::format("vlan id must be between 1-4094, received: {}", *number));
    }
    return {parts[0], static_cast<unsigned>(*number)};
}

}  // namespace dockerd::net
