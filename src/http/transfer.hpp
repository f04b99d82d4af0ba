#pragma once

#include <string>

#include <dockerd/http/server.hpp>

#include "parser.hpp"

namespace dockerd::http {

/// What a transfer is run with: the connection's descriptor and what was already read.
struct TransferSetup {
    Application& app;
    Request& request;
    const Endpoint& endpoint;
    RequestParser& parser;
    std::string& input;
    const Limits& limits;
    bool keep_alive = true;
    bool expects_continue = false;
    int fd = -1;
};

struct TransferResult {
    bool keep = false;    ///< the connection can take another request
    bool unread = false;  ///< the client may still be sending its body
};

/// Runs the endpoint's handler and sends its answer to the end. Does not throw.
/// Thread: a pool thread, which alone uses the descriptor meanwhile.
TransferResult run_transfer(TransferSetup& setup) noexcept;

}  // namespace dockerd::http
