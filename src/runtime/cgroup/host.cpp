#include <fcntl.h>
#include <unistd.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/runtime/cgroup.hpp>

#include "files.hpp"
#include "impl.hpp"
#include "systemd/bus.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;
using base::Error;
using base::ErrorKind;

bool Hierarchy::has(std::string_view controller) const {
    return std::ranges::find(controllers, controller) != controllers.end();
}

const Hierarchy* CgroupHost::Impl::find(std::string_view controller) const {
    if (version == CgroupVersion::v2) return hierarchies.empty() ? nullptr : &hierarchies.front();
    for (const Hierarchy& hierarchy : hierarchies) {
        if (hierarchy.has(controller)) return &hierarchy;
    }
    return nullptr;
}

namespace {

constexpr const char* unified_mount = "/sys/fs/cgroup";

base::Fd open_folder(const std::string& path) {
    return base::Fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
}

/// Source: sd_booted(3).
bool was_booted_by_systemd() {
    struct stat place {};
    return ::lstat("/run/systemd/system", &place) == 0 && S_ISDIR(place.st_mode);
}

/// "\040" and the like in mountinfo.
std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '\\' && at + 3 < text.size()) {
            out += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 +
                                     (text[at + 3] - '0'));
            at += 3;
        } else {
            out += text[at];
        }
    }
    return out;
}

/// `path` as seen below a mount whose root is `mount_root`.
std::string below_mount(const std::string& path, const std::string& mount_root) {
    if (mount_root == "/" || mount_root.empty()) return path;
    if (path == mount_root) return "/";
    if (path.starts_with(mount_root + "/")) return path.substr(mount_root.size());
    return path;
}

std::vector<Hierarchy> find_v1_hierarchies() {
    const auto own = cgroups_of("self");
    const std::string text = files::read_text(AT_FDCWD, "/proc/self/mountinfo");
    std::vector<Hierarchy> found;
    std::vector<std::string> seen;
    for (const std::string_view line : files::fields(text, "\n")) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string_view::npos) continue;
        const auto tail = files::fields(line.substr(dash + 3), " ");
        const auto head = files::fields(line.substr(0, dash), " ");
        if (tail.size() < 3 || head.size() < 5 || tail[0] != "cgroup") continue;

        Hierarchy hierarchy;
        hierarchy.mountpoint = unescape(head[4]);
        for (const std::string_view option : files::fields(tail[2], ",")) {
            // Of the options only controllers are names in /proc/self/cgroup.
            const auto place = own.find(option);
            if (place == own.end() || option.empty()) continue;
            if (std::ranges::find(seen, option) != seen.end()) continue;
            seen.emplace_back(option);
            hierarchy.controllers.emplace_back(option);
            hierarchy.own_path = below_mount(place->second, unescape(head[3]));
        }
        if (hierarchy.controllers.empty()) continue;
        hierarchy.name = hierarchy.mountpoint.substr(hierarchy.mountpoint.rfind('/') + 1);
        hierarchy.root = open_folder(hierarchy.mountpoint);
        if (hierarchy.root) found.push_back(std::move(hierarchy));
    }
    return found;
}

std::vector<std::string> read_words(int directory, const std::string& path) {
    std::vector<std::string> words;
    const std::string text = files::read_text(directory, path);
    for (const auto word : files::fields(text, " \n")) words.emplace_back(word);
    return words;
}

Hierarchy open_unified(const std::string& mountpoint, std::string own) {
    Hierarchy unified;
    unified.mountpoint = mountpoint;
    unified.own_path = std::move(own);
    unified.root = open_folder(mountpoint);
    if (!unified.root) base::throw_errno(errno, "open " + mountpoint);
    unified.controllers = read_words(unified.root.get(), "cgroup.controllers");
    return unified;
}

/// Directories of `parent`/`id` in every hierarchy.
std::vector<CgroupDirectory> directories(const CgroupHost::Impl& host, std::string_view parent,
                                         std::string_view id);

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

