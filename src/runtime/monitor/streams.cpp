#include "monitor/streams.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace dockerd::runtime::monitor {

namespace {

constexpr std::size_t read_size = 128 * 1024;
/// Of a pipe that was found full: what a busy container prints then takes fewer turns.
constexpr int busy_pipe_size = 1024 * 1024;
constexpr std::size_t usual_pipe_size = 64 * 1024;
constexpr std::size_t most_input = 64 * 1024;

/// One buffer for all reads, outside of the heap so that its pages can be given back.
char* read_buffer() {
    static char* const buffer = static_cast<char*>(
        ::mmap(nullptr, read_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    return buffer;
}

void set_nonblocking(const base::Fd& fd) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags >= 0)
        (void)::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);  // valid flags of an open fd
}

}  // namespace

Streams::Streams(Loop& loop, StreamsOwner& owner, Policy policy, Log* log)
    : loop_(loop), owner_(owner), policy_(policy), log_(log) {
    for (int i = 0; i < 2; ++i) {
        outputs_[i].streams = this;
        outputs_[i].stream = i + 1;
    }
    input_.streams = this;
}

Streams::~Streams() {
    for (Output& output : outputs_) {
        if (output.fd) loop_.forget(output.fd.get());
    }
    if (input_.fd && input_watched_) loop_.forget(input_.fd.get());
}

void Streams::set_pipes(base::Fd in, base::Fd out, base::Fd err) {
    outputs_[0].fd = std::move(out);
    outputs_[1].fd = std::move(err);
    for (Output& output : outputs_) {
        set_nonblocking(output.fd);
        output.events = EPOLLIN;
        loop_.watch(output.fd.get(), output.events, &output);
    }
    input_.fd = std::move(in);
    input_open_ = static_cast<bool>(input_.fd);
    if (input_open_) set_nonblocking(input_.fd);
}

void Streams::set_terminal(base::Fd master) {
    outputs_[0].fd = std::move(master);
    set_nonblocking(outputs_[0].fd);
    outputs_[0].events = EPOLLIN;
    loop_.watch(outputs_[0].fd.get(), EPOLLIN, &outputs_[0]);
    input_open_ = policy_.open_stdin;
}

void Streams::resize(ConsoleSize size) {
    if (!policy_.tty || !outputs_[0].fd) return;
    const winsize wanted{size.height, size.width, 0, 0};
    (void)::ioctl(outputs_[0].fd.get(), TIOCSWINSZ, &wanted);  // a hung-up terminal has no size
}

Client* Streams::attach(wire::AttachRequest&& request) {
    clients_.push_back(std::make_unique<Client>(loop_, *this, std::move(request), policy_.tty,
                                                policy_.open_stdin));
    Client& client = *clients_.back();
    if (!input_pending_.empty()) client.pause_input(true);
    client.feed_early_input();
    return client.gone() ? nullptr : &client;  // buried at most: there until the round's end
}

void Streams::attach_held(wire::AttachRequest&& request) {
    Client* const client = attach(std::move(request));
    if (client == nullptr) return;
    client->hold(true);
    for (int stream = 1; stream <= 2; ++stream) {
        if (log_ != nullptr && !log_->held(stream).empty()) {
            client->send(stream, log_->held(stream));
        }
    }
}

void Streams::resume(std::uint64_t attach_id) {
    std::vector<Client*> waiting;
    for (const auto& client : clients_) {
        if (attach_id == 0 || client->id() == attach_id) waiting.push_back(client.get());
    }
    // Sending may end a client, which then is buried but not yet deleted.
    for (Client* client : waiting) client->hold(false);
}

bool Streams::flushed() const {
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const auto& client) { return client->flushed(); });
}

void Streams::output_ready(Output& output, std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) write_input();  // a terminal: both directions in one
    if (output.fd && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_output(output);
}

