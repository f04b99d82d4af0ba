#include <dockerd/base/mutex.hpp>

#include "../codec/container_requests.hpp"
#include "../codec/containers.hpp"
#include "streams.hpp"

namespace dockerd::api {

using http::Notifier;
using http::Request;
using http::Stream;
using http::Task;
using http::Wake;

namespace {

/// Carries the exit from the engine's thread to the coroutine.
class ExitSlot {
public:
    void set(engine::WaitResult result) {
        const base::Lock lock(mutex_);
        result_ = std::move(result);
    }
    std::optional<engine::WaitResult> take() {
        const base::Lock lock(mutex_);
        return std::exchange(result_, std::nullopt);
    }

private:
    base::Mutex mutex_;
    std::optional<engine::WaitResult> result_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace

// POST /containers/{name}/wait
Task<void> Streams::wait(Request request, Stream& stream) {
    const codec::WaitCall call = codec::decode_wait(request);
    Notifier notifier = co_await Notifier::make();
    const auto slot = std::make_shared<ExitSlot>();
    auto subscribe = [&] {
        return containers_.wait(request.path_param("name"), call.condition,
                                [slot, notifier](engine::WaitResult result) {
                                    slot->set(std::move(result));
                                    notifier.notify();
                                });
    };
    const engine::Subscription subscription =
        co_await http::offload(stream.calls(), std::move(subscribe));

    http::Headers headers;
    headers.add("Content-Type", "application/json");
    // Before the exit is known: `docker run` waits for the head before it sends the start.
    if (call.head_first) co_await stream.send_head(200, headers);

    auto result = slot->take();
    while (!result) {
        const Wake wake = co_await stream.wait(notifier);
        if (wake == Wake::closed) co_return;
        result = slot->take();
    }
    std::string text;
    if (!call.silent_failure || result->error.empty()) text = codec::encode_wait(*result);
    if (!call.head_first) {
        http::Response response = http::Response::json(200, std::move(text));
        co_await stream.respond(std::move(response));
        co_return;
    }
    if (!text.empty()) co_await stream.write(text);
    co_await stream.finish();
}

}  // namespace dockerd::api
