#include "errors.hpp"

#include <fmt/format.h>

#include <dockerd/base/strings.hpp>

namespace dockerd::engine::errors {

using base::Error;
using base::ErrorKind;

// Source: moby daemon/errors.go, containerNotFound.
Error no_such_container(std::string_view reference) {
    return Error(ErrorKind::not_found, fmt::format("No such container: {}", reference));
}

// Source: moby daemon/errors.go, invalidIdentifier.
Error no_name() { return Error(ErrorKind::invalid_argument, "invalid name or ID supplied: \"\""); }

// Source: moby pkg/truncindex (now daemon/container.go), ErrAmbiguousPrefix.
Error ambiguous_prefix(std::string_view prefix) {
    return Error(ErrorKind::invalid_argument,
                 fmt::format("multiple IDs found with provided prefix: {}", prefix));
}

// Source: moby daemon/names.go, reserveName (nameConflictError).
Error name_in_use(std::string_view name, std::string_view container_id) {
    return Error(ErrorKind::conflict,
                 fmt::format("Conflict. The container name \"{}\" is already in use by container "
                             "\"{}\". You have to remove (or rename) that container to be able to "
                             "reuse that name.",
                             name, container_id));
}

// Source: moby daemon/names.go, reserveName.
Error invalid_name(std::string_view name) {
    return Error(ErrorKind::invalid_argument,
                 fmt::format("Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
                             "allowed",
                             name));
}

// Source: moby daemon/errors.go, errNotRunning.
Error not_running(std::string_view container_id) {
    return Error(ErrorKind::conflict, fmt::format("container {} is not running", container_id));
}

// Source: moby daemon/start.go, validateState.
Error cannot_start_paused() {
    return Error(ErrorKind::conflict, "cannot start a paused container, try unpause instead");
}

// Source: moby daemon/start.go, containerStart.
Error marked_for_removal() {
    return Error(ErrorKind::conflict, "container is marked for removal and cannot be started");
}

// Source: moby daemon/delete.go, ContainerRm.
Error removal_in_progress(std::string_view reference) {
    return Error(ErrorKind::conflict,
                 fmt::format("removal of container {} is already in progress", reference));
}

// Source: moby daemon/delete.go, cleanupContainer.
Error cannot_remove(std::string_view reference, std::string_view state) {
    const std::string problem =
        state == "paused"
            ? "container is paused and must be unpaused first"
            : fmt::format("container is {}: stop the container before removing or force remove",
                          state);
    return Error(ErrorKind::conflict,
                 fmt::format("cannot remove container {}: {}", base::quote(reference), problem));
}

// Source: moby daemon/pause.go, errPaused.
Error already_paused(std::string_view container_id) {
    return Error(ErrorKind::conflict, fmt::format("Container {} is already paused", container_id));
}

// Source: moby daemon/unpause.go.
Error not_paused(std::string_view container_id) {
    return Error(ErrorKind::internal, fmt::format("Container {} is not paused", container_id));
}

// Source: moby daemon/errors.go, errExecNotFound.
Error no_such_exec(std::string_view exec_id) {
    return Error(ErrorKind::not_found, fmt::format("No such exec instance: {}", exec_id));
}

// Source: containerd runtime/v2/shim.go, Process, as its client words it.
Error no_such_process(std::string_view exec_id) {
    return Error(ErrorKind::not_found,
                 fmt::format("NotFound: process does not exist {}: not found", exec_id));
}

// Source: moby daemon/errors.go, errContainerIsRestarting.
Error is_restarting(std::string_view container_id) {
    return Error(ErrorKind::conflict,
                 fmt::format("Container {} is restarting, wait until the container is running",
                             container_id));
}

// Source: moby daemon/errors.go, errExecPaused.
Error paused_for_exec(std::string_view container_id) {
    return Error(
        ErrorKind::conflict,
        fmt::format("Container {} is paused, unpause the container before exec", container_id));
}

// Source: moby/sys/signal, ParseSignal.
Error invalid_signal(std::string_view signal) {
    return Error(ErrorKind::invalid_argument, fmt::format("invalid signal: {}", signal));
}

// Source: moby daemon/errors.go, duplicateMountPointError.
Error duplicate_mount_point(std::string_view destination) {
    return Error(ErrorKind::invalid_argument,
                 fmt::format("Duplicate mount point: {}", destination));
}

// Source: moby daemon/errors.go, containerFileNotFound.
Error file_not_found(std::string_view path, std::string_view reference) {
    return Error(ErrorKind::not_found,
                 fmt::format("Could not find the file {} in container {}", path, reference));
}

}  // namespace dockerd::engine::errors
