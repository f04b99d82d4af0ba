#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <dockerd/base/time.hpp>
#include <dockerd/runtime/stats.hpp>

namespace dockerd::engine {

/// Counters of one interface, as the container sees it. Units: bytes and packets.
struct InterfaceStats {
    std::uint64_t rx_bytes = 0;
    std::uint64_t rx_packets = 0;
    std::uint64_t rx_errors = 0;
    std::uint64_t rx_dropped = 0;
    std::uint64_t tx_bytes = 0;
    std::uint64_t tx_packets = 0;
    std::uint64_t tx_errors = 0;
    std::uint64_t tx_dropped = 0;
};

/// What a container has used at one moment. Source: API document, ContainerStats.
struct StatsSample {
    std::string id;
    std::string name;      ///< with the leading slash
    bool running = false;  ///< false: everything else is zero
    base::WallTime read;
    runtime::CgroupStats cgroup;
    runtime::SystemCpu system;
    std::map<std::string, InterfaceStats> networks;  ///< by interface name, without lo
};

}  // namespace dockerd::engine
