#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/tar.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/build/glob.hpp>
#include <dockerd/sys/paths.hpp>

#include "build/stage_run.hpp"
#include "build/copy_target.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

bool is_url(const std::string& source) {
    return source.starts_with("http://") || source.starts_with("https://");
}

/// Files of a tree by one source of an instruction.
// Source: moby builder/dockerfile/copy.go, calcCopyInfo.
void add_items(std::vector<CopyItem>& items, SourceTree& tree, std::string given,
               bool from_context) {
    if (given.starts_with('/')) given.erase(0, 1);
    if (given.starts_with("./")) given.erase(0, 2);
    if (build::has_wildcards(given)) {
        for (const std::string& found : tree.match(given)) {
            items.push_back({.tree = &tree, .path = found, .hash = tree.hash(found)});
        }
        return;
    }
    const std::string path = cleaned_source(given);
    if (!tree.look_at(path)) {
        const std::string text = fmt::format("stat {}: file does not exist", given);
        base::fail(ErrorKind::internal,
                   from_context
                       ? "file not found in build context or excluded by .dockerignore: " + text
                       : text);
    }
    items.push_back({.tree = &tree, .path = path, .hash = tree.hash(path)});
}

std::string hash_of(const std::vector<CopyItem>& items) {
    if (items.size() == 1) return items.front().hash;
    std::vector<std::string> sums;
    for (const CopyItem& item : items) sums.push_back(item.hash);
    return hash_of_list("multi", sums);
}

// Source: moby builder/dockerfile/copy_unix.go, normalizeDest.
std::string destination_of(const std::string& working_dir, const std::string& given) {
    std::string path =
        build::clean_path(given.starts_with('/') ? given : working_dir + "/" + given);
    if (given.ends_with('/') && path != "/") path += '/';
    return path;
}

}  // namespace

/// The tree that --from names; the build's own context without it.
SourceTree& StageRun::source_tree(const std::string& from) {
    if (from.empty()) {
        if (context_ == nullptr) base::fail(ErrorKind::internal, "missing build context");
        return context_->files();
    }
    const std::string what = "invalid from flag value " + from;
    const auto stage =
        base::in_context(what, [&] { return build_.names().find_or_number(from, number_); });
    const std::string image = stage ? build_.image_of(*stage, log_) : std::string();
    std::string chain;
    base::in_context(what, [&] {
        if (!stage) {
            chain = get_image(from, options_.platform, /*is_stage=*/false)->chain_id;
        } else if (!image.empty()) {
            chain = get_image(image, "", /*is_stage=*/true)->chain_id;
        }
    });
    return build_.files_of(chain);
}

// Source: moby builder/dockerfile/internals.go, performCopy.
void StageRun::copy_files(StageState& stage, const build::Copy& copy) {
    const std::string name = copy.is_add ? "ADD" : "COPY";
    if (copy.parents || !copy.excludes.empty() || copy.unpack || copy.keep_git_dir) {
        base::fail(ErrorKind::not_implemented,
                   name + " --parents, --exclude, --unpack and --keep-git-dir are not supported by "
                          "this daemon yet");
    }
    Downloads downloads;
    std::vector<CopyItem> items;
    if (!copy.checksum.empty() && (copy.sources.size() != 1 || !is_url(copy.sources.front()))) {
        base::fail(ErrorKind::internal, "checksum can't be specified for non-HTTP(S) sources");
    }
    if (!copy.sources.empty()) {
        SourceTree* tree = nullptr;
        if (!copy.from.empty()) tree = &source_tree(copy.from);
        base::in_context(name + " failed", [&] {
            for (const std::string& source : copy.sources) {
                if (is_url(source)) {
                    add_download(items, copy, source, downloads);
                    continue;
                }
                if (tree == nullptr) tree = &source_tree("");
                add_items(items, *tree, source, copy.from.empty());
            }
        });
    }
    for (const build::Heredoc& file : copy.files) items.push_back(inline_item(stage, file));
    if (items.empty()) base::fail(ErrorKind::internal, name + " failed: no source files were specified");
    if (items.size() > 1 && !copy.destination.ends_with('/')) {
        base::fail(ErrorKind::internal,
                   fmt::format("When using {} with more than one source file, the destination must "
                               "be a directory and end with a /",
                               name));
    }
    std::string flags;
    if (!copy.chown.empty()) flags += "--chown=" + copy.chown + " ";
    if (!copy.chmod.empty()) flags += "--chmod=" + copy.chmod + " ";
    model::ContainerConfig config = stage.state.config;
    auto command = build::shell_of(config);
    command.push_back(
        fmt::format("#(nop) {} {}{} in {} ", name, flags, hash_of(items), copy.destination));
    config.cmd = {};
    config.cmd.assign(command.begin(), command.end());
    if (find_cached(stage, config)) return;

    const auto parent = stage.image_id.empty() ? nullptr : parts_.store.get_by_id(stage.image_id);
    WorkLayer layer(parts_.store.layers(), parent ? parent->chain_id : std::string());
    CopyTarget target(layer.root(), parts_.store.layers().unpacker(),
                      destination_of(stage.state.config.working_dir, copy.destination));
    target.set_mode(copy.chmod);
    if (!copy.chown.empty()) {
        base::in_context("unable to convert uid/gid chown string to host mapping",
                         [&] { target.set_owner(copy.chown); });
    } else if (!copy.from.empty()) {
        target.keep_owners();
    }
    base::in_context("failed to copy files", [&] {
        for (const CopyItem& item : items) target.put(item, copy.is_add);
    });
    commit(stage, config, "", layer.stage());
}

/// Content that stands in the Dockerfile.
CopyItem StageRun::inline_item(const StageState& stage, const build::Heredoc& file) const {
    CopyItem item;
    item.path = file.name;
    item.text = file.text();
    if (file.expand) {
        std::vector<std::string> environment = stage.state.config.env;
        const auto arguments = stage.args.of_stage(environment);
        environment.insert(environment.end(), arguments.begin(), arguments.end());
        item.text = build::expand_text(*item.text, environment, escape_);
    }
    item.hash = "file:" + hash_of_text(file.name, *item.text);
    return item;
}

// Source: moby builder/dockerfile/copy.go, getCopyInfoForSourcePath.
void StageRun::add_download(std::vector<CopyItem>& items, const build::Copy& copy,
                            const std::string& url, Downloads& downloads) {
    if (!copy.is_add) base::fail(ErrorKind::internal, "source can't be a URL for COPY");
    auto file = std::make_unique<DownloadedFile>(parts_, options_.caller, log_, url, copy.checksum);
    if (file->name().empty() && copy.destination.ends_with('/')) {
        base::fail(ErrorKind::internal, "cannot determine filename for source " + url);
    }
    const std::string hash = file->files().hash(file->file());
    items.push_back({.tree = &file->files(),
                     .path = file->file(),
                     .hash = hash.substr(hash.find(':') + 1),
                     .no_unpack = true});
    downloads.push_back(std::move(file));
}

}  // namespace dockerd::engine::builds
