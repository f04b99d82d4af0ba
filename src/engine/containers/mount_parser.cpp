#include "mount_parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

[[noreturn]] void invalid_mount(const model::Mount& mount, const std::string& text) {
    invalid(fmt::format("invalid mount config for type {}: {}", base::quote(mount.type), text));
}

bool is_propagation(std::string_view text) {
    constexpr std::array<std::string_view, 6> modes{"private", "rprivate", "slave",
                                                    "rslave",  "shared",   "rshared"};
    return std::ranges::find(modes, text) != modes.end();
}

enum class ModeClass { read_write, label, propagation, copy, consistency, unknown };

ModeClass classify(std::string_view mode) {
    if (mode == "rw" || mode == "ro") return ModeClass::read_write;
    if (mode == "z" || mode == "Z") return ModeClass::label;
    if (is_propagation(mode)) return ModeClass::propagation;
    if (mode == "nocopy") return ModeClass::copy;
    if (mode == "consistent" || mode == "cached" || mode == "delegated") {
        return ModeClass::consistency;
    }
    return ModeClass::unknown;
}

bool is_valid_mode(std::string_view mode) {
    if (mode.empty()) return true;
    std::array<int, 5> seen{};
    for (const auto& part : base::split(mode, ',')) {
        const ModeClass kind = classify(part);
        if (kind == ModeClass::unknown) return false;
        if (++seen[static_cast<std::size_t>(kind)] > 1) return false;
    }
    return true;
}

std::string mode_of_class(std::string_view mode, ModeClass kind) {
    for (const auto& part : base::split(mode, ',')) {
        if (classify(part) == kind) return part;
    }
    return {};
}

// Source: Go path/filepath, IsLocal.
bool is_local_path(const std::string& path) {
    if (path.empty() || path.front() == '/') return false;
    const std::string clean = clean_path(path);
    return clean != ".." && !clean.starts_with("../");
}

void validate_target(const model::Mount& mount) {
    if (mount.target.empty()) invalid_mount(mount, "field Target must not be empty");
    if (clean_path(mount.target) == "/") {
        invalid_mount(mount, "invalid specification: destination can't be '/'");
    }
    if (mount.target.front() != '/') {
        invalid_mount(mount, fmt::format("invalid mount path: '{}' mount path must be absolute",
                                         mount.target));
    }
}

void refuse_extra(const model::Mount& mount, bool present, const char* field) {
    if (present) invalid_mount(mount, fmt::format("field {} must not be specified", field));
}

void validate_bind(const model::Mount& mount, CheckSource check_source) {
    if (mount.source.empty()) invalid_mount(mount, "field Source must not be empty");
    const auto& options = mount.bind_options;
    if (options && !options->propagation.empty() && !is_propagation(options->propagation)) {
        invalid_mount(mount, "invalid propagation mode: " + options->propagation);
    }
    refuse_extra(mount, mount.volume_options.has_value(), "VolumeOptions");
    refuse_extra(mount, mount.image_options.has_value(), "ImageOptions");
    if (mount.source.front() != '/') {
        invalid_mount(mount, fmt::format("invalid mount path: '{}' mount path must be absolute",
                                         mount.source));
    }
    const bool may_create = options && options->create_mountpoint;
    if (check_source == CheckSource::yes && !may_create && !sys::exists(mount.source)) {
        invalid_mount(mount, "bind source path does not exist: " + mount.source);
    }
}

void validate_volume(const model::Mount& mount) {
    refuse_extra(mount, mount.bind_options.has_value(), "BindOptions");
    refuse_extra(mount, mount.image_options.has_value(), "ImageOptions");
    const bool anonymous = mount.source.empty();
    if (mount.volume_options && !mount.volume_options->subpath.empty()) {
        if (anonymous) invalid_mount(mount, "must not set Subpath when using anonymous volumes");
        if (!is_local_path(mount.volume_options->subpath)) {
            invalid_mount(mount, "subpath must be a relative path within the volume");
        }
    }
    if (mount.read_only && anonymous) {
        invalid_mount(mount, "must not set ReadOnly mode when using anonymous volumes");
    }
}

void validate_tmpfs(const model::Mount& mount) {
    refuse_extra(mount, mount.bind_options.has_value(), "BindOptions");
    refuse_extra(mount, mount.image_options.has_value(), "ImageOptions");
    refuse_extra(mount, !mount.source.empty(), "Source");
    if (!mount.tmpfs_options) return;
    // Source: moby volume/mounts/linux_parser.go, validateTmpfsOptions.
    for (const auto& option : mount.tmpfs_options->options) {
        if (option.empty() || option.size() > 2) {
            invalid_mount(mount, "invalid option array length");
        }
        if (option[0] != "exec" && option[0] != "noexec") {
            invalid_mount(mount, "invalid option: " + option[0]);
        }
    }
}

}  // namespace

