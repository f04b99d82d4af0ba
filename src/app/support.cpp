#include "support.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/sysinfo.hpp>
#include <dockerd/store/backing.hpp>
#include <dockerd/store/durable.hpp>

#include "engine_options.hpp"
#include "options.hpp"

namespace dockerd::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view storage_driver = "overlay2";

[[noreturn]] void refuse(const std::string& why) {
    base::fail(base::ErrorKind::not_implemented, why);
}

bool enabled(const Config& config, const std::string& feature) {
    const auto found = config.features.find(feature);
    return found != config.features.end() && found->second;
}

bool has_content(const fs::path& directory) {
    std::error_code failure;
    const fs::directory_iterator entries(directory, failure);
    return !failure && entries != fs::directory_iterator();
}

/// The driver that was asked for; the environment's word is the last.
/// Source: moby daemon/daemon.go, NewDaemon.
std::string asked_driver(const Config& config) {
    const char* const environment = std::getenv("DOCKER_DRIVER");
    return environment != nullptr && *environment != '\0' ? environment : config.storage_driver;
}

void check_driver_name(const std::string& name) {
    constexpr std::array removed{"aufs", "devicemapper", "overlay"};
    if (std::ranges::find(removed, name) != removed.end()) {
        refuse(fmt::format("[graphdriver] ERROR: the {} storage-driver has been deprecated and "
                           "removed; visit https://docs.docker.com/go/storage-driver/ for more "
                           "information: {}",
                           name, name));
    }
    if (!name.empty() && name != storage_driver) refuse("driver not supported: " + name);
}

