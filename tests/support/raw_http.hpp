#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include <dockerd/base/fd.hpp>

namespace dockerd::test {

/// A directory that goes with the test.
class TempDir {
public:
    TempDir() {
        std::array<char, 32> name{"/tmp/dockerd-test-XXXXXX"};
        if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
        path_ = name.data();
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() { (void)!::system(("rm -rf " + path_).c_str()); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// Listens on a Unix socket.
inline base::Fd listen_unix(const std::string& path) {
    base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), SOMAXCONN) != 0) {
        throw std::runtime_error("listen on " + path);
    }
    return fd;
}

/// A client that sends exactly the bytes it is told to, and shows exactly what comes back.
class RawHttp {
public:
    explicit RawHttp(const std::string& path)
        : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            throw std::runtime_error("connect to " + path);
        }
    }

    explicit RawHttp(base::Fd connected) : fd_(std::move(connected)) {}

    /// Sends all bytes; false when the server has gone away.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// Everything up to and including `end`. Fails the test by throwing when it does not come.
    std::string read_until(std::string_view end) {
        while (true) {
            if (const auto at = buffer_.find(end); at != std::string::npos) {
                return take(at + end.size());
            }
            if (!receive()) throw std::runtime_error("end of stream within: " + buffer_);
        }
    }
    std::string read_exactly(std::size_t count) {
        while (buffer_.size() < count) {
            if (!receive()) throw std::runtime_error("end of stream within: " + buffer_);
        }
        return take(count);
    }
    /// What comes until the server ends the stream.
    std::string read_to_end() {
        while (receive()) {
        }
        return take(buffer_.size());
    }
    /// A whole answer with a Content-Length: head and body, the Date line left out.
    std::string read_response() {
        std::string head = read_until("\r\n\r\n");
        std::size_t length = 0;
        if (const auto at = head.find("Content-Length: "); at != std::string::npos) {
            length = std::stoul(head.substr(at + 16));
        }
        return without_date(head) + read_exactly(length);
    }
    std::string ask(std::string_view request) {
        send(request);
        return read_response();
    }

    void half_close() { (void)::shutdown(fd_.get(), SHUT_WR); }
    void close() { fd_.reset(); }
    int fd() const { return fd_.get(); }

    static std::string without_date(std::string text) {
        const auto at = text.find("Date: ");
        if (at == std::string::npos) return text;
        return text.erase(at, text.find("\r\n", at) + 2 - at);
    }

private:
    bool receive() {
        pollfd entry{fd_.get(), POLLIN, 0};
        if (::poll(&entry, 1, 10'000) != 1) throw std::runtime_error("time-out; had: " + buffer_);
        std::array<char, 65536> bytes;
        const ssize_t count = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
        if (count <= 0) return false;
        buffer_.append(bytes.data(), static_cast<std::size_t>(count));
        return true;
    }
    std::string take(std::size_t count) {
        std::string out = buffer_.substr(0, count);
        buffer_.erase(0, count);
        return out;
    }

    base::Fd fd_;
    std::string buffer_;
};

}  // namespace dockerd::test
