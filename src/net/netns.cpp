#include "netns.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::net {

base::Fd current_netns() {
    base::Fd netns(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!netns) base::throw_errno(errno, "open /proc/thread-self/ns/net");
    return netns;
}

void NetnsVisit::enter_new() {
    if (::unshare(CLONE_NEWNET) != 0) base::throw_errno(errno, "create network namespace");
    away_ = true;
}

void NetnsVisit::enter(const base::Fd& netns) {
    if (::setns(netns.get(), CLONE_NEWNET) != 0) {
        base::throw_errno(errno, "enter network namespace");
    }
    away_ = true;
}

NetnsVisit::~NetnsVisit() {
    if (!away_) return;
    // A thread that stayed would do the next container's work in this one's namespace.
    for (int attempt = 0; attempt < 100; ++attempt) {
        if (::setns(home_.get(), CLONE_NEWNET) == 0) return;
        if (errno != ENOMEM) break;
        ::usleep(10'000);
    }
    base::log::write(base::log::Level::fatal, "cannot return to the host's network namespace");
    std::abort();
}

void mount_netns(const base::Fd& netns, const std::string& path) {
    const base::Fd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
    if (!file) base::throw_errno(errno, fmt::format("create {}", path));
    const std::string source = fmt::format("/proc/self/fd/{}", netns.get());
    if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
        const int code = errno;
        (void)::unlink(path.c_str());  // the mount's failure is the one to report
        base::throw_errno(code, fmt::format("mount network namespace on {}", path));
    }
}

bool unmount_netns(const std::string& path) noexcept {
    // Not mounted (EINVAL) and not there (ENOENT) are as good as done.
    if (::umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT)
        return false;
    return ::unlink(path.c_str()) == 0 || errno == ENOENT;
}

bool is_netns_mount(const std::string& path) noexcept {
    struct statfs info {};
    return ::statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

bool write_sysctl(const std::string& name, const char* value) noexcept {
    const base::Fd file(::open(("/proc/sys/" + name).c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return false;
    const auto size = static_cast<ssize_t>(std::strlen(value));
    // A switch that needs the lock of all links starts the call again while another has it, and kernels
    // then may have moved on in the file: nothing is written, and that is no error. So it is said again,
    // at the file's beginning. Source: Linux net/ipv6/addrconf.c, addrconf_fixup_forwarding.
    constexpr int attempts = 1000;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        const ssize_t written = ::pwrite(file.get(), value, static_cast<std::size_t>(size), 0);
        if (written == size) return true;
        if (written < 0 && errno != EINTR) return false;
    }
    errno = EBUSY;
    return false;
}

bool can_write_sysctl(const std::string& name) noexcept {
    return static_cast<bool>(base::Fd(::open(("/proc/sys/" + name).c_str(), O_WRONLY | O_CLOEXEC)));
}

char read_sysctl(const std::string& name) noexcept {
    const base::Fd file(::open(("/proc/sys/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    char first = 0;
    if (!file || ::read(file.get(), &first, 1) != 1) return 0;
    return first;
}

/// Source: moby libnetwork/portallocator, getDynamicPortRange and its fallback.
std::pair<std::uint16_t, std::uint16_t> local_port_range() noexcept {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
        std::fopen("/proc/sys/net/ipv4/ip_local_port_range", "re"), &std::fclose);
    unsigned first = 0;
    unsigned last = 0;
    if (!file || std::fscanf(file.get(), "%u %u", &first, &last) != 2 || first == 0 ||
        last > 65535 || last < first) {
        return {49153, 65535};
    }
    return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

}  // namespace dockerd::net
