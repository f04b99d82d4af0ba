#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/net/ports.hpp>

#include "stream_loop.hpp"

namespace dockerd::net {

/// Carries connections that the kernel cannot translate to their containers: from loopback, from
/// containers to the host's addresses, from IPv6 to IPv4. One thread serves every port; the bytes of
/// connections are copied by a few others.
///
/// The threads start with the first port, in the namespace of the thread that added it.
/// Thread: safe.
/// Source: what moby cmd/docker-proxy does, a process a port.
class PortProxy {
public:
    PortProxy();
    ~PortProxy();
    PortProxy(const PortProxy&) = delete;
    PortProxy& operator=(const PortProxy&) = delete;

    /// Serves `socket`, bound (and for tcp listening), until remove. Returns its number.
    std::uint64_t add(base::Fd socket, Protocol protocol, const IpAddress& container,
                      std::uint16_t port);
    /// Closes the port and its connections; the port is free on return.
    void remove(std::uint64_t id) noexcept;

private:
    struct Port;
    struct Datagrams;
    using Clock = std::chrono::steady_clock;

    void start_loops();
    void start_thread();
    void run();
    void handle(std::uint64_t tag);
    void accept_streams(Port& port);
    void open_stream(Port& port, base::Fd client);
    StreamLoop& next_loop();
    void receive_datagrams(Port& port);
    Datagrams* open_datagrams(Port& port, const sockaddr_storage& client, const std::string& key);
    void return_datagrams(std::uint64_t id);
    void expire_datagrams(Clock::time_point now);
    void close_datagrams(std::uint64_t id);
    void resume_paused();
    void watch(int fd, std::uint64_t tag, std::uint32_t events);

    base::Mutex mutex_;
    base::Fd epoll_;
    base::Fd wake_;
    std::thread thread_;
    bool stopping_ = false;
    std::size_t max_streams_ = 0;
    std::uint64_t next_id_ = 1;
    std::unordered_map<std::uint64_t, std::unique_ptr<Port>> ports_;
    std::atomic<std::size_t> streams_ = 0;  ///< of all loops
    std::vector<std::unique_ptr<StreamLoop>> loops_;
    std::size_t turn_ = 0;
    std::unordered_map<std::uint64_t, std::unique_ptr<Datagrams>> datagrams_;
    std::vector<std::uint64_t> paused_;  ///< ports that ran out of fds
    std::vector<char> buffer_;
};

}  // namespace dockerd::net
