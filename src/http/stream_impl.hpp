#pragma once

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <memory>
#include <string>

#include <dockerd/base/mutex.hpp>
#include <dockerd/http/server.hpp>

#include "connection.hpp"
#include "response_head.hpp"

namespace dockerd::http {

/// Whether the server still takes notifications: who notifies may outlive it.
struct NotifierDoor {
    base::Mutex mutex;
    bool open DOCKERD_GUARDED_BY(mutex) = true;
};

/// What a notifier's copies share. `waiter` and `fired` belong to the io thread.
struct Notifier::State {
    State(asio::any_io_executor on, std::shared_ptr<NotifierDoor> through)
        : executor(std::move(on)), door(std::move(through)) {}

    const asio::any_io_executor executor;
    const std::shared_ptr<NotifierDoor> door;
    std::atomic<bool> posted{false};
    bool fired = false;
    asio::steady_timer* waiter = nullptr;
};

/// A session's answer on a Connection.
class StreamImpl final : public Stream {
public:
    StreamImpl(Connection& connection, const Request& request, const Endpoint& endpoint, bool keep);

    Task<void> send_head(int status, Headers headers) override;
    Task<void> write(std::string_view bytes) override;
    Task<void> respond(Response response) override;
    Task<void> finish() override;
    Task<Wake> wait(Notifier& notifier, std::optional<std::chrono::nanoseconds> timeout) override;
    Task<Wake> wait_readable(int fd, std::optional<std::chrono::nanoseconds> timeout) override;
    Task<Wake> wait_either(Notifier& notifier, int fd,
                           std::optional<std::chrono::nanoseconds> timeout) override;
    Task<Wake> sleep(std::chrono::nanoseconds time) override;
    Task<void> closed() override;
    [[nodiscard]] bool is_closed() const override { return watch_->closed; }
    [[nodiscard]] bool upgrade_requested() const override { return upgrade_; }
    Task<RawConnection> hijack(HijackHead head) override;
    Task<void> bare_error(int status, std::string text) override;
    [[nodiscard]] base::WorkerPool& calls() override { return connection_.core_.calls; }
    [[nodiscard]] base::WorkerPool& transfers() override { return connection_.core_.transfers; }

    /// Ends the answer after the handler has returned.
    Task<void> complete();
    /// The error `response` in the form of attach errors.
    Task<void> bare_error_response(const Response& response);
    /// Stops looking for the client's end; what it sends is the next request.
    void stop_watching();
    [[nodiscard]] bool started() const { return started_; }
    [[nodiscard]] bool keep() const { return keep_; }

private:
    /// Outlives the stream in the handler of the pending wait.
    struct Watch {
        bool closed = false;
        bool pending = false;
        bool stopped = false;
        asio::steady_timer* waiter = nullptr;
    };

    static void watch(const std::shared_ptr<Connection>& connection,
                      const std::shared_ptr<Watch>& state);
    Task<Wake> wait_any(Notifier::State* notifier, int fd,
                        std::optional<std::chrono::nanoseconds> timeout);
    void require_connected() const;

    Connection& connection_;
    const Endpoint& endpoint_;
    std::shared_ptr<Watch> watch_ = std::make_shared<Watch>();
    Framing framing_ = Framing::chunked;
    bool head_request_;
    bool http10_;
    bool upgrade_;
    bool keep_;
    bool started_ = false;
    bool finished_ = false;
};

}  // namespace dockerd::http
