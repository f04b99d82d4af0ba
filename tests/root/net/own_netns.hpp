#pragma once

#include <array>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <dockerd/base/fd.hpp>
#include <dockerd/net/networks.hpp>

#include "net/link.hpp"
#include "net/netns.hpp"
#include "net/socket_address.hpp"
#include "support/own_mounts.hpp"

namespace dockerd::net {

/// Gives each test a network namespace and mount namespace of its own as "the host".
class OwnNetns : public ::testing::Test {
protected:
    void SetUp() override {
        DOCKERD_TEST_NEEDS(::unshare(CLONE_NEWNET) == 0 && test_support::own_mounts(), "needs root");
        char name[] = "/tmp/dockerd-net-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        root_ = name;
        host_ = current_netns();
        Links().set_up(1);
    }
    void TearDown() override {
        if (root_.empty()) return;
        // What a test leaves on purpose: containers of a daemon that died.
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(root_ + "/netns", ignored)) {
            unmount_netns(entry.path().string());
        }
        std::filesystem::remove_all(root_);
    }

    NetworksOptions options() const {
        NetworksOptions out;
        out.exec_root = root_;
        return out;
    }

    /// Runs `body` in another namespace.
    void in(const base::Fd& netns, const std::function<void()>& body) {
        NetnsVisit visit(host_);
        visit.enter(netns);
        body();
    }

    /// A namespace behind an interface of the host: "the outside", 192.0.2.2 with us as router.
    base::Fd make_outside() {
        base::Fd outside;
        {
            NetnsVisit visit(host_);
            visit.enter_new();
            outside = current_netns();
        }
        Links links;
        links.create_veth({.host_name = "uplink",
                           .bridge_index = 0,
                           .peer_name = "eth0",
                           .peer_mac = MacAddress::random(),
                           .mtu = 1500,
                           .peer_netns = outside.get()});
        links.add_address(links.find("uplink")->index, *IpPrefix::parse("192.0.2.1/24"));
        in(outside, [] {
            Links inner;
            inner.set_up(1);
            const std::array addresses{*IpPrefix::parse("192.0.2.2/24")};
            inner.configure(inner.find("eth0")->index, addresses, *IpAddress::parse("192.0.2.1"),
                            {});
        });
        return outside;
    }

    std::vector<std::string> link_names() const {
        std::vector<std::string> out;
        for (const Link& link : Links().list()) out.push_back(link.name);
        std::ranges::sort(out);
        return out;
    }
    /// Waits until the kernel took a dead namespace's interfaces away.
    bool wait_for_links(const std::vector<std::string>& wanted) const {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (link_names() != wanted) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            ::usleep(5000);
        }
        return true;
    }

    base::Fd host_;
    std::string root_;
};

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }

/// A tcp socket that listens in the calling thread's namespace.
inline base::Fd listen_tcp(std::uint16_t port) {
    base::Fd out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const SocketAddress any(IpAddress::v4(0), port);
    if (::bind(out.get(), any.get(), any.size()) != 0 || ::listen(out.get(), 64) != 0) return {};
    return out;
}

/// Connects from the calling thread's namespace; 0 or the errno. `timeout` in ms.
inline int connect_tcp(const char* address, std::uint16_t port, base::Fd& out, int timeout = 3000) {
    const SocketAddress to(ip(address), port);
    out.reset(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(out.get(), to.get(), to.size()) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    pollfd poller{out.get(), POLLOUT, 0};
    if (::poll(&poller, 1, timeout) == 0) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(out.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

inline int connect_tcp(const char* address, std::uint16_t port, int timeout = 3000) {
    base::Fd unused;
    return connect_tcp(address, port, unused, timeout);
}

inline bool wait_readable(const base::Fd& fd, int timeout = 3000) {
    pollfd poller{fd.get(), POLLIN, 0};
    return ::poll(&poller, 1, timeout) == 1;
}

/// Reads until `size` bytes, the end, or three seconds without any.
inline std::string read_some(const base::Fd& fd, std::size_t size) {
    std::string out;
    while (out.size() < size && wait_readable(fd)) {
        char buffer[65536];
        const ssize_t got = ::read(fd.get(), buffer, std::min(sizeof buffer, size - out.size()));
        if (got <= 0) break;
        out.append(buffer, static_cast<std::size_t>(got));
    }
    return out;
}

/// One ICMP echo from the calling thread's namespace.
inline bool ping(const char* address, int timeout = 3000) {
    const base::Fd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
    icmphdr echo{};
    echo.type = ICMP_ECHO;
    echo.un.echo.id = htons(77);
    echo.checksum = static_cast<std::uint16_t>(~(ICMP_ECHO + htons(77)));
    const SocketAddress to(ip(address), 0);
    if (::sendto(raw.get(), &echo, sizeof echo, 0, to.get(), to.size()) < 0) return false;
    while (wait_readable(raw, timeout)) {
        unsigned char buffer[128];
        const ssize_t got = ::recv(raw.get(), buffer, sizeof buffer, 0);
        if (got >= 28 && buffer[20] == ICMP_ECHOREPLY) return true;
    }
    return false;
}

}  // namespace dockerd::net
