#include "build/source_tree.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/glob.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

/// Calls `visit` for everything below a directory of `root`, in order, by its path from the root.
void walk(int root, const std::string& start,
          const std::function<void(const std::string& path, int node, const struct stat& info)>& visit) {
    std::vector<std::string> waiting{start};
    while (!waiting.empty()) {
        const std::string path = std::move(waiting.back());
        waiting.pop_back();
        const base::Fd node = sys::try_open_in_root(root, path.empty() ? "." : path,
                                                    O_PATH | O_NOFOLLOW);
        struct stat info {};
        if (!node || ::fstat(node.get(), &info) != 0) base::throw_errno(errno, "lstat " + path);
        if (path != start) visit(path, node.get(), info);
        if (!S_ISDIR(info.st_mode)) continue;
        const auto names =
            base::in_context(path, [&] { return archive::sorted_names(node.get()); });
        for (auto name = names.rbegin(); name != names.rend(); ++name) {
            waiting.push_back(path.empty() ? *name : path + "/" + *name);
        }
    }
}

/// The parts of a tar's header that count. Source: moby pkg/tarsum/versioning.go, WriteV1Header.
std::string header(const std::string& name, const struct stat& info, const std::string& link,
                   const std::string& capability) {
    const bool directory = S_ISDIR(info.st_mode);
    const bool device = S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode);
    char type = '0';
    if (directory) type = '5';
    if (S_ISLNK(info.st_mode)) type = '2';
    if (S_ISCHR(info.st_mode)) type = '3';
    if (S_ISBLK(info.st_mode)) type = '4';
    if (S_ISFIFO(info.st_mode)) type = '6';
    std::string out = fmt::format(
        "name{}{}mode{}uid{}gid{}size{}typeflag{}linkname{}unamegnamedevmajor{}devminor{}", name,
        directory ? "/" : "", info.st_mode & 07777U, info.st_uid, info.st_gid,
        S_ISREG(info.st_mode) ? info.st_size : 0, type, link, device ? major(info.st_rdev) : 0,
        device ? minor(info.st_rdev) : 0);
    if (!capability.empty()) out += "security.capability" + capability;
    return out;
}

void hash_bytes(int node, const std::string& path, off_t size, archive::Sha256& sum) {
    const base::Fd file{::open(archive::fd_path(node).c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file) base::throw_errno(errno, "open " + path);
    // Most files are small, and a large buffer costs more than they do.
    constexpr off_t largest = 256L * 1024;
    std::vector<char> buffer(static_cast<std::size_t>(std::clamp(size + 1, off_t{512}, largest)));
    while (true) {
        const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, "read " + path);
        if (n == 0) return;
        sum.update({buffer.data(), static_cast<std::size_t>(n)});
    }
}

std::string sum_of(const std::string& path, int node, const struct stat& info) {
    std::string link;
    std::string capability;
    std::array<char, 4097> buffer{};
    if (S_ISLNK(info.st_mode)) {
        const ssize_t n = ::readlinkat(node, "", buffer.data(), buffer.size());
        if (n < 0) base::throw_errno(errno, "readlink " + path);
        link.assign(buffer.data(), static_cast<std::size_t>(n));
    } else {
        const ssize_t n = ::getxattr(archive::fd_path(node).c_str(), "security.capability",
                                     buffer.data(), buffer.size());
        if (n > 0) capability.assign(buffer.data(), static_cast<std::size_t>(n));
    }
    archive::Sha256 sum;
    sum.update(header(path, info, link, capability));
    if (S_ISREG(info.st_mode)) hash_bytes(node, path, info.st_size, sum);
    return sum.hex();
}

}  // namespace

base::Fd separate_tree(int directory) {
    base::Fd tree{::open_tree(directory, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)};
    if (!tree) base::throw_errno(errno, "open_tree");
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    attributes.propagation = MS_PRIVATE;
    if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
        base::throw_errno(errno, "mount_setattr");
    }
    return tree;
}

// Source: moby builder/remotecontext/detect.go, normalize.
std::string cleaned_source(const std::string& given) {
    std::vector<std::string> parts;
    for (std::string& part : base::split(given, '/')) {
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            parts.push_back(std::move(part));
            continue;
        }
        if (parts.empty()) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("forbidden path outside the build context: {} ()", given));
        }
        parts.pop_back();
    }
    return base::join(parts, "/");
}

SourceTree::SourceTree(int root, Files files) : root_(separate_tree(root)) {
    if (files == Files::given) given_.reset(::fcntl(root, F_DUPFD_CLOEXEC, 0));
}

