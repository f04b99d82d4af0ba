#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include <dockerd/base/fd.hpp>
#include <dockerd/plugins/plugins.hpp>

struct ssl_ctx_st;
struct ssl_st;

namespace dockerd::plugins {

/// A connection of which every step ends at one moment, whatever the peer does. Thread: one.
class Channel {
public:
    using Clock = std::chrono::steady_clock;

    /// Throws: Unreachable, "dial unix /x.sock: connect: connection refused", "context deadline
    /// exceeded", and the words for failures of TLS.
    Channel(const Endpoint& endpoint, Clock::time_point deadline);
    ~Channel();
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    /// Throws: Unreachable.
    void write(std::string_view bytes);
    /// At least one byte, 0 at the end. Throws: Unreachable.
    std::size_t read(char* buffer, std::size_t size);

private:
    void connect_unix(const Endpoint& endpoint);
    void connect_tcp(const Endpoint& endpoint);
    void start_tls(const Endpoint& endpoint);
    void check_deadline() const;
    void wait(short events);
    /// Waits for what TLS needs next; throws what went wrong otherwise.
    void wait_for_tls(int result, const char* what);

    Clock::time_point deadline_;
    base::Fd socket_;
    std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
    std::unique_ptr<ssl_st, void (*)(ssl_st*)> tls_;
};

}  // namespace dockerd::plugins
