#include "mounts.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "launch/failure.hpp"
#include "paths/proc_rule.hpp"

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;

namespace {

/// "/a//b/./c/" and the like as Go's filepath.Clean writes it.
std::string clean(const std::string& path) {
    std::string text = (std::filesystem::path(path) / "").lexically_normal();
    while (text.size() > 1 && text.ends_with('/')) text.pop_back();
    return text;
}

struct PropagationChoice {
    Propagation kind = Propagation::make_private;
    bool recursive = true;
};

/// nullopt for a word that is none.
std::optional<PropagationChoice> propagation_of(std::string_view word) {
    using enum Propagation;
    if (word == "private") return PropagationChoice{make_private, false};
    if (word == "rprivate") return PropagationChoice{make_private, true};
    if (word == "shared") return PropagationChoice{make_shared, false};
    if (word == "rshared") return PropagationChoice{make_shared, true};
    if (word == "slave") return PropagationChoice{make_slave, false};
    if (word == "rslave") return PropagationChoice{make_slave, true};
    if (word == "unbindable") return PropagationChoice{make_unbindable, false};
    if (word == "runbindable") return PropagationChoice{make_unbindable, true};
    return std::nullopt;
}

/// Mount options that exclude one another share a group; a tmpfs takes one of each.
std::string_view option_group(std::string_view option) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 26> groups{{
        {"ro", "ro"},
        {"rw", "ro"},
        {"suid", "suid"},
        {"nosuid", "suid"},
        {"dev", "dev"},
        {"nodev", "dev"},
        {"exec", "exec"},
        {"noexec", "exec"},
        {"sync", "sync"},
        {"async", "sync"},
        {"dirsync", "dirsync"},
        {"remount", "remount"},
        {"mand", "mand"},
        {"nomand", "mand"},
        {"atime", "atime"},
        {"noatime", "atime"},
        {"diratime", "diratime"},
        {"nodiratime", "diratime"},
        {"relatime", "relatime"},
        {"norelatime", "relatime"},
        {"strictatime", "strict"},
        {"nostrictatime", "strict"},
        {"bind", "propagation"},
        {"rbind", "propagation"},
        {"private", "propagation"},
        {"shared", "propagation"},
    }};
    for (const auto& [name, group] : groups) {
        if (name == option) return group;
    }
    return propagation_of(option) ? "propagation" : std::string_view();
}

bool is_tmpfs_value(std::string_view name) {
    static constexpr std::array<std::string_view, 8> names{"",    "size",      "mode",      "uid",
                                                           "gid", "nr_inodes", "nr_blocks", "mpol"};
    return std::ranges::find(names, name) != names.end();
}

/// Turns option words into the fields of a mount; the rest is data for the file system.
void apply_options(const std::vector<std::string>& options, Mount& mount) {
    std::vector<std::string> data;
    for (const std::string& option : options) {
        if (option == "ro" || option == "rw") {
            mount.read_only = option == "ro";
        } else if (option == "nosuid" || option == "suid") {
            mount.nosuid = option == "nosuid";
        } else if (option == "nodev" || option == "dev") {
            mount.nodev = option == "nodev";
        } else if (option == "noexec" || option == "exec") {
            mount.noexec = option == "noexec";
        } else if (const auto choice = propagation_of(option)) {
            mount.propagation = choice->kind;
            mount.recursive_propagation = choice->recursive;
        } else if (option != "remount" && option != "bind" && option != "rbind" &&
                   option != "norelatime" && option != "nostrictatime") {
            // Those five mean nothing for a new tmpfs.
            data.push_back(option);
        }
    }
    mount.data = base::join(data, ",");
}

Mount file_system(MountKind kind, std::string source, std::string destination,
                  const std::vector<std::string>& options) {
    Mount mount;
    mount.kind = kind;
    mount.source = std::move(source);
    mount.destination = std::move(destination);
    apply_options(options, mount);
    return mount;
}

bool has_private_cgroup_namespace(const PlanInput& input) {
    return input.host->cgroupns_mode == "private";
}

