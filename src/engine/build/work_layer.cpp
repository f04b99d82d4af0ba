#include "build/work_layer.hpp"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::engine::builds {

WorkLayer::WorkLayer(store::Layers& layers, const std::string& parent_chain)
    : layers_(layers), id_(base::random_id()) {
    // Never the disk's: what a power cut leaves of it the next start deletes.
    layers_.create_rw(id_, parent_chain, {.init_layer = false}, store::Flush::later);
    try {
        tree_ = layers_.mount_rw(id_).tree;
        mounted_ = true;
        // What an image brings must not be opened as a device.
        mount_attr attributes{};
        attributes.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        if (::mount_setattr(tree_.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
            base::throw_errno(errno, "mount_setattr");
        }
    } catch (...) {
        unmount();
        (void)layers_.remove_rw(id_);
        throw;
    }
}

void WorkLayer::unmount() noexcept {
    tree_.reset();
    if (!mounted_) return;
    mounted_ = false;
    try {
        layers_.unmount_rw(id_);
    } catch (const base::Error& error) {
        base::log::warn("unmount layer {}: {}", id_, error.what());
    }
}

WorkLayer::~WorkLayer() {
    unmount();
    try {
        (void)layers_.remove_rw(id_);
    } catch (const base::Error& error) {
        base::log::warn("remove layer {}: {}", id_, error.what());
    }
}

store::StagedLayer WorkLayer::stage(const LargeFiles& left_out) {
    unmount();
    left_out.fill(layers_.open_rw(id_).get());
    return layers_.take_rw(id_);
}

}  // namespace dockerd::engine::builds
