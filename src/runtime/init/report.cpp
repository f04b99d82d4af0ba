#include "init/report.hpp"

#include "wire/packet.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace dockerd::runtime::init {

namespace {

int socket_to_monitor = -1;

}  // namespace

void set_report_socket(int socket) { socket_to_monitor = socket; }

int report_socket() { return socket_to_monitor; }

void fail(const char* step, int error, std::string_view text) {
    {
        // Freed before the end: the helper of an exec is in the monitor's memory.
        const wire::Failed failed{step, error, std::string(text)};
        (void)wire::send_message(socket_to_monitor, wire::Kind::failed, 0,
                                 failed);  // nobody else to tell
    }
    ::_exit(1);
}

bool send_signal(int socket, Signal signal, int fd, int number) {
    SignalBody body{signal, number};
    iovec part{&body, sizeof body};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* first = CMSG_FIRSTHDR(&message);
        first->cmsg_level = SOL_SOCKET;
        first->cmsg_type = SCM_RIGHTS;
        first->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(first), &fd, sizeof fd);
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

void await_signal(Signal wanted) {
    SignalBody body{};
    ssize_t got = 0;
    do {
        got = ::recv(socket_to_monitor, &body, sizeof body, 0);
    } while (got < 0 && errno == EINTR);
    if (got != static_cast<ssize_t>(sizeof body) || body.signal != wanted) ::_exit(1);
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        constexpr std::string_view digits = "0123456789abcdef";
        const auto code = static_cast<unsigned char>(c);
        if (c == '\n' || c == '\r' || c == '\t') {
            out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
        } else if (code < 0x20 || code == 0x7f) {
            out += "\\x";
            out += digits[code >> 4];
            out += digits[code & 15];
        } else {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
    }
    return out += '"';
}

}  // namespace dockerd::runtime::init
