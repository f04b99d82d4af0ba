#include "device_requests.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "cdi/devices.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

[[noreturn]] void fail(const std::string& text) { base::fail(ErrorKind::internal, text); }

// Source: moby daemon/errors.go, incompatibleDeviceRequest.
[[noreturn]] void refuse(const model::DeviceRequest& request) {
    std::vector<std::string> sets;
    for (const auto& set : request.capabilities) sets.push_back("[" + base::join(set, " ") + "]");
    base::fail(ErrorKind::internal,
               fmt::format("could not select device driver {} with capabilities: [{}]",
                           base::quote(request.driver), base::join(sets, " ")));
}

/// What the specification leaves to the host's node.
// Source: container-device-interface pkg/cdi, container-edits_unix.go, fillMissingInfo.
void fill_from_host(const cdi::DeviceNode& wanted, runtime::DeviceNode& node) {
    const std::string& host = wanted.host_path.empty() ? wanted.path : wanted.host_path;
    struct stat info {};
    const auto cannot = [&](const std::string& reason) {
        fail(fmt::format("failed to inject devices: failed to stat CDI host device {}: {}",
                         base::quote(host), reason));
    };
    if (::lstat(host.c_str(), &info) != 0) cannot(base::errno_text(errno));
    const char type = S_ISBLK(info.st_mode)    ? 'b'
                      : S_ISCHR(info.st_mode)  ? 'c'
                      : S_ISFIFO(info.st_mode) ? 'p'
                                               : '\0';
    if (type == '\0') cannot("not a device node");
    if (!wanted.type.empty() && wanted.type[0] != type) {
        fail(fmt::format("failed to inject devices: CDI device ({}, {}), host type mismatch ({}, "
                         "{})",
                         base::quote(wanted.path), base::quote(host), wanted.type, type));
    }
    node.type = type;
    if (wanted.major == 0 && type != 'p') {
        node.major = major(info.st_rdev);
        node.minor = minor(info.st_rdev);
    }
}

// Source: container-device-interface pkg/cdi, container-edits.go, Apply.
void add_node(const cdi::DeviceNode& wanted, InjectedDevices& out) {
    runtime::DeviceNode node{.path = wanted.path};
    node.major = static_cast<std::uint32_t>(wanted.major);
    node.minor = static_cast<std::uint32_t>(wanted.minor);
    node.mode = wanted.mode.value_or(0666) & 07777;
    node.uid = wanted.uid.value_or(0);
    node.gid = wanted.gid.value_or(0);
    if (wanted.type.empty() || (wanted.major == 0 && wanted.type != "p")) {
        fill_from_host(wanted, node);
    } else {
        node.type = wanted.type == "u" ? 'c' : wanted.type[0];
    }
    std::erase_if(out.devices.nodes,
                  [&](const runtime::DeviceNode& other) { return other.path == node.path; });
    if (node.type != 'p' && wanted.type != "u") {
        out.devices.rules.push_back(
            {.type = node.type,
             .major = node.major,
             .minor = node.minor,
             .access = wanted.permissions.empty() ? "rwm" : wanted.permissions});
    }
    out.devices.nodes.push_back(std::move(node));
}

void add_mount(const cdi::Mount& wanted, InjectedDevices& out) {
    runtime::ResolvedMount mount;
    mount.destination = wanted.container_path;
    mount.source = wanted.host_path;
    mount.non_recursive = true;
    mount.tmpfs = wanted.type == "tmpfs";
    if (!wanted.type.empty() && wanted.type != "bind" && wanted.type != "none" && !mount.tmpfs) {
        fail(fmt::format("CDI mounts of the type {} are not supported by this engine",
                         base::quote(wanted.type)));
    }
    for (const auto& option : wanted.options) {
        if (option == "ro" || option == "rw") {
            mount.writable = option == "rw";
        } else if (option == "rbind") {
            mount.non_recursive = false;
        } else if (option == "nosuid") {
            mount.nosuid = true;
        } else if (option == "nodev") {
            mount.nodev = true;
        } else if (option == "noexec") {
            mount.noexec = true;
        } else if (option.ends_with("private") || option.ends_with("slave") ||
                   option.ends_with("shared")) {
            mount.propagation = option;
        } else if (option != "bind" && !mount.tmpfs) {
            fail(fmt::format("CDI mount option {} is not supported by this engine",
                             base::quote(option)));
        }
    }
    // "ro" alone leaves what is mounted below as it is.
    mount.read_only_non_recursive = !mount.writable;
    if (mount.tmpfs) mount.tmpfs_options = base::join(wanted.options, ",");
    std::erase_if(out.mounts, [&](const runtime::ResolvedMount& other) {
        return other.destination == mount.destination;
    });
    out.mounts.push_back(std::move(mount));
}

void apply(const cdi::Edits& edits, InjectedDevices& out) {
    // Differs from Docker: nothing is executed at a start but the container's own program.
    if (!edits.hooks.empty()) {
        fail(fmt::format("failed to inject devices: the hook {} ({}) cannot be run: this engine "
                         "runs no hooks",
                         edits.hooks.front().path, edits.hooks.front().name));
    }
    if (edits.intel_rdt) {
        fail("failed to inject devices: intelRdt is not supported by this engine");
    }
    out.env.insert(out.env.end(), edits.env.begin(), edits.env.end());
    for (const auto& node : edits.device_nodes) add_node(node, out);
    for (const auto& mount : edits.mounts) add_mount(mount, out);
    for (const auto gid : edits.additional_gids) {
        if (gid != 0) out.groups.push_back(std::to_string(gid));
    }
}

/// Without a driver's name the first driver that has all capabilities of a set is taken; "cdi" has
/// none.
bool is_for_cdi(const model::DeviceRequest& request) {
    if (request.driver == "cdi") return true;
    return request.driver.empty() &&
           std::ranges::any_of(request.capabilities, [](const auto& set) { return set.empty(); });
}

}  // namespace

InjectedDevices inject_devices(const model::List<model::DeviceRequest>& requests,
                               cdi::Registry* registry) {
    InjectedDevices out;
    for (const auto& request : requests) {
        if (registry == nullptr || !is_for_cdi(request)) refuse(request);
        if (request.count != 0) {
            fail("unexpected count in CDI device request");
        }
        if (!request.options.empty()) {
            fail("unexpected options in CDI device request");
        }
        if (request.device_ids.empty()) continue;
        base::in_context("CDI device injection failed", [&] {
            apply(registry->current()->edits(request.device_ids), out);
        });
    }
    return out;
}

void add_host_devices(const model::HostConfig& host, runtime::GatheredDevices& injected) {
    auto all = runtime::gather_devices(host.resources, host.privileged);
    for (auto& node : injected.nodes) {
        std::erase_if(all.nodes, [&](const auto& other) { return other.path == node.path; });
        all.nodes.push_back(std::move(node));
    }
    all.rules.insert(all.rules.end(), injected.rules.begin(), injected.rules.end());
    injected = std::move(all);
}

}  // namespace dockerd::engine
