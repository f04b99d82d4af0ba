#pragma once

#include "monitor/detach.hpp"
#include "monitor/log.hpp"
#include "monitor/loop.hpp"
#include "wire/messages.hpp"

#include <dockerd/base/fd.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::runtime::monitor {

class Streams;

/// What the owner of streams is told.
class StreamsOwner {
public:
    virtual ~StreamsOwner() = default;
    virtual void client_detached(Streams& streams) = 0;
    virtual void client_closed(std::uint64_t attach_id) = 0;
    /// An output ended or a client was flushed: look at drained() and flushed().
    virtual void streams_changed(Streams& streams) = 0;
};

/// One attached client: a stream socket that is written and, for standard input, read.
class Client final : public Source {
public:
    Client(Loop& loop, Streams& streams, wire::AttachRequest&& request, bool tty, bool reads);
    ~Client() override;

    void ready(std::uint32_t events) override;
    /// Queues output of stream 1 or 2, or sends it at once.
    void send(int stream, std::string_view data);
    /// Lets go of input while the container is behind.
    void pause_input(bool paused);
    /// Hands on what came before the client was given to us.
    void feed_early_input();
    /// While held, output is kept for later instead of sent.
    void hold(bool held);
    /// Ends the connection in order: end of stream for the peer, then close.
    void finish();

    [[nodiscard]] bool backlogged() const { return pending_.size() - sent_ >= most_pending; }
    [[nodiscard]] bool flushed() const { return pending_.empty() && !held_; }
    [[nodiscard]] bool gone() const { return !socket_; }
    [[nodiscard]] std::uint64_t id() const { return request_.attach_id; }

private:
    static constexpr std::size_t most_pending = 1024 * 1024;

    void read_input();
    void take_input(std::string_view data);
    void end_input();
    void write_pending();
    void queue(std::string_view data);
    void update_events();
    void drop();

    Loop& loop_;
    Streams& streams_;
    wire::AttachRequest request_;
    base::Fd socket_;
    DetachKeys keys_;
    std::string pending_;
    std::size_t sent_ = 0;  ///< of pending_
    std::uint32_t events_ = 0;
    bool reads_;
    bool paused_ = false;
    bool held_ = false;
};

/// Input and output of one process, and those who are attached to it.
class Streams final {
public:
    struct Policy {
        bool tty = false;
        bool open_stdin = false;
        /// Standard input closes with the first client's; an exec's always does.
        bool close_stdin = false;
    };

    Streams(Loop& loop, StreamsOwner& owner, Policy policy, Log* log);
    ~Streams();

    void set_pipes(base::Fd in, base::Fd out, base::Fd err);
    void set_terminal(base::Fd master);
    void resize(ConsoleSize size);

    /// Null when the client's early input has ended it already.
    Client* attach(wire::AttachRequest&& request);
    /// The same, but nothing is sent before resume(). What the log lacks of the current lines
    /// comes first, so that the log up to here and this client's stream make up the whole.
    void attach_held(wire::AttachRequest&& request);
    /// Lets a held client go on; 0: all of them.
    void resume(std::uint64_t attach_id);
    [[nodiscard]] bool has_clients() const { return !clients_.empty(); }

    /// Both outputs have ended.
    [[nodiscard]] bool drained() const { return !outputs_[0].fd && !outputs_[1].fd; }
    /// Every client has all that was read.
    [[nodiscard]] bool flushed() const;
    /// Gives outputs up that others may still hold open.
    void give_up_outputs();
    void close_clients();
    /// Releases buffers.
    void shrink();

    // For Client.
    void input(std::string_view data);
    void client_input_ended(Client& client);
    void client_detached(Client& client);
    void client_gone(Client& client);
    void client_progress();
    /// The log can take more.
    void log_progress() { update_events(); }

private:
    /// Output (or the terminal) as an event source.
    struct Output final : Source {
        void ready(std::uint32_t happened) override { streams->output_ready(*this, happened); }
        Streams* streams = nullptr;
        base::Fd fd;
        int stream = 1;
        bool grown = false;
        std::uint32_t events = 0;
    };
    struct Input final : Source {
        void ready(std::uint32_t) override { streams->write_input(); }
        Streams* streams = nullptr;
        base::Fd fd;
    };

    void output_ready(Output& output, std::uint32_t events);
    void read_output(Output& output);
    bool send_to_clients(int stream, std::string_view data);
    void end_output(Output& output);
    void update_events();
    void write_input();
    void close_input();
    void pause_clients(bool paused);
    [[nodiscard]] int input_fd() const;

    Loop& loop_;
    StreamsOwner& owner_;
    Policy policy_;
    Log* log_;
    Output outputs_[2];
    Input input_;
    bool input_open_ = false;
    bool input_watched_ = false;
    bool close_after_input_ = false;
    bool sending_ = false;
    std::string input_pending_;
    std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace dockerd::runtime::monitor
