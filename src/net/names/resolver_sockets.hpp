#pragma once

#include <cstdint>

#include <dockerd/base/fd.hpp>

namespace dockerd::net {

/// The ports on 127.0.0.11 behind which a container's resolver listens; 0 is none.
struct ResolverPorts {
    std::uint16_t udp = 0;
    std::uint16_t tcp = 0;
};

struct ResolverSockets {
    base::Fd udp;
    base::Fd tcp;
    ResolverPorts ports;
};

/// Opens a resolver's sockets in the thread's network namespace, which is the container's, and
/// leads queries for 127.0.0.11:53 there. Port 53 itself stays free for the container's programs,
/// as with Docker, and the rules are Docker's as iptables lists them: some programs (kind) change
/// them.
///
/// `earlier` are the ports that the namespace's rules already lead to: as long as these are free
/// the rules are left as they are.
/// Throws: internal, "open resolver: <errno text>", "nf_tables: <errno text>".
/// Source: moby libnetwork/resolver_unix.go, setupIptablesNAT.
ResolverSockets open_resolver_sockets(const ResolverPorts& earlier);

}  // namespace dockerd::net
