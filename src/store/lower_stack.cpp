#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <map>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/strings.hpp>

#include "overlay.hpp"

namespace dockerd::store {
namespace {

std::string capability_at(const std::string& path) {
    std::array<char, 64> buffer{};
    const ssize_t n =
        ::lgetxattr(path.c_str(), "security.capability", buffer.data(), buffer.size());
    return n <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

}  // namespace

bool is_whiteout(const struct stat& info) {
    return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

bool is_opaque(int fd) {
    char value = 0;
    return ::getxattr(archive::fd_path(fd).c_str(), "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
}

bool is_redirected(int fd) {
    const std::string path = archive::fd_path(fd);
    return ::getxattr(path.c_str(), "trusted.overlay.redirect", nullptr, 0) >= 0 ||
           ::getxattr(path.c_str(), "trusted.overlay.metacopy", nullptr, 0) >= 0;
}

LowerNode LowerStack::root() const {
    LowerNode out;
    out.kind = LowerNode::Kind::directory;
    for (std::size_t i = 0; i < ids_.size(); ++i) out.layers.push_back(i);
    return out;
}

LowerNode LowerStack::child(const LowerNode& parent, const std::string& parent_path,
                            const std::string& name) const {
    LowerNode out;
    for (const std::size_t layer : parent.layers) {
        std::string path = ids_[layer] + "/diff/";
        if (!parent_path.empty()) path += parent_path + "/";
        path += name;
        const base::Fd fd{::openat(overlay_.fd(), path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        struct stat info {};
        if (!fd || ::fstat(fd.get(), &info) != 0) continue;
        if (is_whiteout(info)) break;
        const bool first = out.kind == LowerNode::Kind::none;
        if (!S_ISDIR(info.st_mode)) {
            if (!first) break;  // a file under a directory ends the merge
            out.kind = LowerNode::Kind::other;
            out.info = info;
            if (S_ISREG(info.st_mode)) out.capability = capability_at(archive::fd_path(fd.get()));
            break;
        }
        if (first) {
            out.kind = LowerNode::Kind::directory;
            out.info = info;
        }
        out.layers.push_back(layer);
        if (is_opaque(fd.get())) break;
    }
    return out;
}

LowerNode LowerStack::find(const std::string& path) const {
    LowerNode node = root();
    std::string at;
    for (const std::string& part : base::split(path, '/')) {
        if (node.kind != LowerNode::Kind::directory) return {};
        node = child(node, at, part);
        at += (at.empty() ? "" : "/") + part;
    }
    return node;
}

std::vector<std::string> LowerStack::names(const LowerNode& directory,
                                           const std::string& path) const {
    std::map<std::string, bool> seen;  // name -> shown
    for (const std::size_t layer : directory.layers) {
        const std::string full = ids_[layer] + "/diff" + (path.empty() ? "" : "/" + path);
        base::Fd fd{
            ::openat(overlay_.fd(), full.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (!fd) continue;
        DIR* const stream = ::fdopendir(fd.get());
        if (stream == nullptr) continue;
        (void)fd.release();
        while (const dirent* item = ::readdir(stream)) {
            const std::string name(item->d_name);
            if (name == "." || name == "..") continue;
            struct stat info {};
            const bool hidden =
                item->d_type == DT_CHR &&
                ::fstatat(::dirfd(stream), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                is_whiteout(info);
            seen.try_emplace(name, !hidden);
        }
        ::closedir(stream);
    }
    std::vector<std::string> out;
    for (const auto& [name, shown] : seen) {
        if (shown) out.push_back(name);
    }
    return out;
}

}  // namespace dockerd::store
