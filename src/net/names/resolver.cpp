#include "resolver.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/thread.hpp>

#include "resolver_parts.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

constexpr unsigned kind_bits = 3;
/// What one container may ask before the others get their turn.
constexpr int turn = 4;

}  // namespace

Resolver::Resolver(const base::Fd& home)
    : home_(home),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!epoll_ || !wake_ || !watch(wake_.get(), Kind::wake, 0, EPOLLIN)) {
        base::throw_errno(errno, "resolver");
    }
    rlimit files{};
    (void)::getrlimit(RLIMIT_NOFILE, &files);  // 0 on failure: then the lower bounds hold
    // Source: moby libnetwork/resolver.go, maxConcurrent, for one container.
    constexpr std::size_t most = 1024;
    most_upstream_ = std::clamp<std::size_t>(files.rlim_cur / 4, 64, 16 * most);
    most_upstream_each_ = std::min(most, most_upstream_ / 4);
}

Resolver::~Resolver() {
    {
        const base::Lock lock(mutex_);
        stopping_ = true;
    }
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);  // cannot fail: the counter is far from full
    if (thread_.joinable()) thread_.join();
}

bool Resolver::watch(int fd, Kind kind, std::uint64_t id, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id << kind_bits | static_cast<unsigned>(kind);
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

std::uint64_t Resolver::add(ResolverSockets sockets, base::Fd netns, DnsSettings settings) {
    auto container = std::make_shared<Container>();
    container->udp = std::move(sockets.udp);
    container->tcp = std::move(sockets.tcp);
    container->netns = std::move(netns);
    container->settings = std::move(settings);
    const base::Lock lock(mutex_);
    if (!thread_.joinable()) start_thread();
    const std::uint64_t id = container->id = next_container_++;
    containers_.emplace(id, container);
    if (!watch(container->udp.get(), Kind::datagrams, id, EPOLLIN) ||
        !watch(container->tcp.get(), Kind::listener, id, EPOLLIN)) {
        const int error = errno;
        containers_.erase(id);
        base::throw_errno(error, "resolver: epoll_ctl");
    }
    return id;
}

void Resolver::start_thread() {
    buffers_ = std::make_unique<Buffers>();
    thread_ = base::start_quiet_thread([this] { run(); });
}

void Resolver::show(std::uint64_t id, std::vector<NamePlace> places, bool outside) {
    sort_places(places);
    const base::Lock lock(mutex_);
    const auto found = containers_.find(id);
    if (found == containers_.end()) return;
    found->second->places = std::move(places);
    found->second->outside = outside;
}

void Resolver::remove(std::uint64_t id) noexcept {
    {
        const base::Lock lock(mutex_);
        const auto found = containers_.find(id);
        if (found == containers_.end()) return;
        const ContainerRef container = std::move(found->second);
        containers_.erase(found);
        container->removed = true;
        for (const base::Fd* socket : {&container->udp, &container->tcp}) {
            // The listener may be unwatched for a moment (ENOENT).
            (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket->get(), nullptr);
        }
        removed_.push_back(container);
    }
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);  // cannot fail: the counter is far from full
}

void Resolver::add_names(const std::string& network_id, const EndpointNames& endpoint) {
    const base::Lock lock(mutex_);
    names_.add(network_id, endpoint);
}

void Resolver::remove_names(const std::string& network_id,
                            const std::string& endpoint_id) noexcept {
    const base::Lock lock(mutex_);
    names_.remove(network_id, endpoint_id);
}

Resolver::ContainerRef Resolver::find(std::uint64_t id) {
    const base::Lock lock(mutex_);
    const auto found = containers_.find(id);
    return found == containers_.end() ? nullptr : found->second;
}

void Resolver::run() {
    std::array<epoll_event, 64> events{};
    for (;;) {
        int timeout = -1;
        if (!deadlines_.empty()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                std::get<0>(*deadlines_.begin()) - Clock::now());
            timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
        }
        const int count =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
        {
            const base::Lock lock(mutex_);
            if (stopping_) return;
        }
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            try {
                handle(static_cast<Kind>(event.data.u64 & ((1U << kind_bits) - 1)),
                       event.data.u64 >> kind_bits, event.events);
                send_datagrams();
            } catch (const std::exception& error) {
                log::error("resolver: {}", error.what());
            }
        }
        try {
            expire(Clock::now());
            send_datagrams();
        } catch (const std::exception& error) {
            log::error("resolver: {}", error.what());
        }
    }
}

