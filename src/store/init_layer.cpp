#include "init_layer.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::store {
namespace {

using Item = InitTemplate::Item;

struct Wanted {
    std::string_view path;
    Item::Kind kind;
    std::string_view target;
};

/// Source: setup_unix.go, Setup.
constexpr std::array<Wanted, 10> wanted{{
    {"dev/pts", Item::Kind::directory, {}},
    {"dev/shm", Item::Kind::directory, {}},
    {"proc", Item::Kind::directory, {}},
    {"sys", Item::Kind::directory, {}},
    {".dockerenv", Item::Kind::file, {}},
    {"etc/resolv.conf", Item::Kind::file, {}},
    {"etc/hosts", Item::Kind::file, {}},
    {"etc/hostname", Item::Kind::file, {}},
    {"dev/console", Item::Kind::file, {}},
    {"etc/mtab", Item::Kind::symlink, "/proc/mounts"},
}};

class Planner {
public:
    explicit Planner(const LowerStack& image) : image_(image) {}

    InitTemplate plan() {
        for (const Wanted& item : wanted) {
            // Every part that is no directory makes way, even a link to a good directory.
            const std::string path(item.path);
            for (std::size_t end = path.find('/'); end != std::string::npos;
                 end = path.find('/', end + 1)) {
                if (!is_directory(path.substr(0, end))) add_directory(path.substr(0, end));
            }
            if (is_directory(path)) continue;
            copy_up_parent(path);
            Item made;
            made.kind = item.kind;
            made.path = path;
            made.target = item.target;
            made_.emplace(path, item.kind == Item::Kind::directory);
            plan_.items.push_back(std::move(made));
        }
        return std::move(plan_);
    }

private:
    bool is_directory(const std::string& path) const {
        if (const auto made = made_.find(path); made != made_.end()) return made->second;
        // Below a directory that replaced a file or a link nothing of the image shows.
        const std::size_t slash = path.find('/');
        if (slash != std::string::npos && fresh_.contains(path.substr(0, slash))) return false;
        return image_.find(path).kind == LowerNode::Kind::directory;
    }

    void add_directory(const std::string& path) {
        copy_up_parent(path);
        Item item;
        item.path = path;
        plan_.items.push_back(item);
        made_.emplace(path, true);
        fresh_.emplace(path, true);
    }

    /// A directory of the image that gets a child appears in the layer with its own attributes.
    void copy_up_parent(const std::string& path) {
        const std::size_t slash = path.rfind('/');
        if (slash == std::string::npos) return;
        const std::string parent = path.substr(0, slash);
        if (made_.contains(parent)) return;
        const LowerNode node = image_.find(parent);
        Item item;
        item.path = parent;
        item.mode = node.info.st_mode & 07777U;
        item.has_owner = true;
        item.uid = node.info.st_uid;
        item.gid = node.info.st_gid;
        plan_.items.push_back(item);
        made_.emplace(parent, true);
    }

    const LowerStack& image_;
    InitTemplate plan_;
    std::map<std::string, bool> made_;   // path -> is a directory
    std::map<std::string, bool> fresh_;  // made without anything of the image in it
};

}  // namespace

InitTemplate plan_init_layer(const LowerStack& image) { return Planner(image).plan(); }

void apply_init_layer(const InitTemplate& plan, int diff, std::uint32_t uid, std::uint32_t gid) {
    for (const Item& item : plan.items) {
        const char* const path = item.path.c_str();
        int failed = 0;
        switch (item.kind) {
            case Item::Kind::directory:
                failed = ::mkdirat(diff, path, item.mode);
                if (failed == 0) failed = ::fchmodat(diff, path, item.mode, 0);
                break;
            case Item::Kind::file: {
                const base::Fd file{
                    ::openat(diff, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755)};
                failed = file ? ::fchmod(file.get(), 0755) : -1;
                break;
            }
            case Item::Kind::symlink:
                failed = ::symlinkat(item.target.c_str(), diff, path);
                break;
        }
        const uid_t owner = item.has_owner ? item.uid : uid;
        const gid_t group = item.has_owner ? item.gid : gid;
        if (failed == 0 && (owner != 0 || group != 0)) {
            failed = ::fchownat(diff, path, owner, group, AT_SYMLINK_NOFOLLOW);
        }
        if (failed != 0) base::throw_errno(errno, fmt::format("init layer: {}", item.path));
    }
}

}  // namespace dockerd::store
