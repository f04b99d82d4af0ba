#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>

struct ssl_ctx_st;
struct ssl_st;

/// Connections to programs that others run, and whose slowness is theirs alone.
namespace dockerd::dial {

using Clock = std::chrono::steady_clock;
inline constexpr Clock::time_point never = Clock::time_point::max();

/// Where a server is.
struct Address {
    std::string network;  ///< "tcp", "tls", "udp", "unix", "unixgram"
    std::string host;     ///< empty: this machine
    std::string port;
    std::string path;  ///< of unix sockets
    bool operator==(const Address&) const = default;
};

/// How a TLS peer is checked, and who we are.
struct TlsSettings {
    bool skip_verify = false;
    std::string ca_cert, cert, key;  ///< files, or empty
    /// Closing waits, briefly, until the peer has read everything.
    bool careful_close = false;
};

/// A step was not over at its time.
class TimedOut : public base::Error {
public:
    using base::Error::Error;
};

/// Tells connections, from any thread, that they have only a little time left from now on.
class Hurry {
public:
    explicit Hurry(std::chrono::milliseconds grace);

    /// From now on. Once.
    void begin();
    [[nodiscard]] bool begun() const { return since_.load() != never; }
    /// When what was opened at `opened` ends at the latest.
    [[nodiscard]] Clock::time_point end_of(Clock::time_point opened) const;
    /// Readable once it has begun.
    [[nodiscard]] int fd() const { return event_.get(); }

private:
    std::chrono::milliseconds grace_;
    base::Fd event_;
    std::atomic<Clock::time_point> since_ = never;
};

/// A connected socket, perhaps with TLS, of which every step ends in time. Thread: one.
class Connection {
public:
    /// TLS is spoken by "tls", and by any other stream when `tls` is given.
    /// Throws: internal, "dial tcp 127.0.0.1:514: connect: connection refused"; TimedOut, "dial tcp
    /// 127.0.0.1:514: i/o timeout".
    Connection(const Address& address, const TlsSettings* tls, Clock::time_point deadline,
               const Hurry* hurry = nullptr);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// For all steps from now on.
    void set_deadline(Clock::time_point deadline) { deadline_ = deadline; }
    /// Writes all of it; a datagram in one. Throws: internal, "write tcp: broken pipe"; TimedOut.
    void write(std::string_view bytes);
    /// At least one byte; 0 at the end. Throws: internal; TimedOut.
    std::size_t read(char* buffer, std::size_t size);

    /// A stream's peer may have closed it: then what is written next would be lost silently.
    [[nodiscard]] bool peer_closed() const;

private:
    void connect_unix(const Address& address);
    void connect_inet(const Address& address);
    int connect_one(const void* address, unsigned size);
    void read_tls_files(const TlsSettings& settings);
    void start_tls(const Address& address);
    [[nodiscard]] Clock::time_point limit() const;
    /// False when the time is over.
    bool wait(short events);
    /// Waits for what TLS needs next; throws what went wrong otherwise.
    void wait_for_tls(int result, const char* step);

    std::string network_;
    Clock::time_point deadline_;
    const Hurry* hurry_;
    Clock::time_point opened_ = Clock::now();
    bool careful_close_ = false;
    base::Fd socket_;
    std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
    std::unique_ptr<ssl_st, void (*)(ssl_st*)> tls_;
};

}  // namespace dockerd::dial
