#pragma once

#include <string>

#include "options.hpp"

namespace dockerd::app {

/// The configuration as daemon.json would have it, in one line, for the log: values that are
/// empty are left out, credentials of proxies are masked.
std::string config_json(const Config& config);

}  // namespace dockerd::app
