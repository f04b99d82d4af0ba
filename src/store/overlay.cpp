#include "overlay.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::store {
namespace {

/// Source: overlay.go, idLength and maxDepth.
constexpr std::size_t link_length = 26;
constexpr std::size_t max_lowers = 128;

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

bool is_link(std::string_view name) {
    return name.size() == link_length &&
           name.find_first_not_of(digits) == std::string_view::npos;
}

std::string random_link() {
    std::array<unsigned char, link_length> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        base::throw_errno(errno, "getrandom");
    }
    std::string out;
    for (const unsigned char byte : bytes) out += digits[byte & 31U];
    return out;
}

void make_directory(int at, const std::string& name, mode_t mode, std::uint32_t uid,
                    std::uint32_t gid) {
    if (::mkdirat(at, name.c_str(), mode) != 0) {
        base::throw_errno(errno, fmt::format("mkdir {}", name));
    }
    // The mode given to mkdir is cut by the umask; these modes are part of the format.
    if (::fchmodat(at, name.c_str(), mode, 0) != 0) {
        base::throw_errno(errno, fmt::format("chmod {}", name));
    }
    if ((uid != 0 || gid != 0) && ::fchownat(at, name.c_str(), uid, gid, 0) != 0) {
        base::throw_errno(errno, fmt::format("chown {}", name));
    }
}

[[noreturn]] void invalid(const std::string& id, const char* file) {
    base::fail(base::ErrorKind::internal, fmt::format("invalid overlay2/{}/{}", id, file));
}

base::Fd open_directory(int at, const std::string& name) {
    base::Fd fd{::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd) base::throw_errno(errno, fmt::format("open {}", name));
    return fd;
}

}  // namespace

Overlay::Overlay(const std::string& data_root) : root_(data_root + "/overlay2") {
    root_fd_ = open_or_make_directory(root_, 0710);
    (void)open_or_make_directory(root_ + "/l", 0700);
    has_index_option_ = ::access("/sys/module/overlay/parameters/index", F_OK) == 0;
}

OverlayDir Overlay::create(const std::string& id, const std::optional<OverlayDir>& parent,
                           std::uint32_t uid, std::uint32_t gid, Batch& batch) const {
    OverlayDir out{id, random_link(), parent ? parent->as_lower() : std::string()};
    make_directory(fd(), id, 0710, 0, gid);
    const base::Fd dir = open_directory(fd(), id);
    make_directory(dir.get(), "diff", 0755, uid, gid);
    // The name first: should we die in between, a removal knows what to look for.
    batch.write_new(dir.get(), "link", out.link);
    const std::string target = fmt::format("../{}/diff", id);
    if (::symlinkat(target.c_str(), fd(), ("l/" + out.link).c_str()) != 0) {
        base::throw_errno(errno, "symlink");
    }
    if (parent) {
        make_directory(dir.get(), "work", 0700, uid, gid);
        if (base::split(out.lower, ':').size() > max_lowers) {
            base::fail(base::ErrorKind::internal, "max depth exceeded");
        }
        batch.write_new(dir.get(), "lower", out.lower);
    }
    return out;
}

void Overlay::add_parent(OverlayDir& dir, const OverlayDir& parent) const {
    dir.lower = parent.as_lower();
    if (base::split(dir.lower, ':').size() > max_lowers) {
        base::fail(base::ErrorKind::internal, "max depth exceeded");
    }
    const base::Fd folder = open_directory(fd(), dir.id);
    make_directory(folder.get(), "work", 0700, 0, 0);
    Batch unsynced;  // the caller flushes the whole tree
    unsynced.write_new(folder.get(), "lower", dir.lower);
}

void Overlay::mark_committed(const std::string& id) const {
    const std::string name = id + "/committed";
    const base::Fd marker{
        ::openat(fd(), name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!marker) base::throw_errno(errno, fmt::format("write {}", name));
}

OverlayDir Overlay::open(const std::string& id) const {
    OverlayDir out;
    out.id = id;
    out.link = base::trim(read_file(fd(), id + "/link"));
    if (!is_link(out.link)) invalid(id, "link");
    try {
        out.lower = base::trim(read_file(fd(), id + "/lower"));
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) throw;
        return out;
    }
    for (const std::string& name : base::split(out.lower, ':')) {
        if (!name.starts_with("l/") || !is_link(std::string_view(name).substr(2))) {
            invalid(id, "lower");
        }
    }
    return out;
}

void Overlay::remove(const std::string& id, const std::atomic<bool>* stop) const {
    if (id.empty() || id.find('/') != std::string::npos || id == "l") return;
    try {
        const std::string link(base::trim(read_file(fd(), id + "/link", 4096)));
        if (is_link(link)) {
            (void)::unlinkat(fd(), ("l/" + link).c_str(), 0);  // gone already is as good
        }
    } catch (const base::Error& error) {
        base::log::debug("remove overlay2/{}: {}", id, error.what());
    }
    remove_tree(fd(), id, stop);
}

base::Fd Overlay::open_diff(const std::string& id) const {
    return open_directory(fd(), id + "/diff");
}

std::vector<std::string> Overlay::lower_ids(const OverlayDir& dir) const {
    std::vector<std::string> out;
    if (dir.lower.empty()) return out;
    for (const std::string& name : base::split(dir.lower, ':')) {
        std::array<char, 512> buffer{};
        const ssize_t n = ::readlinkat(fd(), name.c_str(), buffer.data(), buffer.size());
        if (n < 0) base::throw_errno(errno, fmt::format("readlink {}", name));
        // "../<id>/diff": what leads elsewhere is nobody's layer.
        const std::vector<std::string> parts =
            base::split(std::string_view(buffer.data(), static_cast<std::size_t>(n)), '/');
        if (parts.size() != 3 || parts[0] != ".." || parts[2] != "diff" || parts[1].empty() ||
            parts[1][0] == '.') {
            base::fail(base::ErrorKind::internal, "invalid layer link " + name);
        }
        out.push_back(parts[1]);
    }
    return out;
}

std::string Overlay::lower_paths(const OverlayDir& dir) const {
    std::vector<std::string> paths;
    for (const std::string& id : lower_ids(dir)) paths.push_back(path(id, "diff"));
    return base::join(paths, ":");
}

}  // namespace dockerd::store
