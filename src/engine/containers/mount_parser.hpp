#pragma once

#include <string>
#include <string_view>

#include <dockerd/model/container.hpp>
#include <dockerd/store/container_files.hpp>

/// `-v` and `--mount` in Docker's grammar. Pure, but for the look whether a bind source exists.
namespace dockerd::engine {

enum class CheckSource { no, yes };

/// Go's path.Clean for absolute and relative paths.
std::string clean_path(std::string_view path);

/// Throws: invalid_argument, `invalid mount config for type "bind": bind source path does not
/// exist: /x` and kin. Source: moby volume/mounts/linux_parser.go, validateMountConfigImpl.
void validate_mount(const model::Mount& mount, CheckSource check_source);

/// "src:dst:mode", "name:dst", "/dst" as a mount point; `type` says bind or volume.
/// Throws: invalid_argument, "invalid volume specification: 'x'", "invalid mode: x".
/// Source: moby volume/mounts/linux_parser.go, ParseMountRaw.
store::MountPointRecord parse_bind(const std::string& text, const std::string& volume_driver);

/// A `--mount` as a mount point. Throws as validate_mount. Source: parseMountSpec.
store::MountPointRecord parse_mount(const model::Mount& mount, CheckSource check_source);

/// "container[:mode]" of --volumes-from. Source: ParseVolumesFrom.
std::pair<std::string, std::string> parse_volumes_from(const std::string& text);

/// What of the volume or image is shown; empty: all of it.
std::string subpath_of(const store::MountPointRecord& point);

/// Whether a mode such as "ro,z" leaves the mount writable.
bool is_read_write(std::string_view mode);

/// Whether a bind of `source` shows the daemon's own mounts. Source: moby
/// daemon/volumes_linux.go, validateBindDaemonRoot.
bool touches_data_root(std::string_view source, std::string_view data_root);

}  // namespace dockerd::engine
