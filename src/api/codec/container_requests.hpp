#pragma once

#include <optional>
#include <string>

#include <dockerd/engine/containers.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/model/requests.hpp>

/// Requests about containers and execs as the engine takes them; all that depends on the
/// client's version is settled here.
namespace dockerd::api::codec {

engine::ListOptions decode_list(const http::Request& request);
engine::StopOptions decode_stop(const http::Request& request);
engine::RemoveOptions decode_remove(const http::Request& request);
/// Throws: invalid_argument, "starting container with non-empty request body was ..."
void check_start(const http::Request& request);
model::ContainerUpdate decode_update(const http::Request& request);

engine::AttachOptions decode_attach(const http::Request& request);
engine::AttachOptions decode_websocket_attach(const http::Request& request);
/// Whether output goes into binary frames (1.28) instead of text ones.
bool websocket_is_binary(const http::Request& request);

/// Throws: invalid_argument, "Bad parameters: you must choose at least one stream".
engine::LogOptions decode_logs(const http::Request& request);

struct WaitCall {
    engine::WaitCondition condition = engine::WaitCondition::not_running;
    /// The head goes out before the exit is known (1.30).
    bool head_first = true;
    /// A failed removal is answered by an empty body (before 1.34).
    bool silent_failure = false;
};
WaitCall decode_wait(const http::Request& request);

/// Throws: invalid_argument, "No exec command specified".
model::ExecCreate decode_exec_create(const http::Request& request);
model::ExecStart decode_exec_start(const http::Request& request);

/// Terminal height and width. Throws: invalid_argument, `invalid resize height "x": ...`.
struct TerminalSize {
    std::uint16_t height = 0;
    std::uint16_t width = 0;
};
TerminalSize decode_resize(const http::Request& request);

/// The Content-Type of container output. Source: moby api/types/types.go, MediaTypeRawStream.
std::string stream_type(const http::Request& request, bool tty);

}  // namespace dockerd::api::codec
