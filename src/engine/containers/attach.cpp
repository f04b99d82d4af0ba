#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/base/worker_pool.hpp>

#include "containers.hpp"
#include "detach_keys.hpp"
#include "errors.hpp"

namespace dockerd::engine {
namespace {

/// A client that does not read its answer's head must not hold a start up for long.
constexpr std::chrono::seconds arrival_patience{2};

/// Writes all of `bytes`; false when the client is gone or does not read for ten seconds.
bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
            const base::LongWait wait;
            if (::poll(&ready, 1, 10'000) <= 0) return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/// Takes the frames of both streams apart, in whichever pieces they come.
class Unframer {
public:
    /// The bytes within; what is left of a frame waits for the next piece.
    std::string take(std::string_view piece) {
        constexpr std::size_t head = 8;
        rest_ += piece;
        std::string out;
        std::size_t at = 0;
        while (rest_.size() - at >= head) {
            std::size_t size = 0;
            for (std::size_t i = 4; i < head; ++i) {
                size = size << 8 | static_cast<unsigned char>(rest_[at + i]);
            }
            if (rest_.size() - at - head < size) break;
            out.append(rest_, at + head, size);
            at += head + size;
        }
        rest_.erase(0, at);
        return out;
    }

private:
    std::string rest_;
};

}  // namespace

/// A client that is about to join a container's streams.
class AttachSession final : public StreamSession {
public:
    AttachSession(Containers& owner, ContainerRef container, AttachOptions options)
        : owner_(owner),
          container_(std::move(container)),
          options_(std::move(options)),
          tty_(container_->snapshot()->config->tty) {
        const base::Lock lock(container_->arrivals_mutex);
        ++container_->arriving;
    }
    AttachSession(const AttachSession&) = delete;
    AttachSession& operator=(const AttachSession&) = delete;
    /// Handed over, or the client went before that: a start need not wait any longer.
    ~AttachSession() override {
        const base::Lock lock(container_->arrivals_mutex);
        --container_->arriving;
        container_->arrivals_changed.notify_all();
    }

    [[nodiscard]] bool tty() const override { return tty_; }

    void run(base::Fd client, std::string early_input) override {
        const bool live = options_.stream && (options_.stdin_stream || options_.stdout_stream ||
                                              options_.stderr_stream);
        if (options_.logs && live && join_with_log(client, early_input)) return;
        if (options_.logs && !replay_log(client, std::nullopt)) return;
        const base::Lock lock(container_->operation);
        if (container_->removed) return;
        owner_.log_event(container_->record, "attach");
        if (!live) return;
        const auto attach = runtime_options();
        if (container_->monitor) {
            (void)container_->monitor->attach(attach, std::move(client), early_input);
            return;
        }
        // Served from the next run's first byte on. Clients that went away meanwhile make room.
        std::erase_if(container_->pending, [](const runtime::PendingAttach& waiting) {
            pollfd state{.fd = waiting.client.get(), .events = POLLRDHUP, .revents = 0};
            return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
        });
        container_->pending.push_back({attach, std::move(client), std::move(early_input)});
    }

private:
    [[nodiscard]] runtime::AttachOptions runtime_options() const {
        runtime::AttachOptions attach;
        attach.stdin = options_.stdin_stream && container_->record.config.open_stdin;
        attach.stdout = options_.stdout_stream;
        attach.stderr = options_.stderr_stream;
        attach.multiplexed = options_.multiplexed && !tty_;
        attach.detach_keys = options_.detach_keys.empty() ? "\x10\x11" : options_.detach_keys;
        return attach;
    }

    /// The log of a running container up to a moment, and its output from that on: the monitor
    /// keeps the client's stream back meanwhile. False when there is none to do that.
    bool join_with_log(const base::Fd& client, const std::string& early_input) {
        std::shared_ptr<runtime::Monitor> monitor;
        runtime::HeldClient held;
        {
            const base::Lock lock(container_->operation);
            monitor = container_->removed ? nullptr : container_->monitor;
            if (!monitor) return false;
            base::Fd copy(::fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
            if (!copy) return false;
            try {
                held = monitor->attach_held(runtime_options(), std::move(copy), early_input);
            } catch (const base::Error&) {
                return false;  // of an older daemon, or just ending
            }
        }
        {
            const base::Undo let_go([&]() noexcept { monitor->resume(held.attach_id); });
            if (held.log_end) (void)replay_log(client, held.log_end);  // a client that is gone
        }
        const base::Lock lock(container_->operation);
        if (!container_->removed) owner_.log_event(container_->record, "attach");
        return true;
    }

    bool replay_log(const base::Fd& client, std::optional<runtime::LogPosition> end) {
        LogOptions query;
        query.stdout_stream = options_.stdout_stream;
        query.stderr_stream = options_.stderr_stream;
        const auto log = owner_.open_log(container_, query, end);
        const bool framed = options_.multiplexed || tty_;  // a terminal's log has no frames
        Unframer unframer;
        std::string chunk;
        while (true) {
            chunk.clear();
            const auto state = log->read(chunk, 64 * 1024);
            if (!write_all(client.get(), framed ? chunk : unframer.take(chunk))) return false;
            if (state != LogStream::State::data) return true;
        }
    }

    Containers& owner_;
    ContainerRef container_;
    AttachOptions options_;
    bool tty_;
};

// Source: moby daemon/attach.go, ContainerAttach.
std::unique_ptr<StreamSession> Containers::attach(std::string_view reference,
                                                  const AttachOptions& options) {
    const auto keys = parse_detach_keys(options.detach_keys);
    if (!keys) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("Invalid detach keys ({}) provided", options.detach_keys));
    }
    const auto container = index_.get(reference);
    const auto snapshot = container->snapshot();
    if (snapshot->state.paused) {
        base::fail(
            base::ErrorKind::conflict,
            fmt::format("container {} is paused, unpause the container before attach", reference));
    }
    if (snapshot->state.restarting) {
        base::fail(base::ErrorKind::conflict,
                   fmt::format("container {} is restarting, wait until the container is running",
                               reference));
    }
    AttachOptions parsed = options;
    parsed.detach_keys = *keys;
    return std::make_unique<AttachSession>(*this, container, std::move(parsed));
}

/// Waits until promised clients have been handed over, or have had their time.
///
/// The client of an attach starts the container as soon as it has the answer's head, which is
/// before this daemon has put its socket in place.
void Containers::await_arrivals(Container& container) {
    base::Lock lock(container.arrivals_mutex);
    if (container.arriving == 0) return;
    const base::LongWait wait;
    const auto deadline = std::chrono::steady_clock::now() + arrival_patience;
    while (container.arriving > 0) {
        if (container.arrivals_changed.wait_until(lock, deadline) == std::cv_status::timeout) {
            return;
        }
    }
}

void Containers::resize(std::string_view reference, std::uint16_t height, std::uint16_t width) {
    const auto container = index_.get(reference);
    const base::Lock lock(container->operation);
    if (!container->monitor) throw errors::not_running(container->id);
    container->monitor->resize({.height = height, .width = width});
    log_event(container->record, "resize",
              {{"height", std::to_string(height)}, {"width", std::to_string(width)}});
}

}  // namespace dockerd::engine
