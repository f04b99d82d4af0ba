#include "build/mount_stubs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

/// Of a path without "/" in front; the root is ".".
std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool is_missing(int root, const std::string& path) {
    return path != "." && !sys::try_open_without_links(root, path, O_PATH | O_NOFOLLOW) &&
           errno == ENOENT;
}

/// Whether it is gone: an empty directory, or an empty file.
bool remove_empty(int root, const std::string& path) {
    // What the step put in place of the directory is not gone through.
    const base::Fd folder =
        sys::try_open_without_links(root, parent_of(path), O_RDONLY | O_DIRECTORY);
    const std::string name = name_of(path);
    struct stat info {};
    if (!folder || ::fstatat(folder.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
    if (S_ISDIR(info.st_mode)) return ::unlinkat(folder.get(), name.c_str(), AT_REMOVEDIR) == 0;
    return S_ISREG(info.st_mode) && info.st_size == 0 && ::unlinkat(folder.get(), name.c_str(), 0) == 0;
}

/// A container's files, mounted.
class View {
public:
    View(store::Layers& layers, const std::string& layer)
        : layers_(layers), layer_(layer), tree_(layers.mount_rw(layer).tree) {}
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    ~View() {
        tree_.reset();
        try {
            layers_.unmount_rw(layer_);
        } catch (const base::Error& error) {
            base::log::warn("unmount layer {}: {}", layer_, error.what());
        }
    }
    [[nodiscard]] int root() const { return tree_.get(); }

private:
    store::Layers& layers_;
    const std::string& layer_;
    base::Fd tree_;
};

}  // namespace

MountStubs::MountStubs(store::Layers& layers, std::string layer,
                       const std::vector<std::string>& targets)
    : layers_(layers), layer_(std::move(layer)) {
    if (targets.empty()) return;
    const View view(layers_, layer_);
    for (const std::string& target : targets) {
        Stub stub;
        std::string at =
            sys::resolve_in_root(view.root(), target, sys::Missing::is_kept).substr(1);
        for (; !at.empty() && is_missing(view.root(), at); at = parent_of(at)) {
            stub.missing.push_back(at);
        }
        if (stub.missing.empty()) continue;
        const base::Fd above = sys::try_open_without_links(view.root(), at, O_PATH);
        if (above && ::fstat(above.get(), &stub.above) == 0) stubs_.push_back(std::move(stub));
    }
}

void MountStubs::remove() {
    if (stubs_.empty()) return;
    const View view(layers_, layer_);
    for (const Stub& stub : stubs_) {
        bool all = true;
        for (const std::string& path : stub.missing) all = all && remove_empty(view.root(), path);
        if (!all) continue;
        const base::Fd above = sys::try_open_without_links(
            view.root(), parent_of(stub.missing.back()), O_RDONLY | O_DIRECTORY);
        const std::array<timespec, 2> times{stub.above.st_atim, stub.above.st_mtim};
        if (above) (void)::futimens(above.get(), times.data());  // only a time
    }
}

}  // namespace dockerd::engine::builds
