#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// /debug: what the daemon is doing. The paths are those of Go's net/http/pprof and expvar; where
/// a profile is one of Go's runtime, the answer is this program's nearest, in plain text.
class DebugHandlers {
public:
    explicit DebugHandlers(const engine::Services& services) : system_(services.system) {}

    http::Response vars(const http::Request& request);
    http::Response index(const http::Request& request);
    http::Response command_line(const http::Request& request);
    http::Response symbol(const http::Request& request);
    http::Response profile(const http::Request& request);
    /// Profiles by name: goroutine and threadcreate are lists of the threads.
    http::Response named(const http::Request& request);

private:
    engine::SystemService& system_;
};

}  // namespace dockerd::api
