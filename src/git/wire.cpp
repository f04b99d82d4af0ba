#include "wire.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace dockerd::git::wire {

bool send(int socket, std::string_view bytes) {
    if (bytes.empty()) bytes = std::string_view("\0", 1);
    ssize_t n = 0;
    do {
        n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == static_cast<ssize_t>(bytes.size());
}

bool receive(int socket, std::string& bytes) {
    bytes.resize(max_packet);
    ssize_t n = 0;
    do {
        n = ::recv(socket, bytes.data(), bytes.size(), 0);
    } while (n < 0 && errno == EINTR);
    bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return n > 0;
}

}  // namespace dockerd::git::wire
