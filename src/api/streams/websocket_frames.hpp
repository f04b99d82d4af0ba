#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <dockerd/http/message.hpp>

/// The frames of RFC 6455, as far as a byte stream needs them.
namespace dockerd::api::websocket {

enum class Opcode : std::uint8_t {
    continuation = 0,
    text = 1,
    binary = 2,
    close = 8,
    ping = 9,
    pong = 10,
};

/// The head that accepts a request, or why it is refused.
struct Handshake {
    std::string head;   ///< the 101 answer; empty when refused
    std::string error;  ///< "not websocket protocol"
};
/// Source: RFC 6455, 4.2; the refusals are golang.org/x/net/websocket's.
Handshake accept(const http::Request& request);

/// A whole frame from the server: final, unmasked.
std::string frame(Opcode opcode, std::string_view payload);

/// Reads a client's frames from a stream of bytes. Data comes out in pieces as it arrives;
/// control frames, which are small, come out whole.
class Reader {
public:
    enum class Event { need_more, data, ping, close, broken };
    struct Result {
        Event event = Event::need_more;
        std::string payload;
    };

    void feed(std::string_view bytes) { buffer_.append(bytes); }
    /// The next event in what was fed. After `broken` or `close` nothing follows.
    Result next();

private:
    bool read_head();
    std::string take_payload(std::size_t bytes);

    std::string buffer_;
    bool in_frame_ = false;
    bool broken_ = false;
    Opcode opcode_ = Opcode::continuation;
    std::uint64_t left_ = 0;  ///< bytes of the payload still to come
    std::array<char, 4> mask_{};
    std::size_t mask_at_ = 0;
};

}  // namespace dockerd::api::websocket
