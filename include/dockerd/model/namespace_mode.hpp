#pragma once

#include <string_view>

namespace dockerd::model {

/// The head of NetworkMode, IpcMode and PidMode that share another container's namespace.
inline constexpr std::string_view container_mode = "container:";

inline bool is_container_mode(std::string_view mode) { return mode.starts_with(container_mode); }

/// The container in "container:<name or id>"; empty for all other modes.
inline std::string_view joined_container(std::string_view mode) {
    return is_container_mode(mode) ? mode.substr(container_mode.size()) : std::string_view();
}

}  // namespace dockerd::model
