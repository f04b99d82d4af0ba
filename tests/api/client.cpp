#include "client.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>

#include "api/codec/text.hpp"

namespace dockerd::test {
namespace {

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

base::Fd listen_on(const std::string& path) {
    base::Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_un address = address_of(path);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 16) != 0) {
        throw std::runtime_error("listen on " + path);
    }
    return fd;
}

}  // namespace

Connection::Connection(const std::string& socket_path)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = address_of(socket_path);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
        0) {
        throw std::runtime_error("connect to " + socket_path);
    }
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

void Connection::send(std::string_view bytes) const {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) throw std::runtime_error("send");
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

void Connection::close_write() const { ::shutdown(socket_.get(), SHUT_WR); }

bool Connection::fill() {
    char piece[65536];
    const ssize_t got = ::recv(socket_.get(), piece, sizeof piece, 0);
    if (got < 0) throw std::runtime_error("recv: " + std::string(std::strerror(errno)));
    buffer_.append(piece, static_cast<std::size_t>(got));
    return got > 0;
}

std::string Connection::read_until(std::string_view end) {
    std::size_t at = 0;
    while ((at = buffer_.find(end)) == std::string::npos) {
        if (!fill()) throw std::runtime_error("connection ended after: " + buffer_);
    }
    std::string text = buffer_.substr(0, at + end.size());
    buffer_.erase(0, text.size());
    return text;
}

std::string Connection::read_head() { return read_until("\r\n\r\n"); }

std::string Connection::read_all() {
    while (fill()) {
    }
    return std::exchange(buffer_, "");
}

std::string Connection::read_exactly(std::size_t bytes) {
    while (buffer_.size() < bytes) {
        if (!fill()) throw std::runtime_error("connection ended after: " + buffer_);
    }
    std::string text = buffer_.substr(0, bytes);
    buffer_.erase(0, bytes);
    return text;
}

std::string Connection::read_body(const Answer& answer) {
    const auto length = answer.headers.find("content-length");
    if (length != answer.headers.end()) return read_exactly(std::stoul(length->second));
    if (!answer.headers.contains("transfer-encoding")) return read_all();
    std::string body;
    for (;;) {
        const std::size_t size = std::stoul(read_until("\r\n"), nullptr, 16);
        body += read_exactly(size);
        read_until("\r\n");
        if (size == 0) return body;
    }
}

Answer Connection::read_answer(bool head_request) {
    Answer answer;
    answer.head = read_head();
    answer.status = std::stoi(answer.head.substr(9, 3));
    for (const std::string& line : base::split(answer.head, '\n')) {
        const auto colon = line.find(": ");
        if (colon == std::string::npos) continue;
        answer.headers[base::to_lower(line.substr(0, colon))] =
            std::string(base::trim(line.substr(colon + 2)));
    }
    const bool bodiless = head_request || answer.status == 204 || answer.status == 304;
    if (!bodiless) answer.body = read_body(answer);
    return answer;
}

ServedApi::ServedApi(api::ApiOptions options)
    : path_("/tmp/dockerd-api-test-" + base::random_hex(8) + ".sock"),
      application_(api::make_api(fakes.services(), options)),
      server_(std::make_unique<http::Server>(*application_, http::ServerOptions{})) {
    server_->add_listener(listen_on(path_));
    server_->start();
}

ServedApi::~ServedApi() {
    server_.reset();
    ::unlink(path_.c_str());
}

std::string ServedApi::request(std::string_view line, std::string_view body,
                               std::string_view more_headers) {
    std::string text(line);
    text += " HTTP/1.1\r\nHost: test\r\n";
    if (!body.empty()) {
        text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        if (more_headers.find("Content-Type") == std::string_view::npos) {
            text += "Content-Type: application/json\r\n";
        }
    }
    text += more_headers;
    text += "\r\n";
    text += body;
    return text;
}

Answer ServedApi::ask(std::string_view line, std::string_view body,
                      std::string_view more_headers) {
    Connection connection = connect();
    connection.send(request(line, body, more_headers));
    return connection.read_answer(line.starts_with("HEAD "));
}

std::string message(std::string_view text) {
    api::codec::Text out;
    api::codec::Object{out}("message", text);
    return out.take_line();
}

}  // namespace dockerd::test
