#include "jail_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/sys/root.hpp>
#include <dockerd/sys/small_file.hpp>

namespace dockerd::git {
namespace {

void check(bool done, const std::string& what) {
    if (!done) base::throw_errno(errno, what);
}

/// Where systems have their programs and what these are linked with.
constexpr auto program_folders = std::to_array<const char*>(
    {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu"});
/// Certificates of authorities, and which of several programs is meant.
constexpr auto setting_folders =
    std::to_array<const char*>({"/etc/ssl", "/etc/ca-certificates", "/etc/pki",
                                "/etc/crypto-policies", "/etc/gnutls", "/etc/alternatives"});
constexpr auto setting_files = std::to_array<const char*>(
    {"/etc/ld.so.cache", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf",
     "/etc/gai.conf", "/etc/services", "/etc/protocols"});
constexpr auto devices =
    std::to_array<const char*>({"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"});

constexpr const char* keys_folder = "/root/.ssh";
constexpr std::size_t max_keys = 64;

/// Of git: it finds no other settings, and these also where it works in a submodule.
constexpr std::string_view settings =
    "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
    "[init]\n\tdefaultBranch = master\n\ttemplateDir =\n"
    "[gc]\n\tauto = 0\n\tautoDetach = false\n"
    "[maintenance]\n\tauto = false\n"
    "[credential]\n\thelper =\n"
    "[http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 60\n"
    "[protocol \"ext\"]\n\tallow = never\n";

/// As root as far as names go: ssh looks for the keys of whom it runs as, and names him to the
/// server.
constexpr std::string_view users = "root:x:65534:65534:root:/root:/bin/sh\n";
constexpr std::string_view groups = "root:x:65534:\n";

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

/// `path` without its first "/", to be looked up from the root's descriptor: nothing there is
/// anybody's yet.
const char* below(const std::string& path) { return path.c_str() + 1; }

void make_folders(const base::Fd& root, const std::string& path) {
    if (path.empty()) return;
    make_folders(root, parent_of(path));
    check(::mkdirat(root.get(), below(path), 0755) == 0 || errno == EEXIST, "mkdir " + path);
}

void write_file(const base::Fd& root, const std::string& path, std::string_view content,
                mode_t mode) {
    make_folders(root, parent_of(path));
    const base::Fd file{::openat(root.get(), below(path),
                                 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)};
    check(static_cast<bool>(file), "open " + path);
    while (!content.empty()) {
        const ssize_t n = ::write(file.get(), content.data(), content.size());
        check(n > 0, "write " + path);
        content.remove_prefix(static_cast<std::size_t>(n));
    }
}

void give_to_nobody(const base::Fd& root, const std::string& path) {
    check(::fchownat(root.get(), below(path), nobody, nobody, AT_SYMLINK_NOFOLLOW) == 0,
          "chown " + path);
}

}  // namespace

JailFiles::JailFiles(int folder, bool has_keys) {
    take_programs();
    take_settings();
    if (has_keys) take_keys();
    base::Fd work{::open_tree(folder, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)};
    check(static_cast<bool>(work), "open_tree");
    trees_.push_back({.path = "/tree", .mount = std::move(work), .writable = true});
}

void JailFiles::take_tree(const std::string& path, bool is_file) {
    base::Fd mount = sys::try_clone_tree(path.c_str());
    if (!mount && errno == ENOENT) return;
    check(static_cast<bool>(mount), "open_tree " + path);
    trees_.push_back({.path = path, .mount = std::move(mount), .is_file = is_file});
}

void JailFiles::take_text(const std::string& path) {
    const base::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (auto content = sys::read_small(file.get())) texts_.push_back({path, std::move(*content)});
}

void JailFiles::take_programs() {
    for (const std::string path : program_folders) {
        std::string target(PATH_MAX, '\0');
        const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
        if (size < 0) {
            take_tree(path);
        } else {
            links_.push_back({path, target.substr(0, static_cast<std::size_t>(size))});
        }
    }
    for (const char* path : devices) take_tree(path, /*is_file=*/true);
}

void JailFiles::take_settings() {
    for (const char* path : setting_folders) take_tree(path);
    for (const char* path : setting_files) take_text(path);
    for (const char* path : {"/etc/ssh/ssh_config", "/etc/ssh/ssh_known_hosts"}) take_text(path);
    take_tree("/etc/ssh/ssh_config.d");
}

void JailFiles::take_keys() {
    DIR* const stream = ::opendir(keys_folder);
    if (stream == nullptr) return;
    while (const dirent* item = ::readdir(stream)) {
        const base::Fd file{::openat(::dirfd(stream), item->d_name,
                                     O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)};
        auto content = sys::read_small(file.get(), 64 * 1024);
        if (!content || keys_.size() == max_keys) continue;
        keys_.push_back({std::string(keys_folder) + "/" + item->d_name, std::move(*content)});
    }
    ::closedir(stream);
}

void JailFiles::put_texts(const base::Fd& root) const {
    for (const Link& link : links_) {
        check(::symlinkat(link.target.c_str(), root.get(), below(link.path)) == 0,
              "symlink " + link.path);
    }
    for (const Text& text : texts_) write_file(root, text.path, text.content, 0644);
    write_file(root, "/etc/passwd", users, 0644);
    write_file(root, "/etc/group", groups, 0644);
    write_file(root, "/root/.gitconfig", settings, 0644);
    make_folders(root, "/tmp");
    give_to_nobody(root, "/tmp");
    if (keys_.empty()) return;
    for (const Text& key : keys_) {
        write_file(root, key.path, key.content, 0600);
        give_to_nobody(root, key.path);
    }
    check(::fchmodat(root.get(), below(keys_folder), 0700, 0) == 0, "chmod");
    give_to_nobody(root, keys_folder);
}

void JailFiles::put_trees(const base::Fd& root) const {
    for (const Tree& tree : trees_) {
        mount_attr attributes{};
        attributes.attr_set = MOUNT_ATTR_NOSUID;
        if (!tree.is_file) attributes.attr_set |= MOUNT_ATTR_NODEV;
        attributes.attr_set |= tree.writable ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_RDONLY;
        attributes.propagation = MS_PRIVATE;
        check(::mount_setattr(tree.mount.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                              sizeof attributes) == 0,
              "mount_setattr " + tree.path);
        if (tree.is_file) {
            write_file(root, tree.path, "", 0644);
        } else {
            make_folders(root, tree.path);
        }
        const base::Fd place{::openat(root.get(), below(tree.path), O_PATH | O_CLOEXEC)};
        check(place && ::move_mount(tree.mount.get(), "", place.get(), "",
                                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0,
              "mount " + tree.path);
    }
}

void JailFiles::enter() {
    const base::Fd root = sys::new_tmpfs("0755", "64m");
    put_texts(root);
    sys::replace_root(root, [&] { put_trees(root); });
    trees_.clear();
}

}  // namespace dockerd::git