std::string clean_path(std::string_view path) {
    const bool absolute = path.starts_with('/');
    std::vector<std::string> parts;
    for (const auto& part : base::split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == ".." && !parts.empty() && parts.back() != "..") {
            parts.pop_back();
        } else if (part != ".." || !absolute) {
            parts.push_back(part);
        }
    }
    std::string out = (absolute ? "/" : "") + base::join(parts, "/");
    return out.empty() ? "." : out;
}

void validate_mount(const model::Mount& mount, CheckSource check_source) {
    validate_target(mount);
    if (mount.type == "bind") {
        validate_bind(mount, check_source);
    } else if (mount.type == "volume") {
        validate_volume(mount);
    } else if (mount.type == "tmpfs") {
        validate_tmpfs(mount);
    } else if (mount.type == "image") {
        refuse_extra(mount, mount.bind_options.has_value(), "BindOptions");
        refuse_extra(mount, mount.volume_options.has_value(), "VolumeOptions");
        if (mount.source.empty()) invalid_mount(mount, "field Source must not be empty");
        const auto& options = mount.image_options;
        if (options && !options->subpath.empty() && !is_local_path(options->subpath)) {
            invalid_mount(mount, "subpath must be a relative path within the volume");
        }
    } else {
        invalid_mount(mount, "mount type unknown");
    }
}

store::MountPointRecord parse_mount(const model::Mount& mount, CheckSource check_source) {
    validate_mount(mount, check_source);
    store::MountPointRecord point;
    point.rw = !mount.read_only;
    point.destination = clean_path(mount.target);
    point.type = mount.type;
    point.spec = mount;
    if (mount.type == "volume") {
        point.name = mount.source;
        if (mount.volume_options && mount.volume_options->driver_config) {
            point.driver = mount.volume_options->driver_config->name;
        }
    } else if (mount.type == "bind") {
        point.source = clean_path(mount.source);
        point.propagation = mount.bind_options && !mount.bind_options->propagation.empty()
                                ? mount.bind_options->propagation
                                : "rprivate";
    } else if (mount.type == "image") {
        point.source = mount.source;
        point.propagation = "rprivate";
    }
    return point;
}

store::MountPointRecord parse_bind(const std::string& text, const std::string& volume_driver) {
    const std::string bad = fmt::format("invalid volume specification: '{}'", text);
    const auto parts = base::split(text, ':');
    if (parts[0].empty() || parts.size() > 3) invalid(bad);
    model::Mount mount;
    std::string mode;
    if (parts.size() == 1) {
        mount.target = parts[0];
    } else {
        // A destination with a mode alone is no volume: "/foo:rw".
        if (parts.size() == 2 && is_valid_mode(parts[1])) invalid(bad);
        mount.source = parts[0];
        mount.target = parts[1];
        if (parts.size() == 3) mode = parts[2];
    }
    if (!is_valid_mode(mode)) invalid("invalid mode: " + mode);
    mount.type = mount.source.starts_with('/') ? "bind" : "volume";
    mount.read_only = !is_read_write(mode);
    if (!volume_driver.empty() && mount.type == "volume") {
        mount.volume_options.emplace().driver_config = model::VolumeDriver{.name = volume_driver};
    }
    if (!mode_of_class(mode, ModeClass::copy).empty()) {
        if (!mount.volume_options) mount.volume_options.emplace();
        mount.volume_options->no_copy = true;
    }
    const std::string propagation = mode_of_class(mode, ModeClass::propagation);
    if (!propagation.empty()) mount.bind_options.emplace().propagation = propagation;
    try {
        auto point = parse_mount(mount, CheckSource::no);
        point.mode = mode;
        return point;
    } catch (const base::Error& error) {
        throw error.with_context(bad);
    }
}

std::pair<std::string, std::string> parse_volumes_from(const std::string& text) {
    if (text.empty()) invalid("volumes-from specification cannot be an empty string");
    const auto colon = text.find(':');
    const std::string mode = colon == std::string::npos ? "" : text.substr(colon + 1);
    if (mode.empty()) return {text.substr(0, colon), "rw"};
    const bool imported = !mode_of_class(mode, ModeClass::propagation).empty() ||
                          !mode_of_class(mode, ModeClass::copy).empty();
    if (!is_valid_mode(mode) || imported) invalid("invalid mode: " + mode);
    return {text.substr(0, colon), mode};
}

std::string subpath_of(const store::MountPointRecord& point) {
    const auto& spec = point.spec;
    if (point.type == "volume" && spec.volume_options) return spec.volume_options->subpath;
    if (point.type == "image" && spec.image_options) return spec.image_options->subpath;
    return {};
}

bool is_read_write(std::string_view mode) {
    return mode_of_class(mode, ModeClass::read_write) != "ro";
}

bool touches_data_root(std::string_view source, std::string_view data_root) {
    return source.starts_with(data_root) || data_root.starts_with(source);
}

}  // namespace dockerd::engine
