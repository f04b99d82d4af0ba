#include <sys/mount.h>

#include <chrono>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/base/worker_pool.hpp>
#include <dockerd/runtime/file_view.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "mount_parser.hpp"

namespace dockerd::engine {

namespace {

/// How long a removal waits for a client that copies; then its files go from under its hands.
constexpr std::chrono::seconds copy_patience{30};

/// Volumes and binds; tmpfs belongs to the container's processes alone.
// Source: moby daemon/volumes_unix.go, setupMounts.
std::vector<runtime::ViewMount> view_mounts(const store::ContainerRecord& record) {
    using Submounts = runtime::ViewMount::Submounts;
    std::vector<runtime::ViewMount> mounts;
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type == "tmpfs" || record.host_config.tmpfs.contains(destination)) continue;
        runtime::ViewMount mount{.source = point.source,
                                 .subpath = {},
                                 .destination = destination,
                                 .writable = point.rw};
        mount.subpath = subpath_of(point);
        if (point.spec.bind_options) {
            const auto& bind = *point.spec.bind_options;
            mount.recursive = !bind.non_recursive;
            if (bind.read_only_non_recursive) mount.submounts = Submounts::as_they_are;
            if (bind.read_only_force_recursive) mount.submounts = Submounts::read_only;
        }
        mounts.push_back(std::move(mount));
    }
    const auto etc = [&](const char* destination, const std::string& source) {
        if (record.mount_points.contains(destination) || source.empty()) return;
        if (!sys::exists(source)) return;
        mounts.push_back({.source = source,
                          .subpath = {},
                          .destination = destination,
                          .writable = !record.host_config.readonly_rootfs});
    };
    etc("/etc/resolv.conf", record.resolv_conf_path);
    etc("/etc/hostname", record.hostname_path);
    etc("/etc/hosts", record.hosts_path);
    return mounts;
}

void check_present(const Container& container) DOCKERD_REQUIRES(container.operation) {
    if (container.removed) throw errors::no_such_container(container.id);
    if (container.removing) throw errors::removal_in_progress(container.id);
}

}  // namespace

/// Runs `work` on the container's root file system with nothing mounted in it. The container may
/// start, run and stop meanwhile; only its removal waits.
void Containers::with_rootfs(const ContainerRef& container, const RootfsWork& work) {
    store::MountedLayer mounted;
    store::ContainerRecord record;
    {
        const base::Lock lock(container->operation);
        check_present(*container);
        record = container->record;
        mounted = parts_.layers.mount_rw(container->id);
        ++container->copies;
    }
    const base::Undo leave([&] {
        const base::Lock lock(container->operation);
        --container->copies;
        container->copies_changed.notify_all();
        try {
            // A removal that lost its patience has taken the mount down.
            if (!container->removed) parts_.layers.unmount_rw(container->id);
        } catch (const base::Error& error) {
            base::log::warn("container {}: unmount, ignoring: {}", container->id, error.what());
        }
    });
    // What the container makes of a file while it is read must not be opened as a device.
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NODEV;
    if (::mount_setattr(mounted.tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) !=
        0) {
        base::throw_errno(errno, "mount_setattr " + mounted.path);
    }
    work(std::move(mounted.tree), record);
}

/// Runs `work` on the container's files with its volumes and binds, on another thread.
// Source: moby daemon/containerfs_linux.go.
void Containers::with_files(const ContainerRef& container, const FileWork& work) {
    with_rootfs(container, [&](base::Fd rootfs, const store::ContainerRecord& record) {
        runtime::ViewPlan plan;
        plan.rootfs = std::move(rootfs);
        plan.read_only_rootfs = record.host_config.readonly_rootfs;
        std::vector<HeldMount> mounted;
        const base::Undo unmount([&] { unmount_sources(container->id, mounted); });
        {
            const base::Lock lock(container->operation);
            mount_sources(*container, mounted);
            plan.mounts = view_mounts(container->record);
        }
        runtime::in_file_view(std::move(plan), [&](int view) { work(view, record); });
    });
}

void Containers::await_copies(Container& container, base::Lock& lock) {
    if (container.copies == 0) return;
    const base::LongWait wait;
    const auto deadline = std::chrono::steady_clock::now() + copy_patience;
    while (container.copies > 0) {
        if (container.copies_changed.wait_until(lock, deadline) == std::cv_status::timeout) {
            base::log::warn("container {}: removed while its files are being copied", container.id);
            return;
        }
    }
}

}  // namespace dockerd::engine
