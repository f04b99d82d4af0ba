#pragma once

#include <sys/socket.h>

#include <deque>

#include "resolver.hpp"

/// What Resolver is made of; only its own files include this.
namespace dockerd::net {

/// The longest query that is read. Source: none; queries have a name and a few options.
constexpr std::size_t max_query = 4096;

/// 127.0.0.11
constexpr std::uint32_t resolver_address = 0x7f00000b;

struct Resolver::Container {
    std::uint64_t id = 0;
    base::Fd udp;
    base::Fd tcp;
    base::Fd netns;
    DnsSettings settings;
    // Under the resolver's lock.
    std::vector<NamePlace> places;
    bool outside = false;
    bool removed = false;
    // The thread's own.
    std::size_t asking = 0;              ///< forwards with a socket
    std::deque<std::uint64_t> waiting;   ///< forwards without
    std::set<std::uint64_t> forwards;    ///< all
    std::set<std::uint64_t> connections;
    Clock::time_point resume;  ///< when the listener is watched again
};

struct Resolver::Connection {
    std::uint64_t id = 0;
    ContainerRef container;
    base::Fd socket;
    std::string in;
    std::string out;
    bool moving = false;
    bool asked = false;  ///< an answer is under way
    bool ended = false;  ///< the client sends nothing more
    bool broken = false;
    unsigned queries = 0;
    Clock::time_point deadline;
};

struct Resolver::Server {
    IpAddress address;
    bool from_host = true;  ///< asked from the host's namespace
};

struct Resolver::Forward {
    std::uint64_t id = 0;
    Asker asker;
    std::string query;
    std::size_t question_size = 0;
    std::uint16_t sent_id = 0;
    std::vector<Server> servers;
    std::size_t next = 0;
    base::Fd socket;
    std::string out;  ///< over TCP: what is still to be sent
    std::string in;
    enum class State { made, waiting, asking } state = State::made;
    Clock::time_point deadline;

    [[nodiscard]] dns::Bytes question() const {
        return {reinterpret_cast<const std::uint8_t*>(query.data()) + dns::header_size,
                question_size};
    }
};

/// Room for what is received at once.
struct Resolver::Buffers {
    static constexpr std::size_t batch = 32;
    std::array<std::array<std::uint8_t, max_query>, batch> bytes;
    std::array<sockaddr_in, batch> addresses;
    std::array<iovec, batch> vectors;
    std::array<mmsghdr, batch> messages;
    std::array<std::uint8_t, dns::max_message_size> response;
};

inline dns::Bytes bytes_of(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace dockerd::net
