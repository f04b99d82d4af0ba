#include "build/git_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <dockerd/archive/pack.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/apply.hpp>
#include <dockerd/runtime/seccomp.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

/// Whom git runs as. Source: src/git/jail_files.hpp.
constexpr unsigned git_user = 65534;

std::vector<std::string> environment_of(bool has_keys) {
    std::vector<std::string> out{
        "HOME=/root", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_ATTR_NOSYSTEM=1",
        "GIT_TERMINAL_PROMPT=0", "GIT_PROTOCOL_FROM_USER=0", "SSH_ASKPASS_REQUIRE=never",
        // Also of submodules. Files of the host are none of anybody's repositories.
        std::string("GIT_ALLOW_PROTOCOL=git:http:https") + (has_keys ? ":ssh" : "")};
    const char* const path = std::getenv("PATH");
    out.push_back(
        std::string("PATH=") +
        (path != nullptr ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    for (const char* name : {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy",
                             "https_proxy", "no_proxy", "all_proxy"}) {
        if (const char* const value = std::getenv(name)) {
            out.push_back(std::string(name) + "=" + value);
        }
    }
    return out;
}

git::JailOptions options_of(bool has_keys) {
    const auto filter = runtime::compile_seccomp(runtime::default_seccomp_profile(), {});
    return {.filter = filter ? filter->program : std::string(),
            .environment = environment_of(has_keys),
            .has_keys = has_keys};
}

/// A path of the text, ".." taken away; none when it leads out.
std::optional<std::string> path_inside(const std::string& given) {
    int depth = 0;
    for (const std::string& part : base::split(given, '/')) {
        if (part.empty() || part == ".") continue;
        depth += part == ".." ? -1 : 1;
        if (depth < 0) return std::nullopt;
    }
    return build::clean_path("/" + given).substr(1);
}

}  // namespace

GitFolder::GitFolder(const BuildParts& parts, const git::Source& source, bool has_keys,
                     const base::CancellationPtr& cancellation)
    : folder_(parts.data_root + "/tmp"), path_(folder_.path() + "/git") {
    if (::mkdirat(folder_.fd(), "git", 0755) != 0) base::throw_errno(errno, "mkdir " + path_);
    files_.reset(::openat(folder_.fd(), "git", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!files_ || ::fchown(files_.get(), git_user, git_user) != 0) {
        base::throw_errno(errno, "chown " + path_);
    }
    jail_.emplace(parts.start_git, options_of(has_keys), files_.get(), cancellation);
    repository_.emplace(*jail_, source, path_);
}

void GitFolder::close() {
    repository_.reset();
    jail_.reset();
}

std::unique_ptr<Context> fetch_git_context(const BuildParts& parts, const std::string& remote,
                                           const base::CancellationPtr& cancellation) {
    const git::Source source = git::parse_context(remote);
    GitFolder folder(parts, source, git::needs_ssh(source.remote), cancellation);
    folder.repository().check_out_context();
    folder.close();
    const auto inside = path_inside(source.directory);
    if (!inside) {
        base::fail(
            ErrorKind::internal,
            fmt::format("error setting git context, {} not within git root: "
                        "evalSymlinksInScope: {} is not in {}",
                        base::quote(source.directory),
                        build::clean_path(folder.path() + "/" + source.directory), folder.path()));
    }
    const std::string path =
        folder.path() + sys::resolve_in_root(folder.fd(), "/" + *inside, sys::Missing::is_kept);
    const base::Fd top =
        sys::try_open_in_root(folder.fd(), inside->empty() ? "." : *inside, O_RDONLY | O_DIRECTORY);
    if (!top && errno == ENOTDIR) {
        base::fail(ErrorKind::internal, "error setting git context, not a directory: " + path);
    }
    if (!top) base::throw_errno(errno, "stat " + path);
    // Docker makes an archive of it, and so the rest goes as with one that a client sends.
    archive::PackOptions options;
    options.owner = {0, 0};
    return std::make_unique<Context>(parts.data_root + "/tmp", parts.store.layers().unpacker(),
                                     archive::produce([&](const archive::ByteSink& sink) {
                                         archive::pack(top.get(), options, sink);
                                     }));
}

namespace {

/// Keys of the host are nobody's to use who writes a Dockerfile.
const git::Source& check_reachable(const git::Source& source) {
    if (git::needs_ssh(source.remote)) {
        base::fail(ErrorKind::internal, "no SSH key \"default\" forwarded from the client");
    }
    return source;
}

}  // namespace

AddedRepository::AddedRepository(const BuildParts& parts, git::Source source,
                                 git::Repository::Wish wish,
                                 const base::CancellationPtr& cancellation)
    : source_(std::move(source)),
      wish_(std::move(wish)),
      folder_(parts, check_reachable(source_), /*has_keys=*/false, cancellation) {}

/// The address that was fetched from may have a password in it.
void AddedRepository::forget_address() const {
    const base::Fd own = sys::try_open_without_links(folder_.fd(), ".git", O_PATH | O_DIRECTORY);
    if (own) (void)::unlinkat(own.get(), "FETCH_HEAD", 0);
}

bool AddedRepository::keeps_git_dir() const {
    return wish_.keep_git_dir && build::clean_path("/" + source_.directory) == "/";
}

std::string AddedRepository::resolve() { return folder_.repository().resolve(wish_); }

std::string AddedRepository::fetch() {
    std::string known_by = folder_.repository().check_out(wish_);
    folder_.close();
    forget_address();
    const auto inside = path_inside(source_.directory);
    const std::string what = "failed to open subdir " + source_.directory;
    if (!inside) base::fail(ErrorKind::internal, what + ": not within the repository");
    tree_.emplace(folder_.fd());
    directory_ = tree_->resolve(*inside);
    const auto info = tree_->look_at(directory_);
    if (!info || !S_ISDIR(info->st_mode)) {
        base::throw_errno(info ? ENOTDIR : ENOENT, what);
    }
    return known_by;
}

}  // namespace dockerd::engine::builds
