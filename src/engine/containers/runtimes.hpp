#pragma once

#include <map>
#include <string>

#include <dockerd/engine/system.hpp>

namespace dockerd::engine {

/// The OCI runtimes containers may name. Containers are run by this engine itself: a configured
/// runtime is either a name for that, or one that cannot be had here.
struct Runtimes {
    std::map<std::string, RuntimeInfo> configured;
    std::string default_name = "runc";
};

/// Whether containers of that runtime are run by this engine: what is configured is runc, or its
/// twin crun, without arguments of its own.
bool runs_here(const RuntimeInfo& runtime);

/// Throws: invalid_argument, "runtime x: either a runtimeType or a path must be configured" and the
///         like, "specified default runtime 'x' does not exist".
/// Source: moby daemon/runtime_unix.go, setupRuntimes.
void validate_runtimes(const Runtimes& runtimes);

/// Throws: invalid_argument, "unknown or invalid runtime name: x"; not_implemented for one that is
///         configured, but is another program's.
/// Source: moby daemon/runtime_unix.go, Get.
void require_runtime(const Runtimes& runtimes, const std::string& name);

}  // namespace dockerd::engine
