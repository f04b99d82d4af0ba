#pragma once

#include <optional>
#include <string>
#include <vector>

#include <dockerd/http/client.hpp>

namespace dockerd::registry {

/// What a hosts.toml of certs.d says: other places to ask for what a registry has.
/// Source: containerd docs/hosts.md.
struct HostsFile {
    struct Host {
        http::Url url;
        bool pull = true;   ///< both of "pull" and "resolve"
        bool push = false;  ///< asked for: a mirror is there to be read
        bool own_path = false;  ///< the URL's path is used without "/v2"
        http::ClientTlsOptions tls;
        http::Headers headers;
    };
    std::vector<Host> hosts;     ///< in the order of the file
    std::optional<Host> server;  ///< the registry itself, where the file names it
};

/// Reads `folder`/hosts.toml; nothing when there is none.
/// Throws: invalid_argument, "<file>: line 3: ...".
std::optional<HostsFile> read_hosts_file(const std::string& folder);

}  // namespace dockerd::registry
