#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <future>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/tar.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/thread.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/build/glob.hpp>
#include <dockerd/build/ignore.hpp>
#include <dockerd/sys/paths.hpp>

#include "build/stage_run.hpp"
#include "build/copy_target.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

bool is_url(const std::string& source) {
    return source.starts_with("http://") || source.starts_with("https://");
}

/// What --exclude leaves: of a directory by the paths in it, of a file by its name.
// Source: buildkit docs, "COPY --exclude"; tonistiigi/fsutil copy/copy.go.
class Excludes {
public:
    explicit Excludes(const std::vector<std::string>& patterns)
        : ignore_(patterns), any_(!patterns.empty()) {}
    [[nodiscard]] bool any() const { return any_; }
    [[nodiscard]] bool has(const std::string& path) const { return any_ && ignore_.matches(path); }

private:
    build::Ignore ignore_;
    bool any_;
};

void add_item(std::vector<CopyItem>& items, SourceTree& tree, const std::string& path,
              const Excludes& excludes) {
    CopyItem item{.tree = &tree, .path = path};
    const auto info = excludes.any() ? tree.look_at(path) : std::nullopt;
    if (info && S_ISDIR(info->st_mode)) {
        item.only = tree.choose(
            path, [&](const std::string& below) { return !excludes.has(below); }, item.hash);
    } else {
        if (excludes.has(path.substr(path.rfind('/') + 1))) return;
    }
    items.push_back(std::move(item));
}

/// Files of a tree by one source of an instruction.
// Source: moby builder/dockerfile/copy.go, calcCopyInfo.
void add_items(std::vector<CopyItem>& items, SourceTree& tree, std::string given,
               const Excludes& excludes, bool from_context) {
    if (given.starts_with('/')) given.erase(0, 1);
    if (given.starts_with("./")) given.erase(0, 2);
    if (build::has_wildcards(given)) {
        for (const std::string& found : tree.match(given)) add_item(items, tree, found, excludes);
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
    add_item(items, tree, path, excludes);
}

/// The same with --parents: paths are kept from the root, or from "/./" on.
// Source: buildkit frontend/dockerfile/dockerfile2llb/convert.go, dispatchCopy.
void add_with_parents(std::vector<CopyItem>& items, SourceTree& tree, const std::string& given,
                      const Excludes& excludes, bool from_context) {
    const auto pivot = given.find("/./");
    const std::string top = pivot == std::string::npos ? "" : given.substr(0, pivot);
    const std::string pattern =
        build::clean_path("/" + (pivot == std::string::npos ? given : given.substr(pivot + 3)))
            .substr(1);
    CopyItem item{.tree = &tree, .path = cleaned_source(top)};
    if (tree.look_at(item.path)) {
        const bool all = pattern.empty();
        const build::Ignore chosen(all ? std::vector<std::string>{}
                                       : std::vector<std::string>{pattern});
        item.only = tree.choose(
            item.path,
            [&](const std::string& path) {
                return (all || chosen.matches(path)) && !excludes.has(path);
            },
            item.hash);
    }
    if (!item.only || (item.only->empty() && !build::has_wildcards(pattern) && !excludes.any())) {
        std::vector<CopyItem> none;
        add_items(none, tree, given, excludes, from_context);  // says what is missing
    }
    items.push_back(std::move(item));
}

// Source: buildkit frontend/dockerfile/dockerfile2llb/convert.go, dispatchCopy.
void check_checksum(const build::Copy& copy) {
    if (copy.checksum.empty()) return;
    if (copy.sources.size() != 1) {
        base::fail(ErrorKind::internal, "checksum can't be specified for multiple sources");
    }
    if (!is_url(copy.sources.front()) && !git::parse_added(copy.sources.front())) {
        base::fail(ErrorKind::internal, "checksum requires HTTP(S) or Git sources");
    }
}

std::string hash_of(const std::vector<CopyItem>& items) {
    std::vector<std::string> sums;
    for (const CopyItem& item : items) {
        sums.push_back(item.hash.empty() ? item.tree->hash(item.path) : item.hash);
    }
    return sums.size() == 1 ? sums.front() : hash_of_list("multi", sums);
}

/// What makes a sum, on a thread of its own if there is one to be had. It is over when this goes.
class Hashing {
public:
    explicit Hashing(const std::function<std::string()>& sum)
        : task_(sum), result_(task_.get_future()) {
        try {
            thread_ = base::start_quiet_thread([this] { task_(); });
        } catch (const std::system_error&) {
            task_();
        }
    }
    Hashing(const Hashing&) = delete;
    Hashing& operator=(const Hashing&) = delete;
    ~Hashing() {
        if (thread_.joinable()) thread_.join();
    }
    std::string result() { return result_.get(); }

private:
    std::packaged_task<std::string()> task_;
    std::future<std::string> result_;
    std::thread thread_;
};

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
    Downloads downloads;
    Repositories repositories;
    std::vector<CopyItem> items;
    check_checksum(copy);
    add_sources(items, copy, downloads, repositories);
    for (const build::Heredoc& file : copy.files) items.push_back(inline_item(stage, file));
    if (items.empty()) base::fail(ErrorKind::internal, name + " failed: no source files were specified");
    if (items.size() > 1 && !copy.destination.ends_with('/')) {
        base::fail(ErrorKind::internal,
                   fmt::format("When using {} with more than one source file, the destination must "
                               "be a directory and end with a /",
                               name));
    }
    const auto sum = [&] { return base::in_context(name + " failed", [&] { return hash_of(items); }); };
    model::ContainerConfig config = stage.state.config;
    const bool may_be_cached = !options_.no_cache && !stage.cache_missed;
    if (may_be_cached) {
        set_copy_command(config, copy, sum());
        if (find_cached(stage, config)) return;
    }
    base::in_context("ADD failed", [&] { fetch_repositories(items, copy, repositories); });
    // A server may have something else by then than what it said.
    if (may_be_cached && repositories.empty()) {
        return commit(stage, config, "", make_copy(stage, copy, items));
    }
    // Nobody asks for the step's name before it is made.
    Hashing hashing(sum);
    auto layer = [&] {
        try {
            return make_copy(stage, copy, items);
        } catch (...) {
            (void)hashing.result();  // what is wrong with the source is said first
            throw;
        }
    }();
    set_copy_command(config, copy, hashing.result());
    commit(stage, config, "", std::move(layer));
}

