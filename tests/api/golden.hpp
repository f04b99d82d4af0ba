#pragma once

#include <string>

#include <dockerd/engine/types.hpp>

namespace dockerd::test {

/// A file of tests/api/data: an answer of Docker 28.2.2, the data root and run folder renamed.
std::string golden(const std::string& name);
/// The container a golden inspect answer tells of.
engine::ContainerSnapshot read_inspect(const std::string& text);
/// The rows of a golden list.
std::vector<engine::ContainerSummary> read_list(const std::string& text);

}  // namespace dockerd::test
