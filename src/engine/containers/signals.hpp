#pragma once

#include <string>
#include <string_view>

namespace dockerd::engine {

/// The number of "9", "KILL", "sigkill" or "RTMIN+3".
/// Throws: invalid_argument, "invalid signal: x". Source: moby/sys/signal, ParseSignal.
int parse_signal(std::string_view text);

}  // namespace dockerd::engine
