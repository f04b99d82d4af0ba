#include "networks/plugin_ipam.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>

#include "plugin_answer.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;
using plugin_answer::field;
using plugin_answer::text;
using Json = plugin_answer::Json;

/// So many pools that overlap with the host's networks are asked for, to have another one at last.
constexpr int most_attempts = 1000;

bool is_set(const Json& answer, const char* name) {
    const Json* const found = field(answer, name);
    return found != nullptr && found->is_boolean() && found->get<bool>();
}

net::IpPrefix prefix(const std::string& given) {
    const auto parsed = net::IpPrefix::parse(given);
    if (!parsed) base::fail(ErrorKind::invalid_argument, "invalid CIDR address: " + given);
    return *parsed;
}

/// An object, or null for none, as Go writes a map.
Json encode(const model::StringMap& options) {
    Json out;
    for (const auto& [name, value] : options) out[name] = value;
    return out;
}

class PluginIpam final : public net::IpamDriver {
public:
    explicit PluginIpam(plugins::PluginPtr plugin) : plugin_(std::move(plugin)) {
        try {
            const Json answer = ask("GetCapabilities");
            wants_mac_ = is_set(answer, "RequiresMACAddress");
            wants_replay_ = is_set(answer, "RequiresRequestReplay");
        } catch (const base::Error& error) {
            base::log::info("remote ipam driver {} does not support capabilities: {}",
                            plugin_->name(), error.what());
        }
    }

    [[nodiscard]] bool wants_mac() const override { return wants_mac_; }
    [[nodiscard]] bool wants_replay() const override { return wants_replay_; }

    std::string local_space() override {
        return base::in_context("failed to get default address space", [&] {
            return text(ask("GetDefaultAddressSpaces"), "LocalDefaultAddressSpace");
        });
    }

    /// A pool that overlaps is held until there is another, lest it comes again.
    Pool request_pool(const PoolRequest& request) override {
        const std::string global =
            text(ask("GetDefaultAddressSpaces"), "GlobalDefaultAddressSpace");
        std::vector<std::string> overlapping;
        const base::Undo release([&]() noexcept {
            for (const std::string& pool : overlapping) release_overlapping(pool);
        });
        while (overlapping.size() < most_attempts) {
            const Json answer = ask("RequestPool", {{"AddressSpace", request.space},
                                                    {"Pool", request.subnet},
                                                    {"SubPool", request.range},
                                                    {"Options", encode(request.options)},
                                                    {"V6", request.v6}});
            Pool pool{.id = text(answer, "PoolID"), .subnet = {}, .gateway = {}};
            base::Undo release_unusable([&]() noexcept { release_overlapping(pool.id); });
            pool.subnet = prefix(text(answer, "Pool"));
            if (const Json* const data = field(answer, "Data"); data != nullptr) {
                const std::string gateway = text(*data, "com.docker.network.gateway");
                if (!gateway.empty()) pool.gateway = gateway_of(gateway);
            }
            release_unusable.dismiss();
            const bool chosen = !request.subnet.empty() || request.space == global ||
                                pool.subnet.str() == "0.0.0.0/0";
            const bool overlaps =
                std::ranges::any_of(request.reserved, [&](const net::IpPrefix& other) {
                    return other.overlaps(pool.subnet);
                });
            if (chosen || !overlaps) return pool;
            overlapping.push_back(pool.id);
        }
        base::fail(ErrorKind::internal,
                   fmt::format("ipam driver {} offers only pools that overlap with networks of the "
                               "host",
                               plugin_->name()));
    }

    void release_pool(const std::string& pool) override {
        (void)ask("ReleasePool", {{"PoolID", pool}});
    }

    net::IpPrefix request_address(const std::string& pool, const net::IpAddress& wanted,
                                  const model::StringMap& options) override {
        const Json answer = ask("RequestAddress", {{"PoolID", pool},
                                                   {"Address", wanted.str()},
                                                   {"Options", encode(options)}});
        const std::string given = text(answer, "Address");
        if (given.empty()) base::fail(ErrorKind::unavailable, "no address returned");
        return prefix(given);
    }

    void release_address(const std::string& pool, const net::IpAddress& address) override {
        (void)ask("ReleaseAddress", {{"PoolID", pool}, {"Address", address.str()}});
    }

private:
    [[nodiscard]] Json ask(const std::string& method, const Json& request = nullptr) const {
        return plugin_answer::ask_remote(*plugin_, "IpamDriver." + method, request, "Error");
    }
    static net::IpPrefix gateway_of(const std::string& given) {
        try {
            return prefix(given);
        } catch (const base::Error& error) {
            base::fail(ErrorKind::invalid_argument,
                       fmt::format("failed to parse gateway address ({}) returned by ipam driver: {}",
                                   given, error.what()));
        }
    }
    void release_overlapping(const std::string& pool) noexcept {
        try {
            release_pool(pool);
        } catch (const std::exception& error) {
            base::log::warn("Failed to release overlapping pool: {}", error.what());
        }
    }

    plugins::PluginPtr plugin_;
    bool wants_mac_ = false;
    bool wants_replay_ = false;
};

}  // namespace

net::IpamDriverPtr make_plugin_ipam(plugins::PluginPtr plugin) {
    return std::make_shared<PluginIpam>(std::move(plugin));
}

}  // namespace dockerd::engine
