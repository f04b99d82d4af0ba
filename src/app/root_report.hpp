#pragma once

#include <string>

namespace dockerd::app {

/// `dockerd --check-data-root`: prints what the data root holds and what is wrong with it.
/// Returns the exit code: 0, or 1 where there are problems. Throws as store::check_data_root().
int report_data_root(const std::string& data_root);

}  // namespace dockerd::app
