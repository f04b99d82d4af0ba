#include <linux/netfilter.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "firewall.hpp"
#include "firewall_rules.hpp"
#include "netns.hpp"

/// Building all rules, and bringing them from those there are to those that are wanted.
namespace dockerd::net {

namespace log = base::log;

namespace {

constexpr const char* first_table = "docker-bridges";
/// Not in all headers. Source: include/uapi/linux/netfilter/nf_tables.h.
constexpr std::uint32_t table_owned = 2;       ///< NFT_TABLE_F_OWNER, since Linux 5.12
constexpr std::uint32_t table_persistent = 4;  ///< NFT_TABLE_F_PERSIST, since Linux 6.9
/// How many daemons can have a table of their own in one network namespace.
constexpr int most_tables = 9;
constexpr std::string_view user_chain = "DOCKER-USER";

std::vector<std::string> targets_of(const std::vector<NftRuleHead>& rules) {
    std::vector<std::string> out;
    for (const NftRuleHead& rule : rules) out.push_back(rule.jump);
    return out;
}

/// The steps from the rules of a chain to those that are wanted, in the order of the chain: `remove` is
/// told a handle, `insert` a rule and its place. New rules have no handle yet in what is returned.
template <typename Rule, typename Remove, typename Insert>
std::vector<PlacedRule<Rule>> bring(const std::vector<PlacedRule<Rule>>& present,
                                    const std::vector<Rule>& wanted, Remove remove,
                                    Insert insert) {
    std::vector<PlacedRule<Rule>> out;
    auto at = present.begin();
    for (const Rule& rule : wanted) {
        const auto kept = std::find_if(at, present.end(), [&](const PlacedRule<Rule>& placed) {
            return placed.rule == rule;
        });
        if (kept == present.end()) {
            out.push_back({rule, 0});
            continue;
        }
        for (; at != kept; ++at) remove(at->handle);
        out.push_back(*at++);
    }
    for (; at != present.end(); ++at) remove(at->handle);
    for (std::size_t first = 0; first < out.size(); ++first) {
        if (out[first].handle != 0) continue;
        std::size_t end = first;
        while (end < out.size() && out[end].handle == 0) ++end;
        if (first > 0) {
            // Each right behind the same neighbour: the last one first.
            for (std::size_t i = end; i-- > first;) {
                insert(out[i], RulePlace{NftBatch::Place::after, out[first - 1].handle});
            }
        } else {
            for (std::size_t i = first; i < end; ++i) {
                insert(out[i], end < out.size()
                                   ? RulePlace{NftBatch::Place::before, out[end].handle}
                                   : RulePlace{NftBatch::Place::last});
            }
        }
        first = end;
    }
    return out;
}

}  // namespace

/// The rule in this daemon's own chains.
FilterRule Firewall::named(FilterRule rule) const {
    const std::vector<std::string> ours = filter_chains();
    for (std::string* name : {&rule.chain, &rule.target}) {
        if (std::ranges::find(ours, *name) != ours.end()) *name += suffix_;
    }
    return rule;
}

/// The rules of FORWARD, if there is such a chain.
std::optional<std::vector<NftRuleHead>> Firewall::list_forward(NftFamily family) {
    bool accepts = true;
    auto rules = list_rules(socket_, family, filter_table, "FORWARD", &accepts);
    // The administrator's decision, which a flush does not undo.
    if (rules && accepts) forward_dropped_[index_of(family)] = false;
    return rules;
}

void Firewall::build_filter(NftBatch& batch, NftFamily family) {
    const auto forward = list_forward(family);
    batch.add_table(family, filter_table);
    if (!forward) {
        batch.add_base_chain(family, filter_table, "FORWARD", "filter", NF_INET_FORWARD, 0,
                             /*accept=*/!forward_dropped_[index_of(family)]);
    }
    batch.add_chain(family, filter_table, user_chain);
    for (const std::string& chain : filter_chains()) {
        batch.add_chain(family, filter_table, chain + suffix_);
        batch.flush_chain(family, filter_table, chain + suffix_);
    }
    // Left alone when it is so already.
    const auto present = forward.value_or(std::vector<NftRuleHead>());
    const std::vector<std::string> jumps = targets_of(present);
    std::vector<std::string> way = plan_way_in(jumps, suffix_);
    if (!leads_in(jumps, way)) {
        for (const NftRuleHead& rule : present) {
            if (std::ranges::find(way, rule.jump) != way.end()) {
                batch.delete_rule(family, filter_table, "FORWARD", rule.handle);
            }
        }
        std::ranges::reverse(way);
        for (const std::string& target : way) {
            add_filter_rule(batch, family, {.chain = "FORWARD", .target = target},
                            {NftBatch::Place::first});
        }
    }
    auto& filter = built_[index_of(family)].filter;
    filter.clear();
    for (const FilterRule& rule : plan_filter(family, networks_)) {
        filter[rule.chain].push_back({rule, batch.rule_count()});
        add_filter_rule(batch, family, named(rule), {NftBatch::Place::last});
    }
}

/// Takes this daemon's chains away, and what it had FORWARD jump to for the first daemon's sake.
void Firewall::withdraw(NftBatch& batch, NftFamily family) {
    const auto forward = list_forward(family).value_or(std::vector<NftRuleHead>());
    const std::vector<std::string> chains = filter_chains();
    const auto own = [&](const std::string& target) {
        return std::ranges::any_of(
            chains, [&](const std::string& chain) { return target == chain + suffix_; });
    };
    const bool alone = std::ranges::none_of(forward, [&](const NftRuleHead& rule) {
        return rule.jump.starts_with("DOCKER-FORWARD-") && !own(rule.jump);
    });
    for (const NftRuleHead& rule : forward) {
        const bool for_the_first = alone && rule.jump != "DOCKER-FORWARD" &&
                                   std::ranges::find(chains, rule.jump) != chains.end();
        if (own(rule.jump) || for_the_first) {
            batch.delete_rule(family, filter_table, "FORWARD", rule.handle);
        }
    }
    for (const std::string& chain : chains) batch.flush_chain(family, filter_table, chain + suffix_);
    for (const std::string& chain : chains) batch.delete_chain(family, filter_table, chain + suffix_);
}

void Firewall::rebuild_family(NftBatch& batch, NftFamily family) {
    // The kernel is long about what it deletes, and a socket that is closed waits for it.
    if (has_table(socket_, family, table_)) {
        // Adding before deleting: the deletion then never fails, and all of it is one step.
        batch.add_table(family, table_);
        batch.delete_table(family, table_);
    }
    batch.add_table(family, table_, table_flags_);
    add_sets(batch, family, table_);
    add_guards(batch, family, table_);
    add_dnat(batch, family, table_, options_);
    add_postrouting(batch, family, table_, options_);
    auto& source = built_[index_of(family)].source;
    source.clear();
    for (const SourceRule& rule : plan_source(family, networks_, options_.hairpin)) {
        source.push_back({rule, batch.rule_count()});
        add_source_rule(batch, family, table_, rule, {NftBatch::Place::last});
    }
    for (const FirewallNetwork& network : networks_) {
        for (const SetElement& element : plan_network(family, network, options_)) {
            batch.add_element(family, table_, element.set, element.key,
                              element.data ? &*element.data : nullptr);
        }
    }
    build_filter(batch, family);
}

void Firewall::rebuild_locked() {
    known_ = false;
    built_ = {};
    NftBatch batch(/*want_handles=*/true);
    for (const NftFamily family : families()) rebuild_family(batch, family);
    for (auto& [id, endpoint] : endpoints_) {
        for (const auto& [family, element] : elements(endpoint)) {
            batch.add_element(family, table_, element.set, element.key,
                              element.data ? &*element.data : nullptr);
        }
        add_port_rules(batch, endpoint);
    }
    if (options_.ipv4) {
        for (Link& link : links_) add_link_rules(batch, link);
    }
    std::vector<std::uint64_t> handles;
    batch.commit(socket_, &handles);
    for (auto& [id, endpoint] : endpoints_) {
        for (auto& [family, rule] : endpoint.rules) rule = handles[rule];
    }
    for (Link& link : links_) {
        for (std::uint64_t& rule : link.rules) rule = handles[rule];
    }
    for (Built& built : built_) {
        for (auto& [chain, rules] : built.filter) {
            for (auto& rule : rules) rule.handle = handles[rule.handle];
        }
        for (auto& rule : built.source) rule.handle = handles[rule.handle];
    }
    for (const auto& [id, endpoint] : endpoints_) open_loopback(endpoint);
    known_ = true;
}

/// Builds everything, in tables that no other program can flush or delete while this daemon lives, and
/// that stay when it dies: the next one takes them over. Kernels that do not know such have ordinary
/// ones. A second daemon in the same network namespace has tables and chains of other names; its tables
/// go with it, for nobody would know whose they were.
void Firewall::claim_tables() {
    table_ = first_table;
    suffix_.clear();
    table_flags_ = table_owned | table_persistent;
    const auto [first, last] = local_port_range();
    options_.loopback_sources = ports_apart_from({first, last});
    for (int number = 2;; ++number) {
        options_.loopback = options_.ipv4 && !options_.hairpin && (table_flags_ & table_persistent) != 0;
        try {
            return rebuild_locked();
        } catch (const base::Error& error) {
            if (error.errno_value() != EPERM || number > most_tables) {
                if (table_flags_ == 0 || error.errno_value() == EPERM) throw;
                log::debug("nf_tables without owners of tables: {}", error.what());
                table_flags_ = 0;
                continue;
            }
        }
        suffix_ = fmt::format("-{}", number);
        table_ = first_table + suffix_;
        table_flags_ = table_owned;
    }
}

/// Adds and removes only what distinguishes the rules there are from those of the networks there are.
void Firewall::change_locked(NftBatch& batch) {
    const auto stands = [&](NftFamily family) {
        const auto forward = list_forward(family);
        if (!forward) return false;
        const std::vector<std::string> jumps = targets_of(*forward);
        return leads_in(jumps, plan_way_in(jumps, suffix_));
    };
    const auto all = families();
    if (!known_ || !std::ranges::all_of(all, stands)) return rebuild_locked();
    std::vector<std::pair<std::uint64_t*, std::size_t>> fresh;
    std::array<Built, 2> built;
    for (const NftFamily family : families()) {
        const Built& present = built_[index_of(family)];
        Built& next = built[index_of(family)];
        std::map<std::string, std::vector<FilterRule>> wanted;
        for (const auto& [chain, rules] : present.filter) wanted[chain];
        for (FilterRule& rule : plan_filter(family, networks_)) {
            wanted[rule.chain].push_back(std::move(rule));
        }
        for (const auto& [chain, rules] : wanted) {
            const auto found = present.filter.find(chain);
            next.filter[chain] = bring(
                found == present.filter.end() ? std::vector<PlacedRule<FilterRule>>()
                                              : found->second,
                rules,
                [&, &chain = chain](std::uint64_t handle) {
                    batch.delete_rule(family, filter_table, chain + suffix_, handle);
                },
                [&](PlacedRule<FilterRule>& rule, const RulePlace& place) {
                    fresh.emplace_back(&rule.handle, batch.rule_count());
                    add_filter_rule(batch, family, named(rule.rule), place);
                });
        }
        next.source = bring(
            present.source, plan_source(family, networks_, options_.hairpin),
            [&](std::uint64_t handle) {
                batch.delete_rule(family, table_, "nat-postrouting", handle);
            },
            [&](PlacedRule<SourceRule>& rule, const RulePlace& place) {
                fresh.emplace_back(&rule.handle, batch.rule_count());
                add_source_rule(batch, family, table_, rule.rule, place);
            });
    }
    std::vector<std::uint64_t> handles;
    try {
        batch.commit(socket_, &handles);
    } catch (const base::Error& error) {
        // Most likely someone flushed the tables.
        log::debug("nf_tables refused a network ({}), rebuilding", error.what());
        return rebuild_locked();
    }
    for (const auto& [handle, index] : fresh) *handle = handles[index];
    built_ = std::move(built);
}

}  // namespace dockerd::net