/// /sys/fs/cgroup as the container sees it. Source: runc rootfs_linux.go, mountCgroupV1 and V2.
void add_cgroup_mount(const PlanInput& input, bool writable, PlannedContainer& planned) {
    const bool unified = input.cgroup_version == CgroupVersion::v2;
    Mount mount = file_system(unified ? MountKind::cgroup_v2 : MountKind::cgroup_v1, "cgroup",
                              "/sys/fs/cgroup", {"nosuid", "noexec", "nodev"});
    mount.read_only = !writable;
    for (const CgroupMountView& view : input.cgroup_views) {
        if (unified) break;
        CgroupHierarchy hierarchy;
        hierarchy.name = view.name;
        for (const std::string& controller : view.controllers) {
            if (controller != view.name && !controller.starts_with("name=")) {
                hierarchy.links.push_back(controller);
            }
        }
        if (has_private_cgroup_namespace(input)) {
            const bool named = view.controllers.front().starts_with("name=");
            hierarchy.data = (named ? "none," : "") + base::join(view.controllers, ",");
        } else {
            planned.sources.push_back({.mount = planned.plan.mounts.size(),
                                       .hierarchy = mount.hierarchies.size(),
                                       .path = view.host_path,
                                       .recursive = false});
        }
        mount.hierarchies.push_back(std::move(hierarchy));
    }
    planned.plan.mounts.push_back(std::move(mount));
}

