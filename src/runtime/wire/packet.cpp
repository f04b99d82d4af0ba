#include "wire/packet.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <dockerd/sys/seals.hpp>

namespace dockerd::runtime::wire {

namespace {

constexpr std::uint32_t magic = 0x31524b44;  // "DKR1"
constexpr std::size_t inline_limit = 64 * 1024;
constexpr std::size_t memfd_limit = 64UL * 1024 * 1024;
constexpr std::size_t fds_per_packet = 200;  // the kernel's limit is 253
constexpr std::size_t fds_per_message = 8192;

struct Header {
    std::uint32_t magic;
    std::uint16_t version;
    std::uint16_t kind;
    std::uint32_t serial;
    std::uint32_t length;    ///< of the body, here or in the memfd
    std::uint32_t in_memfd;  ///< 1: the packet's last descriptor is a sealed memfd with the body
    std::uint32_t unused;
};

int send_one(int socket, const Header& header, std::string_view body, const int* fds,
             std::size_t count, bool wait) {
    iovec parts[2] = {{const_cast<Header*>(&header), sizeof header},
                      {const_cast<char*>(body.data()), body.size()}};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (fds_per_packet + 1))];
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        cmsghdr* first = CMSG_FIRSTHDR(&message);
        first->cmsg_level = SOL_SOCKET;
        first->cmsg_type = SCM_RIGHTS;
        first->cmsg_len = CMSG_LEN(sizeof(int) * count);
        std::memcpy(CMSG_DATA(first), fds, sizeof(int) * count);
    }
    for (;;) {
        if (::sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) >= 0) return 0;
        if (errno == EAGAIN && wait) {
            // A full queue: the peer is behind. Both sides read whenever there is something.
            pollfd ready{socket, POLLOUT, 0};
            if (::poll(&ready, 1, 10'000) == 0) return ETIMEDOUT;
        } else if (errno != EINTR) {
            return errno;
        }
    }
}

/// The body in a memory file that nobody can change any more.
base::Fd sealed_body(std::string_view body) {
    base::Fd file{::memfd_create("dockerd-message", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!file) return file;
    while (!body.empty()) {
        const ssize_t n = ::write(file.get(), body.data(), body.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return base::Fd{};
        body.remove_prefix(static_cast<std::size_t>(n));
    }
    constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (!sys::add_seals(file.get(), seals)) return base::Fd{};
    return file;
}

/// Reads a sealed memfd of exactly `length` bytes.
bool read_sealed(const base::Fd& file, std::size_t length, std::string& body) {
    struct stat info {};
    constexpr int wanted = F_SEAL_SHRINK | F_SEAL_WRITE;
    const int seals = ::fcntl(file.get(), F_GET_SEALS);
    if (seals < 0 || (seals & wanted) != wanted || ::fstat(file.get(), &info) != 0 ||
        info.st_size != static_cast<off_t>(length)) {
        return false;
    }
    body.resize(length);
    for (std::size_t at = 0; at < length;) {
        const ssize_t n = ::pread(file.get(), &body[at], length - at, static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += static_cast<std::size_t>(n);
    }
    return true;
}

void take_fds(msghdr& message, std::vector<base::Fd>& fds) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int raw = -1;
            std::memcpy(&raw, CMSG_DATA(part) + i * sizeof raw, sizeof raw);
            fds.emplace_back(raw);
        }
    }
}

/// The size of the next packet or, when several have come, of all of them; 0 when the peer is gone.
ssize_t size_of_next(int socket, bool wait) {
    int there = 0;
    if (::ioctl(socket, FIONREAD, &there) == 0 && there > 0) return there;  // the quicker question
    ssize_t size = 0;
    char probe = 0;
    do {
        size = ::recv(socket, &probe, 1, MSG_PEEK | MSG_TRUNC | (wait ? 0 : MSG_DONTWAIT));
        // ECONNRESET comes once when the peer ended with something unread; what it sent follows.
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    return size;
}

/// Receives one packet of the socket; descriptors are added to packet.fds.
Receive receive_one(int socket, bool wait, Header& header, Packet& packet) {
    // The size first, so that the buffer is as large as the message.
    const ssize_t size = size_of_next(socket, wait);
    if (size < 0) return errno == EAGAIN ? Receive::again : Receive::closed;
    if (size == 0) return Receive::closed;
    if (size < static_cast<ssize_t>(sizeof header)) return Receive::broken;
    packet.body.resize(std::min(static_cast<std::size_t>(size) - sizeof header, inline_limit));
    iovec parts[2] = {{&header, sizeof header}, {packet.body.data(), packet.body.size()}};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (fds_per_packet + 1))];
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t got = 0;
    do {
        got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got <= 0) return Receive::closed;
    take_fds(message, packet.fds);
    if (got < static_cast<ssize_t>(sizeof header) ||
        (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return Receive::broken;
    }
    packet.body.resize(static_cast<std::size_t>(got) - sizeof header);
    return header.magic == magic ? Receive::packet : Receive::broken;
}

bool finish_body(const Header& header, Packet& packet) {
    if (header.in_memfd == 0) return packet.body.size() == header.length;
    if (packet.fds.empty() || header.length > memfd_limit || !packet.body.empty()) return false;
    const base::Fd file = std::move(packet.fds.back());
    packet.fds.pop_back();
    return read_sealed(file, header.length, packet.body);
}

}  // namespace

int send_packet(int socket, Kind kind, std::uint32_t serial, const Encoder& content, bool wait) {
    const int* fds = content.fds.data();
    std::size_t left = content.fds.size();
    while (left > fds_per_packet) {
        const Header batch{
            magic, protocol_version, static_cast<std::uint16_t>(Kind::fd_batch), serial, 0, 0, 0};
        if (const int error = send_one(socket, batch, {}, fds, fds_per_packet, wait)) return error;
        fds += fds_per_packet;
        left -= fds_per_packet;
    }
    Header header{magic,
                  protocol_version,
                  static_cast<std::uint16_t>(kind),
                  serial,
                  static_cast<std::uint32_t>(content.bytes.size()),
                  0,
                  0};
    if (content.bytes.size() <= inline_limit) {
        return send_one(socket, header, content.bytes, fds, left, wait);
    }
    if (content.bytes.size() > memfd_limit) return EMSGSIZE;
    const base::Fd file = sealed_body(content.bytes);
    if (!file) return errno;
    int all[fds_per_packet + 1];
    std::copy_n(fds, left, all);
    all[left] = file.get();
    header.in_memfd = 1;
    return send_one(socket, header, {}, all, left + 1, wait);
}

Receive receive_packet(int socket, bool wait, Packet& packet) {
    packet = Packet{};
    Header header{};
    for (;;) {
        // Packets of one message follow each other directly: after the first one wait for the rest.
        const bool first = packet.fds.empty();
        const Receive result = receive_one(socket, wait || !first, header, packet);
        if (result != Receive::packet) return result;
        if (header.kind != static_cast<std::uint16_t>(Kind::fd_batch)) break;
        if (packet.fds.empty() || packet.fds.size() > fds_per_message) return Receive::broken;
    }
    packet.kind = static_cast<Kind>(header.kind);
    packet.serial = header.serial;
    packet.version = header.version;
    return finish_body(header, packet) ? Receive::packet : Receive::broken;
}

}  // namespace dockerd::runtime::wire
