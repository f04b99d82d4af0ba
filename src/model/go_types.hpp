#pragma once

#include <string_view>

namespace dockerd::model {

/// What Go calls the type of a field whose C++ type does not tell, for messages about wrong values.
struct GoField {
    std::string_view owner;  ///< "HostConfig", as messages name the struct
    std::string_view name;
    const char* type;  ///< "container.IpcMode"
    /// Bounds of what an integer field takes; both 0 for int and int64.
    long long least = 0;
    long long most = 0;
};

/// The entry of a field, or nullptr where the C++ type says it all. Source: moby api/types.
const GoField* find_go_field(std::string_view owner, std::string_view name);

}  // namespace dockerd::model
