#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// An address and port as bind(2) and connect(2) take them.
class SocketAddress {
public:
    SocketAddress() = default;
    SocketAddress(const IpAddress& address, std::uint16_t port) {
        if (address.is_v6()) {
            auto* six = reinterpret_cast<sockaddr_in6*>(&storage_);
            six->sin6_family = AF_INET6;
            six->sin6_port = htons(port);
            std::memcpy(&six->sin6_addr, address.data(), 16);
            size_ = sizeof *six;
        } else {
            auto* four = reinterpret_cast<sockaddr_in*>(&storage_);
            four->sin_family = AF_INET;
            four->sin_port = htons(port);
            std::memcpy(&four->sin_addr, address.data(), 4);
            size_ = sizeof *four;
        }
    }

    [[nodiscard]] int family() const { return storage_.ss_family; }
    [[nodiscard]] const sockaddr* get() const {
        return reinterpret_cast<const sockaddr*>(&storage_);
    }
    [[nodiscard]] socklen_t size() const { return size_; }

private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

}  // namespace dockerd::net