void Streams::read_output(Output& output) {
    // A few reads in a row, so that others have their turn as well.
    for (int round = 0; round < 4 && output.fd; ++round) {
        const ssize_t n = ::read(output.fd.get(), read_buffer(), read_size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        // EIO: nobody has the terminal open any more.
        if (n <= 0) return end_output(output);
        const std::string_view data(read_buffer(), static_cast<std::size_t>(n));
        if (data.size() >= usual_pipe_size && !output.grown && !policy_.tty) {
            output.grown = true;
            (void)::fcntl(output.fd.get(), F_SETPIPE_SZ, busy_pipe_size);  // only a wish
        }
        if (log_ != nullptr && log_->enabled()) {
            timespec now{};
            (void)::clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock
            log_->add(output.stream, data, now);
        }
        const bool taken = send_to_clients(output.stream, data);
        if (!taken || (log_ != nullptr && log_->blocked())) return update_events();
        if (static_cast<std::size_t>(n) < read_size / 16) return;
    }
}

/// False when a client is too far behind to go on.
bool Streams::send_to_clients(int stream, std::string_view data) {
    bool behind = false;
    sending_ = true;  // a client that fails stays in the list until all have had their turn
    for (const auto& client : clients_) {
        client->send(stream, data);
        behind = behind || client->backlogged();
    }
    sending_ = false;
    for (auto it = clients_.begin(); it != clients_.end();) {
        if (!(*it)->gone()) {
            ++it;
            continue;
        }
        loop_.bury(std::move(*it));
        it = clients_.erase(it);
    }
    return !behind;
}

void Streams::end_output(Output& output) {
    loop_.forget(output.fd.get());
    output.fd.reset();
    if (log_ != nullptr) {
        timespec now{};
        (void)::clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock
        log_->end(output.stream, now);
    }
    owner_.streams_changed(*this);
}

void Streams::give_up_outputs() {
    for (Output& output : outputs_) {
        if (output.fd) end_output(output);
    }
    close_input();
}

/// Output is not read while a client is a megabyte behind, or the log's peer does not take more:
/// the container then waits in its write, as with Docker.
void Streams::update_events() {
    const bool behind = (log_ != nullptr && log_->blocked()) ||
                        std::any_of(clients_.begin(), clients_.end(),
                                    [](const auto& client) { return client->backlogged(); });
    for (Output& output : outputs_) {
        if (!output.fd) continue;
        std::uint32_t wanted = behind ? 0U : static_cast<std::uint32_t>(EPOLLIN);
        if (policy_.tty && !input_pending_.empty()) wanted |= EPOLLOUT;
        if (wanted == output.events) continue;
        output.events = wanted;
        // Without interest a hung-up pipe would still be reported, again and again.
        loop_.forget(output.fd.get());
        if (wanted != 0) loop_.watch(output.fd.get(), wanted, &output);
    }
}

int Streams::input_fd() const { return policy_.tty ? outputs_[0].fd.get() : input_.fd.get(); }

void Streams::input(std::string_view data) {
    if (!input_open_) return;  // nobody reads: lost, as with Docker
    input_pending_.append(data);
    write_input();
}

void Streams::write_input() {
    std::size_t done = 0;
    while (done < input_pending_.size() && input_fd() >= 0) {
        const ssize_t n =
            ::write(input_fd(), input_pending_.data() + done, input_pending_.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) {
            done = input_pending_.size();
            close_input();
            break;
        }
        done += static_cast<std::size_t>(n);
    }
    input_pending_.erase(0, done);
    const bool waiting = !input_pending_.empty();
    if (!policy_.tty && input_.fd && waiting != input_watched_) {
        input_watched_ = waiting;
        if (waiting) {
            loop_.watch(input_.fd.get(), EPOLLOUT, &input_);
        } else {
            loop_.forget(input_.fd.get());
        }
    }
    if (policy_.tty) update_events();
    pause_clients(waiting);
    if (!waiting && close_after_input_) close_input();
}

void Streams::pause_clients(bool paused) {
    for (const auto& client : clients_)
        client->pause_input(paused && input_pending_.size() > most_input / 2);
}

void Streams::close_input() {
    input_open_ = false;
    if (!input_.fd) return;
    if (input_watched_) loop_.forget(input_.fd.get());
    input_watched_ = false;
    input_pending_.clear();
    input_.fd.reset();
}

// Source: moby daemon/../container/stream/attach.go, CopyStreams: the end of a client's input
// closes the container's, or else ends that client's outputs.
void Streams::client_input_ended(Client& client) {
    if (policy_.close_stdin && !policy_.tty) {
        close_after_input_ = true;
        if (input_pending_.empty()) close_input();
        return;
    }
    if (client.flushed()) {
        client.finish();
        client_gone(client);
    }
}

void Streams::client_detached(Client& client) {
    client.finish();
    client_gone(client);
    owner_.client_detached(*this);
}

void Streams::client_gone(Client& client) {
    owner_.client_closed(client.id());
    for (std::size_t i = 0; i < clients_.size(); ++i) {
        if (clients_[i].get() != &client) continue;
        if (!sending_) {
            loop_.bury(std::move(clients_[i]));
            clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i));
        }
        break;
    }
    if (sending_) return;
    update_events();
    owner_.streams_changed(*this);
}

void Streams::client_progress() {
    update_events();
    owner_.streams_changed(*this);
}

void Streams::close_clients() {
    while (!clients_.empty()) {
        std::unique_ptr<Client> client = std::move(clients_.back());
        clients_.pop_back();
        client->finish();
        owner_.client_closed(client->id());
        loop_.bury(std::move(client));
    }
}

void Streams::shrink() {
    if (log_ != nullptr) log_->shrink();
    if (input_pending_.empty()) std::string().swap(input_pending_);
    (void)::madvise(read_buffer(), read_size, MADV_DONTNEED);  // only a wish
}

}  // namespace dockerd::runtime::monitor
