#include <dockerd/runtime/file_view.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <thread>

#include <dockerd/base/error.hpp>
#include <dockerd/base/worker_pool.hpp>
#include <dockerd/sys/paths.hpp>
#include <dockerd/sys/root.hpp>

#include "paths/in_root.hpp"

namespace dockerd::runtime {

namespace {

constexpr unsigned clone_flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
constexpr std::uint64_t harmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

void check(bool done, const std::string& what) {
    if (!done) base::throw_errno(errno, what);
}

/// Number of a path's parts: a mount goes on before those below it.
auto depth(const ViewMount& mount) {
    return std::ranges::count(mount.destination, '/') - (mount.destination == "/" ? 1 : 0);
}

/// The tree to be mounted, cloned where the daemon's own mounts are.
base::Fd clone_source(const ViewMount& mount) {
    const unsigned flags =
        clone_flags | (mount.recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
    base::Fd tree;
    if (mount.subpath.empty()) {
        tree.reset(::open_tree(AT_FDCWD, mount.source.c_str(), flags));
    } else {
        const base::Fd top{::open(mount.source.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
        check(static_cast<bool>(top), "stat " + mount.source);
        // As at the start: a link that leads out of the volume is an error.
        const base::Fd below = sys::try_open_beneath(top.get(), mount.subpath, O_PATH);
        if (below) tree.reset(::open_tree(below.get(), "", flags | AT_EMPTY_PATH));
    }
    check(static_cast<bool>(tree), "stat " + mount.source);
    return tree;
}

/// Cut off from the host's mounts and without what a file view has no use for.
void make_harmless(const base::Fd& tree, const std::string& what) {
    mount_attr attributes{};
    attributes.attr_set = harmless;
    attributes.propagation = MS_PRIVATE;
    check(::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                          sizeof attributes) == 0,
          "mount_setattr " + what);
}

void make_read_only(const base::Fd& tree, bool recursive, const std::string& what) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    const unsigned flags = AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
    check(::mount_setattr(tree.get(), "", flags, &attributes, sizeof attributes) == 0,
          "failed to make " + what + " read-only");
}

void protect(const ViewMount& mount, const base::Fd& tree) {
    if (mount.writable) return;
    make_read_only(tree, /*recursive=*/false, mount.destination);
    if (mount.submounts == ViewMount::Submounts::as_they_are) return;
    try {
        make_read_only(tree, /*recursive=*/true, mount.destination);
    } catch (const base::Error&) {
        if (mount.submounts == ViewMount::Submounts::read_only) throw;
    }
}

void attach(const base::Fd& tree, const base::Fd& place, const std::string& what) {
    check(::move_mount(tree.get(), "", place.get(), "",
                       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0,
          "mount " + what);
}

/// A file system that will be this thread's "/": no path of the container's is ever looked up from
/// there, and none of the host's is in reach.
base::Fd make_shell() {
    base::Fd shell = sys::new_tmpfs("0700");
    check(::mkdirat(shell.get(), "proc", 0700) == 0 && ::mkdirat(shell.get(), "view", 0700) == 0,
          "mkdir for the view");
    return shell;
}

/// One view, on its own thread.
class View {
public:
    explicit View(ViewPlan& plan) : plan_(plan) {}
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    ~View() {
        trees_.clear();
        plan_.rootfs.reset();
        // What the mounts hold is free when the caller goes on, not some time after.
        if (entered_) (void)::umount2("/view", MNT_DETACH);
    }

    int enter() {
        std::ranges::stable_sort(plan_.mounts, {}, depth);
        for (const ViewMount& mount : plan_.mounts) trees_.push_back(clone_source(mount));
        const base::Fd proc{::open_tree(AT_FDCWD, "/proc", clone_flags)};
        check(static_cast<bool>(proc), "open /proc");
        const base::Fd shell = make_shell();
        make_harmless(plan_.rootfs, "rootfs");
        // Unshares this thread's root and working directory, too.
        check(::unshare(CLONE_NEWNS) == 0, "unshare mount namespace");
        ::umask(0);
        leave_host(shell, proc);
        for (std::size_t i = 0; i < trees_.size(); ++i) put(plan_.mounts[i], trees_[i]);
        if (plan_.read_only_rootfs) make_read_only(plan_.rootfs, /*recursive=*/false, "rootfs");
        return plan_.rootfs.get();
    }

private:
    /// Makes `shell` the only mount there is, with the container's files in it.
    void leave_host(const base::Fd& shell, const base::Fd& proc) {
        sys::replace_root(shell, [&] {
            const auto place = [&](const char* name) {
                return base::Fd(::openat(shell.get(), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
            };
            attach(proc, place("proc"), "/proc");
            attach(plan_.rootfs, place("view"), "rootfs");
        });
        entered_ = true;
    }

    void put(const ViewMount& mount, const base::Fd& tree) {
        struct stat info {};
        check(::fstat(tree.get(), &info) == 0, "stat " + mount.source);
        make_harmless(tree, mount.source);
        protect(mount, tree);
        const base::Fd place = make_in_root(plan_.rootfs, mount.destination,
                                            S_ISDIR(info.st_mode) ? Leaf::directory : Leaf::file);
        check(static_cast<bool>(place), "mkdir " + mount.destination);
        attach(tree, place, mount.destination);
    }

    ViewPlan& plan_;
    std::vector<base::Fd> trees_;
    bool entered_ = false;
};

}  // namespace

void in_file_view(ViewPlan plan, const std::function<void(int root)>& work) {
    std::exception_ptr failure;
    const base::LongWait wait;  // the client's bytes go through the other thread
    std::thread([&] {
        try {
            View view(plan);
            work(view.enter());
        } catch (...) {
            failure = std::current_exception();
        }
    }).join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace dockerd::runtime