/// True when a container says that its files lie in containerd's image store.
bool has_containerd_containers(const std::string& root) {
    std::error_code failure;
    for (const auto& item : fs::directory_iterator(fs::path(root) / "containers", failure)) {
        try {
            const base::Fd folder{
                ::open(item.path().c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
            if (!folder) continue;
            // Within a text of the document the quotes would be escaped.
            const std::string record = store::read_file(folder.get(), "config.v2.json");
            if (record.find(R"("Driver":"overlayfs")") != std::string::npos) return true;
        } catch (const base::Error&) {
            // Damaged: said when containers are loaded.
        }
    }
    return false;
}

[[noreturn]] void refuse_others_root(const std::string& root, const std::string& what) {
    refuse(fmt::format("{}: it is what {} holds, and this daemon has overlay2 only. Go on with the "
                       "engine that made it, or choose overlay2 explicitly (-s overlay2) to begin "
                       "without its images and containers",
                       what, root));
}

/// What other drivers left in the data root must not disappear without a word.
void check_prior_drivers(const std::string& root) {
    std::vector<std::string> found;
    for (const char* name :
         {"aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "overlay2", "zfs"}) {
        if (has_content(fs::path(root) / name)) found.emplace_back(name);
    }
    // Docker leaves vfs, and containers of the other image store, out of account.
    if (found.empty() && has_content(fs::path(root) / "vfs")) found.emplace_back("vfs");
    if (found.empty() && has_containerd_containers(root)) {
        refuse_others_root(root, "driver not supported: overlayfs (the containerd image store)");
    }
    if (found.size() > 1) {
        refuse(fmt::format("{} contains several valid graphdrivers: {}; cleanup or explicitly "
                           "choose storage driver (-s <DRIVER>)",
                           root, base::join(found, ", ")));
    }
    if (found.size() == 1 && found.front() != storage_driver) {
        refuse_others_root(root, "driver not supported: " + found.front());
    }
}

/// Source: moby daemon/graphdriver/overlay2/overlay.go, Init.
[[noreturn]] void refuse_quota(const std::string& root) {
    const base::Fd folder{::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    const std::string found = store::backing_file_system(folder.get());
    if (found != "xfs") {
        refuse("Storage Option overlay2.size only supported for backingFS XFS. Found " + found +
               ": overlay2");
    }
    refuse("Storage option overlay2.size not supported. Filesystem does not support Project Quota: "
           "quotas of layers are not implemented by this daemon: overlay2");
}

// Source: moby cmd/dockerd/daemon_linux.go, validateCPURealtimeOptions.
void check_real_time(const Config& config) {
    if (config.cpu_rt_period == 0 && config.cpu_rt_runtime == 0) return;
    const std::string options = "daemon-scoped cpu-rt-period and cpu-rt-runtime are not ";
    const auto host = runtime::read_sysinfo(runtime::CgroupHost::open());
    if (host.cgroup_unified) refuse(options + "implemented for cgroup v2");
    if (!host.cpu_realtime) refuse(options + "supported by the kernel");
}

}  // namespace

void refuse_unsupported(const Config& config) {
    check_real_time(config);
    if (!config.userns_remap.empty()) {
        refuse("user namespaces (--userns-remap) are not implemented by this daemon");
    }
    if (config.rootless) refuse("rootless mode (--rootless) is not implemented by this daemon");
    if (enabled(config, "containerd-snapshotter")) {
        refuse("the containerd image store (--feature containerd-snapshotter) is not implemented "
               "by this daemon");
    }
}

void check_slice(const Config& config) {
    if (!config.cgroup_parent.empty() && !runtime::is_slice_name(config.cgroup_parent)) {
        base::fail(base::ErrorKind::invalid_argument, runtime::not_a_slice);
    }
}

runtime::CgroupHost open_cgroups(const Config& config) {
    using runtime::CgroupDriver;
    const auto asked = exec_opt(config, "native.cgroupdriver");
    std::optional<CgroupDriver> wanted;
    if (asked) wanted = *asked == "systemd" ? CgroupDriver::systemd : CgroupDriver::cgroupfs;
    auto host = runtime::CgroupHost::open(wanted);
    if (host.driver() == CgroupDriver::systemd) check_slice(config);
    return host;
}

std::vector<std::string> ineffective_options(const Config& config) {
    const auto given = [&](std::string_view flag, std::string_view key) {
        return config.from_flags.contains(std::string(flag)) ||
               config.from_file.contains(std::string(key));
    };
    std::vector<std::string> out;
    const auto note = [&](bool applies, std::string_view option, std::string_view why) {
        if (applies) out.push_back(fmt::format("{} has no effect: {}", option, why));
    };
    note(config.selinux_enabled, "--selinux-enabled", "SELinux labels are not implemented");
    note(exec_opt(config, "native.cgroupdriver") == "systemd" &&
             runtime::CgroupHost::open().version() == runtime::CgroupVersion::v1,
         "--exec-opt native.cgroupdriver=systemd", "with cgroup v1 the only driver is cgroupfs");
    note(config.cpu_rt_period != 0 || config.cpu_rt_runtime != 0, "--cpu-rt-runtime",
         "real-time run time is given to containers by their own options alone");
    note(config.cri_containerd, "--cri-containerd", "there is no containerd");
    note(given("init-path", "init-path"), "--init-path", "the init is part of this daemon");
    note(given("network-control-plane-mtu", "network-control-plane-mtu"),
         "--network-control-plane-mtu", "swarm is not implemented");
    note(config.network_diagnostic_port != 0, "--network-diagnostic-port",
         "swarm is not implemented");
    note(!config.node_generic_resources.empty(), "--node-generic-resource",
         "swarm is not implemented");
    note(!config.swarm_default_advertise_addr.empty(), "--swarm-default-advertise-addr",
         "swarm is not implemented");
    note(config.from_file.contains("builder"), "builder", "there is no BuildKit");
    note(enabled(config, "buildkit"), "--feature buildkit", "there is no BuildKit");
    for (const auto& [name, runtime] : runtimes_of(config).configured) {
        note(!engine::runs_here(runtime), fmt::format("--add-runtime {}", name),
             "no other OCI runtime is executed; containers that name it are refused");
    }
    if (has_content(config.data_root + "/rootfs/overlayfs")) {
        out.push_back(fmt::format("{} holds containers of the containerd image store, which this "
                                  "daemon does not see",
                                  config.data_root));
    }
    return out;
}

void check_storage(const Config& config) {
    const std::string name = asked_driver(config);
    check_driver_name(name);
    if (name.empty()) check_prior_drivers(config.data_root);
    for (const std::string& option : config.storage_opts) {
        const auto equals = option.find('=');
        if (equals == std::string::npos) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("unable to parse storage-opt key/value: {}", option));
        }
        const std::string key = base::to_lower(base::trim(option.substr(0, equals)));
        if (key != "overlay2.size") {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("{0}: unknown option {1}: {0}", storage_driver, key));
        }
        try {
            if (parse_bytes(option.substr(equals + 1)) == 0) continue;
        } catch (const base::Error& error) {
            throw base::Error(error.kind(), fmt::format("{}: {}", error.what(), storage_driver));
        }
        refuse_quota(config.data_root);
    }
}

}  // namespace dockerd::app
