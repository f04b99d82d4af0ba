#include <dockerd/store/import.hpp>

#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::store {

std::string import_image(Images& images, archive::ByteSource tar, const ImportRequest& request) {
    if (!base::iequals(request.os, "linux")) {
        // Source: moby image/image_os.go, CheckOS.
        base::fail(base::ErrorKind::invalid_argument, "operating system is not supported");
    }
    const LayerInfo layer =
        images.layers().apply("", images.layers().unpacker().decompress(std::move(tar)));
    const LayerHold hold(images.layers(), layer.chain_id);
    ImageConfig config;
    config.created = base::WallTime::now();
    config.comment = request.comment;
    config.architecture =
        request.architecture.empty() ? native_architecture() : request.architecture;
    config.variant = request.variant;
    config.os = request.os;
    config.docker_version = request.docker_version;
    config.config = request.config;
    config.diff_ids = {layer.diff_id};
    config.history = {{.created = config.created, .comment = request.comment}};
    return images.create(encode_image_config(config));
}

}  // namespace dockerd::store
