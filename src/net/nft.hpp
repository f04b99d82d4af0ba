#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/net/address.hpp>
#include <dockerd/sys/netlink.hpp>

namespace dockerd::net {

/// NFPROTO_IPV4 and NFPROTO_IPV6.
enum class NftFamily : std::uint8_t { ip = 2, ip6 = 10 };

inline NftFamily family_of(const IpAddress& address) {
    return address.is_v6() ? NftFamily::ip6 : NftFamily::ip;
}

/// A key or value of a set: fields one after another, each filled up to four bytes.
class NftData {
public:
    NftData& address(const IpAddress& address);
    NftData& protocol(std::uint8_t number);
    NftData& port(std::uint16_t port);
    NftData& interface(std::string_view name);
    [[nodiscard]] const std::string& bytes() const { return bytes_; }
    friend bool operator==(const NftData&, const NftData&) = default;

private:
    void field(const void* data, std::size_t size);
    std::string bytes_;
};

/// nft's numbers for the types of set fields, for `nft list`.
/// Source: nftables include/datatype.h, enum datatypes.
enum class NftType : std::uint32_t {
    ipv4_addr = 7,
    ipv6_addr = 8,
    inet_proto = 12,
    inet_service = 13,
    ifname = 41,
};

/// One transaction of nf_tables messages: everything in it happens or nothing.
///
/// Source: kernel include/uapi/linux/netfilter/nf_tables.h.
class NftBatch {
public:
    /// `want_handles` lets commit report the handles of new rules.
    explicit NftBatch(bool want_handles = false);

    void add_table(NftFamily family, std::string_view table, std::uint32_t flags = 0);
    void delete_table(NftFamily family, std::string_view table);
    void add_chain(NftFamily family, std::string_view table, std::string_view chain);
    /// A chain at a netfilter hook (NF_INET_*). `accept` false: policy drop.
    void add_base_chain(NftFamily family, std::string_view table, std::string_view chain,
                        std::string_view type, unsigned hook, int priority, bool accept = true);
    void set_policy(NftFamily family, std::string_view table, std::string_view chain, bool accept);
    void flush_chain(NftFamily family, std::string_view table, std::string_view chain);
    /// The chain is empty by then, and nothing leads to it.
    void delete_chain(NftFamily family, std::string_view table, std::string_view chain);
    /// A set of `key`, or with `data` a map to it.
    void add_set(NftFamily family, std::string_view table, std::string_view set,
                 std::span<const NftType> key, std::span<const NftType> data = {});
    void add_element(NftFamily family, std::string_view table, std::string_view set,
                     const NftData& key, const NftData* data = nullptr);
    void delete_element(NftFamily family, std::string_view table, std::string_view set,
                        const NftData& key);

    /// Where a new rule goes.
    enum class Place { first, last, before, after };
    /// Starts a rule; the expressions below are added to it until end_rule. Returns the index
    /// under which its handle is reported. `neighbour` is the handle for before and after.
    std::size_t begin_rule(NftFamily family, std::string_view table, std::string_view chain,
                           Place place, std::uint8_t compat_protocol = 0,
                           std::uint64_t neighbour = 0);
    void end_rule();
    void delete_rule(NftFamily family, std::string_view table, std::string_view chain,
                     std::uint64_t handle);

    // Expressions. Registers are the 32-bit ones, 0 to 15.
    void load_meta(unsigned key, unsigned reg);
    void load_payload(unsigned base, unsigned offset, unsigned size, unsigned reg);
    void load_fib_daddr_type(unsigned reg);
    void load_fib_saddr_type(unsigned reg);
    void load_ct_status(unsigned reg);
    void bits_and(unsigned reg, std::span<const std::uint8_t> mask);
    void compare(bool equal, unsigned reg, std::span<const std::uint8_t> bytes);
    void lookup(std::string_view set, unsigned reg, bool inverted = false);
    void lookup_map(std::string_view set, unsigned reg, unsigned to_reg);
    void load_immediate(unsigned reg, std::span<const std::uint8_t> bytes);
    void counter();
    void masquerade();
    void dnat(NftFamily family, unsigned address_reg, unsigned port_reg);
    void snat(NftFamily family, unsigned address_reg);
    /// And a port from the one in the first register to the one in the other: the same for the same one of
    /// the sender, and another for another, as long as there are enough.
    void snat(NftFamily family, unsigned address_reg, unsigned first_port_reg, unsigned last_port_reg);
    /// NF_ACCEPT, NF_DROP, NFT_RETURN, or with `chain` NFT_JUMP.
    void verdict(int code, std::string_view chain = {});
    /// A match of iptables, so that iptables lists the rule.
    void xt_match(std::string_view name, unsigned revision, const void* info, std::size_t size);
    /// And a target of iptables.
    void xt_target(std::string_view name, unsigned revision, const void* info, std::size_t size);

    // Shorthands.
    void match_interface(bool incoming, bool equal, std::string_view name);
    void match_address(NftFamily family, bool source, bool equal, const IpPrefix& prefix);

    /// Sends everything as one transaction. `handles` gets the handle of each rule begun, in
    /// order, when given.
    /// Throws: internal, "nf_tables: <errno text>".
    void commit(sys::NetlinkSocket& socket, std::vector<std::uint64_t>* handles = nullptr);
    [[nodiscard]] bool empty() const { return batch_.count() <= 1; }
    /// How many rules were begun: the index of the next.
    [[nodiscard]] std::size_t rule_count() const { return rules_.size(); }

private:
    void begin(unsigned type, NftFamily family, unsigned flags);
    std::size_t open_expression(std::string_view name);
    void close_expression(std::size_t position);
    void put_be32(unsigned type, std::uint32_t value);
    void put_data(unsigned type, std::span<const std::uint8_t> bytes);

    bool want_handles_ = false;
    sys::NetlinkBatch batch_;
    std::vector<std::size_t> rules_;  ///< message index of each begun rule
    std::size_t expressions_ = 0;
    std::size_t open_element_ = 0;
    std::size_t data_ = 0;
    std::uint32_t next_set_id_ = 1;
};

/// A rule as `FORWARD` of the filter table holds it: only what the jumps need to be found.
struct NftRuleHead {
    std::uint64_t handle = 0;
    std::string jump;  ///< target, when the rule consists of nothing but a jump (and a counter)
};

/// What a notification of nf_tables says was taken away, as far as it is about tables.
struct NftRemoval {
    enum class Kind { table, chain, rule, set };
    Kind kind = Kind::table;
    NftFamily family = NftFamily::ip;
    std::string table;
    std::string chain;  ///< of a chain or rule
    std::string jump;   ///< of a rule, as in NftRuleHead
};

/// Reads a message of the group NFNLGRP_NFTABLES; nullopt when it takes nothing away.
/// Source: kernel net/netfilter/nf_tables_api.c, nf_tables_*_notify.
std::optional<NftRemoval> read_removal(std::uint16_t type, std::span<const char> payload);

/// Throws: internal, "nf_tables: <errno text>".
bool has_table(sys::NetlinkSocket& socket, NftFamily family, std::string_view table);

/// The rules of one chain in order; nullopt when there is no such chain. `accepts` learns what becomes
/// of a packet that passes them all.
std::optional<std::vector<NftRuleHead>> list_rules(sys::NetlinkSocket& socket, NftFamily family,
                                                   std::string_view table, std::string_view chain,
                                                   bool* accepts = nullptr);

}  // namespace dockerd::net
