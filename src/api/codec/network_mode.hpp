#pragma once

#include <string_view>

#include <dockerd/model/namespace_mode.hpp>

/// The forms of HostConfig.NetworkMode. Source: moby api/types/container, NetworkMode.
namespace dockerd::api::codec {

using model::is_container_mode;

/// A network by name or id, none of the built-in ones.
inline bool is_user_defined(std::string_view mode) {
    return mode != "default" && mode != "bridge" && mode != "host" && mode != "none" &&
           !is_container_mode(mode);
}

/// A network namespace of its own. Source: NetworkMode.IsPrivate.
inline bool is_private(std::string_view mode) {
    return mode != "host" && !is_container_mode(mode);
}

}  // namespace dockerd::api::codec
