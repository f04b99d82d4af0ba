#include "net/names/message.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

namespace dockerd::net::dns {
namespace {

std::string hex(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        out += digits[static_cast<unsigned char>(c) >> 4U];
        out += digits[static_cast<unsigned char>(c) & 0xfU];
    }
    return out;
}

std::string wire(std::string_view text) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string digits;
    for (const char c : text) {
        if (c != ' ') digits += c;
    }
    std::string out;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        out += static_cast<char>(digit(digits[i]) << 4 | digit(digits[i + 1]));
    }
    return out;
}

Bytes bytes(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// "web." A IN, id 0x1234, recursion desired.
const std::string web_query = wire("1234 0100 0001 0000 0000 0000 03776562 00 0001 0001");
const std::string edns = wire("00 0029 04d0 00000000 0000");

/// The query with other counts of records and more behind the question.
std::string with_records(std::string_view counts, const std::string& more) {
    return web_query.substr(0, 6) + wire(counts) + web_query.substr(12) + more;
}

TEST(DnsQuery, IsReadWithItsNameAndType) {
    const Reading reading = read_query(bytes(web_query));
    ASSERT_EQ(reading.verdict, Verdict::answer);
    EXPECT_EQ(reading.query.id, 0x1234);
    EXPECT_EQ(reading.query.name, "web.");
    EXPECT_TRUE(reading.query.is(Type::a));
    EXPECT_EQ(reading.query.udp_size, 512U);
    EXPECT_EQ(reading.query.message.size(), web_query.size());
}

TEST(DnsQuery, EdnsSaysHowMuchTheClientTakes) {
    const std::string query = with_records("0000 0000 0001", edns) + "what follows";
    const Reading reading = read_query(bytes(query));
    ASSERT_EQ(reading.verdict, Verdict::answer);
    EXPECT_EQ(reading.query.udp_size, 0x4d0U);
    EXPECT_EQ(reading.query.message.size(), web_query.size() + edns.size());
    // Less than 512 bytes count as 512 (RFC 6891, 6.2.3).
    const std::string small = with_records("0000 0000 0001", wire("00 0029 0001 00000000 0000"));
    EXPECT_EQ(read_query(bytes(small)).query.udp_size, 512U);
}

TEST(DnsQuery, BytesWithAMeaningAreEscaped) {
    const std::string query =
        wire("0001 0000 0001 0000 0000 0000 03 612e62 02 5c01 00 0001 0001");
    EXPECT_EQ(read_query(bytes(query)).query.name, "a\\.b.\\\\\\001.");
    const std::string root = wire("0001 0000 0001 0000 0000 0000 00 0002 0001");
    EXPECT_EQ(read_query(bytes(root)).query.name, ".");
}

TEST(DnsQuery, WhatIsNoQueryGetsNoAnswer) {
    EXPECT_EQ(read_query(bytes("")).verdict, Verdict::silence);
    EXPECT_EQ(read_query(bytes(web_query.substr(0, 11))).verdict, Verdict::silence);
    EXPECT_EQ(read_query(bytes(web_query.substr(0, 12))).verdict, Verdict::silence);
    std::string response = web_query;
    response[2] = static_cast<char>(0x81);
    EXPECT_EQ(read_query(bytes(response)).verdict, Verdict::silence);
}

TEST(DnsQuery, MalformedOnesAreRefusedInTheirOwnId) {
    const auto refusal = [](const std::string& query) {
        const Reading reading = read_query(bytes(query));
        return reading.verdict == Verdict::refuse ? hex(reading.refusal) : "not refused";
    };
    // An update (opcode 5): not implemented, and the opcode is kept.
    EXPECT_EQ(refusal(wire("1234 2900 0001 0000 0000 0000 03776562 00 0001 0001")),
              "1234a9040000000000000000");
    const std::string format_error = "123481010000000000000000";
    EXPECT_EQ(refusal(wire("1234 0100 0002 0000 0000 0000 00 0001 0001 00 0001 0001")),
              format_error);
    EXPECT_EQ(refusal(web_query.substr(0, 20)), format_error);
    // A name that points at itself, one that points back, one with a label of 64, one without end.
    EXPECT_EQ(refusal(wire("1234 0100 0001 0000 0000 0000 c00c 0001 0001")), format_error);
    EXPECT_EQ(refusal(wire("1234 0100 0001 0000 0000 0000 0161 c00c 0001 0001")), format_error);
    EXPECT_EQ(refusal(wire("1234 0100 0001 0000 0000 0000 40") + std::string(64, 'a') +
                      wire("00 0001 0001")),
              format_error);
    EXPECT_EQ(refusal(wire("1234 0100 0001 0000 0000 0000 3f") + std::string(9, 'a')),
              format_error);
    // A record that is longer than the message: the question was read, so it is repeated.
    EXPECT_EQ(refusal(with_records("0000 0000 0001", wire("00 0029 04d0 00000000 0100"))),
              "1234810100010000000000000377656200" "00010001");
}

TEST(DnsQuery, NamesEndAt255Bytes) {
    std::string labels;
    for (int i = 0; i < 127; ++i) labels += wire("0161");
    const std::string head = wire("1234 0100 0001 0000 0000 0000");
    EXPECT_EQ(read_query(bytes(head + labels + wire("00 0001 0001"))).verdict, Verdict::answer);
    EXPECT_EQ(read_query(bytes(head + labels + wire("0161 00 0001 0001"))).verdict,
              Verdict::refuse);
}

TEST(DnsAnswer, AddressesPointToTheQuestion) {
    const Query query = read_query(bytes(web_query)).query;
    EXPECT_EQ(hex(answer_addresses(query, {IpAddress::v4(0xac120002)}, 512)),
              "123481800001000100000000"
              "03776562000001" "0001"
              "c00c" "0001" "0001" "00000258" "0004" "ac120002");
    EXPECT_EQ(hex(answer_addresses(query, {}, 512)),
              "123481800001000000000000" "0377656200" "00010001");
}

TEST(DnsAnswer, WhatDoesNotFitIsLeftOutAndSaidSo) {
    const Query query = read_query(bytes(web_query)).query;
    std::vector<IpAddress> many(100, IpAddress::v4(0x0a000001));
    const std::string answer = answer_addresses(query, many, 512);
    // 512 bytes less header and question are 491: 30 records of 16 bytes.
    EXPECT_EQ(answer.size(), 21U + 30 * 16);
    EXPECT_EQ(hex(answer.substr(0, 12)), "12348380" "0001" "001e" "00000000");
    EXPECT_EQ(answer_addresses(query, many, max_message_size).size(), 21U + 100 * 16);
}

TEST(DnsAnswer, NamesAreEncodedOrRefused) {
    const std::string ptr = wire(
        "0001 0000 0001 0000 0000 0000 0132 0130 023138 03313732 07696e2d61646472 0461727061 00 "
        "000c 0001");
    const Query query = read_query(bytes(ptr)).query;
    EXPECT_EQ(query.name, "2.0.18.172.in-addr.arpa.");
    const auto answer = answer_name(query, "web.net");
    ASSERT_TRUE(answer);
    EXPECT_EQ(hex(answer->substr(ptr.size())), "c00c000c00010000025800090377656203" "6e657400");
    EXPECT_FALSE(answer_name(query, std::string(64, 'a') + ".net"));
    EXPECT_FALSE(answer_name(query, "a..b"));
    EXPECT_FALSE(answer_name(query, ""));
}

TEST(DnsAnswer, OnlyOurOwnAnswersOfferRecursion) {
    const Query query = read_query(bytes(web_query)).query;
    EXPECT_EQ(hex(answer_empty(query, Code::no_error).substr(0, 4)), "12348180");
    EXPECT_EQ(hex(answer_empty(query, Code::server_failure).substr(0, 4)), "12348102");
}

TEST(DnsResponse, MustBeTheAnswerToTheQuestion) {
    const std::string record = wire("c00c 0001 0001 0000003c 0004 01020304");
    const std::string good =
        wire("beef 8180 0001 0001 0000 0000 03776562 00 0001 0001") + record;
    const Query query = read_query(bytes(web_query)).query;
    EXPECT_EQ(match_response(bytes(good), 0xbeef, query.question), good.size());
    EXPECT_EQ(match_response(bytes(good + "tail"), 0xbeef, query.question), good.size());
    std::string other_case = good;
    other_case[13] = 'W';
    EXPECT_EQ(match_response(bytes(other_case), 0xbeef, query.question), good.size());

    EXPECT_EQ(match_response(bytes(good), 0xbee0, query.question), 0U);
    std::string other = good;
    other[13] = 'x';
    EXPECT_EQ(match_response(bytes(other), 0xbeef, query.question), 0U);
    other = good;
    other[2] = 0x01;  // a query
    EXPECT_EQ(match_response(bytes(other), 0xbeef, query.question), 0U);
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_EQ(match_response(bytes(good.substr(0, size)), 0xbeef, query.question), 0U) << size;
    }
    // One that could not read the question.
    EXPECT_EQ(match_response(bytes(wire("beef 8181 0000 0000 0000 0000")), 0xbeef, query.question),
              12U);
    EXPECT_EQ(match_response(bytes(wire("beef 8180 0000 0000 0000 0000")), 0xbeef, query.question),
              0U);
}

