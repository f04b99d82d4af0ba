#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/runtime/plan_container.hpp>
#include <dockerd/sys/paths.hpp>

#include "cgroup/files.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;
using base::Error;
using base::ErrorKind;

namespace {

struct MountPoint {
    std::string path;
    bool shared = false;
    bool slave = false;
};

/// The mount that `path` lies on. Mount points with blanks are escaped in mountinfo and are found
/// by the mount above them, as good as Docker's own look-up.
MountPoint mount_of(const std::string& path) {
    MountPoint best;
    const std::string text = files::read_text(AT_FDCWD, "/proc/self/mountinfo");
    for (const auto line : files::fields(text, "\n")) {
        const auto words = files::fields(line, " ");
        if (words.size() < 7) continue;
        const std::string_view point = words[4];
        const bool above =
            path.starts_with(point) &&
            (point == "/" || path.size() == point.size() || path[point.size()] == '/');
        if (!above || point.size() < best.path.size()) continue;
        best = {.path = std::string(point)};
        for (std::size_t at = 6; at < words.size() && words[at] != "-"; ++at) {
            best.shared = best.shared || words[at].starts_with("shared:");
            best.slave = best.slave || words[at].starts_with("master:");
        }
    }
    return best;
}

/// Source: moby daemon/oci_linux.go, ensureShared and ensureSharedOrSlave.
void check_propagation(const SourceToOpen& source) {
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(source.path.c_str(), nullptr),
                                                      &std::free);
    if (!real) base::throw_errno(errno, "lstat " + source.path);
    const MountPoint found = mount_of(real.get());
    if (found.shared) return;
    const bool slave_will_do = source.required_propagation == "slave";
    if (slave_will_do && found.slave) return;
    throw Error(ErrorKind::internal,
                fmt::format("path {} is mounted on {} but it is not a {} mount", source.path,
                            found.path, slave_will_do ? "shared or slave" : "shared"));
}

base::Fd open_source(const SourceToOpen& source, const Mount& mount) {
    const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                           (source.recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
    if (!source.subpath.empty()) {
        base::Fd tree{::open_tree(open_subpath(source.path, source.subpath).get(), "",
                                  flags | static_cast<unsigned>(AT_EMPTY_PATH))};
        if (!tree) base::throw_errno(errno, "failed to mount resolved path");
        return tree;
    }
    base::Fd tree{::open_tree(AT_FDCWD, source.path.c_str(), flags)};
    if (!tree) {
        base::throw_errno(errno, fmt::format("error mounting \"{}\" to rootfs at \"{}\"",
                                             source.path, mount.destination));
    }
    return tree;
}

}  // namespace

base::Fd open_subpath(const std::string& top, const std::string& subpath) {
    const base::Fd volume{::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!volume) {
        throw Error(ErrorKind::not_found,
                    fmt::format("cannot access path {}: {}", top, base::errno_text(errno)),
                    errno);
    }
    base::Fd found = sys::try_open_beneath(volume.get(), subpath, O_PATH);
    if (found) return found;
    const int error = errno;
    if (error == EXDEV) {
        throw Error(ErrorKind::invalid_argument,
                    fmt::format("path concatenation escapes the base directory, base: {}, "
                                "subpath: {}",
                                top, subpath));
    }
    throw Error(error == ENOENT || error == ELOOP ? ErrorKind::not_found : ErrorKind::internal,
                fmt::format("cannot access path {0}/{1}: lstat {0}/{1}: {2}", top, subpath,
                            base::errno_text(error)),
                error);
}

void open_sources(PlannedContainer& planned) {
    for (const SourceToOpen& source : planned.sources) {
        Mount& mount = planned.plan.mounts.at(source.mount);
        if (!source.required_propagation.empty()) check_propagation(source);
        base::Fd tree = open_source(source, mount);
        if (source.hierarchy) {
            mount.hierarchies.at(*source.hierarchy).tree = std::move(tree);
            continue;
        }
        struct stat info {};
        if (::fstat(tree.get(), &info) != 0) base::throw_errno(errno, "stat " + source.path);
        mount.is_file = !S_ISDIR(info.st_mode);
        mount.tree = std::move(tree);
    }
    planned.sources.clear();
}

}  // namespace dockerd::runtime
