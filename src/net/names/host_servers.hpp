#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// The nameservers of the host's resolv.conf, as it is now.
///
/// Thread: one at a time.
class HostServers {
public:
    HostServers();
    /// Looks whether the file has changed, and reads it again then.
    const std::vector<IpAddress>& get();

private:
    void read();

    std::string path_;
    struct stat seen_ {};
    bool settled_ = false;  ///< `seen_` would tell of any change
    std::vector<IpAddress> servers_;
};

}  // namespace dockerd::net
