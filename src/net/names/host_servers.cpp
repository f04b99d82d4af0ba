#include "host_servers.hpp"

#include <ctime>
#include <exception>
#include <fstream>
#include <sstream>

#include <dockerd/base/log.hpp>
#include <dockerd/net/etc_files.hpp>

namespace dockerd::net {
namespace {

bool is_same(const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
           a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

HostServers::HostServers() : path_(host_resolv_conf_path(ResolverKind::internal)) {}

const std::vector<IpAddress>& HostServers::get() {
    struct stat now {};
    if (::stat(path_.c_str(), &now) != 0) now = {};  // no file, no servers
    if (settled_ && is_same(now, seen_)) return servers_;
    seen_ = now;
    // Within a tick of the clock another change could leave the same time.
    settled_ = ::time(nullptr) - now.st_mtim.tv_sec > 1;
    read();
    return servers_;
}

void HostServers::read() {
    std::stringstream text;
    text << std::ifstream(path_).rdbuf();
    servers_.clear();
    try {
        const ResolvConf conf =
            resolv_conf(text.str(), path_, {}, ResolverKind::internal, /*ipv6=*/true);
        for (const auto& [address, from_host] : conf.external_servers) servers_.push_back(address);
    } catch (const std::exception& error) {
        base::log::debug("{}: {}", path_, error.what());
    }
}

}  // namespace dockerd::net
