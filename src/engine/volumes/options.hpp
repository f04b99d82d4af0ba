#pragma once

#include <string>
#include <string_view>

#include <dockerd/model/collections.hpp>

namespace dockerd::engine {

/// mount(2) arguments that fstab-like options stand for.
struct MountFlags {
    unsigned long flags = 0;
    std::string data;  ///< what is no flag, for the file system
};

/// Source: moby/sys/mount, parseOptions.
MountFlags parse_mount_options(std::string_view options);

/// Throws: invalid_argument, "invalid option: "x"", "missing required option: "device"",
/// "quota size requested but no quota support".
/// Source: moby volume/local/local_unix.go, validateOpts.
void check_volume_options(const model::StringMap& options);

/// Throws: invalid_argument, in the words of moby volume/local/local.go, validateName.
void check_volume_name(const std::string& name);

/// True when a volume with these options is a mount of its own.
bool needs_mount(const model::StringMap& options);

/// Mounts what `options` describe on `target`.
/// Throws: internal, "failed to mount local volume: mount <device>:<target>, ...", without
/// passwords.
void mount_volume(const model::StringMap& options, const std::string& target);

/// Whether something is mounted on `path`.
bool is_mount_point(const std::string& path);

}  // namespace dockerd::engine
