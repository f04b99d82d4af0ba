#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "systemd/properties.hpp"

namespace dockerd::runtime::systemd {

/// Where the manager of units is asked, by D-Bus.
struct BusAddress {
    std::string address;  ///< "unix:path=/run/systemd/private"
    bool is_bus = false;  ///< a bus with many on it, not systemd itself
};

/// systemd's own socket, then the system's bus ($DBUS_SYSTEM_BUS_ADDRESS, else its usual place).
/// Source: go-systemd dbus/dbus.go, NewSystemdConnectionContext; sd_bus_open_system(3).
std::vector<BusAddress> system_addresses();

/// Units of the machine's systemd. Each call has a connection of its own, for its time alone:
/// nothing is kept that a restart of systemd could break, or that its signals could fill.
///
/// libsystemd is loaded with the first call; a machine without systemd does not need it.
/// Thread: any. All throw: internal, with what the library or systemd says.
class Units {
public:
    explicit Units(std::vector<BusAddress> addresses) : addresses_(std::move(addresses)) {}

    /// Makes a transient unit and waits until it is there. What is left of one of that name, of a
    /// container that ended with its daemon, is stopped before.
    /// Throws also: "error creating systemd unit `<name>`: got `<result>`", "Timeout waiting for
    /// systemd to create <name>". Source: runc libcontainer/cgroups/systemd/common.go, startUnit.
    void start(const std::string& name, const std::vector<UnitProperty>& properties) const;

    /// Ends a unit and waits until systemd has forgotten it; none of that name is as good.
    /// False when that takes longer than `patience`.
    bool stop(const std::string& name, std::chrono::milliseconds patience) const;

    /// Changes properties of a unit for as long as it is there.
    void set(const std::string& name, const std::vector<UnitProperty>& properties) const;

    /// systemd's version; -1 if it is not known.
    [[nodiscard]] int version() const;

private:
    std::vector<BusAddress> addresses_;
};

}  // namespace dockerd::runtime::systemd
