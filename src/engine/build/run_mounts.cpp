#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include <fmt/format.h>

#include <dockerd/archive/pack.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/sys/paths.hpp>

#include "build/stage_run.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

/// Where below the working directory it is seen; never the root itself.
std::string target_of(const build::RunMount& mount, const std::string& working_dir) {
    if (mount.target.empty()) {
        base::fail(ErrorKind::invalid_argument, mount.type + " mount: target required");
    }
    const std::string path = build::clean_path(
        mount.target.starts_with('/') ? mount.target : working_dir + "/" + mount.target);
    if (path == "/") {
        base::fail(ErrorKind::invalid_argument,
                   "invalid mount target " + base::quote(mount.target));
    }
    return path;
}

[[noreturn]] void not_found(const std::string& path) {
    base::fail(ErrorKind::not_found, base::quote("/" + path) + ": not found");
}

/// Without the first "/".
std::string path_of_source(const build::RunMount& mount) {
    return build::clean_path("/" + mount.source).substr(1);
}

/// Nothing comes with a request of the classic builder that these could be had from.
void check_not_required(const build::RunMount& mount) {
    if (!mount.required) return;
    const std::string id = !mount.id.empty()       ? mount.id
                           : !mount.source.empty() ? mount.source
                                                   : mount.target;
    base::fail(ErrorKind::not_found,
               mount.type == "ssh" ? fmt::format("no SSH key {} forwarded from the client",
                                                 base::quote(id.empty() ? "default" : id))
                                   : fmt::format("secret {}: not found", id));
}

}  // namespace

/// What the mounts of a RUN mean; their sources are looked up and hashed, nothing is taken yet.
std::vector<StageRun::StepMount> StageRun::read_mounts(const StageState& stage,
                                                       const build::Run& run) {
    std::vector<std::string> environment = stage.state.config.env;
    const auto arguments = stage.args.of_stage(environment);
    environment.insert(environment.end(), arguments.begin(), arguments.end());
    std::vector<StepMount> out;
    for (const std::string& text : run.mounts) {
        StepMount step{.mount = build::read_run_mount(text, [&](std::string_view word) {
                           return build::expand_word(word, environment, escape_);
                       })};
        if (step.mount.type == "secret" || step.mount.type == "ssh") {
            check_not_required(step.mount);
            continue;
        }
        step.mount.target = target_of(step.mount, stage.state.config.working_dir);
        step.key = "mount:" + text;
        if (step.mount.type == "bind") find_bind(step);
        if (step.mount.type == "cache") find_seed(step);
        out.push_back(std::move(step));
    }
    return out;
}

/// Of the context a folder of the host, of an image or stage a mount of the image: what others made
/// is never a path of the host.
void StageRun::find_bind(StepMount& step) {
    const auto& mount = step.mount;
    if (!mount.read_only) {
        base::fail(ErrorKind::not_implemented,
                   "bind mounts that can be written to are not supported by this daemon yet");
    }
    SourceTree& tree = source_tree(mount.from);
    const std::string path = path_of_source(mount);
    if (!tree.look_at(path)) not_found(path);
    step.key += " " + tree.hash(path);
    step.path = tree.resolve(path);
    if (!mount.from.empty()) step.image = source_image(mount.from, path);
}

/// The image of what `from` names, which has something at `path`.
std::string StageRun::source_image(const std::string& from, const std::string& path) {
    const auto earlier = build_.names().find_or_number(from, number_);
    std::string image = earlier ? build_.image_of(*earlier, log_)
                                : get_image(from, options_.platform, false)->id;
    if (image.empty()) not_found(path);
    return image;
}

/// A cache is called by its id and what it begins with, so that each begins with the right files.
// Source: buildkit frontend/dockerfile/dockerfile2llb/convert_runmount.go, dispatchRunMounts.
void StageRun::find_seed(StepMount& step) {
    const auto& mount = step.mount;
    step.image = mount.id.empty() ? mount.target : mount.id;
    const std::string path = path_of_source(mount);
    if (mount.from.empty() || mount.from == "scratch") {
        if (!path.empty()) not_found(path);  // in nothing
        return;
    }
    SourceTree& tree = source_tree(mount.from);
    const auto image = parts_.store.get_by_id(source_image(mount.from, path));
    step.key += " " + image->chain_id;
    step.image += " " + image->chain_id;
    // Who says whose it is to be wants an empty one.
    if (path.empty() && (mount.uid || mount.gid || mount.mode)) return;
    const auto info = tree.look_at(path);
    if (!info) not_found(path);
    if (!S_ISDIR(info->st_mode)) {
        base::fail(ErrorKind::invalid_argument, base::quote("/" + path) + ": not a directory");
    }
    step.seed = &tree;
    step.path = tree.resolve(path);
    step.image += " /" + step.path;
}

void StageRun::fill_cache(const StepMount& step, int data) const {
    const std::string place = step.path.empty() ? "." : step.path;
    const base::Fd source =
        sys::try_open_in_root(step.seed->root(), place, O_RDONLY | O_DIRECTORY);
    struct stat info {};
    if (!source || ::fstat(source.get(), &info) != 0) base::throw_errno(errno, "open " + place);
    const auto tar = archive::produce([&](const archive::ByteSink& sink) {
        archive::pack(source.get(), {}, sink);
    });
    (void)parts_.store.layers().unpacker().unpack_archive(tar, data, {});
    if (::fchown(data, info.st_uid, info.st_gid) != 0 ||
        ::fchmod(data, info.st_mode & 07777U) != 0) {
        base::throw_errno(errno, "chown " + place);
    }
}

/// The same as mounts of a container. Folders of caches are taken until the leases go.
std::vector<model::Mount> StageRun::take_mounts(
    const std::vector<StepMount>& steps, std::vector<std::unique_ptr<CacheMounts::Lease>>& leases) {
    std::vector<model::Mount> out;
    // In one order for all steps: none holds what another one waits for.
    std::map<std::string, std::string> folders;
    for (const StepMount& step : steps) {
        if (step.mount.type == "cache") folders.try_emplace(step.image);
    }
    for (auto& [id, folder] : folders) {
        const auto first = std::ranges::find_if(steps, [&id](const StepMount& step) {
            return step.mount.type == "cache" && step.image == id;
        });
        CacheMounts::Fill fill;
        if (first->seed != nullptr) fill = [&](int data) { fill_cache(*first, data); };
        leases.push_back(parts_.caches.take(id, first->mount, *log_.cancellation(), fill));
        folder = leases.back()->path();
    }
    for (const StepMount& step : steps) {
        model::Mount mount{.type = step.mount.type, .target = step.mount.target};
        mount.read_only = step.mount.read_only;
        if (step.mount.type == "tmpfs") {
            mount.tmpfs_options.emplace().size_bytes = step.mount.size;
        } else if (step.mount.type == "cache") {
            mount.type = "bind";
            mount.source = folders.at(step.image);
        } else if (!step.image.empty()) {
            mount.type = "image";
            mount.source = step.image;
            mount.image_options.emplace().subpath = step.path;
        } else {
            mount.source = context_->path() + (step.path.empty() ? "" : "/" + step.path);
        }
        out.push_back(std::move(mount));
    }
    return out;
}

}  // namespace dockerd::engine::builds
