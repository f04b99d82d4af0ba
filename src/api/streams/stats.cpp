#include <dockerd/base/error.hpp>

#include "../codec/stats.hpp"
#include "streams.hpp"

namespace dockerd::api {

using http::Request;
using http::Stream;
using http::Task;
using http::Wake;

namespace {

/// Source: moby daemon/stats/collector.go, NewCollector.
constexpr std::chrono::seconds interval{1};

/// Between the two samples of one answer. Docker waits for two of its collector's rounds, 1 to 2
/// seconds; half a second still counts 50 of the kernel's ticks for each processor.
constexpr std::chrono::milliseconds short_interval{500};

}  // namespace

// GET /containers/{name}/stats
Task<void> Streams::stats(Request request, Stream& stream) {
    const codec::StatsCall call = codec::decode_stats(request);
    std::string name = request.path_param("name");
    auto read = [&] { return containers_.stats(name); };
    engine::StatsSample sample = co_await http::offload(stream.calls(), read);
    // A name may be given to another container while the stream runs.
    name = sample.id;
    if (call.stream) {
        co_await follow_stats(std::move(sample), stream);
        co_return;
    }
    engine::StatsSample previous;
    const bool two_samples = sample.running && !call.one_shot;
    if (two_samples) {
        if (co_await stream.sleep(short_interval) == Wake::closed) co_return;
        previous = std::exchange(sample, co_await http::offload(stream.calls(), read));
    }
    // A running container's only sample comes without its name.
    const bool named = two_samples || !sample.running;
    http::Response response =
        http::Response::json(200, codec::encode_stats(sample, previous, named));
    co_await stream.respond(std::move(response));
}

Task<void> Streams::follow_stats(engine::StatsSample sample, Stream& stream) {
    const std::string id = sample.id;
    auto read = [&]() -> std::optional<engine::StatsSample> {
        try {
            return containers_.stats(id);
        } catch (const base::Error& error) {
            // Removed: that is how the stream ends.
            if (error.kind() == base::ErrorKind::not_found) return std::nullopt;
            throw;
        }
    };
    http::Headers headers;
    co_await stream.send_head(200, std::move(headers));
    engine::StatsSample previous;
    for (;;) {
        const std::string text = codec::encode_stats(sample, previous, /*named=*/true);
        co_await stream.write(text);
        previous = std::move(sample);
        if (co_await stream.sleep(interval) == Wake::closed) co_return;
        auto next = co_await http::offload(stream.calls(), read);
        if (!next) break;
        sample = std::move(*next);
    }
    co_await stream.finish();
}

}  // namespace dockerd::api
