#include "detach_keys.hpp"

#include <dockerd/base/strings.hpp>

namespace dockerd::engine {

// Source: moby/term ascii.go, ToBytes.
std::optional<std::string> parse_detach_keys(std::string_view names) {
    std::string keys;
    if (names.empty()) return keys;
    for (const auto& name : base::split(names, ',')) {
        if (name.size() == 1) {
            keys += name[0];
        } else if (name == "DEL") {
            keys += '\x7f';
        } else if (name.size() == 6 && name.starts_with("ctrl-")) {
            constexpr std::string_view controls = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
            const auto code = controls.find(name[5]);
            if (code == std::string_view::npos) return std::nullopt;
            keys += static_cast<char>(code);
        } else {
            return std::nullopt;
        }
    }
    return keys;
}

}  // namespace dockerd::engine
