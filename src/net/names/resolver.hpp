#pragma once

#include <netinet/in.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/net/sandbox.hpp>

#include "host_servers.hpp"
#include "message.hpp"
#include "name_table.hpp"
#include "resolver_sockets.hpp"

namespace dockerd::net {

/// Answers what containers ask 127.0.0.11: names of containers on their networks by itself, the
/// rest by asking the host's nameservers or the container's own (--dns).
///
/// One thread serves all containers and waits for none. What a container can make it hold is
/// bounded: queries under way, waiting ones, connections, and the size of each. What goes on
/// outside is asked from a socket of its own with a random port and id.
/// Thread: safe. The thread starts with the first container.
/// Source: moby libnetwork/resolver.go.
class Resolver {
public:
    /// `home` is the host's namespace; it must outlive the resolver.
    explicit Resolver(const base::Fd& home);
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// Serves a container; returns its number. `netns` is its namespace.
    std::uint64_t add(ResolverSockets sockets, base::Fd netns, DnsSettings settings);
    /// Which networks' names a container sees from now on, and whether the host's nameservers are
    /// asked for it (`outside`): not on internal networks only.
    /// Source: moby libnetwork/sandbox.go, hasExternalAccess.
    void show(std::uint64_t id, std::vector<NamePlace> places, bool outside);
    /// Nothing answers there on return; its sockets are closed by the thread.
    void remove(std::uint64_t id) noexcept;

    void add_names(const std::string& network_id, const EndpointNames& endpoint);
    void remove_names(const std::string& network_id, const std::string& endpoint_id) noexcept;

private:
    using Clock = std::chrono::steady_clock;
    struct Container;
    struct Connection;
    struct Forward;
    struct Server;
    using ContainerRef = std::shared_ptr<Container>;

    /// Where an answer goes: an address, or a connection.
    struct Asker {
        ContainerRef container;
        sockaddr_in address{};
        std::uint64_t connection = 0;
    };
    struct Answer {
        Asker to;
        std::string bytes;
    };
    /// What an event or a deadline belongs to.
    enum class Kind : unsigned { wake, datagrams, listener, connection, upstream };
    using Deadline = std::tuple<Clock::time_point, Kind, std::uint64_t>;

    // resolver.cpp
    void start_thread();
    void run();
    void handle(Kind kind, std::uint64_t id, std::uint32_t events);
    void expire(Clock::time_point now);
    void drop_removed();
    ContainerRef find(std::uint64_t id);
    bool watch(int fd, Kind kind, std::uint64_t id, std::uint32_t events) noexcept;
    void set_deadline(Clock::time_point& current, Kind kind, std::uint64_t id,
                      Clock::duration after);
    void clear_deadline(Clock::time_point& current, Kind kind, std::uint64_t id);
    void receive_datagrams(const ContainerRef& container);
    void serve(const Asker& asker, dns::Bytes bytes);
    std::optional<std::string> answer_locally(Container& container, const dns::Query& query,
                                              std::size_t limit);
    void answer(const Asker& to, std::string bytes);
    void send_datagrams();

    // resolver_connections.cpp
    void accept_connections(const ContainerRef& container);
    void move(Connection& connection);
    bool fill(Connection& connection);
    bool drain(Connection& connection);
    void close_connection(std::uint64_t id);

    // resolver_forward.cpp
    void forward(const Asker& asker, const dns::Query& query);
    std::vector<Server> servers_of(Container& container);
    void begin(Forward& forward);
    void ask_next(Forward& forward);
    bool ask(Forward& forward, const Server& server);
    base::Fd open_upstream(const Container& container, const Server& server, int type);
    void hear(Forward& forward, std::uint32_t events);
    void hear_datagram(Forward& forward);
    void hear_stream(Forward& forward, std::uint32_t events);
    void take(Forward& forward, std::string response);
    void finish(Forward& forward, std::string response);
    void give_up(Forward& forward, dns::Code code);
    void free_slot(Forward& forward);
    void begin_waiting();
    std::uint16_t random_id();

    const base::Fd& home_;
    base::Fd epoll_;
    base::Fd wake_;
    std::thread thread_;
    std::size_t most_upstream_ = 0;       ///< sockets to nameservers of all containers
    std::size_t most_upstream_each_ = 0;  ///< and of one

    base::Mutex mutex_;
    bool stopping_ DOCKERD_GUARDED_BY(mutex_) = false;
    std::uint64_t next_container_ DOCKERD_GUARDED_BY(mutex_) = 1;
    std::unordered_map<std::uint64_t, ContainerRef> containers_ DOCKERD_GUARDED_BY(mutex_);
    std::vector<ContainerRef> removed_ DOCKERD_GUARDED_BY(mutex_);
    NameTable names_ DOCKERD_GUARDED_BY(mutex_);

    // The thread's own.
    std::uint64_t next_id_ = 1;
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Forward>> forwards_;
    std::set<Deadline> deadlines_;
    std::set<std::uint64_t> with_waiting_;  ///< containers
    std::size_t upstream_ = 0;  ///< forwards with a socket
    bool beginning_ = false;
    std::vector<Answer> outbox_;
    HostServers host_servers_;
    std::minstd_rand shuffle_{std::random_device{}()};
    std::array<std::uint16_t, 128> ids_{};
    std::size_t ids_left_ = 0;
    struct Buffers;
    std::unique_ptr<Buffers> buffers_;
};

}  // namespace dockerd::net