/// Lets children of `path` use every controller of the root. Controllers the kernel refuses here
/// (threaded or populated parents) are skipped, one by one.
/// Source: runc libcontainer/cgroups/fs2/create.go, CreateCgroupPath.
void enable_controllers(const Hierarchy& unified, const std::string& path) {
    const std::string file =
        path.empty() ? "cgroup.subtree_control" : path + "/cgroup.subtree_control";
    const auto enabled = read_words(unified.root.get(), file);
    std::vector<std::string> wanted;
    for (const std::string& controller : unified.controllers) {
        if (std::ranges::find(enabled, controller) == enabled.end()) {
            wanted.push_back("+" + controller);
        }
    }
    if (wanted.empty()) return;
    if (files::write(unified.root.get(), file, base::join(wanted, " ")) == 0) return;
    for (const std::string& one : wanted) (void)files::write(unified.root.get(), file, one);
}

/// Makes the directory itself. True when it is new.
bool make_directory(const CgroupDirectory& directory, bool unified) {
    const char* path = directory.path.c_str();
    // v2 parents may exist without the controllers: look at them every time.
    if (unified) make_parents(directory, unified);
    if (::mkdirat(directory.root(), path, 0755) == 0) return true;
    if (errno == ENOENT) {
        make_parents(directory, unified);
        if (::mkdirat(directory.root(), path, 0755) == 0) return true;
    }
    if (errno != EEXIST) base::throw_errno(errno, "mkdir " + directory.host_path());
    const auto processes = files::read(directory.root(), directory.file("cgroup.procs"));
    if (processes && !processes->empty()) {
        const auto count = std::ranges::count(*processes, '\n');
        // Source: runc libcontainer/factory_linux.go, Create.
        throw Error(ErrorKind::internal,
                    fmt::format("container's cgroup is not empty: {} process(es) found", count));
    }
    return false;
}

std::vector<CgroupDirectory> directories(const CgroupHost::Impl& host, std::string_view parent,
                                         std::string_view id) {
    const bool absolute = parent.starts_with('/');
    const std::string inner = clean(fmt::format("{}/{}", parent, id));
    std::vector<CgroupDirectory> found;
    found.reserve(host.hierarchies.size());
    for (const Hierarchy& hierarchy : host.hierarchies) {
        std::string path = inner;
        if (!absolute) {
            // The daemon's own v2 cgroup holds processes, so it cannot have controllers for
            // children: its parent can. Source: runc cgroups/fs2/defaultpath.go.
            const std::string own = clean(hierarchy.own_path);
            const std::string base_path = host.version == CgroupVersion::v2 ? parent_of(own) : own;
            if (!base_path.empty()) path = base_path + "/" + inner;
        }
        found.push_back({.hierarchy = &hierarchy, .path = std::move(path)});
    }
    return found;
}

}  // namespace

std::map<std::string, std::string, std::less<>> cgroups_of(std::string_view process) {
    std::map<std::string, std::string, std::less<>> own;
    const std::string text = files::read_text(AT_FDCWD, fmt::format("/proc/{}/cgroup", process));
    for (const std::string_view line : files::fields(text, "\n")) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string path(line.substr(second + 1));
        for (const auto& name : base::split(line.substr(first + 1, second - first - 1), ',')) {
            own[name] = path;
        }
    }
    return own;
}

std::string clean(std::string_view path) {
    std::vector<std::string> parts;
    for (const auto part : files::fields(path, "/")) {
        if (part == ".") continue;
        if (part == "..") {
            if (!parts.empty()) parts.pop_back();
            continue;
        }
        parts.emplace_back(part);
    }
    return base::join(parts, "/");
}

