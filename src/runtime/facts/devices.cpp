#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/host_facts.hpp>

namespace dockerd::runtime {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorKind;

namespace {

// Source: moby oci/defaults.go, Resources.Devices.
const std::vector<DeviceRule>& docker_rules() {
    static const std::vector<DeviceRule> rules{
        {.allow = false},
        {.type = 'c', .major = 1, .minor = 5},
        {.type = 'c', .major = 1, .minor = 3},
        {.type = 'c', .major = 1, .minor = 9},
        {.type = 'c', .major = 1, .minor = 8},
        {.type = 'c', .major = 5, .minor = 0},
        {.type = 'c', .major = 5, .minor = 1},
        {.allow = false, .type = 'c', .major = 10, .minor = 229},
    };
    return rules;
}

// Source: runc libcontainer/specconv/spec_linux.go, AllowedDevices: mknod of anything, the
// default nodes, pseudo terminals, tun.
const std::vector<DeviceRule>& runtime_rules() {
    static const std::vector<DeviceRule> rules{
        {.type = 'c', .access = "m"},
        {.type = 'b', .access = "m"},
        {.type = 'c', .major = 1, .minor = 3},
        {.type = 'c', .major = 1, .minor = 8},
        {.type = 'c', .major = 1, .minor = 7},
        {.type = 'c', .major = 5, .minor = 0},
        {.type = 'c', .major = 1, .minor = 5},
        {.type = 'c', .major = 1, .minor = 9},
        {.type = 'c', .major = 136},
        {.type = 'c', .major = 5, .minor = 2},
        {.type = 'c', .major = 10, .minor = 200},
    };
    return rules;
}

/// The node at `path` itself; nullopt when it is none. errno tells an error from another type.
std::optional<DeviceNode> read_node(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
    errno = 0;
    DeviceNode node{.path = path};
    switch (info.st_mode & S_IFMT) {
        case S_IFBLK:
            node.type = 'b';
            break;
        case S_IFCHR:
            node.type = 'c';
            break;
        case S_IFIFO:
            node.type = 'p';
            break;
        default:
            return std::nullopt;
    }
    node.major = major(info.st_rdev);
    node.minor = minor(info.st_rdev);
    node.mode = info.st_mode & 07777;
    node.uid = info.st_uid;
    node.gid = info.st_gid;
    return node;
}

/// Every node below /dev, as containerd's oci.HostDevices lists them.
void add_host_devices(const fs::path& folder, std::vector<DeviceNode>& nodes) {
    static constexpr std::array<std::string_view, 7> skipped{
        "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"};
    std::vector<fs::path> entries;
    std::error_code ignored;  // what vanishes meanwhile is not there
    for (auto entry = fs::directory_iterator(folder, ignored);
         !ignored && entry != fs::directory_iterator(); entry.increment(ignored)) {
        entries.push_back(entry->path());
    }
    std::ranges::sort(entries);
    for (const fs::path& path : entries) {
        const std::string name = path.filename();
        if (fs::is_directory(fs::symlink_status(path, ignored))) {
            if (std::ranges::find(skipped, name) == skipped.end()) add_host_devices(path, nodes);
        } else if (name != "console") {
            if (auto node = read_node(path)) nodes.push_back(std::move(*node));
        }
    }
}

/// All nodes below the folder `host`, moved to `inside`.
void add_folder(const fs::path& host, const std::string& inside, std::vector<DeviceNode>& nodes) {
    std::error_code ignored;
    std::vector<fs::path> entries;
    for (auto entry = fs::recursive_directory_iterator(host, ignored);
         !ignored && entry != fs::recursive_directory_iterator(); entry.increment(ignored)) {
        entries.push_back(entry->path());
    }
    std::ranges::sort(entries);
    for (const fs::path& path : entries) {
        auto node = read_node(path);
        if (!node) continue;
        node->path = inside + path.string().substr(host.string().size());
        nodes.push_back(std::move(*node));
    }
}

/// Source: moby oci/devices_linux.go, DevicesFromPath.
std::vector<DeviceNode> nodes_of_mapping(const model::DeviceMapping& mapping) {
    std::error_code error;
    fs::path host = mapping.path_on_host;
    if (fs::is_symlink(fs::symlink_status(host, error))) {
        const fs::path target = fs::canonical(host, error);
        if (!error) host = target;
    }
    errno = 0;
    if (auto node = read_node(host)) {
        node->path = mapping.path_in_container;
        return {std::move(*node)};
    }
    const int reason = errno;
    std::vector<DeviceNode> nodes;
    if (reason == 0 && fs::is_directory(host, error)) {
        add_folder(host, mapping.path_in_container, nodes);
    }
    if (nodes.empty()) {
        throw Error(ErrorKind::internal,
                    fmt::format("error gathering device information while adding custom device "
                                "\"{}\": {}",
                                mapping.path_on_host,
                                reason ? base::errno_text(reason) : "not a device node"),
                    reason);
    }
    return nodes;
}

std::optional<std::int64_t> rule_number(std::string_view text, std::string_view which,
                                        const std::string& rule) {
    if (text == "*") return -1;
    if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) {
        return std::nullopt;
    }
    const auto number = base::parse_int(text);
    if (!number) {
        throw Error(
            ErrorKind::internal,
            fmt::format("invalid {} value in device cgroup rule format: '{}'", which, rule));
    }
    return number;
}

}  // namespace

DeviceRule parse_device_rule(const std::string& rule) {
    const auto parts = base::split(rule, ' ');
    const auto fail = [&]() -> DeviceRule {
        throw Error(ErrorKind::internal,
                    fmt::format("invalid device cgroup rule format: '{}'", rule));
    };
    if (parts.size() != 3 || parts[0].size() != 1 || parts[2].empty() || parts[2].size() > 3) {
        return fail();
    }
    const auto numbers = base::split(parts[1], ':');
    if (std::string_view("acb").find(parts[0]) == std::string_view::npos || numbers.size() != 2 ||
        parts[2].find_first_not_of("rwm") != std::string::npos) {
        return fail();
    }
    const auto major = rule_number(numbers[0], "major", rule);
    const auto minor = rule_number(numbers[1], "minor", rule);
    if (!major || !minor) return fail();
    return {.type = parts[0][0], .major = *major, .minor = *minor, .access = parts[2]};
}

GatheredDevices gather_devices(const model::Resources& resources, bool privileged) {
    GatheredDevices gathered;
    gathered.rules = docker_rules();
    if (privileged) {
        add_host_devices("/dev", gathered.nodes);
        gathered.rules.push_back({.allow = true});
    }
    for (const model::DeviceMapping& mapping : resources.devices) {
        if (privileged && mapping.path_on_host == mapping.path_in_container) continue;
        for (DeviceNode& node : nodes_of_mapping(mapping)) {
            if (!privileged) {
                gathered.rules.push_back({.type = node.type == 'b' ? 'b' : 'c',
                                          .major = node.major,
                                          .minor = node.minor,
                                          .access = mapping.cgroup_permissions});
            }
            gathered.nodes.push_back(std::move(node));
        }
    }
    if (!privileged) {
        for (const std::string& rule : resources.device_cgroup_rules) {
            gathered.rules.push_back(parse_device_rule(rule));
        }
    }
    const auto& always = runtime_rules();
    gathered.rules.insert(gathered.rules.end(), always.begin(), always.end());
    return gathered;
}

}  // namespace dockerd::runtime