/// Docker's own mounts, without those the user has covered. Source: moby oci/defaults.go.
void add_default_mounts(const PlanInput& input, const std::set<std::string>& covered,
                        PlannedContainer& planned) {
    const model::HostConfig& host = *input.host;
    const auto wanted = [&](const std::string& destination) {
        const bool in_user_dev = covered.contains("/dev") && destination.starts_with("/dev/");
        return !covered.contains(destination) && !in_user_dev;
    };
    const auto add = [&](MountKind kind, const char* source, const char* destination,
                         const std::vector<std::string>& options) {
        if (!wanted(destination)) return;
        planned.plan.mounts.push_back(file_system(kind, source, destination, options));
    };
    add(MountKind::proc, "proc", "/proc", {"nosuid", "noexec", "nodev"});
    add(MountKind::tmpfs, "tmpfs", "/dev", {"nosuid", "strictatime", "mode=755", "size=65536k"});
    add(MountKind::devpts, "devpts", "/dev/pts",
        {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
    add(MountKind::sysfs, "sysfs", "/sys",
        {"nosuid", "noexec", "nodev", host.privileged ? "rw" : "ro"});
    if (wanted("/sys/fs/cgroup")) {
        const bool writable = input.security.writable_cgroups.value_or(host.privileged) ||
                              !input.uid_mappings.empty();
        add_cgroup_mount(input, writable, planned);
    }
    add(MountKind::mqueue, "mqueue", "/dev/mqueue", {"nosuid", "noexec", "nodev"});
    if (host.ipc_mode != "none") {
        add(MountKind::tmpfs, "shm", "/dev/shm",
            {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", host.shm_size)});
    }
}

void add_tmpfs(const ResolvedMount& wish, PlannedContainer& planned) {
    std::vector<std::string> options{"noexec", "nosuid", "nodev", "rprivate"};
    if (!wish.tmpfs_options.empty()) {
        for (auto& option : base::split(wish.tmpfs_options, ',')) options.push_back(option);
    }
    planned.plan.mounts.push_back(
        file_system(MountKind::tmpfs, "tmpfs", wish.destination, merge_tmpfs_options(options)));
}

bool decide_recursive_read_only(const PlanInput& input, const ResolvedMount& wish) {
    if (wish.read_only_non_recursive && wish.read_only_force_recursive) {
        throw Error(ErrorKind::internal,
                    "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive");
    }
    if (wish.read_only_force_recursive && !input.facts->recursive_read_only) {
        throw Error(ErrorKind::internal,
                    "rro is not supported: function not implemented (kernel is older than 5.12?)");
    }
    return !wish.read_only_non_recursive && input.facts->recursive_read_only;
}

void add_bind(const PlanInput& input, const ResolvedMount& wish, PlannedContainer& planned) {
    Mount mount;
    mount.kind = MountKind::bind;
    mount.source = wish.source;
    mount.destination = wish.destination;
    const auto choice = propagation_of(wish.propagation).value_or(PropagationChoice{});
    mount.propagation = choice.kind;
    mount.recursive_propagation = choice.recursive;
    mount.read_only = !wish.writable;
    mount.nosuid = wish.nosuid;
    mount.nodev = wish.nodev;
    mount.noexec = wish.noexec;
    if (mount.read_only) mount.recursive_read_only = decide_recursive_read_only(input, wish);

    SourceToOpen source{.mount = planned.plan.mounts.size(),
                        .hierarchy = std::nullopt,
                        .path = wish.source,
                        .subpath = wish.subpath,
                        .recursive = !wish.non_recursive};
    Propagation& root = planned.plan.rootfs_propagation;
    if (choice.kind == Propagation::make_shared) {
        source.required_propagation = "shared";
        root = Propagation::make_shared;
    } else if (choice.kind == Propagation::make_slave && !wish.slave_if_possible) {
        source.required_propagation = "slave";
    }
    planned.sources.push_back(std::move(source));
    planned.plan.mounts.push_back(std::move(mount));
}

/// The user's mounts by depth, then the network files and /dev/shm.
std::vector<ResolvedMount> ordered_mounts(const PlanInput& input) {
    std::vector<ResolvedMount> all = input.mounts;
    std::set<std::string> seen;
    for (ResolvedMount& mount : all) {
        mount.destination = clean(mount.destination);
        if (!seen.insert(mount.destination).second) {
            // Source: moby daemon/errors.go, duplicateMountPointError.
            throw Error(ErrorKind::invalid_argument, "Duplicate mount point: " + mount.destination);
        }
    }
    // What the user mounts over a network file was already taken into it by the engine.
    for (const ResolvedMount& file : input.network_files) {
        if (seen.insert(clean(file.destination)).second) all.push_back(file);
    }
    if (!input.shm_path.empty() && seen.insert("/dev/shm").second) {
        all.push_back({.destination = "/dev/shm", .source = input.shm_path});
    }
    std::ranges::stable_sort(all, {}, [](const ResolvedMount& mount) {
        return std::ranges::count(mount.destination, '/') - (mount.destination == "/" ? 1 : 0);
    });
    return all;
}

}  // namespace

std::vector<std::string> merge_tmpfs_options(const std::vector<std::string>& options) {
    std::vector<std::string> merged;
    std::set<std::string> used;
    for (auto option = options.rbegin(); option != options.rend(); ++option) {
        if (*option == "defaults") continue;
        std::string group(option_group(*option));
        if (group.empty()) {
            const std::size_t equals = option->find('=');
            group = option->substr(0, equals);
            if (equals == std::string::npos || !is_tmpfs_value(group)) {
                const std::string shown =
                    equals == std::string::npos
                        ? base::quote(*option)
                        : base::quote(group) + " " + base::quote(option->substr(equals + 1));
                throw Error(ErrorKind::internal, fmt::format("invalid tmpfs option [{}]", shown));
            }
            group += '=';
        }
        if (used.insert(group).second) merged.push_back(*option);
    }
    std::ranges::reverse(merged);
    return merged;
}

void plan_mounts(const PlanInput& input, PlannedContainer& planned) {
    const std::vector<ResolvedMount> mounts = ordered_mounts(input);
    std::set<std::string> covered;
    for (const ResolvedMount& mount : mounts) covered.insert(mount.destination);
    add_default_mounts(input, covered, planned);
    for (const ResolvedMount& mount : mounts) {
        if (mount.tmpfs) {
            add_tmpfs(mount, planned);
        } else {
            add_bind(input, mount, planned);
        }
    }
}

void refuse_mounts_over_proc(const PlanInput& input, const ContainerPlan& plan) {
    for (const Mount& mount : plan.mounts) {
        // A bind may be a procfs: its source is opened later, and looked at by the init.
        const bool may_be_procfs = mount.kind == MountKind::proc || mount.kind == MountKind::bind;
        const std::string text =
            proc_refusal(proc_place(mount.destination), may_be_procfs, mount.destination,
                         input.rootfs_path + mount.destination);
        if (text.empty()) continue;
        throw launch::start_failure(
            launch::Attempt::container,
            {.step = "mount",
             .error = 0,
             .text = fmt::format("error mounting \"{}\" to rootfs at \"{}\": {}", mount.source,
                                 mount.destination, text)});
    }
}

}  // namespace dockerd::runtime
