#pragma once

#include "wire/messages.hpp"

#include <dockerd/base/fd.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::runtime::wire {

/// A message as it came in.
struct Packet {
    Kind kind = Kind::fd_batch;
    std::uint32_t serial = 0;
    std::uint16_t version = 0;
    std::string body;
    std::vector<base::Fd> fds;

    /// Fills `value` from the body; false when it is not exactly one T.
    template <typename T>
    bool to(T& value, std::shared_ptr<const std::string> known = nullptr) {
        return decode(std::string_view(body), fds, value, std::move(known));
    }
};

enum class Receive { packet, again, closed, broken };

/// Sends one message on a SOCK_SEQPACKET socket. Bodies over 64 KiB travel as a sealed memfd,
/// more than 200 descriptors in packets of their own before. Returns 0 or an errno; EPIPE when
/// the peer is gone. Without `wait`, EAGAIN when the peer's queue is full; for messages of one
/// packet.
int send_packet(int socket, Kind kind, std::uint32_t serial, const Encoder& content,
                bool wait = true);

template <typename T>
int send_message(int socket, Kind kind, std::uint32_t serial, const T& value) {
    return send_packet(socket, kind, serial, encode(value));
}

/// Receives one message. `again`: non-blocking and nothing there. `broken`: something else than
/// a message came; the connection should be closed. `partial` keeps descriptors that came ahead.
Receive receive_packet(int socket, bool wait, Packet& packet);

}  // namespace dockerd::runtime::wire