TEST(DnsReverse, AddressesHaveOneSpelling) {
    EXPECT_EQ(reverse_address("2.0.18.172.in-addr.arpa."), IpAddress::parse("172.18.0.2"));
    EXPECT_EQ(reverse_address("2.0.18.172.IN-ADDR.arpa."), IpAddress::parse("172.18.0.2"));
    EXPECT_EQ(reverse_address("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f."
                              "ip6.arpa."),
              IpAddress::parse("fd00::2"));
    for (const char* text :
         {"02.0.18.172.in-addr.arpa.", "0.18.172.in-addr.arpa.", "1.2.0.18.172.in-addr.arpa.",
          "2.0.18.300.in-addr.arpa.", "in-addr.arpa.", "2.0.18.172.in-addr.arpa.x.", "web.",
          "2.0.0.ip6.arpa.",
          "x.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa."}) {
        EXPECT_FALSE(reverse_address(text)) << text;
    }
}

/// How many messages; DOCKERD_FUZZ_ROUNDS asks for more, DOCKERD_FUZZ_SEED for others.
unsigned from_environment(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : static_cast<unsigned>(std::stoul(text));
}

/// What is said of a query that was taken: answers are whole, and no longer than they may be.
void expect_sound_answers(const Query& query) {
    const std::vector<IpAddress> addresses(40, query.is(Type::aaaa)
                                                   ? *IpAddress::parse("fd00::2")
                                                   : *IpAddress::parse("172.18.0.2"));
    for (const std::size_t limit : {plain_udp_size, max_message_size}) {
        const std::string answer = answer_addresses(query, addresses, limit);
        // The question alone may be longer than the limit of old clients.
        ASSERT_LE(answer.size(), std::max(limit, header_size + query.question.size()));
        ASSERT_EQ(match_response(bytes(answer), query.id, query.question), answer.size());
    }
    if (const auto answer = answer_name(query, "web.net")) {
        ASSERT_EQ(match_response(bytes(*answer), query.id, query.question), answer->size());
    }
}

