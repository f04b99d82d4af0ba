#include "../codec/container_requests.hpp"
#include "streams.hpp"

namespace dockerd::api {

using http::HijackHead;
using http::RawConnection;
using http::Request;
using http::Stream;
using http::Task;

namespace {

/// Takes the connection over and gives it to the container's monitor.
Task<void> hand_over(engine::StreamSession& session, HijackHead head, Stream& stream) {
    base::WorkerPool& pool = stream.calls();
    RawConnection raw = co_await stream.hijack(std::move(head));
    auto run = [&session, &raw] { session.run(std::move(raw.fd), std::move(raw.early)); };
    co_await http::offload(pool, std::move(run));
}

}  // namespace

// POST /containers/{name}/attach
Task<void> Streams::attach(Request request, Stream& stream) {
    const engine::AttachOptions options = codec::decode_attach(request);
    auto open = [&] { return containers_.attach(request.path_param("name"), options); };
    const auto session = co_await http::offload(stream.calls(), std::move(open));
    HijackHead head;
    head.content_type = codec::stream_type(request, session->tty());
    co_await hand_over(*session, std::move(head), stream);
}

// POST /exec/{id}/start
Task<void> Streams::exec_start(Request request, Stream& stream) {
    const model::ExecStart start = codec::decode_exec_start(request);
    if (!start.detach) {
        co_await run_exec(request, start, stream);
        co_return;
    }
    auto run = [&] { containers_.exec_start_detached(request.path_param("id"), start); };
    co_await http::offload(stream.calls(), std::move(run));
    http::Response done;
    co_await stream.respond(std::move(done));
}

Task<void> Streams::run_exec(const Request& request, const model::ExecStart& start,
                             Stream& stream) {
    auto open = [&] { return containers_.exec_attach(request.path_param("id"), start); };
    const auto session = co_await http::offload(stream.calls(), std::move(open));
    HijackHead head;
    // The client says here how it will read; whether there is a terminal was said at creation.
    head.content_type = codec::stream_type(request, start.tty);
    head.api_headers = true;
    co_await hand_over(*session, std::move(head), stream);
}

}  // namespace dockerd::api
