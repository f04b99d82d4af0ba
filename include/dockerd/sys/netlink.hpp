#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::sys {

/// Netlink messages in one buffer, to be sent with one system call.
///
/// Source: kernel Documentation/userspace-api/netlink/intro.rst.
class NetlinkBatch {
public:
    /// Starts the next message with a family header (ifinfomsg, nfgenmsg, ...).
    template <typename Header>
    void begin(std::uint16_t type, unsigned flags, const Header& header) {
        static_assert(std::is_trivially_copyable_v<Header>);
        begin_raw(type, flags, &header, sizeof header);
    }
    /// Adds an attribute of plain data to the message in work.
    template <typename Value>
    void put(unsigned type, const Value& value) {
        static_assert(std::is_trivially_copyable_v<Value> && !std::is_pointer_v<Value>);
        put_bytes(type, &value, sizeof value);
    }
    /// Adds an attribute with that content.
    void put_bytes(unsigned type, const void* data, std::size_t size);
    /// Adds text with its terminating zero.
    void put_text(unsigned type, std::string_view text);
    /// Adds an attribute without content.
    void put_flag(unsigned type) { put_bytes(type, nullptr, 0); }

    /// Opens an attribute that holds attributes; `close_nest` gets what this returned.
    [[nodiscard]] std::size_t open_nest(unsigned type);
    void close_nest(std::size_t position);
    /// Adds bytes without an attribute head: a header inside a nest.
    void put_raw(const void* data, std::size_t size);

    /// Flags of the message in work, for changes after `begin`.
    void add_flags(unsigned flags);
    [[nodiscard]] std::size_t count() const { return starts_.size(); }
    [[nodiscard]] bool empty() const { return starts_.empty(); }
    void clear();

private:
    friend class NetlinkSocket;
    void begin_raw(std::uint16_t type, unsigned flags, const void* header, std::size_t size);
    void finish();

    std::vector<char> bytes_;
    std::vector<std::size_t> starts_;
};

/// A received message: its type and what follows the netlink header.
struct NetlinkReply {
    std::uint16_t type = 0;
    std::size_t index = 0;  ///< of the batch's message it answers
    std::span<const char> payload;
};

/// A netlink socket in the network namespace its opening thread was in.
///
/// Thread: one call at a time.
class NetlinkSocket {
public:
    NetlinkSocket() = default;
    /// Opens a socket of `protocol` (NETLINK_ROUTE, NETLINK_NETFILTER).
    /// Throws: internal, "netlink socket: <errno text>".
    explicit NetlinkSocket(int protocol);

    explicit operator bool() const { return static_cast<bool>(fd_); }
    [[nodiscard]] const base::Fd& fd() const { return fd_; }
    /// The kernel's number of this socket, which notifications name as the sender's.
    /// Throws: internal, "netlink socket: <errno text>".
    [[nodiscard]] std::uint32_t port_id() const;
    /// Receives the notifications of a group (NFNLGRP_NFTABLES) from now on.
    void join_group(unsigned group);

    /// Sends the batch and waits for the acknowledgement of every message that asks for one
    /// (NLM_F_ACK). Messages other than acknowledgements go to `on_reply`.
    ///
    /// Throws: internal with the first error the kernel reports, "<what>: <errno text>".
    void transact(NetlinkBatch& batch, std::string_view what,
                  const std::function<void(const NetlinkReply&)>& on_reply = {});

    /// Sends the batch's one message with NLM_F_DUMP and hands over every answer. An interrupted
    /// dump is repeated: `on_restart` drops what came so far.
    void dump(NetlinkBatch& batch, std::string_view what,
              const std::function<void(const NetlinkReply&)>& on_reply,
              const std::function<void()>& on_restart = {});

private:
    void send(NetlinkBatch& batch, std::string_view what);
    bool receive(std::string_view what);

    base::Fd fd_;
    std::uint32_t sequence_ = 1;
    std::vector<char> buffer_;
};

/// What one notification says: whose change it was, its type, and what follows the header.
struct NetlinkNotice {
    std::uint32_t port_id = 0;
    std::uint16_t type = 0;
    std::span<const char> payload;
};

/// Reads what has arrived at a socket with a group, without waiting.
///
/// False when there was nothing more. `lost` tells that the kernel had to drop some.
bool receive_notices(const NetlinkSocket& socket, std::vector<char>& buffer, bool& lost,
                     const std::function<void(const NetlinkNotice&)>& on_notice);

/// Calls `visit(type, payload)` for every attribute in `bytes`; nested and byte-order flags are
/// taken off the type.
void for_each_attribute(std::span<const char> bytes,
                        const std::function<void(unsigned, std::span<const char>)>& visit);

/// The attribute's content as a plain value; zero when it is too short.
template <typename Value>
Value attribute_value(std::span<const char> payload) {
    Value out{};
    if (payload.size() >= sizeof out) std::memcpy(&out, payload.data(), sizeof out);
    return out;
}

/// The attribute's content as text, up to its first zero.
std::string attribute_text(std::span<const char> payload);

}  // namespace dockerd::sys