/// The command that a step of COPY or ADD is known by.
void StageRun::set_copy_command(model::ContainerConfig& config, const build::Copy& copy,
                                const std::string& sum) {
    const std::string name = copy.is_add ? "ADD" : "COPY";
    std::string flags;
    if (!copy.chown.empty()) flags += "--chown=" + copy.chown + " ";
    if (!copy.chmod.empty()) flags += "--chmod=" + copy.chmod + " ";
    if (copy.parents) flags += "--parents ";
    if (copy.unpack) flags += fmt::format("--unpack={} ", *copy.unpack);
    auto command = build::shell_of(config);
    command.push_back(fmt::format("#(nop) {} {}{} in {} ", name, flags, sum, copy.destination));
    config.cmd = {};
    config.cmd.assign(command.begin(), command.end());
}

store::StagedLayer StageRun::make_copy(const StageState& stage, const build::Copy& copy,
                                       const std::vector<CopyItem>& items) {
    const auto parent = stage.image_id.empty() ? nullptr : parts_.store.get_by_id(stage.image_id);
    WorkLayer layer(parts_.store.layers(), parent ? parent->chain_id : std::string());
    LargeFiles large;
    CopyTarget target(layer.root(), parts_.store.layers().unpacker(), large,
                      destination_of(stage.state.config.working_dir, copy.destination));
    target.set_mode(copy.chmod);
    if (!copy.chown.empty()) {
        base::in_context("unable to convert uid/gid chown string to host mapping",
                         [&] { target.set_owner(copy.chown); });
    } else if (!copy.from.empty()) {
        target.keep_owners();
    }
    base::in_context("failed to copy files", [&] {
        for (const CopyItem& item : items) target.put(item, copy.unpack.value_or(copy.is_add));
    });
    return layer.stage(large);
}

void StageRun::add_sources(std::vector<CopyItem>& items, const build::Copy& copy,
                           Downloads& downloads, Repositories& repositories) {
    if (copy.sources.empty()) return;
    const Excludes excludes(copy.excludes);
    SourceTree* tree = nullptr;
    if (!copy.from.empty()) tree = &source_tree(copy.from);
    base::in_context(copy.is_add ? "ADD failed" : "COPY failed", [&] {
        for (const std::string& source : copy.sources) {
            if (auto repository = copy.is_add ? git::parse_added(source) : std::nullopt) {
                add_repository(items, copy, std::move(*repository), repositories);
                continue;
            }
            if (is_url(source)) {
                add_download(items, copy, source, downloads);
                continue;
            }
            if (tree == nullptr) tree = &source_tree("");
            if (copy.parents) {
                add_with_parents(items, *tree, source, excludes, copy.from.empty());
            } else {
                add_items(items, *tree, source, excludes, copy.from.empty());
            }
        }
    });
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
                     .no_unpack = !copy.unpack.value_or(false)});
    downloads.push_back(std::move(file));
}

namespace {

/// Of what is to be taken of a repository, by what the repository is known by.
std::string repository_hash(const std::string& known_by, const build::Copy& copy) {
    archive::Sha256 sum;
    sum.update(known_by);
    for (const std::string& pattern : copy.excludes) sum.update('\0' + pattern);
    return "git:" + sum.hex();
}

bool is_gits_own(const std::string& path) {
    return ("/" + path + "/").find("/.git/") != std::string::npos;
}

}  // namespace

// Source: buildkit frontend/dockerfile/dockerfile2llb/convert.go, dispatchCopy.
void StageRun::add_repository(std::vector<CopyItem>& items, const build::Copy& copy,
                              git::Source source, Repositories& repositories) {
    auto files = std::make_unique<AddedRepository>(
        parts_, std::move(source),
        git::Repository::Wish{.checksum = copy.checksum, .keep_git_dir = copy.keep_git_dir},
        log_.cancellation());
    items.push_back({.hash = repository_hash(files->resolve(), copy)});
    repositories.push_back({.item = items.size() - 1, .files = std::move(files)});
}

void StageRun::fetch_repositories(std::vector<CopyItem>& items, const build::Copy& copy,
                                  Repositories& repositories) {
    const Excludes excludes(copy.excludes);
    for (Repository& repository : repositories) {
        CopyItem& item = items[repository.item];
        AddedRepository& files = *repository.files;
        item.hash = repository_hash(files.fetch(), copy);
        item.tree = &files.files();
        item.path = files.directory();
        if (files.keeps_git_dir() && !excludes.any()) continue;
        std::string sum;
        item.only = item.tree->choose(
            item.path,
            [&](const std::string& path) {
                return (files.keeps_git_dir() || !is_gits_own(path)) && !excludes.has(path);
            },
            sum);
    }
}

}  // namespace dockerd::engine::builds