/// What a hostile container sends is read to its end and never beyond, and is never a reason for
/// an answer much longer than itself. The sanitizers look for what this cannot see.
TEST(DnsFuzz, MutatedMessagesAreReadOrRefused) {
    std::mt19937 random(from_environment("DOCKERD_FUZZ_SEED", 20260));
    const std::vector<std::string> seeds{
        web_query, with_records("0000 0000 0001", edns),
        wire("0001 0000 0001 0000 0000 0000 03 612e62 02 5c01 00 0001 0001"),
        wire("beef 8180 0001 0002 0000 0000 03776562 00 0001 0001"
             "c00c 0001 0001 0000003c 0004 01020304 c00c 0001 0001 0000003c 0004 01020304")};
    std::size_t answered = 0;
    std::size_t refused = 0;
    const unsigned rounds = from_environment("DOCKERD_FUZZ_ROUNDS", 300'000);
    for (unsigned i = 0; i < rounds; ++i) {
        std::string message = seeds[random() % seeds.size()];
        for (unsigned change = random() % 8; change > 0; --change) {
            switch (random() % 4) {
                case 0:
                    message[random() % message.size()] = static_cast<char>(random());
                    break;
                case 1:
                    message.resize(1 + random() % message.size());
                    break;
                case 2:
                    message.insert(random() % message.size(), 1 + random() % 70,
                                   static_cast<char>(random()));
                    break;
                case 3:
                    message[random() % message.size()] = static_cast<char>(0xc0 | random());
                    break;
            }
        }
        // In memory of just that size, so that a step beyond is seen.
        const std::vector<std::uint8_t> exact(message.begin(), message.end());
        const Reading reading = read_query(exact);
        (void)match_response(exact, 0xbeef, bytes(web_query).subspan(12));
        // Others' answers are compared with what was asked, whatever that was.
        if (exact.size() > 14) {
            const std::size_t taken = match_response(exact, id_of(exact), Bytes(exact).subspan(12));
            ASSERT_LE(taken, exact.size());
        }
        if (reading.verdict == Verdict::refuse) {
            ++refused;
            ASSERT_LE(reading.refusal.size(), exact.size());
        }
        if (reading.verdict != Verdict::answer) continue;
        ++answered;
        ASSERT_LE(reading.query.message.size(), exact.size());
        ASSERT_LE(reading.query.name.size(), 4U * 255);
        ASSERT_EQ(reading.query.name.back(), '.');
        (void)reverse_address(reading.query.name);
        expect_sound_answers(reading.query);
        if (HasFatalFailure()) return;
        const std::string answer = answer_empty(reading.query, Code::server_failure);
        ASSERT_LE(answer.size(), exact.size());
        ASSERT_EQ(read_query(bytes(answer)).verdict, Verdict::silence);
    }
    // Both ways were gone often: the mutations are neither all harmless nor all fatal.
    EXPECT_GT(answered, rounds / 30);
    EXPECT_GT(refused, rounds / 30);
}

}  // namespace
}  // namespace dockerd::net::dns
