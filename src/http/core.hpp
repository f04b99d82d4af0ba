#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <string>

#include <dockerd/http/server.hpp>

namespace dockerd::http {

using Socket = asio::generic::stream_protocol::socket;

class Connection;

/// What all connections share. Everything but the pools and the atomics belongs to the io thread.
struct Core {
    Core(Application& served, ServerOptions chosen)
        : app(served),
          options(chosen),
          calls({.name = "calls", .max_threads = chosen.call_threads}),
          transfers({.name = "transfers", .max_threads = chosen.transfer_threads}) {}

    Application& app;
    const ServerOptions options;

    asio::io_context io{1};
    /// Bytes are received here first, so an idle connection owns no buffer.
    std::array<char, 65536> receive_buffer;
    /// Answers are put together here.
    std::string send_buffer;
    /// Bytes of unfinished heads and bodies, over all connections.
    std::size_t buffered = 0;

    std::list<std::shared_ptr<Connection>> connections;
    /// Waiting for their next request, longest first.
    std::list<Connection*> idle;
    std::atomic<std::size_t> connection_count{0};
    bool stopping = false;

    // Last, so that they end first: their jobs use what is above.
    base::WorkerPool calls;
    base::WorkerPool transfers;
};

}  // namespace dockerd::http