void Resolver::handle(Kind kind, std::uint64_t id, std::uint32_t events) {
    switch (kind) {
        case Kind::wake: {
            std::uint64_t count = 0;
            (void)!::read(wake_.get(), &count, sizeof count);  // only to be woken again
            drop_removed();
            return;
        }
        case Kind::datagrams:
            if (const auto container = find(id)) receive_datagrams(container);
            return;
        case Kind::listener:
            if (const auto container = find(id)) accept_connections(container);
            return;
        case Kind::connection:
            if (const auto found = connections_.find(id); found != connections_.end()) {
                move(*found->second);
            }
            return;
        case Kind::upstream:
            if (const auto found = forwards_.find(id); found != forwards_.end()) {
                hear(*found->second, events);
            }
            return;
    }
}

/// Closes what is left of containers that are gone.
void Resolver::drop_removed() {
    std::vector<ContainerRef> removed;
    {
        const base::Lock lock(mutex_);
        removed.swap(removed_);
    }
    for (const ContainerRef& container : removed) {
        clear_deadline(container->resume, Kind::listener, container->id);
        with_waiting_.erase(container->id);
        for (const std::uint64_t id : std::exchange(container->forwards, {})) {
            Forward& forward = *forwards_.at(id);
            clear_deadline(forward.deadline, Kind::upstream, id);
            if (forward.state == Forward::State::asking) --upstream_;
            forwards_.erase(id);
        }
        for (const std::uint64_t id : std::exchange(container->connections, {})) {
            clear_deadline(connections_.at(id)->deadline, Kind::connection, id);
            connections_.erase(id);
        }
    }
    begin_waiting();
}

void Resolver::set_deadline(Clock::time_point& current, Kind kind, std::uint64_t id,
                            Clock::duration after) {
    clear_deadline(current, kind, id);
    current = Clock::now() + after;
    deadlines_.emplace(current, kind, id);
}

void Resolver::clear_deadline(Clock::time_point& current, Kind kind, std::uint64_t id) {
    if (current == Clock::time_point()) return;
    deadlines_.erase({current, kind, id});
    current = {};
}

void Resolver::expire(Clock::time_point now) {
    while (!deadlines_.empty() && std::get<0>(*deadlines_.begin()) <= now) {
        const auto [when, kind, id] = *deadlines_.begin();
        deadlines_.erase(deadlines_.begin());
        if (kind == Kind::listener) {
            const auto container = find(id);
            if (!container) continue;
            container->resume = {};
            if (!watch(container->tcp.get(), Kind::listener, id, EPOLLIN)) {
                log::warn("resolver: a listener is lost: {}", base::errno_text(errno));
            }
        } else if (kind == Kind::connection) {
            close_connection(id);
        } else if (const auto found = forwards_.find(id); found != forwards_.end()) {
            Forward& forward = *found->second;
            forward.deadline = {};
            if (forward.state == Forward::State::waiting) {
                // Source: moby libnetwork/resolver.go, forwardExtDNS.
                give_up(forward, dns::Code::refused);
            } else {
                ask_next(forward);
            }
        }
    }
}

void Resolver::receive_datagrams(const ContainerRef& container) {
    Buffers& buffers = *buffers_;
    constexpr std::size_t batch = Buffers::batch;
    for (int round = 0; round < turn; ++round) {
        for (std::size_t i = 0; i < batch; ++i) {
            buffers.vectors[i] = {buffers.bytes[i].data(), buffers.bytes[i].size()};
            buffers.messages[i] = {};
            msghdr& message = buffers.messages[i].msg_hdr;
            message.msg_name = &buffers.addresses[i];
            message.msg_namelen = sizeof(sockaddr_in);
            message.msg_iov = &buffers.vectors[i];
            message.msg_iovlen = 1;
        }
        const int count =
            ::recvmmsg(container->udp.get(), buffers.messages.data(), batch, MSG_DONTWAIT, nullptr);
        if (count <= 0) return;
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
            serve({container, buffers.addresses[i]},
                  {buffers.bytes[i].data(), buffers.messages[i].msg_len});
        }
        send_datagrams();
        if (static_cast<std::size_t>(count) < batch) return;
    }
}

