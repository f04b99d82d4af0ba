#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "overlay.hpp"

namespace dockerd::store {
namespace {

/// The kernel copies an fsconfig string into a buffer of this size.
constexpr std::size_t max_option = 255;

/// A file system context under construction.
class Context {
public:
    explicit Context(const char* type) : fd_(::fsopen(type, FSOPEN_CLOEXEC)) {}

    [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }

    bool set(const char* key, const std::string& value) {
        if (value.size() > max_option) {
            errno = EINVAL;
            return false;
        }
        return ::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
    }

    /// Creates the file system and a mount of it that is attached nowhere.
    base::Fd mount() {
        if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return {};
        return base::Fd{::fsmount(fd_.get(), FSMOUNT_CLOEXEC, 0)};
    }

    /// What the kernel said about the last failure.
    [[nodiscard]] std::string complaint() const {
        std::string text(512, '\0');
        const ssize_t n = ::read(fd_.get(), text.data(), text.size());
        if (n <= 2) return {};
        text.resize(static_cast<std::size_t>(n));
        return " (" + std::string(base::trim(text.substr(2))) + ")";
    }

private:
    base::Fd fd_;
};

/// The classic call with paths relative to overlay2/, so that 128 short links fit one page.
/// A thread with a working directory of its own stands in for Docker's fork and chroot.
void mount_relative(const Overlay& overlay, const OverlayDir& dir, const std::string& options) {
    int error = 0;
    std::thread([&] {
        const std::string target = dir.id + "/merged";
        if (::unshare(CLONE_FS) != 0 || ::fchdir(overlay.fd()) != 0 ||
            ::mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0) {
            error = errno;
        }
    }).join();
    if (error != 0) {
        base::throw_errno(error, fmt::format("error creating overlay mount to {}",
                                             overlay.path(dir.id, "merged")));
    }
}

}  // namespace

bool Overlay::is_mounted(const std::string& id) const {
    struct statfs info {};
    return ::statfs(path(id, "merged").c_str(), &info) == 0 &&
           static_cast<unsigned long>(info.f_type) == OVERLAYFS_SUPER_MAGIC;
}

void Overlay::mount(const OverlayDir& dir) const {
    const std::string target = path(dir.id, "merged");
    (void)lower_ids(dir);  // refuses links that lead out of overlay2/
    if (::mkdirat(fd(), (dir.id + "/merged").c_str(), 0700) != 0) {
        if (errno != EEXIST) base::throw_errno(errno, fmt::format("mkdir {}", target));
        if (is_mounted(dir.id)) return;
    }
    const auto mount_classic = [&] {
        mount_relative(
            *this, dir,
            fmt::format("{}lowerdir={},upperdir={}/diff,workdir={}/work",
                        has_index_option_ ? "index=off," : "", dir.lower, dir.id, dir.id));
    };
    static std::atomic<bool> classic_only{false};
    if (classic_only) return mount_classic();
    Context context("overlay");
    const std::vector<std::string> lowers = base::split(dir.lower, ':');
    bool accepted = context.is_open() && context.set("source", "overlay");
    if (accepted && has_index_option_) accepted = context.set("index", "off");
    // Each lower directory by itself: no limit on their number but the kernel's own, Linux 6.7.
    for (const std::string& lower : lowers) {
        accepted = accepted && context.set("lowerdir+", root_ + "/" + lower);
    }
    accepted = accepted && context.set("upperdir", path(dir.id, "diff")) &&
               context.set("workdir", path(dir.id, "work"));
    if (!accepted) return mount_classic();
    const base::Fd tree = context.mount();
    if (!tree && errno == EINVAL) {
        // Before Linux 6.5 options are only looked at here, and "lowerdir+" is not known.
        mount_classic();
        classic_only = true;
        return;
    }
    const bool attached = tree && ::move_mount(tree.get(), "", fd(), (dir.id + "/merged").c_str(),
                                               MOVE_MOUNT_F_EMPTY_PATH) == 0;
    if (!attached) {
        const int error = errno;
        const std::string detail = context.complaint();
        base::throw_errno(error,
                          fmt::format("error creating overlay mount to {}{}", target, detail));
    }
}

base::Fd Overlay::unmount(const std::string& id) const {
    const std::string target = path(id, "merged");
    base::Fd keeps{::openat(fd(), (id + "/merged").c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW)};
    if (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
        errno != ENOENT) {
        base::log::debug("unmount {}, ignoring: {}", target, base::errno_text(errno));
    }
    // Without the directory the kernel drops the mount from every other namespace as well.
    (void)::unlinkat(fd(), (id + "/merged").c_str(), AT_REMOVEDIR);
    return keeps;
}

}  // namespace dockerd::store