base::Fd SourceTree::open_given(const std::string& path) const {
    if (!given_) return {};
    return sys::try_open_without_links(given_.get(), path, O_PATH | O_NOFOLLOW);
}

std::optional<struct stat> SourceTree::look_at(const std::string& path) const {
    const base::Fd node = sys::try_open_in_root(root(), path.empty() ? "." : path, O_PATH);
    struct stat info {};
    if (node && ::fstat(node.get(), &info) == 0) return info;
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    base::throw_errno(errno, "stat " + path);
}

std::string SourceTree::resolve(const std::string& path) const {
    return sys::resolve_in_root(root(), "/" + path, sys::Missing::is_kept).substr(1);
}

std::string SourceTree::read(const std::string& path, std::size_t limit) const {
    const auto info = look_at(path);
    if (!info) base::throw_errno(ENOENT, "open " + path);
    if (S_ISDIR(info->st_mode)) base::throw_errno(EISDIR, "read " + path);
    if (!S_ISREG(info->st_mode)) base::throw_errno(EINVAL, "read " + path);
    base::Fd file = sys::try_open_in_root(root(), path, O_RDONLY);
    if (!file) base::throw_errno(errno, "open " + path);
    return archive::read_all(archive::fd_source(std::move(file)), limit, path);
}

std::string SourceTree::hash_one(const std::string& path) {
    if (const auto known = hashes_.find(path); known != hashes_.end()) return known->second;
    const base::Fd node = sys::try_open_in_root(root(), path, O_PATH | O_NOFOLLOW);
    struct stat info {};
    if (!node || ::fstat(node.get(), &info) != 0) base::throw_errno(errno, "lstat " + path);
    return hashes_[path] = sum_of(path, node.get(), info);
}

std::string SourceTree::hash(const std::string& path) {
    const auto info = look_at(path);
    if (!info) base::throw_errno(ENOENT, "stat " + path);
    const std::string resolved = resolve(path);
    const base::Lock lock(mutex_);
    if (!S_ISDIR(info->st_mode)) return "file:" + hash_one(resolved);
    std::vector<std::string> sums;
    if (!resolved.empty()) sums.push_back(hash_one(resolved));
    walk(root(), resolved, [&](const std::string& below, int node, const struct stat& found) {
        auto [entry, is_new] = hashes_.try_emplace(below);
        if (is_new) entry->second = sum_of(below, node, found);
        sums.push_back(entry->second);
    });
    std::ranges::sort(sums);
    return hash_of_list("dir", sums);
}

std::vector<std::string> SourceTree::match(const std::string& pattern) const {
    std::vector<std::string> out;
    walk(root(), "", [&](const std::string& path, int /*node*/, const struct stat& /*info*/) {
        try {
            if (build::matches_pattern(pattern, path)) out.push_back(path);
        } catch (const base::Error&) {
            // What is no pattern matches nothing.
        }
    });
    return out;
}

std::vector<std::string> SourceTree::choose(
    const std::string& directory, const std::function<bool(const std::string& path)>& wanted,
    std::string& sum) {
    const std::string start = resolve(directory);
    std::vector<std::string> out;
    std::vector<std::string> above;  // directories on the way that are not taken yet
    std::vector<std::string> sums;
    const base::Lock lock(mutex_);
    walk(root(), start, [&](const std::string& path, int /*node*/, const struct stat& info) {
        const std::string below = start.empty() ? path : path.substr(start.size() + 1);
        std::erase_if(above, [&](const std::string& parent) {
            return !below.starts_with(parent + "/");
        });
        if (!wanted(below)) {
            if (S_ISDIR(info.st_mode)) above.push_back(below);
            return;
        }
        for (std::string& parent : std::exchange(above, {})) out.push_back(std::move(parent));
        out.push_back(below);
    });
    for (const std::string& path : out) {
        sums.push_back(hash_one(start.empty() ? path : start + "/" + path));
    }
    sum = hash_of_list("dir", sums);
    return out;
}

std::string hash_of_text(const std::string& name, const std::string& text) {
    struct stat info {};
    info.st_mode = S_IFREG | 0644;
    info.st_size = static_cast<off_t>(text.size());
    archive::Sha256 sum;
    sum.update(header(name, info, "", ""));
    sum.update(text);
    return sum.hex();
}

std::string hash_of_list(const std::string& prefix, const std::vector<std::string>& sums) {
    archive::Sha256 sum;
    sum.update(base::join(sums, ","));
    return prefix + ":" + sum.hex();
}

}  // namespace dockerd::engine::builds
