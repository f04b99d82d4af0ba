#include <fmt/format.h>
#include <sys/mount.h>

#include <fcntl.h>

#include <dockerd/base/log.hpp>
#include <dockerd/runtime/verify.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "plan_input.hpp"

namespace dockerd::engine {

using base::Error;
using base::ErrorKind;

using Snapshot = std::shared_ptr<const ContainerSnapshot>;

namespace {

constexpr int longest_chain = 100;

base::Fd open_namespace(const ContainerSnapshot& owner, const char* kind) {
    const std::string path = fmt::format("/proc/{}/ns/{}", owner.state.pid, kind);
    base::Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) base::throw_errno(errno, "open " + path);
    return fd;
}

Snapshot find_donor(const ContainerIndex& index, std::string_view id) {
    try {
        return index.get(id)->snapshot();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::not_found) throw;
        return {};
    }
}

/// The container whose IPC or PID namespace is wanted.
// Source: moby daemon/container_operations_unix.go, getIPCContainer and getPIDContainer.
Snapshot running_donor(const ContainerIndex& index, std::string_view id) {
    const auto donor = find_donor(index, id);
    if (!donor) throw Error(ErrorKind::invalid_argument, errors::no_such_container(id).what());
    if (donor->state.restarting) throw errors::is_restarting(id);
    if (!donor->state.running || donor->state.pid == 0) throw errors::not_running(id);
    return donor;
}

}  // namespace

/// The container whose network is wanted.
// Source: moby daemon/container_operations.go, getNetworkedContainer.
Snapshot Containers::networked_donor(const store::ContainerRecord& record) const {
    const auto id = runtime::joined_container(record.host_config.network_mode);
    const auto donor = find_donor(index_, id);
    if (!donor) {
        base::fail(ErrorKind::internal, fmt::format("joining network namespace of container: {}",
                                                    errors::no_such_container(id).what()));
    }
    if (donor->id == record.id) {
        base::fail(ErrorKind::internal, "cannot join own network namespace");
    }
    if (donor->state.restarting) {
        base::fail(ErrorKind::conflict,
                   fmt::format("cannot join network namespace of container: {}",
                               errors::is_restarting(id).what()));
    }
    if (!donor->state.running || donor->state.pid == 0) {
        base::fail(ErrorKind::conflict,
                   fmt::format("cannot join network namespace of a non running container: "
                               "container {} is {}",
                               donor->name.substr(1), status_name(donor->state.status)));
    }
    return donor;
}

/// Where the /dev/shm lies that a container lets others have; follows those that have it from
/// another one themselves. Empty when it is the container's own.
std::string Containers::shared_shm(const ContainerSnapshot& donor) const {
    Snapshot owner;
    std::string mode = donor.host_config->ipc_mode;
    std::string id = donor.id;
    // A chain ends, for each of its containers was made after the next one; files may say else.
    for (int length = 0; !runtime::joined_container(mode).empty(); ++length) {
        owner = find_donor(index_, runtime::joined_container(mode));
        if (!owner || length == longest_chain) return {};
        mode = owner->host_config->ipc_mode;
        id = owner->id;
    }
    if (mode == "host") return "/dev/shm";
    if (mode != "shareable") return {};
    return parts_.files.path(id) + "/mounts/shm";
}

/// Namespaces of other containers this one shares.
JoinedNamespaces Containers::find_namespaces(const Container& container) {
    const auto& host = container.record.host_config;
    JoinedNamespaces joined;
    if (!runtime::joined_container(host.network_mode).empty()) {
        joined.network = open_namespace(*networked_donor(container.record), "net");
    }
    if (const auto id = runtime::joined_container(host.ipc_mode);
        model::is_container_mode(host.ipc_mode)) {
        base::in_context("failed to join IPC namespace", [&] {
            if (id.empty()) throw errors::no_name();
            const auto donor = running_donor(index_, id);
            joined.shm_path = shared_shm(*donor);
            if (joined.shm_path.empty()) {
                base::fail(ErrorKind::invalid_argument,
                           fmt::format("container {}: non-shareable IPC (hint: use "
                                       "IpcMode:shareable for the donor container)",
                                       id));
            }
            joined.ipc = open_namespace(*donor, "ipc");
        });
    }
    if (const auto id = runtime::joined_container(host.pid_mode); !id.empty()) {
        try {
            joined.pid = open_namespace(*running_donor(index_, id), "pid");
        } catch (const Error& error) {
            // Source: moby daemon/start.go, containerStart: the specification's errors are the
            // system's. Those of the IPC namespace keep their kind.
            base::fail(ErrorKind::internal,
                       fmt::format("failed to join PID namespace: {}", error.what()));
        }
    }
    return joined;
}

/// Where /dev/shm comes from when it is not the container's own: made for "shareable", another
/// container's or the host's otherwise. Empty for a private one.
// Source: moby daemon/container_operations_unix.go, setupIPCDirs.
std::string Containers::prepare_shm(Container& container, const JoinedNamespaces& joined) {
    auto& record = container.record;
    const std::string& mode = record.host_config.ipc_mode;
    if (!joined.shm_path.empty()) return joined.shm_path;
    if (mode == "host") return "/dev/shm";
    if (mode != "shareable") return {};
    const std::string path = parts_.files.path(container.id) + "/mounts/shm";
    record.shm_path = path;
    sys::make_directories(path, 0700);
    const std::string options = fmt::format("mode=1777,size={}", record.host_config.shm_size);
    if (::mount("shm", path.c_str(), "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, options.c_str()) !=
        0) {
        base::throw_errno(errno, "mounting shm tmpfs");
    }
    container.shm_mounted = true;
    return path;
}

void Containers::release_shm(Container& container) noexcept {
    if (!container.shm_mounted) return;
    container.shm_mounted = false;
    if (::umount2(container.record.shm_path.c_str(), MNT_DETACH) != 0) {
        base::log::warn("unmount {}, ignoring: errno {}", container.record.shm_path, errno);
    }
}

}  // namespace dockerd::engine