void make_parents(const CgroupDirectory& directory, bool unified) {
    std::string path;
    if (unified) enable_controllers(*directory.hierarchy, path);
    const std::string parents = parent_of(directory.path);
    for (const auto part : files::fields(parents, "/")) {
        if (!path.empty()) path += '/';
        path += part;
        if (::mkdirat(directory.root(), path.c_str(), 0755) != 0 && errno != EEXIST) {
            base::throw_errno(errno, "mkdir " + directory.hierarchy->mountpoint + "/" + path);
        }
        if (unified) enable_controllers(*directory.hierarchy, path);
    }
}

std::string CgroupDirectory::file(std::string_view name) const {
    return fmt::format("{}/{}", path, name);
}

std::string CgroupDirectory::host_path() const { return hierarchy->mountpoint + "/" + path; }

void CgroupDirectory::fail_write(int error, std::string_view name, std::string_view value) const {
    // Source: runc libcontainer/cgroups/file.go, WriteFile and OpenFile.
    const std::string place = host_path() + "/" + std::string(name);
    if (error == ENOENT) base::throw_errno(error, "open " + place);
    base::throw_errno(error,
                      fmt::format("failed to write {}: write {}", base::quote(value), place));
}

void CgroupDirectory::write(std::string_view name, std::string_view value) const {
    if (const int error = files::write(root(), file(name), value)) fail_write(error, name, value);
}

const CgroupDirectory* Cgroup::Impl::find(std::string_view controller) const {
    for (const CgroupDirectory& directory : directories) {
        if (unified() || directory.hierarchy->has(controller)) return &directory;
    }
    return nullptr;
}

