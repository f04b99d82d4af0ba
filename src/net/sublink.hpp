#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <dockerd/model/network.hpp>

namespace dockerd::net {

/// What the macvlan and ipvlan drivers make of a network's options: containers get links of their
/// own on a link of the host, their parent. No bridge, no rules, no published ports.
/// Source: moby libnetwork/drivers/macvlan and ipvlan.
struct SublinkSettings {
    enum class Kind { macvlan, ipvlan };

    Kind kind = Kind::macvlan;
    std::string parent;  ///< "" until the network's own dummy link is named
    std::string mode;    ///< bridge, private, vepa, passthru; l2, l3, l3s
    std::string flag;    ///< of ipvlan: bridge, private, vepa
    bool internal = false;        ///< no parent was named, or the network is internal
    bool created_parent = false;  ///< the parent is a dummy or VLAN link that a network made

    [[nodiscard]] const char* name() const { return kind == Kind::macvlan ? "macvlan" : "ipvlan"; }
    /// Routes instead of switching: no gateway, everything leaves by the link itself.
    [[nodiscard]] bool routes() const { return kind == Kind::ipvlan && mode != "l2"; }
};

/// Whether the driver is macvlan or ipvlan.
bool is_sublink(std::string_view driver);

/// nullopt for other drivers. Throws: internal, with Docker's texts.
std::optional<SublinkSettings> parse_sublink(std::string_view driver,
                                             const model::StringMap& options, bool internal);

/// The dummy link of a network that names no parent: "dm-" (of ipvlan "di-") and the first twelve
/// digits of the network's id.
std::string dummy_parent(SublinkSettings::Kind kind, std::string_view network_id);

/// "eth0.10" as its parent and VLAN id. Throws: internal, with Docker's texts.
std::pair<std::string, unsigned> parse_vlan(const std::string& name);

}  // namespace dockerd::net
