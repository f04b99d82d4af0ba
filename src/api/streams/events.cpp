#include <deque>

#include <dockerd/base/log.hpp>
#include <dockerd/base/mutex.hpp>

#include "../codec/system.hpp"
#include "streams.hpp"

namespace dockerd::api {

using http::Notifier;
using http::Request;
using http::Stream;
using http::Task;
using http::Wake;

namespace {

/// Events on their way from publishers to one client. A client that reads too slowly loses its
/// stream rather than the daemon its memory.
class EventQueue {
public:
    explicit EventQueue(Notifier notifier) : notifier_(std::move(notifier)) {}

    void push(engine::EventPtr event) {
        {
            const base::Lock lock(mutex_);
            if (events_.size() >= limit) {
                overflowed_ = true;
            } else {
                events_.push_back(std::move(event));
            }
        }
        notifier_.notify();
    }
    std::deque<engine::EventPtr> take() {
        const base::Lock lock(mutex_);
        return std::exchange(events_, {});
    }
    bool overflowed() {
        const base::Lock lock(mutex_);
        return overflowed_;
    }

private:
    static constexpr std::size_t limit = 16'384;
    Notifier notifier_;
    base::Mutex mutex_;
    std::deque<engine::EventPtr> events_ DOCKERD_GUARDED_BY(mutex_);
    bool overflowed_ DOCKERD_GUARDED_BY(mutex_) = false;
};

template <typename Events>
std::string encode(const Events& events, const codec::EventsCall& call) {
    codec::Text out(codec::Text::Escape::html);
    for (const auto& event : events) {
        if (codec::is_wanted(*event, call)) codec::put_event(out, *event);
    }
    return out.take();
}

/// Time left until the query's end; nullopt when it has none.
std::optional<std::chrono::nanoseconds> time_left(const engine::EventQuery& query) {
    if (!query.until) return std::nullopt;
    const base::WallTime now = base::WallTime::now();
    return std::chrono::seconds(query.until->seconds() - now.seconds()) +
           std::chrono::nanoseconds(query.until->nanoseconds() - now.nanoseconds());
}

Task<void> follow(EventQueue& queue, Notifier& notifier, const codec::EventsCall& call,
                  Stream& stream) {
    for (;;) {
        const std::string text = encode(queue.take(), call);
        if (!text.empty()) co_await stream.write(text);
        if (queue.overflowed()) {
            base::log::warn("events: a client reads too slowly, its stream is ended");
            co_return;
        }
        const auto left = time_left(call.query);
        if (left && *left <= std::chrono::nanoseconds::zero()) co_return;
        const Wake wake = co_await stream.wait(notifier, left);
        if (wake == Wake::closed) co_return;
    }
}

}  // namespace

// GET /events
Task<void> Streams::events(Request request, Stream& stream) {
    const codec::EventsCall call = codec::decode_events(request);
    Notifier notifier = co_await Notifier::make();
    const auto queue = std::make_shared<EventQueue>(notifier);
    auto subscribe = [&] {
        return events_.subscribe(call.query,
                                 [queue](engine::EventPtr event) { queue->push(std::move(event)); });
    };
    // Subscribed before the head goes out: what the client does after seeing it is not missed.
    const auto subscribed = co_await http::offload(stream.calls(), std::move(subscribe));

    http::Headers headers;
    headers.add("Content-Type", "application/json");
    co_await stream.send_head(200, std::move(headers));
    const std::string past = encode(subscribed.first, call);
    if (!past.empty()) co_await stream.write(past);
    co_await follow(*queue, notifier, call, stream);
    co_await stream.finish();
}

}  // namespace dockerd::api
