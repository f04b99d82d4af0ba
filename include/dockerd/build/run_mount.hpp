#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace dockerd::build {

/// One `RUN --mount`. Source: buildkit frontend/dockerfile/instructions/commands_runmount.go.
struct RunMount {
    std::string type = "bind";  ///< bind, cache, tmpfs, secret, ssh
    std::string from;
    std::string source;
    std::string target;
    std::string id;
    std::string sharing;  ///< of a cache: shared, private, locked; empty: shared
    bool read_only = true;
    bool required = false;
    std::int64_t size = 0;  ///< bytes, of a tmpfs; 0: no limit
    std::optional<std::uint32_t> mode;
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
};

/// Reads "type=cache,target=/x"; variables in values are filled in by `expander`.
/// Throws: invalid_argument, `unsupported mount type "x"`, "unexpected key 'x' in 'x=y'" and kin.
RunMount read_run_mount(std::string_view text,
                        const std::function<std::string(std::string_view word)>& expander);

}  // namespace dockerd::build
