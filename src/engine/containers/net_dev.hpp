#pragma once

#include <map>
#include <string>
#include <string_view>

#include <dockerd/engine/stats.hpp>

namespace dockerd::engine {

/// Counters by interface, without lo, from a text in the form of /proc/net/dev.
std::map<std::string, InterfaceStats> parse_net_dev(std::string_view text);

}  // namespace dockerd::engine
