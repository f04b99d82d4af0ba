#include "nft.hpp"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cstring>

#include <dockerd/base/error.hpp>

namespace dockerd::net {

namespace {

constexpr unsigned nested = NLA_F_NESTED;

/// The kernel's number of a 32-bit register.
constexpr std::uint32_t register_number(unsigned reg) { return NFT_REG32_00 + reg; }

std::uint16_t message_type(unsigned type) {
    return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
}

nfgenmsg family_header(NftFamily family) {
    nfgenmsg header{};
    header.nfgen_family = static_cast<std::uint8_t>(family);
    header.version = NFNETLINK_V0;
    return header;
}

nfgenmsg batch_header() {
    nfgenmsg header{};
    header.res_id = htons(NFNL_SUBSYS_NFTABLES);
    return header;
}

std::uint32_t field_size(NftType type) {
    switch (type) {
        case NftType::ipv4_addr:
            return 4;
        case NftType::ipv6_addr:
            return 16;
        case NftType::inet_proto:
            return 4;
        case NftType::inet_service:
            return 4;
        case NftType::ifname:
            return 16;
    }
    return 0;
}

/// nft's way to name a concatenation: six bits a field.
std::uint32_t type_number(std::span<const NftType> types) {
    std::uint32_t out = 0;
    for (const NftType type : types) out = out << 6 | static_cast<std::uint32_t>(type);
    return out;
}

/// A single field is not filled up to four bytes.
std::uint32_t total_size(std::span<const NftType> types) {
    if (types.size() == 1 && types[0] == NftType::inet_proto) return 1;
    if (types.size() == 1 && types[0] == NftType::inet_service) return 2;
    std::uint32_t out = 0;
    for (const NftType type : types) out += field_size(type);
    return out;
}

}  // namespace

void NftData::field(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
}

NftData& NftData::address(const IpAddress& address) {
    field(address.data(), address.size());
    return *this;
}

NftData& NftData::protocol(std::uint8_t number) {
    field(&number, 1);
    return *this;
}

NftData& NftData::port(std::uint16_t port) {
    const std::uint16_t swapped = htons(port);
    field(&swapped, 2);
    return *this;
}

NftData& NftData::interface(std::string_view name) {
    char text[16]{};
    name.copy(text, sizeof text - 1);
    field(text, sizeof text);
    return *this;
}

NftBatch::NftBatch(bool want_handles) : want_handles_(want_handles) {
    batch_.begin(NFNL_MSG_BATCH_BEGIN, 0, batch_header());
}

void NftBatch::begin(unsigned type, NftFamily family, unsigned flags) {
    batch_.begin(message_type(type), flags, family_header(family));
}

void NftBatch::put_be32(unsigned type, std::uint32_t value) { batch_.put(type, htonl(value)); }

void NftBatch::put_data(unsigned type, std::span<const std::uint8_t> bytes) {
    const auto data = batch_.open_nest(type | nested);
    batch_.put_bytes(NFTA_DATA_VALUE, bytes.data(), bytes.size());
    batch_.close_nest(data);
}

void NftBatch::add_table(NftFamily family, std::string_view table, std::uint32_t flags) {
    begin(NFT_MSG_NEWTABLE, family, NLM_F_CREATE);
    batch_.put_text(NFTA_TABLE_NAME, table);
    if (flags != 0) batch_.put(NFTA_TABLE_FLAGS, htobe32(flags));
}

void NftBatch::delete_table(NftFamily family, std::string_view table) {
    begin(NFT_MSG_DELTABLE, family, 0);
    batch_.put_text(NFTA_TABLE_NAME, table);
}

void NftBatch::add_chain(NftFamily family, std::string_view table, std::string_view chain) {
    begin(NFT_MSG_NEWCHAIN, family, NLM_F_CREATE);
    batch_.put_text(NFTA_CHAIN_TABLE, table);
    batch_.put_text(NFTA_CHAIN_NAME, chain);
}

void NftBatch::add_base_chain(NftFamily family, std::string_view table, std::string_view chain,
                              std::string_view type, unsigned hook, int priority, bool accept) {
    add_chain(family, table, chain);
    const auto nest = batch_.open_nest(NFTA_CHAIN_HOOK | nested);
    put_be32(NFTA_HOOK_HOOKNUM, hook);
    put_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
    batch_.close_nest(nest);
    put_be32(NFTA_CHAIN_POLICY, accept ? NF_ACCEPT : NF_DROP);
    batch_.put_text(NFTA_CHAIN_TYPE, type);
}

void NftBatch::set_policy(NftFamily family, std::string_view table, std::string_view chain,
                          bool accept) {
    add_chain(family, table, chain);
    put_be32(NFTA_CHAIN_POLICY, accept ? NF_ACCEPT : NF_DROP);
}

void NftBatch::flush_chain(NftFamily family, std::string_view table, std::string_view chain) {
    begin(NFT_MSG_DELRULE, family, 0);
    batch_.put_text(NFTA_RULE_TABLE, table);
    batch_.put_text(NFTA_RULE_CHAIN, chain);
}

void NftBatch::delete_chain(NftFamily family, std::string_view table, std::string_view chain) {
    begin(NFT_MSG_DELCHAIN, family, 0);
    batch_.put_text(NFTA_CHAIN_TABLE, table);
    batch_.put_text(NFTA_CHAIN_NAME, chain);
}

void NftBatch::add_set(NftFamily family, std::string_view table, std::string_view set,
                       std::span<const NftType> key, std::span<const NftType> data) {
    begin(NFT_MSG_NEWSET, family, NLM_F_CREATE);
    batch_.put_text(NFTA_SET_TABLE, table);
    batch_.put_text(NFTA_SET_NAME, set);
    put_be32(NFTA_SET_FLAGS, data.empty() ? 0 : NFT_SET_MAP);
    put_be32(NFTA_SET_KEY_TYPE, type_number(key));
    put_be32(NFTA_SET_KEY_LEN, total_size(key));
    if (!data.empty()) {
        put_be32(NFTA_SET_DATA_TYPE, type_number(data));
        put_be32(NFTA_SET_DATA_LEN, total_size(data));
    }
    put_be32(NFTA_SET_ID, next_set_id_++);
}

void NftBatch::add_element(NftFamily family, std::string_view table, std::string_view set,
                           const NftData& key, const NftData* data) {
    begin(NFT_MSG_NEWSETELEM, family, NLM_F_CREATE);
    batch_.put_text(NFTA_SET_ELEM_LIST_TABLE, table);
    batch_.put_text(NFTA_SET_ELEM_LIST_SET, set);
    const auto list = batch_.open_nest(NFTA_SET_ELEM_LIST_ELEMENTS | nested);
    const auto item = batch_.open_nest(NFTA_LIST_ELEM | nested);
    const auto bytes = [](const NftData& value) {
        return std::span(reinterpret_cast<const std::uint8_t*>(value.bytes().data()),
                         value.bytes().size());
    };
    put_data(NFTA_SET_ELEM_KEY, bytes(key));
    if (data != nullptr) put_data(NFTA_SET_ELEM_DATA, bytes(*data));
    batch_.close_nest(item);
    batch_.close_nest(list);
}

void NftBatch::delete_element(NftFamily family, std::string_view table, std::string_view set,
                              const NftData& key) {
    begin(NFT_MSG_DELSETELEM, family, 0);
    batch_.put_text(NFTA_SET_ELEM_LIST_TABLE, table);
    batch_.put_text(NFTA_SET_ELEM_LIST_SET, set);
    const auto list = batch_.open_nest(NFTA_SET_ELEM_LIST_ELEMENTS | nested);
    const auto item = batch_.open_nest(NFTA_LIST_ELEM | nested);
    put_data(NFTA_SET_ELEM_KEY, std::span(reinterpret_cast<const std::uint8_t*>(key.bytes().data()),
                                          key.bytes().size()));
    batch_.close_nest(item);
    batch_.close_nest(list);
}

std::size_t NftBatch::begin_rule(NftFamily family, std::string_view table, std::string_view chain,
                                 Place place, std::uint8_t compat_protocol,
                                 std::uint64_t neighbour) {
    const bool behind = place == Place::last || place == Place::after;
    begin(NFT_MSG_NEWRULE, family,
          NLM_F_CREATE | (behind ? NLM_F_APPEND : 0U) |
              (want_handles_ ? NLM_F_ECHO : 0U));
    rules_.push_back(batch_.count() - 1);
    batch_.put_text(NFTA_RULE_TABLE, table);
    batch_.put_text(NFTA_RULE_CHAIN, chain);
    if (neighbour != 0) batch_.put(NFTA_RULE_POSITION, htobe64(neighbour));
    if (compat_protocol != 0) {
        // iptables' matches ask which protocol the rule as a whole is limited to.
        const auto nest = batch_.open_nest(NFTA_RULE_COMPAT | nested);
        put_be32(NFTA_RULE_COMPAT_PROTO, compat_protocol);
        put_be32(NFTA_RULE_COMPAT_FLAGS, 0);
        batch_.close_nest(nest);
    }
    expressions_ = batch_.open_nest(NFTA_RULE_EXPRESSIONS | nested);
    return rules_.size() - 1;
}

void NftBatch::end_rule() { batch_.close_nest(expressions_); }

void NftBatch::delete_rule(NftFamily family, std::string_view table, std::string_view chain,
                           std::uint64_t handle) {
    begin(NFT_MSG_DELRULE, family, 0);
    batch_.put_text(NFTA_RULE_TABLE, table);
    batch_.put_text(NFTA_RULE_CHAIN, chain);
    batch_.put(NFTA_RULE_HANDLE, htobe64(handle));
}

std::size_t NftBatch::open_expression(std::string_view name) {
    open_element_ = batch_.open_nest(NFTA_LIST_ELEM | nested);
    batch_.put_text(NFTA_EXPR_NAME, name);
    data_ = batch_.open_nest(NFTA_EXPR_DATA | nested);
    return data_;
}

void NftBatch::close_expression(std::size_t position) {
    batch_.close_nest(position);
    batch_.close_nest(open_element_);
}

void NftBatch::load_meta(unsigned key, unsigned reg) {
    const auto expression = open_expression("meta");
    put_be32(NFTA_META_DREG, register_number(reg));
    put_be32(NFTA_META_KEY, key);
    close_expression(expression);
}

void NftBatch::load_payload(unsigned base, unsigned offset, unsigned size, unsigned reg) {
    const auto expression = open_expression("payload");
    put_be32(NFTA_PAYLOAD_DREG, register_number(reg));
    put_be32(NFTA_PAYLOAD_BASE, base);
    put_be32(NFTA_PAYLOAD_OFFSET, offset);
    put_be32(NFTA_PAYLOAD_LEN, size);
    close_expression(expression);
}

void NftBatch::load_fib_daddr_type(unsigned reg) {
    const auto expression = open_expression("fib");
    put_be32(NFTA_FIB_DREG, register_number(reg));
    put_be32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_be32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    close_expression(expression);
}

void NftBatch::load_fib_saddr_type(unsigned reg) {
    const auto expression = open_expression("fib");
    put_be32(NFTA_FIB_DREG, register_number(reg));
    put_be32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_be32(NFTA_FIB_FLAGS, NFTA_FIB_F_SADDR);
    close_expression(expression);
}

void NftBatch::load_ct_status(unsigned reg) {
    const auto expression = open_expression("ct");
    put_be32(NFTA_CT_DREG, register_number(reg));
    put_be32(NFTA_CT_KEY, NFT_CT_STATUS);
    close_expression(expression);
}

void NftBatch::bits_and(unsigned reg, std::span<const std::uint8_t> mask) {
    const auto expression = open_expression("bitwise");
    put_be32(NFTA_BITWISE_SREG, register_number(reg));
    put_be32(NFTA_BITWISE_DREG, register_number(reg));
    put_be32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
    put_data(NFTA_BITWISE_MASK, mask);
    const std::vector<std::uint8_t> zero(mask.size());
    put_data(NFTA_BITWISE_XOR, zero);
    close_expression(expression);
}

void NftBatch::compare(bool equal, unsigned reg, std::span<const std::uint8_t> bytes) {
    const auto expression = open_expression("cmp");
    put_be32(NFTA_CMP_SREG, register_number(reg));
    put_be32(NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    put_data(NFTA_CMP_DATA, bytes);
    close_expression(expression);
}

void NftBatch::lookup(std::string_view set, unsigned reg, bool inverted) {
    const auto expression = open_expression("lookup");
    batch_.put_text(NFTA_LOOKUP_SET, set);
    put_be32(NFTA_LOOKUP_SREG, register_number(reg));
    if (inverted) put_be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    close_expression(expression);
}

void NftBatch::lookup_map(std::string_view set, unsigned reg, unsigned to_reg) {
    const auto expression = open_expression("lookup");
    batch_.put_text(NFTA_LOOKUP_SET, set);
    put_be32(NFTA_LOOKUP_SREG, register_number(reg));
    put_be32(NFTA_LOOKUP_DREG, register_number(to_reg));
    close_expression(expression);
}

void NftBatch::load_immediate(unsigned reg, std::span<const std::uint8_t> bytes) {
    const auto expression = open_expression("immediate");
    put_be32(NFTA_IMMEDIATE_DREG, register_number(reg));
    put_data(NFTA_IMMEDIATE_DATA, bytes);
    close_expression(expression);
}

void NftBatch::counter() {
    const auto expression = open_expression("counter");
    batch_.put(NFTA_COUNTER_BYTES, std::uint64_t{0});
    batch_.put(NFTA_COUNTER_PACKETS, std::uint64_t{0});
    close_expression(expression);
}

void NftBatch::masquerade() { close_expression(open_expression("masq")); }

void NftBatch::dnat(NftFamily family, unsigned address_reg, unsigned port_reg) {
    const auto expression = open_expression("nat");
    put_be32(NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_be32(NFTA_NAT_FAMILY, static_cast<std::uint32_t>(family));
    put_be32(NFTA_NAT_REG_ADDR_MIN, register_number(address_reg));
    put_be32(NFTA_NAT_REG_PROTO_MIN, register_number(port_reg));
    close_expression(expression);
}

void NftBatch::snat(NftFamily family, unsigned address_reg) {
    const auto expression = open_expression("nat");
    put_be32(NFTA_NAT_TYPE, NFT_NAT_SNAT);
    put_be32(NFTA_NAT_FAMILY, static_cast<std::uint32_t>(family));
    put_be32(NFTA_NAT_REG_ADDR_MIN, register_number(address_reg));
    close_expression(expression);
}

void NftBatch::snat(NftFamily family, unsigned address_reg, unsigned first_port_reg,
                    unsigned last_port_reg) {
    const auto expression = open_expression("nat");
    put_be32(NFTA_NAT_TYPE, NFT_NAT_SNAT);
    put_be32(NFTA_NAT_FAMILY, static_cast<std::uint32_t>(family));
    put_be32(NFTA_NAT_REG_ADDR_MIN, register_number(address_reg));
    put_be32(NFTA_NAT_REG_PROTO_MIN, register_number(first_port_reg));
    put_be32(NFTA_NAT_REG_PROTO_MAX, register_number(last_port_reg));
    // Counted from the first one, by the sender's port.
    // Source: Linux net/netfilter/nf_nat_core.c, nf_nat_l4proto_unique_tuple.
    put_be32(NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_OFFSET);
    close_expression(expression);
}

void NftBatch::verdict(int code, std::string_view chain) {
    const auto expression = open_expression("immediate");
    put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    const auto data = batch_.open_nest(NFTA_IMMEDIATE_DATA | nested);
    const auto inner = batch_.open_nest(NFTA_DATA_VERDICT | nested);
    put_be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(chain.empty() ? code : NFT_JUMP));
    if (!chain.empty()) batch_.put_text(NFTA_VERDICT_CHAIN, chain);
    batch_.close_nest(inner);
    batch_.close_nest(data);
    close_expression(expression);
}

void NftBatch::xt_match(std::string_view name, unsigned revision, const void* info,
                        std::size_t size) {
    const auto expression = open_expression("match");
    batch_.put_text(NFTA_MATCH_NAME, name);
    put_be32(NFTA_MATCH_REV, revision);
    // The kernel expects the size rounded up as iptables does (XT_ALIGN).
    std::string padded(static_cast<const char*>(info), size);
    padded.resize((size + 7) & ~std::size_t{7});
    batch_.put_bytes(NFTA_MATCH_INFO, padded.data(), padded.size());
    close_expression(expression);
}

void NftBatch::xt_target(std::string_view name, unsigned revision, const void* info,
                         std::size_t size) {
    const auto expression = open_expression("target");
    batch_.put_text(NFTA_TARGET_NAME, name);
    put_be32(NFTA_TARGET_REV, revision);
    std::string padded(static_cast<const char*>(info), size);
    padded.resize((size + 7) & ~std::size_t{7});  // as in xt_match
    batch_.put_bytes(NFTA_TARGET_INFO, padded.data(), padded.size());
    close_expression(expression);
}

void NftBatch::match_interface(bool incoming, bool equal, std::string_view name) {
    load_meta(incoming ? NFT_META_IIFNAME : NFT_META_OIFNAME, 0);
    // With its zero byte the name is compared as a whole, and iptables reads it the same way.
    const std::string text(name);
    compare(equal, 0,
            std::span(reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1));
}

void NftBatch::match_address(NftFamily family, bool source, bool equal, const IpPrefix& prefix) {
    const unsigned size = family == NftFamily::ip ? 4 : 16;
    const unsigned first = family == NftFamily::ip ? 12 : 8;
    load_payload(NFT_PAYLOAD_NETWORK_HEADER, source ? first : first + size, size, 0);
    if (prefix.bits < prefix.address.bits()) {
        std::vector<std::uint8_t> mask(size);
        for (unsigned bit = 0; bit < prefix.bits; ++bit) {
            mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | 0x80U >> bit % 8);
        }
        bits_and(0, mask);
    }
    const IpAddress base = prefix.masked().address;
    compare(equal, 0, std::span(base.data(), base.size()));
}

void NftBatch::commit(sys::NetlinkSocket& socket, std::vector<std::uint64_t>* handles) {
    if (empty()) return;
    if (handles != nullptr) handles->assign(rules_.size(), 0);
    // One acknowledgement, of the last command, stands for all: the kernel reports earlier
    // failures before it. The batch's end cannot be acknowledged by older kernels.
    batch_.add_flags(NLM_F_ACK);
    batch_.begin(NFNL_MSG_BATCH_END, 0, batch_header());
    socket.transact(batch_, "nf_tables", [&](const sys::NetlinkReply& reply) {
        if (handles == nullptr || reply.type != message_type(NFT_MSG_NEWRULE)) return;
        if (reply.payload.size() < sizeof(nfgenmsg)) return;
        sys::for_each_attribute(
            reply.payload.subspan(sizeof(nfgenmsg)),
            [&](unsigned type, std::span<const char> payload) {
                if (type != NFTA_RULE_HANDLE) return;
                for (std::size_t i = 0; i < rules_.size(); ++i) {
                    if (rules_[i] == reply.index) {
                        (*handles)[i] = be64toh(sys::attribute_value<std::uint64_t>(payload));
                    }
                }
            });
    });
}

namespace {

/// The chain a rule jumps to when it consists of nothing else, counters aside.
std::string only_jump(std::span<const char> expressions) {
    std::string target;
    bool other = false;
    sys::for_each_attribute(expressions, [&](unsigned, std::span<const char> element) {
        std::string name;
        std::span<const char> data;
        sys::for_each_attribute(element, [&](unsigned type, std::span<const char> payload) {
            if (type == NFTA_EXPR_NAME) name = sys::attribute_text(payload);
            if (type == NFTA_EXPR_DATA) data = payload;
        });
        if (name == "counter") return;
        if (name != "immediate") other = true;
        sys::for_each_attribute(data, [&](unsigned type, std::span<const char> value) {
            if (type != NFTA_IMMEDIATE_DATA) return;
            sys::for_each_attribute(value, [&](unsigned, std::span<const char> verdict) {
                sys::for_each_attribute(verdict, [&](unsigned kind, std::span<const char> text) {
                    if (kind == NFTA_VERDICT_CHAIN) target = sys::attribute_text(text);
                });
            });
        });
    });
    return other ? std::string() : target;
}

}  // namespace

std::optional<NftRemoval> read_removal(std::uint16_t type, std::span<const char> payload) {
    if (payload.size() < sizeof(nfgenmsg)) return std::nullopt;
    NftRemoval out;
    if (type == message_type(NFT_MSG_DELTABLE)) {
        out.kind = NftRemoval::Kind::table;
    } else if (type == message_type(NFT_MSG_DELCHAIN)) {
        out.kind = NftRemoval::Kind::chain;
    } else if (type == message_type(NFT_MSG_DELRULE)) {
        out.kind = NftRemoval::Kind::rule;
    } else if (type == message_type(NFT_MSG_DELSET) || type == message_type(NFT_MSG_DELSETELEM)) {
        out.kind = NftRemoval::Kind::set;
    } else {
        return std::nullopt;
    }
    out.family = static_cast<NftFamily>(payload.front());
    // The table has the same number in all of these messages.
    constexpr unsigned table = NFTA_TABLE_NAME;
    static_assert(unsigned{NFTA_CHAIN_TABLE} == table && unsigned{NFTA_RULE_TABLE} == table &&
                  unsigned{NFTA_SET_TABLE} == table && unsigned{NFTA_SET_ELEM_LIST_TABLE} == table);
    sys::for_each_attribute(
        payload.subspan(sizeof(nfgenmsg)), [&](unsigned attribute, std::span<const char> value) {
            if (attribute == table) out.table = sys::attribute_text(value);
            if (out.kind == NftRemoval::Kind::chain && attribute == NFTA_CHAIN_NAME) {
                out.chain = sys::attribute_text(value);
            }
            if (out.kind != NftRemoval::Kind::rule) return;
            if (attribute == NFTA_RULE_CHAIN) out.chain = sys::attribute_text(value);
            if (attribute == NFTA_RULE_EXPRESSIONS) out.jump = only_jump(value);
        });
    return out;
}

bool has_table(sys::NetlinkSocket& socket, NftFamily family, std::string_view table) {
    sys::NetlinkBatch query;
    query.begin(message_type(NFT_MSG_GETTABLE), NLM_F_ACK, family_header(family));
    query.put_text(NFTA_TABLE_NAME, table);
    try {
        socket.transact(query, "nf_tables", [](const sys::NetlinkReply&) {});
    } catch (const base::Error& error) {
        if (error.errno_value() == ENOENT) return false;
        throw;
    }
    return true;
}

std::optional<std::vector<NftRuleHead>> list_rules(sys::NetlinkSocket& socket, NftFamily family,
                                                   std::string_view table, std::string_view chain,
                                                   bool* accepts) {
    sys::NetlinkBatch query;
    query.begin(message_type(NFT_MSG_GETCHAIN), NLM_F_ACK, family_header(family));
    query.put_text(NFTA_CHAIN_TABLE, table);
    query.put_text(NFTA_CHAIN_NAME, chain);
    try {
        socket.transact(query, "nf_tables", [&](const sys::NetlinkReply& reply) {
            if (accepts == nullptr || reply.payload.size() < sizeof(nfgenmsg)) return;
            sys::for_each_attribute(
                reply.payload.subspan(sizeof(nfgenmsg)),
                [&](unsigned type, std::span<const char> payload) {
                    if (type != NFTA_CHAIN_POLICY) return;
                    *accepts = be32toh(sys::attribute_value<std::uint32_t>(payload)) == NF_ACCEPT;
                });
        });
    } catch (const base::Error& error) {
        if (error.errno_value() == ENOENT) return std::nullopt;
        throw;
    }
    std::vector<NftRuleHead> out;
    sys::NetlinkBatch dump;
    dump.begin(message_type(NFT_MSG_GETRULE), 0, family_header(family));
    dump.put_text(NFTA_RULE_TABLE, table);
    dump.put_text(NFTA_RULE_CHAIN, chain);
    socket.dump(
        dump, "nf_tables",
        [&](const sys::NetlinkReply& reply) {
            if (reply.payload.size() < sizeof(nfgenmsg)) return;
            NftRuleHead rule;
            std::string in_chain;
            sys::for_each_attribute(
                reply.payload.subspan(sizeof(nfgenmsg)),
                [&](unsigned type, std::span<const char> payload) {
                    if (type == NFTA_RULE_CHAIN) in_chain = sys::attribute_text(payload);
                    if (type == NFTA_RULE_EXPRESSIONS) rule.jump = only_jump(payload);
                    if (type == NFTA_RULE_HANDLE) {
                        rule.handle = be64toh(sys::attribute_value<std::uint64_t>(payload));
                    }
                });
            // Old kernels ignore the filter of the query.
            if (in_chain == chain) out.push_back(std::move(rule));
        },
        [&] { out.clear(); });
    return out;
}

}  // namespace dockerd::net
