#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/http/stream.hpp>

namespace dockerd::api {

/// Answers that outlive the question: coroutines on the io thread. What may block in the
/// engine is called on a pool.
class Streams {
public:
    explicit Streams(const engine::Services& services)
        : containers_(services.containers), events_(services.events) {}

    http::Task<void> attach(http::Request request, http::Stream& stream);
    http::Task<void> attach_websocket(http::Request request, http::Stream& stream);
    http::Task<void> exec_start(http::Request request, http::Stream& stream);
    http::Task<void> wait(http::Request request, http::Stream& stream);
    http::Task<void> logs(http::Request request, http::Stream& stream);
    http::Task<void> stats(http::Request request, http::Stream& stream);
    http::Task<void> events(http::Request request, http::Stream& stream);

private:
    http::Task<void> follow_stats(engine::StatsSample sample, http::Stream& stream);
    http::Task<void> run_exec(const http::Request& request, const model::ExecStart& start,
                              http::Stream& stream);

    engine::ContainerService& containers_;
    engine::EventService& events_;
};

}  // namespace dockerd::api
