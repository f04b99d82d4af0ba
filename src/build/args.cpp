#include <dockerd/build/args.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace dockerd::build {
namespace {

// Source: moby builder/dockerfile/buildargs.go, builtinAllowedBuildArgs.
constexpr auto proxies = std::to_array<std::string_view>(
    {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy",
     "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"});

bool is_proxy(std::string_view key) { return std::ranges::find(proxies, key) != proxies.end(); }

}  // namespace

Args::Args(ArgValues given, ArgValues predefined)
    : given_(std::move(given)), predefined_(std::move(predefined)) {}

Args Args::new_stage() const {
    Args stage = *this;
    stage.declared_.clear();
    return stage;
}

void Args::declare_global(const Arg& arg) {
    for (const auto& item : arg.items) globals_[item.key] = item.value;
    declare(arg);
}

void Args::declare(const Arg& arg) {
    for (const auto& item : arg.items) {
        declared_[item.key] = item.value;
        used_.insert(item.key);
    }
}

std::optional<std::string> Args::value_of(const std::string& key,
                                          const ArgValues& declared) const {
    const auto in = [&](const ArgValues& values) -> std::optional<std::string> {
        const auto found = values.find(key);
        return found == values.end() ? std::nullopt : found->second;
    };
    if (auto value = in(given_)) return value;
    if (auto value = in(declared)) return value;
    if (auto value = in(globals_)) return value;
    return in(predefined_);
}

std::vector<std::string> Args::values(const ArgValues& declared) const {
    std::set<std::string> keys(proxies.begin(), proxies.end());
    for (const auto& [key, value] : declared) keys.insert(key);
    std::vector<std::string> out;
    for (const std::string& key : keys) {
        const auto value = value_of(key, declared);
        if (value) out.push_back(key + "=" + *value);
    }
    return out;
}

std::vector<std::string> Args::of_from() const {
    ArgValues all = predefined_;
    for (const auto& [key, value] : globals_) all[key] = value;
    return values(all);
}

std::vector<std::string> Args::of_stage(const std::vector<std::string>& environment) const {
    std::set<std::string> taken;
    for (const std::string& entry : environment) taken.insert(entry.substr(0, entry.find('=')));
    std::vector<std::string> out = values(declared_);
    std::erase_if(out, [&](const std::string& entry) {
        return taken.contains(entry.substr(0, entry.find('=')));
    });
    return out;
}

bool Args::is_in_history(const std::string& key) const {
    return declared_.contains(key) || !is_proxy(key);
}

std::vector<std::string> Args::unused() const {
    std::vector<std::string> out;
    for (const auto& [key, value] : given_) {
        if (!used_.contains(key) && !is_proxy(key)) out.push_back(key);
    }
    return out;
}

}  // namespace dockerd::build
