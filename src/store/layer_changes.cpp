#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>

#include "layers_impl.hpp"

namespace dockerd::store {
namespace {

/// Source: moby/go-archive changes.go, sameFsTime: tars keep whole seconds only.
bool same_time(const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

/// Source: moby/go-archive changes_unix.go, statDifferent.
bool differs(const struct stat& before, const struct stat& after) {
    if (before.st_mode != after.st_mode || before.st_uid != after.st_uid ||
        before.st_gid != after.st_gid || before.st_rdev != after.st_rdev) {
        return true;
    }
    if (S_ISDIR(before.st_mode)) return false;
    return !same_time(before.st_mtim, after.st_mtim) || before.st_size != after.st_size;
}

std::vector<std::string> sorted_names(int directory) {
    std::vector<std::string> names;
    const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const stream = copy < 0 ? nullptr : ::fdopendir(copy);
    if (stream == nullptr) return names;
    while (const dirent* item = ::readdir(stream)) {
        const std::string_view name(item->d_name);
        if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(stream);
    std::ranges::sort(names);
    return names;
}

std::string capability_of(int fd) {
    std::array<char, 64> buffer{};
    const ssize_t n = ::getxattr(archive::fd_path(fd).c_str(), "security.capability", buffer.data(),
                                 buffer.size());
    return n <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

/// Compares the upper directory with what lies below it. Everything that changed is in the upper
/// directory by itself, so the merged trees need not be walked as Docker does.
class Differ {
public:
    explicit Differ(const LowerStack& lower) : lower_(lower) {}

    std::vector<LayerChange> run(int upper) {
        children(upper, lower_.root(), "", /*opaque=*/false);
        return std::move(changes_);
    }

private:
    using Kind = LayerChange::Kind;

    void add(const std::string& path, Kind kind) { changes_.push_back({"/" + path, kind}); }

    void children(int upper, const LowerNode& below, const std::string& path, bool opaque);
    void one(int upper, const LowerNode& parent, const std::string& parent_path,
             const std::string& name);
    void directory(int fd, const LowerNode& old, const std::string& path, bool listed);
    void remove_hidden(const LowerNode& below, const std::string& path,
                       const std::vector<std::string>& kept);

    const LowerStack& lower_;
    std::vector<LayerChange> changes_;
};

void Differ::children(int upper, const LowerNode& below, const std::string& path, bool opaque) {
    const std::vector<std::string> names = sorted_names(upper);
    for (const std::string& name : names) one(upper, below, path, name);
    if (opaque) remove_hidden(below, path, names);
}

/// Below an opaque directory all of the image is gone but what the container made again.
void Differ::remove_hidden(const LowerNode& below, const std::string& path,
                           const std::vector<std::string>& kept) {
    for (const std::string& name : lower_.names(below, path)) {
        if (std::ranges::binary_search(kept, name)) continue;
        add(path.empty() ? name : path + "/" + name, Kind::remove);
    }
}

void Differ::one(int upper, const LowerNode& parent, const std::string& parent_path,
                 const std::string& name) {
    const base::Fd fd{::openat(upper, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return;  // gone meanwhile
    const std::string path = parent_path.empty() ? name : parent_path + "/" + name;
    const LowerNode old = lower_.child(parent, parent_path, name);
    const bool existed = old.kind != LowerNode::Kind::none;
    if (is_whiteout(info)) {
        if (existed) add(path, Kind::remove);
        return;
    }
    bool listed = true;
    if (!existed) {
        add(path, Kind::add);
    } else if (differs(old.info, info) ||
               (S_ISREG(info.st_mode) && old.capability != capability_of(fd.get()))) {
        add(path, Kind::modify);
    } else {
        listed = false;
    }
    if (!S_ISDIR(info.st_mode)) return;
    const base::Fd below{
        ::openat(upper, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (below) directory(below.get(), old, path, listed);
}

/// A directory counts as modified when something in it changed; its line comes first.
void Differ::directory(int fd, const LowerNode& old, const std::string& path, bool listed) {
    const std::size_t before = changes_.size();
    const bool was_directory = old.kind == LowerNode::Kind::directory;
    children(fd, was_directory ? old : LowerNode{}, path, was_directory && is_opaque(fd));
    if (listed || changes_.size() == before) return;
    changes_.insert(changes_.begin() + static_cast<std::ptrdiff_t>(before),
                    {"/" + path, Kind::modify});
}

}  // namespace

LowerStack Layers::Impl::lower_stack_of(const RwLayer& layer) const {
    std::vector<std::string> ids;
    {
        const base::Lock lock(mutex);
        if (!layer.parent.empty()) ids = stack_of(layer.parent);
    }
    if (!layer.init_id.empty()) ids.insert(ids.begin(), layer.init_id);
    return LowerStack(overlay, std::move(ids));
}

std::vector<LayerChange> Layers::rw_changes(const std::string& container_id) const {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    const LowerStack lower = impl_->lower_stack_of(*layer);
    const base::Fd upper = impl_->overlay.open_diff(layer->mount_id);
    return Differ(lower).run(upper.get());
}

}  // namespace dockerd::store
