#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/net/address.hpp>

/// DNS messages, as far as a server needs them that answers a few names and forwards the rest.
///
/// Nothing here follows a compression pointer: names of others' records are only stepped over, and
/// a question has none. So no message costs more than one walk over its bytes.
/// Source: RFC 1035 section 4, RFC 6891 (EDNS).
namespace dockerd::net::dns {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t header_size = 12;
/// What a client without EDNS takes over UDP.
constexpr std::size_t plain_udp_size = 512;
constexpr std::size_t max_message_size = 65535;

enum class Type : std::uint16_t { a = 1, ptr = 12, mx = 15, aaaa = 28, srv = 33, opt = 41 };

enum class Code : std::uint8_t {
    no_error = 0,
    format_error = 1,
    server_failure = 2,
    not_implemented = 4,
    refused = 5,
};

/// A query with one question. Views into the bytes it was read from.
struct Query {
    std::uint16_t id = 0;
    std::uint16_t flags = 0;
    /// In text form with the last dot: "web.", "_x._tcp.web.", "." for the root. Bytes that have a
    /// meaning in texts are escaped, so a label "a.b" is "a\.b".
    std::string name;
    std::uint16_t type = 0;
    Bytes question;  ///< name, type and class as they came
    Bytes message;   ///< without what may follow it
    std::size_t udp_size = plain_udp_size;  ///< the most the client takes over UDP

    [[nodiscard]] bool is(Type wanted) const { return type == static_cast<std::uint16_t>(wanted); }
};

/// What is to be done with bytes from a client.
enum class Verdict {
    answer,   ///< a query
    refuse,   ///< `refusal` says why
    silence,  ///< too short, a response, or without a question: any answer would be of use to none
};

struct Reading {
    Verdict verdict = Verdict::silence;
    Query query;
    std::string refusal;  ///< the message to send back
};

/// Reads what a client sent.
/// Source: miekg/dns acceptfunc.go, server.go (serveDNS): which messages get which answer.
Reading read_query(Bytes bytes);

/// Whether `bytes` is a whole response to the question that was sent with `id`; its size without
/// what may follow it, 0 when it is not.
std::size_t match_response(Bytes bytes, std::uint16_t id, Bytes question);
Code code_of(Bytes response);
std::uint16_t id_of(Bytes message);
/// Gives a message another id.
void set_id(std::string& message, std::uint16_t id);

/// The answers with addresses of one family, as many as fit into `limit` bytes; the others are
/// left out and the message says so.
/// Source: moby libnetwork/resolver.go, handleIPQuery, serveDNS; TTL 600.
std::string answer_addresses(const Query& query, const std::vector<IpAddress>& addresses,
                             std::size_t limit);
/// The answer with one name, in text form without escapes; nullopt when it is no DNS name.
std::optional<std::string> answer_name(const Query& query, std::string_view name);
/// No records. Only what is our own to say has the flag "recursion available".
std::string answer_empty(const Query& query, Code code);

/// The address a PTR question asks for: "2.0.18.172.in-addr.arpa.", and ip6.arpa.
std::optional<IpAddress> reverse_address(std::string_view name);

}  // namespace dockerd::net::dns
