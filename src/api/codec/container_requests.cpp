#include "container_requests.hpp"

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "../params.hpp"
#include "timestamp.hpp"

namespace dockerd::api::codec {
namespace {

using base::ErrorKind;
using base::fail;
using http::ApiVersion;
using http::Request;

}  // namespace

engine::ListOptions decode_list(const Request& request) {
    engine::ListOptions options;
    options.filters = filters_param(request);
    options.all = bool_param(request, "all");
    options.size = bool_param(request, "size");
    options.limit = int_param(request, "limit", 0);
    return options;
}

engine::StopOptions decode_stop(const Request& request) {
    engine::StopOptions options;
    if (request.version >= ApiVersion{1, 42}) options.signal = request.param("signal", "");
    if (!request.param("t", "").empty()) options.timeout = int_param(request, "t", 0);
    return options;
}

engine::RemoveOptions decode_remove(const Request& request) {
    return {.volumes = bool_param(request, "v"),
            .force = bool_param(request, "force"),
            .link = bool_param(request, "link")};
}

void check_start(const Request& request) {
    // Seven bytes are "{}" with white space, which some clients send.
    if (request.content_length > 7 || request.content_length == -1) {
        fail(ErrorKind::invalid_argument,
             "starting container with non-empty request body was deprecated since API v1.22 "
             "and removed in v1.24");
    }
}

model::ContainerUpdate decode_update(const Request& request) {
    auto update = read_json<model::ContainerUpdate>(request).value_or(model::ContainerUpdate{});
    model::Resources& limits = update.resources;
    if (request.version < ApiVersion{1, 40}) limits.pids_limit.reset();
    if (request.version >= ApiVersion{1, 42}) limits.kernel_memory = 0;
    if (limits.pids_limit && *limits.pids_limit <= 0) limits.pids_limit = 0;
    return update;
}

engine::AttachOptions decode_attach(const Request& request) {
    return {.stdin_stream = bool_param(request, "stdin"),
            .stdout_stream = bool_param(request, "stdout"),
            .stderr_stream = bool_param(request, "stderr"),
            .logs = bool_param(request, "logs"),
            .stream = bool_param(request, "stream"),
            .detach_keys = request.param("detachKeys", ""),
            .multiplexed = true};
}

engine::AttachOptions decode_websocket_attach(const Request& request) {
    engine::AttachOptions options = decode_attach(request);
    options.multiplexed = false;
    if (request.version < ApiVersion{1, 42}) {
        options.stdin_stream = options.stdout_stream = options.stderr_stream = true;
    }
    return options;
}

bool websocket_is_binary(const Request& request) { return request.version >= ApiVersion{1, 28}; }

engine::LogOptions decode_logs(const Request& request) {
    engine::LogOptions options;
    options.stdout_stream = bool_param(request, "stdout");
    options.stderr_stream = bool_param(request, "stderr");
    if (!options.stdout_stream && !options.stderr_stream) {
        fail(ErrorKind::invalid_argument, "Bad parameters: you must choose at least one stream");
    }
    options.follow = bool_param(request, "follow");
    options.timestamps = bool_param(request, "timestamps");
    options.details = bool_param(request, "details");
    options.since = parse_timestamp(request.param("since", ""), ErrorKind::internal);
    const std::string until = request.param("until", "");
    if (until != "0") options.until = parse_timestamp(until, ErrorKind::internal);
    options.tail = base::parse_int(request.param("tail", "")).value_or(-1);
    return options;
}

WaitCall decode_wait(const Request& request) {
    WaitCall call;
    if (request.version < ApiVersion{1, 30}) {
        call.head_first = false;
        return call;
    }
    const std::string condition = request.param("condition", "");
    if (condition.empty() || condition == "not-running") return call;
    if (condition == "next-exit") {
        call.condition = engine::WaitCondition::next_exit;
    } else if (condition == "removed") {
        call.condition = engine::WaitCondition::removed;
        call.silent_failure = request.version < ApiVersion{1, 34};
    } else {
        fail(ErrorKind::invalid_argument, "invalid condition: " + base::quote(condition));
    }
    return call;
}

model::ExecCreate decode_exec_create(const Request& request) {
    auto exec = read_json<model::ExecCreate>(request).value_or(model::ExecCreate{});
    if (exec.cmd.empty()) fail(ErrorKind::invalid_argument, "No exec command specified");
    if (request.version < ApiVersion{1, 42}) exec.console_size.reset();
    return exec;
}

model::ExecStart decode_exec_start(const Request& request) {
    auto start = read_json<model::ExecStart>(request).value_or(model::ExecStart{});
    if (request.version < ApiVersion{1, 42} || !start.tty) start.console_size.reset();
    return start;
}

TerminalSize decode_resize(const Request& request) {
    const auto height = uint32_param(request, "h", "invalid resize height");
    const auto width = uint32_param(request, "w", "invalid resize width");
    // The kernel's winsize has 16 bits; Docker cuts the rest off.
    return {static_cast<std::uint16_t>(height), static_cast<std::uint16_t>(width)};
}

std::string stream_type(const Request& request, bool tty) {
    return !tty && request.version >= ApiVersion{1, 42}
               ? "application/vnd.docker.multiplexed-stream"
               : "application/vnd.docker.raw-stream";
}

}  // namespace dockerd::api::codec
