#include "websocket_frames.hpp"

#include <openssl/evp.h>

#include <algorithm>

#include <dockerd/base/strings.hpp>

namespace dockerd::api::websocket {
namespace {

/// Source: RFC 6455, 1.3.
constexpr std::string_view accept_salt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::size_t largest_control = 125;

std::string accept_key(std::string_view key) {
    const std::string text = std::string(key) + std::string(accept_salt);
    std::array<char, 20> digest{};
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
               EVP_sha1(), nullptr);
    return base::base64_encode({digest.data(), size});
}

std::uint64_t big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
    return value;
}

bool is_control(Opcode opcode) { return static_cast<unsigned>(opcode) >= 8; }

bool is_known(unsigned opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

Handshake accept(const http::Request& request) {
    const http::Headers& headers = request.headers;
    if (!headers.has_token("Upgrade", "websocket") || !headers.has_token("Connection", "upgrade")) {
        return {.head = "", .error = "not websocket protocol"};
    }
    const std::string_view key = headers.get("Sec-WebSocket-Key");
    if (key.empty()) return {.head = "", .error = "mismatch challenge/response"};
    if (headers.get("Sec-WebSocket-Version") != "13") {
        return {.head = "", .error = "missing or bad WebSocket Version"};
    }
    std::string head =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
        accept_key(key) + "\r\n";
    // A browser that named a protocol wants to hear it again.
    // Source: golang.org/x/net/websocket/hybi.go, AcceptHandshake.
    const std::string_view protocol = base::trim(headers.get("Sec-WebSocket-Protocol"));
    if (protocol.find(',') != std::string_view::npos) {
        return {.head = "", .error = "bad websocket protocol"};
    }
    if (!protocol.empty()) head += "Sec-WebSocket-Protocol: " + std::string(protocol) + "\r\n";
    return {.head = head + "\r\n", .error = ""};
}

std::string frame(Opcode opcode, std::string_view payload) {
    std::string out;
    out.reserve(payload.size() + 10);
    out += static_cast<char>(0x80U | static_cast<unsigned>(opcode));
    const std::size_t size = payload.size();
    const auto append_size = [&](unsigned bytes) {
        for (unsigned i = bytes; i-- > 0;) out += static_cast<char>(size >> (8 * i) & 0xFF);
    };
    if (size <= largest_control) {
        out += static_cast<char>(size);
    } else if (size <= 0xFFFF) {
        out += static_cast<char>(126);
        append_size(2);
    } else {
        out += static_cast<char>(127);
        append_size(8);
    }
    out += payload;
    return out;
}

bool Reader::read_head() {
    if (buffer_.size() < 2) return false;
    const auto first = static_cast<unsigned char>(buffer_[0]);
    const auto second = static_cast<unsigned char>(buffer_[1]);
    const unsigned size = second & 0x7FU;
    const std::size_t size_bytes = size == 126 ? 2 : size == 127 ? 8 : 0;
    const std::size_t head = 2 + size_bytes + mask_.size();
    const unsigned opcode = first & 0x0FU;
    opcode_ = static_cast<Opcode>(opcode);
    // A client masks; reserved bits need an extension, and none was agreed on.
    const bool fragmented_control =
        is_control(opcode_) && ((first & 0x80U) == 0 || size > largest_control);
    if ((second & 0x80U) == 0 || (first & 0x70U) != 0 || !is_known(opcode) || fragmented_control) {
        broken_ = true;
        return false;
    }
    if (buffer_.size() < head) return false;
    left_ = size_bytes == 0 ? size : big_endian(std::string_view(buffer_).substr(2, size_bytes));
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(2 + size_bytes), mask_.size(),
                mask_.begin());
    mask_at_ = 0;
    buffer_.erase(0, head);
    in_frame_ = true;
    return true;
}

std::string Reader::take_payload(std::size_t bytes) {
    std::string payload = buffer_.substr(0, bytes);
    buffer_.erase(0, bytes);
    for (char& c : payload) c = static_cast<char>(c ^ mask_[mask_at_++ % mask_.size()]);
    left_ -= bytes;
    if (left_ == 0) in_frame_ = false;
    return payload;
}

Reader::Result Reader::next() {
    while (!broken_) {
        if (!in_frame_ && !read_head()) break;
        if (!is_control(opcode_)) {
            const auto ready =
                static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size()));
            if (ready == 0 && left_ != 0) break;
            std::string payload = take_payload(ready);
            if (payload.empty()) continue;
            return {.event = Event::data, .payload = std::move(payload)};
        }
        if (buffer_.size() < left_) break;
        std::string payload = take_payload(static_cast<std::size_t>(left_));
        if (opcode_ == Opcode::ping) return {.event = Event::ping, .payload = std::move(payload)};
        if (opcode_ == Opcode::close) return {.event = Event::close, .payload = std::move(payload)};
    }
    return {.event = broken_ ? Event::broken : Event::need_more, .payload = ""};
}

}  // namespace dockerd::api::websocket