CgroupHost::CgroupHost(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
CgroupHost::CgroupHost(CgroupHost&&) noexcept = default;
CgroupHost& CgroupHost::operator=(CgroupHost&&) noexcept = default;
CgroupHost::~CgroupHost() = default;

CgroupHost CgroupHost::open(std::optional<CgroupDriver> wanted) {
    auto impl = std::make_shared<Impl>();
    impl->units = std::make_shared<systemd::Units>(systemd::system_addresses());
    struct statfs place {};
    // Source: containerd/cgroups utils.go, Mode.
    if (::statfs(unified_mount, &place) == 0 && place.f_type == CGROUP2_SUPER_MAGIC) {
        impl->version = CgroupVersion::v2;
        const auto own = cgroups_of("self");
        const auto found = own.find("");
        impl->hierarchies.push_back(
            open_unified(unified_mount, found == own.end() ? "/" : found->second));
        impl->driver = wanted.value_or(was_booted_by_systemd() ? CgroupDriver::systemd
                                                               : CgroupDriver::cgroupfs);
    } else {
        impl->hierarchies = find_v1_hierarchies();
        if (impl->hierarchies.empty()) {
            throw Error(ErrorKind::internal, "no cgroup mount found in mountinfo");
        }
    }
    return CgroupHost(std::move(impl));
}

CgroupHost CgroupHost::open_recorded(CgroupVersion version, const std::string& root,
                                     const std::string& systemd_address) {
    auto impl = std::make_shared<Impl>();
    impl->version = version;
    impl->driver = systemd_address.empty() ? CgroupDriver::cgroupfs : CgroupDriver::systemd;
    impl->units = std::make_shared<systemd::Units>(
        std::vector<systemd::BusAddress>{{.address = systemd_address, .is_bus = false}});
    if (version == CgroupVersion::v2) {
        impl->hierarchies.push_back(open_unified(root, "/"));
        return CgroupHost(std::move(impl));
    }
    auto names = files::subfolders(AT_FDCWD, root);
    std::ranges::sort(names);
    for (const std::string& name : names) {
        Hierarchy hierarchy;
        hierarchy.name = name;
        hierarchy.controllers = base::split(name, ',');
        if (name == "systemd") hierarchy.controllers = {"name=systemd"};
        hierarchy.mountpoint = root + "/" + name;
        hierarchy.own_path = "/";
        hierarchy.root = open_folder(hierarchy.mountpoint);
        impl->hierarchies.push_back(std::move(hierarchy));
    }
    return CgroupHost(std::move(impl));
}

CgroupVersion CgroupHost::version() const { return impl_->version; }
CgroupDriver CgroupHost::driver() const { return impl_->driver; }

void CgroupHost::warm() const noexcept {
    try {
        if (impl_->hierarchies.empty()) return;
        const Hierarchy& hierarchy = impl_->hierarchies.front();
        const std::string& controller =
            hierarchy.controllers.empty() ? std::string() : hierarchy.controllers.front();
        const auto own = cgroups_of("self");
        const auto place = own.find(controller);
        // Only from the place the daemon is in now: it may have been moved since its start.
        if (place == own.end() || clean(place->second) != clean(hierarchy.own_path)) return;
        const std::string file = clean(place->second).empty()
                                     ? "cgroup.procs"
                                     : clean(place->second) + "/cgroup.procs";
        const base::Fd procs{
            ::openat(hierarchy.root.get(), file.c_str(), O_WRONLY | O_CLOEXEC)};
        // Refused is as good as absent: the next join then waits by itself.
        if (procs) (void)!::write(procs.get(), "0", 1);
    } catch (const std::exception&) {
        // As above.
    }
}

Cgroup CgroupHost::at(CgroupDriver driver, std::string_view parent, std::string_view id) const {
    auto impl = std::make_unique<Cgroup::Impl>();
    impl->host = impl_;
    const auto slice = systemd::slice_path(parent);
    if (driver == CgroupDriver::systemd && slice) {
        impl->unit = systemd::scope_name(id);
        impl->path = fmt::format("{}{}/{}", slice->empty() ? "" : "/", *slice, impl->unit);
        impl->directories = directories(*impl_, "/" + *slice, impl->unit);
    } else {
        impl->path = fmt::format("{}/{}", parent == "/" ? "" : parent, id);
        impl->directories = directories(*impl_, parent, id);
    }
    return Cgroup(std::move(impl));
}

Cgroup CgroupHost::attach(std::string_view parent, std::string_view id) const {
    return at(impl_->driver, parent, id);
}

Cgroup CgroupHost::create(std::string_view parent, std::string_view id,
                          const CgroupLimits& limits) const {
    if (clean(id).empty() || id.find('/') != std::string_view::npos) {
        throw Error(ErrorKind::invalid_argument, fmt::format("invalid cgroup name: {}", id));
    }
    Cgroup cgroup = at(CgroupDriver::cgroupfs, parent, id);
    const Cgroup::Impl& impl = *cgroup.impl_;
    std::vector<const CgroupDirectory*> made;
    base::Undo remove_made([&]() noexcept {
        for (const CgroupDirectory* directory : made) {
            (void)::unlinkat(directory->root(), directory->path.c_str(), AT_REMOVEDIR);
        }
    });
    for (const CgroupDirectory& directory : impl.directories) {
        if (make_directory(directory, impl.unified())) made.push_back(&directory);
        if (!impl.unified() && directory.hierarchy->has("cpuset")) {
            inherit_cpuset(directory, limits);
        }
    }
    if (impl.unified()) {
        apply_limits_v2(impl.directories.front(), limits);
    } else {
        apply_limits_v1(impl, limits);
    }
    remove_made.dismiss();
    return cgroup;
}

std::string CgroupHost::controller_path(std::string_view controller) const {
    const Hierarchy* hierarchy = impl_->find(controller);
    return hierarchy ? hierarchy->mountpoint : std::string();
}

std::vector<std::string> CgroupHost::controllers() const {
    std::vector<std::string> all;
    for (const Hierarchy& hierarchy : impl_->hierarchies) {
        all.insert(all.end(), hierarchy.controllers.begin(), hierarchy.controllers.end());
    }
    return all;
}

std::string cgroup_parent(std::string_view container, std::string_view daemon,
                          CgroupDriver driver) {
    if (!container.empty()) return std::string(container);
    if (!daemon.empty()) return std::string(daemon);
    return driver == CgroupDriver::systemd ? "system.slice" : "/docker";
}

}  // namespace dockerd::runtime
