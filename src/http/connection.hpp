#pragma once

#include <sys/uio.h>

#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core.hpp"
#include "parser.hpp"

namespace dockerd::http {

/// One client's connection: reads requests, has them answered one after the other.
///
/// Thread: the io thread, except while a transfer has the descriptor.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    enum class State { idle, reading, calling, transfer, session, closing };

    /// `from_network`: the client speaks TCP, whatever `family` the descriptor has. `tls` is null
    /// without TLS.
    Connection(Core& core, base::Fd fd, int family, bool from_network,
               std::shared_ptr<const TlsPeer> tls);

    /// Serves until the connection ends. `self` keeps the object alive.
    static Task<void> serve(std::shared_ptr<Connection> self);

    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] bool from_network() const { return from_network_; }
    /// Ends reading, or both directions: whoever waits on the connection wakes up.
    void shutdown(int how) noexcept;

    /// Where the object is in Core::connections.
    std::list<std::shared_ptr<Connection>>::iterator position;

private:
    friend class StreamImpl;

    enum class Received { data, nothing, end };
    enum class BodyResult { complete, too_large, gone, bad };

    Task<bool> serve_one();
    Task<bool> wait_for_request();
    Task<bool> read_head(RequestParser& parser);
    Task<BodyResult> read_body(RequestParser& parser, const Request& request);
    Task<bool> dispatch(RequestParser& parser, Request request);
    Task<bool> answer_call(RequestParser& parser, Request& request, const Endpoint& endpoint);
    Task<bool> answer_session(RequestParser& parser, Request request, const Endpoint& endpoint);
    Task<bool> answer_transfer(RequestParser& parser, Request& request, const Endpoint& endpoint);
    Task<bool> refuse(int status, std::string text, bool in_status_line = false);
    Task<bool> send(const Request& request, const Endpoint& endpoint, const Response& response,
                    bool keep);
    Task<void> linger();

    /// Receives once without waiting, to the end of `in_`.
    Received receive_now();
    /// Waits for bytes. False when the client has ended its side.
    Task<bool> receive();
    /// Feeds what was received to the parser.
    RequestParser::Result feed(RequestParser& parser);
    /// Writes everything. Throws: unavailable, "client went away".
    Task<void> write_all(std::string_view bytes);
    /// Sends without waiting; takes the sent bytes off `parts`. True when nothing is left.
    bool write_now(std::span<iovec> parts);
    Task<void> write_parts(std::span<iovec> parts);
    void account(std::size_t bytes);
    void enter(State state);

    Core& core_;
    Socket socket_;
    int family_;
    std::optional<PeerCredentials> peer_;
    bool from_network_;
    std::shared_ptr<const TlsPeer> tls_;
    State state_ = State::reading;
    std::list<Connection*>::iterator idle_position_;
    std::string in_;  ///< received and not parsed yet
    std::size_t accounted_ = 0;
    bool linger_ = false;  ///< the client may still be sending when we close
    bool continue_sent_ = false;
    bool released_ = false;  ///< the descriptor was given away
    int transfer_fd_ = -1;   ///< the descriptor while a transfer has it
};

[[noreturn]] void throw_client_gone();

}  // namespace dockerd::http
