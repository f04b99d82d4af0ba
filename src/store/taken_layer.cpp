// A writable layer that becomes a read-only one as it is.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/tar_split.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "layers_impl.hpp"

namespace dockerd::store {
namespace {

/// Something in the layer is not as the layer's own tar would leave it.
struct CannotBeTaken {};

/// Names of extended attributes; `path` may lead to an O_PATH descriptor.
std::vector<std::string> attributes_of(const std::string& path) {
    std::array<char, 4096> names{};
    const ssize_t n = ::listxattr(path.c_str(), names.data(), names.size());
    if (n < 0) throw CannotBeTaken{};
    std::vector<std::string> out;
    for (std::string_view left(names.data(), static_cast<std::size_t>(n)); !left.empty();) {
        out.emplace_back(left.substr(0, left.find('\0')));
        left.remove_prefix(out.back().size() + 1);
    }
    return out;
}

/// Overlay's notes of where something was copied up from; of no use in a layer that others stand on.
bool is_origin(const std::string& name) {
    return name == "trusted.overlay.origin" || name == "trusted.overlay.impure";
}

/// A tar has no attributes but capabilities, and the mark of an opaque directory.
void check_attributes(int fd) {
    for (const std::string& name : attributes_of(archive::fd_path(fd))) {
        if (name == "trusted.overlay.opaque" || name == "security.selinux") continue;
        if (!is_origin(name)) throw CannotBeTaken{};
        if (::fremovexattr(fd, name.c_str()) != 0) throw CannotBeTaken{};
    }
}

/// Brings what is in the tree into the form in which it comes out of a tar, and counts it.
class Settler {
public:
    void run(int root) {
        archive::walk_tree(root, [this](int parent, const std::string& name,
                                        const struct stat& info) { visit(parent, name, info); });
    }

    std::int64_t size = 0;  ///< of files and links, as the worker that unpacks counts
    std::int64_t members = 0;

private:
    void visit(int parent, const std::string& name, const struct stat& info) {
        // A tar would make a whiteout of it.
        if (name.starts_with(".wh.")) throw CannotBeTaken{};
        ++members;
        if (is_whiteout(info)) return;
        if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) check_node(parent, name);
        if (!S_ISDIR(info.st_mode) &&
            (info.st_nlink < 2 || seen_.emplace(info.st_dev, info.st_ino).second)) {
            size += info.st_size;
        }
        // Tars have whole seconds.
        if (info.st_mtim.tv_nsec == 0) return;
        const std::array<timespec, 2> times{timespec{0, UTIME_OMIT},
                                            timespec{info.st_mtim.tv_sec, 0}};
        if (::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
            throw CannotBeTaken{};
        }
    }

    /// Of what is never opened; files and directories are looked at when they are packed.
    static void check_node(int parent, const std::string& name) {
        const base::Fd node{::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        if (!node) throw CannotBeTaken{};
        for (const std::string& attribute : attributes_of(archive::fd_path(node.get()))) {
            if (!is_origin(attribute) && attribute != "security.selinux") throw CannotBeTaken{};
        }
    }

    std::set<std::pair<dev_t, ino_t>> seen_;
};

/// tar-split of a tar that is being written, and how many members that has.
class Members : public archive::TarSplitWriter {
public:
    using TarSplitWriter::TarSplitWriter;
    void begin(const archive::TarEntry& entry) override {
        // The mark of an opaque directory is an attribute of it, and no file.
        if (!entry.name.ends_with("/.wh..wh..opq")) ++count;
        TarSplitWriter::begin(entry);
    }
    std::int64_t count = 0;
};

/// The directory itself stays: the kernel takes it for an upper one until the last of its mount is gone.
void move_all(int from, int to) {
    for (const std::string& name : archive::sorted_names(from)) {
        if (::renameat(from, name.c_str(), to, name.c_str()) != 0) {
            base::throw_errno(errno, "store layer: rename " + name);
        }
    }
}

}  // namespace

base::Fd Layers::open_rw(const std::string& container_id) const {
    return impl_->overlay.open_diff(impl_->require_rw(container_id)->mount_id);
}

/// What the new layer's tar says, and nothing else, is in the tree; its sum is made of what is there.
StagedLayer Layers::take_rw(const std::string& container_id) {
    Impl& self = *impl_;
    const RwLayerPtr layer = self.require_rw(container_id);
    const std::shared_ptr<void> reading = self.hold_files(layer);
    try {
        const base::Fd upper = self.overlay.open_diff(layer->mount_id);
        Settler settler;
        settler.run(upper.get());
        Begun begun = begin_stage();
        StagedLayer::State& it = *begun.layer.state_;
        Members tar_split(archive::fd_sink(begun.tar_split.get()));
        archive::PackOptions options;
        options.overlay_whiteouts = true;
        options.on_attributes = check_attributes;
        options.tap = &tar_split;
        archive::Sha256 sum;
        archive::pack(upper.get(), options, [&](std::string_view bytes) {
            sum.update(bytes);
            it.tar_size += static_cast<std::int64_t>(bytes.size());
        });
        tar_split.finish();
        // What cannot be packed is in no layer.
        if (tar_split.count != settler.members) throw CannotBeTaken{};
        it.diff_id = sum.digest();
        it.size = settler.size;
        move_all(upper.get(), begun.diff.get());
        return std::move(begun.layer);
    } catch (const CannotBeTaken&) {
        return stage_rw(container_id);
    }
}

}  // namespace dockerd::store
