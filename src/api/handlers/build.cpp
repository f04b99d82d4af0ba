#include "build.hpp"

#include <string>
#include <vector>

#include <dockerd/base/error.hpp>

#include "../codec/build.hpp"
#include "../codec/images.hpp"
#include "../params.hpp"
#include "progress_writer.hpp"

namespace dockerd::api {

using http::BodyReader;
using http::Request;
using http::ResponseWriter;

namespace {

/// Of a quiet build's log, which is shown when it fails. Docker has no bound.
constexpr std::size_t max_held_back = 16UL << 20U;

std::string encode_failure(const base::Error& error) {
    const auto* const failure = dynamic_cast<const engine::BuildFailure*>(&error);
    return codec::encode_stream_error(error.what(), failure == nullptr ? 0 : failure->code());
}

}  // namespace

// POST /build
void BuildHandlers::build(Request& request, BodyReader& in, ResponseWriter& out) {
    const auto options = codec::decode_build(request, out.poll_fd());
    const bool quiet = bool_param(request, "q");
    const bool shows_images = request.version >= http::ApiVersion{1, 30};
    ProgressWriter writer(out);
    std::string held_back;
    const auto tell = [&](const std::string& line) {
        if (quiet) {
            held_back += line;
            if (held_back.size() > max_held_back) {
                // The end says what was wrong.
                held_back.erase(0, held_back.find('\n', held_back.size() - max_held_back / 2) + 1);
            }
        } else {
            writer.send(line);
        }
    };
    try {
        const std::string id = builds_.build(
            options, [&](std::span<char> buffer) { return in.read(buffer); },
            [&](const engine::Progress& progress) {
                if (progress.aux_json.empty() || shows_images) tell(codec::encode_progress(progress));
            });
        if (quiet) writer(engine::Progress{.stream = id + "\n"});
    } catch (const base::Error& error) {
        if (!held_back.empty()) writer.send(held_back);
        if (!out.started()) throw;
        writer.send(encode_failure(error));
    }
}

// POST /build/prune
http::Response BuildHandlers::prune(const Request& request) {
    const auto gone = builds_.prune(codec::decode_build_prune(request));
    return http::Response::json(200, codec::encode_build_prune(gone));
}

}  // namespace dockerd::api
