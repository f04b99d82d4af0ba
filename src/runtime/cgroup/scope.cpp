#include <algorithm>

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

namespace {

/// `path` up to the part that is called `name`; empty when none is.
std::string up_to(std::string_view path, std::string_view name) {
    std::string out;
    for (const auto part : files::fields(path, "/")) {
        out += fmt::format("/{}", part);
        if (part == name) return out;
    }
    return {};
}

}  // namespace

std::string_view driver_name(CgroupDriver driver) {
    return driver == CgroupDriver::systemd ? "systemd" : "cgroupfs";
}

bool is_slice_name(std::string_view parent) {
    constexpr std::string_view suffix = ".slice";
    return parent.size() > suffix.size() && parent.ends_with(suffix);
}

int CgroupHost::Impl::systemd_version() const {
    // Two that ask at once hear the same.
    if (known_version == 0) known_version = units->version();
    return known_version;
}

Cgroup CgroupHost::create_scope(std::string_view slice, std::string_view id, pid_t pid,
                                const CgroupLimits& limits) const {
    if (!systemd::slice_path(slice)) {
        base::fail(base::ErrorKind::internal, fmt::format("invalid slice name: {}", slice));
    }
    Cgroup cgroup = at(CgroupDriver::systemd, slice, id);
    const Cgroup::Impl& impl = *cgroup.impl_;
    base::in_context(fmt::format("unable to start unit {}", base::quote(impl.unit)), [&] {
        auto properties = systemd::scope_properties(id, slice, pid);
        std::ranges::move(systemd::limit_properties(limits, impl_->systemd_version()),
                          std::back_inserter(properties));
        impl_->units->start(impl.unit, properties);
    });
    base::Undo stop([&]() noexcept {
        try {
            cgroup.kill_all();
            (void)cgroup.remove();
        } catch (const std::exception&) {
            // What is in it ends with the start that fails, and the scope with that.
        }
    });
    make_parents(impl.directories.front(), /*unified=*/true);
    apply_limits_v2(impl.directories.front(), limits);
    stop.dismiss();
    return cgroup;
}

Cgroup CgroupHost::find(std::string_view parent, std::string_view id, pid_t pid) const {
    Cgroup place = attach(parent, id);
    if (impl_->version != CgroupVersion::v2) return place;
    const Hierarchy& unified = impl_->hierarchies.front();
    const auto is_there = [&](std::string_view path) {
        return !path.empty() && files::exists(unified.root.get(), std::string(path.substr(1)));
    };
    if (pid > 0) {
        const auto of_process = cgroups_of(std::to_string(pid));
        const auto found = of_process.find("");
        const std::string own = found == of_process.end() ? std::string() : found->second;
        const std::string scope = systemd::scope_name(id);
        const std::string in_scope = up_to(own, scope);
        const std::string path = in_scope.empty() ? up_to(own, id) : in_scope;
        if (is_there(path)) {
            place.impl_->unit = in_scope.empty() ? std::string() : scope;
            place.impl_->path = path;
            place.impl_->directories.front().path = path.substr(1);
        }
        return place;
    }
    // A scope is gone with its last process, a directory is not.
    if (!place.impl_->unit.empty() && !is_there(place.path())) {
        Cgroup directory = at(CgroupDriver::cgroupfs, cgroup_parent({}, {}), id);
        if (is_there(directory.path())) return directory;
    }
    return place;
}

}  // namespace dockerd::runtime
