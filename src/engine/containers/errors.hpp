#pragma once

#include <string>
#include <string_view>

#include <dockerd/base/error.hpp>

/// The messages of the container group, one function each.
namespace dockerd::engine::errors {

base::Error no_such_container(std::string_view reference);
base::Error no_name();
base::Error ambiguous_prefix(std::string_view prefix);
base::Error name_in_use(std::string_view name, std::string_view container_id);
base::Error invalid_name(std::string_view name);
base::Error not_running(std::string_view container_id);
base::Error cannot_start_paused();
base::Error marked_for_removal();
base::Error removal_in_progress(std::string_view reference);
base::Error cannot_remove(std::string_view reference, std::string_view state);
base::Error already_paused(std::string_view container_id);
base::Error not_paused(std::string_view container_id);
base::Error no_such_exec(std::string_view exec_id);
/// 404: an exec that has ended.
base::Error no_such_process(std::string_view exec_id);
base::Error is_restarting(std::string_view container_id);
base::Error paused_for_exec(std::string_view container_id);
base::Error invalid_signal(std::string_view signal);
base::Error duplicate_mount_point(std::string_view destination);
base::Error file_not_found(std::string_view path, std::string_view reference);

}  // namespace dockerd::engine::errors
