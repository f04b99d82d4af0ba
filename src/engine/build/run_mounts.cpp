#include <sys/stat.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/expand.hpp>

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

std::string cache_id(const build::RunMount& mount) {
    return mount.id.empty() ? mount.target : mount.id;
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
        if (step.mount.type == "cache" && !(step.mount.from.empty() && step.mount.source.empty())) {
            base::fail(ErrorKind::not_implemented,
                       "from and source of a cache mount are not supported by this daemon yet");
        }
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
    const std::string source = mount.source.empty() ? "." : build::clean_path("/" + mount.source);
    const std::string path = build::clean_path("/" + source).substr(1);
    if (!tree.look_at(path)) {
        base::fail(ErrorKind::not_found, base::quote("/" + path) + ": not found");
    }
    step.key += " " + tree.hash(path);
    step.path = tree.resolve(path);
    if (mount.from.empty()) return;
    const auto earlier = build_.names().find_or_number(mount.from, number_);
    step.image = earlier ? build_.image_of(*earlier, log_)
                         : get_image(mount.from, options_.platform, false)->id;
    if (step.image.empty()) {
        base::fail(ErrorKind::not_found, base::quote("/" + path) + ": not found");
    }
}

/// The same as mounts of a container. Folders of caches are taken until the leases go.
std::vector<model::Mount> StageRun::take_mounts(
    const std::vector<StepMount>& steps, std::vector<std::unique_ptr<CacheMounts::Lease>>& leases) {
    std::vector<model::Mount> out;
    // In one order for all steps: none holds what another one waits for.
    std::map<std::string, std::string> folders;
    for (const StepMount& step : steps) {
        if (step.mount.type == "cache") folders.try_emplace(cache_id(step.mount));
    }
    for (auto& [id, folder] : folders) {
        const auto first = std::ranges::find_if(steps, [&id](const StepMount& step) {
            return step.mount.type == "cache" && cache_id(step.mount) == id;
        });
        leases.push_back(parts_.caches.take(id, first->mount, *log_.cancellation()));
        folder = leases.back()->path();
    }
    for (const StepMount& step : steps) {
        model::Mount mount{.type = step.mount.type, .target = step.mount.target};
        mount.read_only = step.mount.read_only;
        if (step.mount.type == "tmpfs") {
            mount.tmpfs_options.emplace().size_bytes = step.mount.size;
        } else if (step.mount.type == "cache") {
            mount.type = "bind";
            mount.source = folders.at(cache_id(step.mount));
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
