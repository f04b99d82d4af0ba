#pragma once

#include <string>
#include <string_view>

namespace dockerd::engine {

/// The number of "9", "KILL", "sigkill" or "RTMIN+3". A number may be one that no signal has.
/// Throws: invalid_argument, "invalid signal: x". Source: moby/sys/signal, ParseSignal.
int parse_signal(std::string_view text);

/// Whether Docker sends it: all of the kernel's but the two that libraries keep for themselves.
bool is_signal(int number);

}  // namespace dockerd::engine
