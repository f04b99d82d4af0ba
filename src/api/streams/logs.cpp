#include "../codec/container_requests.hpp"
#include "streams.hpp"

namespace dockerd::api {

using http::Request;
using http::Stream;
using http::Task;
using http::Wake;

namespace {

/// What one turn on the pool reads, and so what one client holds in memory.
constexpr std::size_t piece_bytes = 256u << 10;

struct Piece {
    engine::LogStream::State state = engine::LogStream::State::end;
    std::string bytes;
};

Piece read_piece(engine::LogStream& log) {
    Piece piece;
    piece.state = log.read(piece.bytes, piece_bytes);
    return piece;
}

struct OpenedLog {
    std::unique_ptr<engine::LogStream> log;
    Piece first;
};

}  // namespace

// GET /containers/{name}/logs
Task<void> Streams::logs(Request request, Stream& stream) {
    const engine::LogOptions options = codec::decode_logs(request);
    base::WorkerPool& pool = stream.calls();
    // Opened and first read in one turn: most logs are short and read once.
    auto open = [&] {
        OpenedLog opened;
        opened.log = containers_.logs(request.path_param("name"), options);
        opened.first = read_piece(*opened.log);
        return opened;
    };
    OpenedLog opened = co_await http::offload(pool, std::move(open));

    http::Headers headers;
    headers.add("Content-Type", codec::stream_type(request, opened.log->tty()));
    co_await stream.send_head(200, std::move(headers));

    Piece piece = std::move(opened.first);
    for (;;) {
        if (!piece.bytes.empty()) co_await stream.write(piece.bytes);
        if (piece.state == engine::LogStream::State::end) break;
        if (piece.state == engine::LogStream::State::wait) {
            const Wake wake = co_await stream.wait_readable(opened.log->wait_fd());
            if (wake == Wake::closed) co_return;
        }
        auto read = [&] { return read_piece(*opened.log); };
        piece = co_await http::offload(pool, std::move(read));
    }
    co_await stream.finish();
}

}  // namespace dockerd::api