void Resolver::serve(const Asker& asker, dns::Bytes bytes) {
    dns::Reading reading = dns::read_query(bytes);
    switch (reading.verdict) {
        case dns::Verdict::silence:
            if (const auto found = connections_.find(asker.connection);
                found != connections_.end()) {
                found->second->asked = false;
            }
            return;
        case dns::Verdict::refuse:
            answer(asker, std::move(reading.refusal));
            return;
        case dns::Verdict::answer:
            break;
    }
    const std::size_t limit =
        asker.connection == 0 ? reading.query.udp_size : dns::max_message_size;
    if (auto local = answer_locally(*asker.container, reading.query, limit)) {
        answer(asker, std::move(*local));
    } else {
        forward(asker, reading.query);
    }
}

/// What is known without asking others; nullopt when they are to be asked.
/// Source: moby libnetwork/resolver.go, serveDNS.
std::optional<std::string> Resolver::answer_locally(Container& container, const dns::Query& query,
                                                    std::size_t limit) {
    const bool v6 = query.is(dns::Type::aaaa);
    if (v6 || query.is(dns::Type::a)) {
        std::optional<std::vector<IpAddress>> found;
        {
            const base::Lock lock(mutex_);
            found = names_.resolve(container.places, query.name, v6);
        }
        if (found) {
            if (found->size() > 1) std::ranges::shuffle(*found, shuffle_);
            return dns::answer_addresses(query, *found, limit);
        }
        // With ndots the client asks again with a search domain.
        const bool one_label = query.name.find('.') >= query.name.size() - 1;
        if (container.settings.ndots_set && one_label) {
            return dns::answer_empty(query, dns::Code::no_error);
        }
    } else if (query.is(dns::Type::mx)) {
        // A known name without MX records takes its mail itself (RFC 5321, 5.1).
        const base::Lock lock(mutex_);
        if (names_.resolve(container.places, query.name, /*v6=*/false)) {
            return dns::answer_empty(query, dns::Code::no_error);
        }
    } else if (query.is(dns::Type::ptr)) {
        const auto address = dns::reverse_address(query.name);
        if (!address) return std::nullopt;
        std::string name;
        {
            const base::Lock lock(mutex_);
            name = names_.name_of(container.places, *address);
        }
        if (name.empty()) return std::nullopt;
        auto out = dns::answer_name(query, name);
        return out ? out : dns::answer_empty(query, dns::Code::server_failure);
    }
    return std::nullopt;
}

void Resolver::answer(const Asker& to, std::string bytes) {
    if (to.connection == 0) {
        outbox_.push_back({to, std::move(bytes)});
        return;
    }
    const auto found = connections_.find(to.connection);
    if (found == connections_.end()) return;
    Connection& connection = *found->second;
    connection.asked = false;
    connection.out += static_cast<char>(bytes.size() >> 8U);
    connection.out += static_cast<char>(bytes.size() & 0xffU);
    connection.out += bytes;
}

/// Sends what answer() has collected. What does not fit into a socket is lost, as datagrams are.
void Resolver::send_datagrams() {
    constexpr std::size_t batch = 32;
    std::array<iovec, batch> vectors{};
    std::array<mmsghdr, batch> messages{};
    for (std::size_t first = 0; first < outbox_.size();) {
        const int socket = outbox_[first].to.container->udp.get();
        std::size_t count = 0;
        for (; count < batch && first + count < outbox_.size(); ++count) {
            Answer& next = outbox_[first + count];
            if (next.to.container->udp.get() != socket) break;
            vectors[count] = {next.bytes.data(), next.bytes.size()};
            messages[count] = {};
            msghdr& message = messages[count].msg_hdr;
            message.msg_name = &next.to.address;
            message.msg_namelen = sizeof(sockaddr_in);
            message.msg_iov = &vectors[count];
            message.msg_iovlen = 1;
        }
        const int sent = ::sendmmsg(socket, messages.data(), static_cast<unsigned>(count),
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        // The one that could not be sent is left out.
        first += sent > 0 ? static_cast<std::size_t>(sent) : 1;
    }
    outbox_.clear();
}

}  // namespace dockerd::net
