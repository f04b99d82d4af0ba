#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "../netns.hpp"
#include "../socket_address.hpp"
#include "resolver_parts.hpp"

/// Questions that others answer.
namespace dockerd::net {

namespace log = base::log;

namespace {

// Source: moby libnetwork/resolver.go, extIOTimeout and maxExtDNS.
constexpr std::chrono::seconds patience{4};
constexpr std::size_t max_servers = 3;
constexpr std::uint16_t dns_port = 53;
/// Queries of one container that wait for those under way; each has at most max_query bytes.
constexpr std::size_t max_waiting = 1024;
constexpr std::size_t length_size = 2;

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

/// Nobody can foresee the ids, so nobody can answer in a nameserver's place.
std::uint16_t Resolver::random_id() {
    if (ids_left_ == 0) {
        // At most 256 bytes are given whole, and at once.
        if (::getrandom(ids_.data(), sizeof ids_, 0) != static_cast<ssize_t>(sizeof ids_)) {
            base::throw_errno(errno, "getrandom");
        }
        ids_left_ = ids_.size();
    }
    return ids_[--ids_left_];
}

/// Source: moby libnetwork/resolver.go, filterExtServers, forwardExtDNS.
std::vector<Resolver::Server> Resolver::servers_of(Container& container) {
    std::vector<Server> out;
    if (container.settings.servers) {
        for (const IpAddress& address : *container.settings.servers) {
            // In the container that address is this resolver.
            if (address == IpAddress::v4(resolver_address)) continue;
            out.push_back({address, /*from_host=*/false});
            if (out.size() == max_servers) break;
        }
        return out;
    }
    {
        const base::Lock lock(mutex_);
        if (!container.outside) return out;
    }
    for (const IpAddress& address : host_servers_.get()) {
        out.push_back({address, /*from_host=*/true});
        if (out.size() == max_servers) break;
    }
    return out;
}

void Resolver::forward(const Asker& asker, const dns::Query& query) {
    Container& container = *asker.container;
    auto made = std::make_unique<Forward>();
    made->id = next_id_++;
    made->asker = asker;
    made->query.assign(reinterpret_cast<const char*>(query.message.data()), query.message.size());
    made->question_size = query.question.size();
    made->servers = servers_of(container);
    {
        const base::Lock lock(mutex_);
        if (container.removed) return;
    }
    Forward& entry = *made;
    container.forwards.insert(entry.id);
    forwards_.emplace(entry.id, std::move(made));
    if (container.asking < most_upstream_each_ && upstream_ < most_upstream_) {
        begin(entry);
    } else if (container.waiting.size() >= max_waiting) {
        give_up(entry, dns::Code::refused);
    } else {
        entry.state = Forward::State::waiting;
        container.waiting.push_back(entry.id);
        with_waiting_.insert(container.id);
        set_deadline(entry.deadline, Kind::upstream, entry.id, patience);
    }
}

void Resolver::begin(Forward& forward) {
    forward.state = Forward::State::asking;
    ++forward.asker.container->asking;
    ++upstream_;
    ask_next(forward);
}

/// Asks the next server; without one the answer is that there is none.
void Resolver::ask_next(Forward& forward) {
    forward.socket.reset();
    while (forward.next < forward.servers.size()) {
        if (ask(forward, forward.servers[forward.next++])) return;
    }
    give_up(forward, dns::Code::server_failure);
}

base::Fd Resolver::open_upstream(const Container& container, const Server& server, int type) {
    const int family = server.address.is_v6() ? AF_INET6 : AF_INET;
    const auto open = [&] {
        return base::Fd(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    };
    if (server.from_host) return open();
    NetnsVisit visit(home_);
    visit.enter(container.netns);
    return open();
}

bool Resolver::ask(Forward& forward, const Server& server) {
    const bool stream = forward.asker.connection != 0;
    const SocketAddress to(server.address, dns_port);
    try {
        forward.socket = open_upstream(*forward.asker.container, server,
                                       stream ? SOCK_STREAM : SOCK_DGRAM);
    } catch (const base::Error& error) {
        log::debug("resolver: {}", error.what());
    }
    if (!forward.socket) return false;
    if (::connect(forward.socket.get(), to.get(), to.size()) != 0 && errno != EINPROGRESS) {
        return false;
    }
    forward.sent_id = random_id();
    std::string query = forward.query;
    dns::set_id(query, forward.sent_id);
    forward.in.clear();
    if (stream) {
        forward.out = {static_cast<char>(query.size() >> 8U),
                       static_cast<char>(query.size() & 0xffU)};
        forward.out += query;
    } else if (::send(forward.socket.get(), query.data(), query.size(), MSG_NOSIGNAL) < 0) {
        return false;
    }
    if (!watch(forward.socket.get(), Kind::upstream, forward.id,
               stream ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET : EPOLLIN)) {
        return false;
    }
    set_deadline(forward.deadline, Kind::upstream, forward.id, patience);
    return true;
}

void Resolver::hear(Forward& forward, std::uint32_t events) {
    if (!forward.socket) return;
    if (forward.asker.connection != 0) {
        hear_stream(forward, events);
    } else {
        hear_datagram(forward);
    }
}

void Resolver::hear_datagram(Forward& forward) {
    // Some servers send more than they were allowed to; it is passed on.
    // Source: moby libnetwork/resolver.go, exchange.
    auto& buffer = buffers_->response;
    constexpr int turn = 32;
    for (int i = 0; i < turn; ++i) {
        const ssize_t size =
            ::recv(forward.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && would_block()) return;
        if (size < 0) {
            ask_next(forward);  // nobody listens there
            return;
        }
        const dns::Bytes bytes(buffer.data(), static_cast<std::size_t>(size));
        // Anything else is not the answer, whoever sent it.
        const std::size_t whole = dns::match_response(bytes, forward.sent_id, forward.question());
        if (whole == 0) continue;
        take(forward, std::string(reinterpret_cast<const char*>(buffer.data()), whole));
        return;
    }
}

void Resolver::hear_stream(Forward& forward, std::uint32_t events) {
    if ((events & EPOLLERR) != 0) {
        ask_next(forward);
        return;
    }
    while (!forward.out.empty()) {
        const ssize_t sent = ::send(forward.socket.get(), forward.out.data(), forward.out.size(),
                                    MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (would_block() || errno == ENOTCONN)) break;
        if (sent < 0) {
            ask_next(forward);
            return;
        }
        forward.out.erase(0, static_cast<std::size_t>(sent));
    }
    std::array<char, 8192> buffer{};
    for (;;) {
        const dns::Bytes in = bytes_of(forward.in);
        if (in.size() >= length_size) {
            const std::size_t size = static_cast<std::size_t>(in[0]) << 8U | in[1];
            if (in.size() >= length_size + size) {
                const std::size_t whole = dns::match_response(
                    in.subspan(length_size, size), forward.sent_id, forward.question());
                if (whole == 0) {
                    ask_next(forward);
                } else {
                    take(forward, forward.in.substr(length_size, whole));
                }
                return;
            }
        }
        const ssize_t size =
            ::recv(forward.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && (would_block() || errno == ENOTCONN)) return;
        if (size <= 0) {
            ask_next(forward);
            return;
        }
        forward.in.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

/// A nameserver's answer: another one may know better, or it is passed on as it is.
void Resolver::take(Forward& forward, std::string response) {
    const dns::Code code = dns::code_of(bytes_of(response));
    if (code == dns::Code::server_failure || code == dns::Code::refused) {
        ask_next(forward);
        return;
    }
    finish(forward, std::move(response));
}

void Resolver::give_up(Forward& forward, dns::Code code) {
    const dns::Reading reading = dns::read_query(bytes_of(forward.query));
    finish(forward, dns::answer_empty(reading.query, code));
}

void Resolver::finish(Forward& forward, std::string response) {
    dns::set_id(response, dns::id_of(bytes_of(forward.query)));
    const Asker asker = forward.asker;
    free_slot(forward);
    answer(asker, std::move(response));
    if (const auto found = connections_.find(asker.connection); found != connections_.end()) {
        move(*found->second);
    }
    begin_waiting();
}

/// Takes the forward away.
void Resolver::free_slot(Forward& forward) {
    const ContainerRef container = forward.asker.container;
    clear_deadline(forward.deadline, Kind::upstream, forward.id);
    container->forwards.erase(forward.id);
    switch (forward.state) {
        case Forward::State::made:
            break;
        case Forward::State::waiting:
            std::erase(container->waiting, forward.id);
            break;
        case Forward::State::asking:
            --container->asking;
            --upstream_;
            break;
    }
    forwards_.erase(forward.id);
}

/// Lets waiting queries have the places that are free now.
void Resolver::begin_waiting() {
    if (beginning_) return;  // one that fails at once frees its place from within begin()
    beginning_ = true;
    for (auto next = with_waiting_.begin(); next != with_waiting_.end();) {
        const ContainerRef container = find(*next);
        while (container && !container->waiting.empty() && upstream_ < most_upstream_ &&
               container->asking < most_upstream_each_) {
            Forward& forward = *forwards_.at(container->waiting.front());
            container->waiting.pop_front();
            clear_deadline(forward.deadline, Kind::upstream, forward.id);
            begin(forward);
        }
        next = !container || container->waiting.empty() ? with_waiting_.erase(next)
                                                        : std::next(next);
    }
    beginning_ = false;
}

}  // namespace dockerd::net
