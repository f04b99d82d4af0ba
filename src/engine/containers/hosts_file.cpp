#include <fcntl.h>
#include <unistd.h>

#include <dockerd/base/log.hpp>
#include <dockerd/net/etc_files.hpp>
#include <dockerd/sys/small_file.hpp>

#include "containers.hpp"

/// A running container's /etc/hosts, which is its own: it and its users may write there.
namespace dockerd::engine {

/// Changes only what `change` changes, in place: the file is mounted in the container. One that is
/// longer than such files are is not ours any more.
void Containers::edit_hosts(const std::string& id, const HostsChange& change) {
    const base::Fd folder = parts_.files.directory(id);
    const base::Fd file{
        ::openat(folder.get(), "hosts", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!file) return;
    const auto old = sys::read_small(file.get());
    if (!old) {
        base::log::warn("hosts of container {} are too long to be kept up to date", id);
        return;
    }
    const std::string text = change(*old);
    if (text == *old) return;
    if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
        ::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0) {
        base::log::warn("hosts of container {} are not up to date", id);
    }
}

/// Adds or takes away the lines of one endpoint.
// Source: moby libnetwork/endpoint.go, sbJoin and sbLeave.
void Containers::edit_own_hosts(const store::ContainerRecord& record,
                                const model::EndpointSettings& endpoint, bool add) {
    net::HostsFile own;
    own.hostname = record.config.hostname;
    own.domainname = record.config.domainname;
    for (const auto& text : {endpoint.ip_address, endpoint.global_ipv6_address}) {
        if (const auto address = net::IpAddress::parse(text)) own.addresses.push_back(*address);
    }
    if (own.addresses.empty()) return;
    edit_hosts(record.id, [&](const std::string& text) {
        return add ? net::add_hosts(text, own) : net::remove_hosts(text, own);
    });
}

}  // namespace dockerd::engine
