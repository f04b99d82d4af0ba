#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <dockerd/base/fd.hpp>

namespace dockerd::net {

/// The network namespace of the calling thread.
base::Fd current_netns();

/// Lets the calling thread visit another network namespace and brings it back at the scope's end.
///
/// No thread may be started meanwhile: it would stay there.
class NetnsVisit {
public:
    /// `home` is where the thread is, and returns to.
    explicit NetnsVisit(const base::Fd& home) : home_(home) {}
    ~NetnsVisit();
    NetnsVisit(const NetnsVisit&) = delete;
    NetnsVisit& operator=(const NetnsVisit&) = delete;

    /// Throws: internal, "create network namespace: <errno text>".
    void enter_new();
    void enter(const base::Fd& netns);

private:
    const base::Fd& home_;
    bool away_ = false;
};

/// Keeps a namespace alive at `path`, as Docker's SandboxKey: makes the file and mounts on it.
void mount_netns(const base::Fd& netns, const std::string& path);
/// Undoes mount_netns; true when nothing is left at `path`.
bool unmount_netns(const std::string& path) noexcept;
/// Whether `path` is a mounted namespace.
bool is_netns_mount(const std::string& path) noexcept;

/// Writes `value` to /proc/sys/<name> of the thread's namespace; false when it cannot.
bool write_sysctl(const std::string& name, const char* value) noexcept;
/// Whether it is there and may be changed.
bool can_write_sysctl(const std::string& name) noexcept;
/// The first character of /proc/sys/<name>, 0 when it cannot be read.
char read_sysctl(const std::string& name) noexcept;
/// Where the kernel of the thread's namespace takes ports from that nobody chose: the first and the last.
std::pair<std::uint16_t, std::uint16_t> local_port_range() noexcept;

}  // namespace dockerd::net
