#pragma once

#include <cstdint>
#include <string_view>

#include "firewall_plan.hpp"
#include "nft.hpp"

/// The firewall's rules as messages of nf_tables.
namespace dockerd::net {

/// iptables' table.
constexpr std::string_view filter_table = "filter";

/// Where a rule goes in its chain.
struct RulePlace {
    NftBatch::Place where = NftBatch::Place::last;
    std::uint64_t neighbour = 0;  ///< a handle, for before and after
};

// What a table of our own has without networks.
void add_sets(NftBatch& batch, NftFamily family, std::string_view own_table);
void add_guards(NftBatch& batch, NftFamily family, std::string_view own_table);
void add_dnat(NftBatch& batch, NftFamily family, std::string_view own_table,
              const FirewallOptions& options);
void add_postrouting(NftBatch& batch, NftFamily family, std::string_view own_table,
                     const FirewallOptions& options);

void add_source_rule(NftBatch& batch, NftFamily family, std::string_view own_table,
                     const SourceRule& rule, const RulePlace& place);
/// In iptables' table, so that every version of iptables-nft can list it.
void add_filter_rule(NftBatch& batch, NftFamily family, const FilterRule& rule,
                     const RulePlace& place);

}  // namespace dockerd::net
