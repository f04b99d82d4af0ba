#include "firewall_watch.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <exception>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/thread.hpp>

namespace dockerd::net {

namespace log = base::log;

namespace {

using Clock = std::chrono::steady_clock;
/// The least time between two repairs. It doubles while repairs do not last: another program (or
/// another daemon in the same namespace) that undoes each must not keep a processor busy.
constexpr std::chrono::milliseconds shortest_pause{100};
constexpr std::chrono::milliseconds longest_pause{5000};
/// A repair that was left alone so long has lasted.
constexpr std::chrono::seconds lasting{10};

/// Keeps the notices of our own changes from the socket. They would need room: a transaction with the
/// ports of all containers may have more of them than fits, and a loss is taken for damage, which
/// is answered with just such a transaction.
/// Source: kernel net/netlink/af_netlink.c, do_one_broadcast: a filter comes before the room.
void leave_out(const sys::NetlinkSocket& socket, std::uint32_t port) {
    constexpr std::uint32_t whole = 0xffffffff;
    std::array<sock_filter, 4> program{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(nlmsghdr, nlmsg_pid)),
        // Loads take the bytes for the network's order.
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, 0),
        sock_filter BPF_STMT(BPF_RET | BPF_K, whole),
    };
    const sock_fprog filter{.len = program.size(), .filter = program.data()};
    if (::setsockopt(socket.fd().get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
        base::throw_errno(errno, "netlink filter");
    }
}

}  // namespace

FirewallWatch::FirewallWatch(Firewall& firewall, int room)
    : firewall_(firewall),
      suffix_(firewall.suffix()),
      socket_(NETLINK_NETFILTER),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!stop_) base::throw_errno(errno, "firewall watch");
    // Without it more is lost, which counts as damage.
    (void)::setsockopt(socket_.fd().get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    leave_out(socket_, firewall.port_id());
    socket_.join_group(NFNLGRP_NFTABLES);
    thread_ = base::start_quiet_thread([this] { run(); });
}

FirewallWatch::~FirewallWatch() {
    const std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from full
    thread_.join();
}

/// Reads what has been told so far.
bool FirewallWatch::is_damaged(std::vector<char>& buffer) {
    bool damaged = false;
    bool lost = false;
    while (sys::receive_notices(socket_, buffer, lost, [&](const sys::NetlinkNotice& notice) {
        const auto removal = read_removal(notice.type, notice.payload);
        damaged = damaged || (removal && Firewall::is_damage(*removal, suffix_));
    })) {
    }
    return damaged || lost;
}

bool FirewallWatch::heal() {
    try {
        firewall_.rebuild();
        log::info("Firewall rules that another program removed are back");
        return true;
    } catch (const std::exception& error) {
        log::warn("Firewall rules cannot be put back, trying again: {}", error.what());
        return false;
    }
}

void FirewallWatch::run() {
    // Until a repair is done, what is to be kept apart is not: nobody else's work is as urgent. Without the
    // right to it, it takes as long as a busy machine makes it.
    constexpr int most_urgent = -20;
    (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), most_urgent);
    std::vector<char> buffer;
    bool damaged = false;
    std::chrono::milliseconds pause = shortest_pause;
    Clock::time_point last = Clock::now() - lasting;
    Clock::time_point next = last;
    for (;;) {
        int timeout = -1;
        if (damaged) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
            timeout = static_cast<int>(std::max<std::int64_t>(left, 0));
        }
        std::array<pollfd, 2> polled{pollfd{socket_.fd().get(), POLLIN, 0},
                                     pollfd{stop_.get(), POLLIN, 0}};
        (void)::poll(polled.data(), polled.size(), timeout);  // interrupted: looked at below
        if (polled[1].revents != 0) return;
        if (is_damaged(buffer)) damaged = true;
        if (!damaged || Clock::now() < next) continue;
        damaged = !heal();
        const auto now = Clock::now();
        pause = now - last < lasting ? std::min(2 * pause, longest_pause) : shortest_pause;
        last = now;
        next = now + pause;
    }
}

}  // namespace dockerd::net
