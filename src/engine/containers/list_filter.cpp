#include "list_filter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {
namespace {

using base::ErrorKind;

// Source: moby daemon/list.go, acceptedPsFilterTags.
const std::vector<std::string_view> accepted_filters{
    "ancestor", "before", "exited", "id",      "isolation", "label",   "name",  "status",
    "health",   "since",  "volume", "network", "is-task",   "publish", "expose"};

void check_state(const std::string& value) {
    static const std::set<std::string> known{"created",  "running", "paused", "restarting",
                                             "removing", "exited",  "dead"};
    if (known.contains(value)) return;
    base::fail(ErrorKind::invalid_argument,
               fmt::format("invalid filter 'status={}': invalid value for state ({}): must be one "
                           "of created, running, paused, restarting, removing, exited, dead",
                           value, value));
}

void check_health(const std::string& value) {
    static const std::set<std::string> known{"starting", "healthy", "unhealthy", "none"};
    if (known.contains(value)) return;
    base::fail(ErrorKind::invalid_argument,
               fmt::format("invalid filter 'health={}': invalid value for health ({}): must be one "
                           "of none, starting, healthy, unhealthy",
                           value, value));
}

std::int64_t parse_exit_code(const std::string& value) {
    if (const auto code = base::parse_int(value)) return *code;
    base::fail(ErrorKind::invalid_argument,
               fmt::format("invalid filter 'exited={}': strconv.Atoi: parsing {}: invalid syntax",
                           value, base::quote(value)));
}

/// Docker answers what is wrong with a port as a failure of its own: 500.
// Source: moby daemon/list.go, portOp.
[[noreturn]] void bad_port(const std::string& key, const std::string& value,
                           const std::string& why) {
    base::fail(ErrorKind::internal,
               fmt::format("error while looking up for {} {}: {}", key, value, why));
}

std::int64_t parse_port(const std::string& key, const std::string& value,
                        const std::string& number) {
    const bool digits = !number.empty() &&
                        std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
    const auto port = digits ? base::parse_int(number) : std::nullopt;
    if (port && *port <= 65535) return *port;
    bad_port(key, value,
             fmt::format("strconv.ParseUint: parsing {}: {}", base::quote(number),
                         digits ? "value out of range" : "invalid syntax"));
}

}  // namespace

ListFilter::ListFilter(const ListOptions& options, const Lookups& lookups)
    : filters_(options.filters), limit_(options.limit), all_(options.all) {
    filters_.validate(accepted_filters);
    read_states();
    // Docker takes any one of several in the order of a Go map; ours is the last by name.
    for (const auto& name : filters_.get("before")) before_ = lookups.container_id(name);
    for (const auto& name : filters_.get("since")) since_ = lookups.container_id(name);
    if (filters_.contains("ancestor")) images_.emplace();
    for (const auto& name : filters_.get("ancestor")) {
        for (auto& id : lookups.image_ids(name)) images_->insert(std::move(id));
    }
    for (const auto& text : filters_.get("publish")) add_ports("publish", text, published_);
    for (const auto& text : filters_.get("expose")) add_ports("expose", text, exposed_);
}

void ListFilter::read_states() {
    for (const auto& value : filters_.get("exited")) exit_codes_.insert(parse_exit_code(value));
    for (const auto& value : filters_.get("status")) {
        check_state(value);
        all_ = true;
    }
    if (filters_.contains("is-task")) is_task_ = filters_.get_bool("is-task", false);
    for (const auto& value : filters_.get("health")) check_health(value);
}

/// Adds what "8080", "80/tcp" or "8000-8010/udp" means.
// Source: moby daemon/list.go, portOp; go-connections nat, SplitProtoPort and ParsePortRange.
void ListFilter::add_ports(const std::string& key, const std::string& text, std::set<Port>& ports) {
    if (text.find(':') != std::string::npos) {
        base::fail(ErrorKind::internal,
                   fmt::format("filter for '{}' should not contain ':': {}", key, text));
    }
    const auto parts = base::split(text, '/');
    const auto numbers = base::split(parts[0], '-');
    if (parts[0].empty()) bad_port(key, text, "empty string specified for ports");
    const auto first = parse_port(key, text, numbers[0]);
    const auto last = numbers.size() > 1 ? parse_port(key, text, numbers[1]) : first;
    if (last < first) bad_port(key, text, "invalid range specified for port: " + parts[0]);
    const std::string protocol = parts.size() > 1 && !parts[1].empty() ? parts[1] : "tcp";
    for (auto port = first; port <= last; ++port) ports.emplace(port, protocol);
}

/// Those that ids in the filter begin, each of which must begin only one.
std::vector<ContainerPtr> ListFilter::by_id(const std::vector<ContainerPtr>& all) const {
    const auto& ids = filters_.get("id");
    if (ids.empty()) return all;
    std::set<std::string> meant;
    for (const auto& prefix : ids) {
        const auto begins = [&](const ContainerPtr& c) { return c->id.starts_with(prefix); };
        if (prefix.empty() || std::ranges::count_if(all, begins) != 1) continue;
        meant.insert((*std::ranges::find_if(all, begins))->id);
    }
    std::vector<ContainerPtr> out;
    std::ranges::copy_if(all, std::back_inserter(out),
                         [&](const ContainerPtr& c) { return meant.contains(c->id); });
    return out;
}

std::vector<ContainerPtr> ListFilter::select(const std::vector<ContainerPtr>& all) const {
    std::vector<ContainerPtr> out;
    bool skipping = !before_.empty();
    for (const auto& c : by_id(all)) {
        // In Docker's order: what `before` passes over is not looked at for `since`.
        if (skipping) {
            skipping = c->id != before_;
            continue;
        }
        if (!since_.empty() && c->id == since_) break;
        if (!c->state.running && !all_ && limit_ <= 0) continue;
        if (!matches_identity(*c)) continue;
        if (limit_ > 0 && std::ssize(out) == limit_) break;
        if (matches_state(*c) && matches_mount(*c) && matches_network(*c) && matches_port(*c)) {
            out.push_back(c);
        }
    }
    return out;
}

bool ListFilter::matches_identity(const ContainerSnapshot& c) const {
    return (filters_.match("name", c.name) || filters_.match("name", c.name.substr(1))) &&
           filters_.match("id", c.id) && !is_task_.value_or(false) &&
           filters_.match_labels("label", c.config->labels);
}

bool ListFilter::matches_state(const ContainerSnapshot& c) const {
    const auto& state = c.state;
    if (!exit_codes_.empty() &&
        (state.running || state.started_at.is_zero() || !exit_codes_.contains(state.exit_code))) {
        return false;
    }
    return filters_.match("status", status_name(state.status)) &&
           filters_.exact_match("health", state.health ? state.health->status : "none") &&
           (!images_ || images_->contains(c.image_id));
}

/// By a volume's name, a bind's source, or where it is mounted.
bool ListFilter::matches_mount(const ContainerSnapshot& c) const {
    const auto& wanted = filters_.get("volume");
    if (!filters_.contains("volume")) return true;
    return std::ranges::any_of(c.mounts, [&](const MountPoint& mount) {
        return wanted.contains(mount.destination) ||
               wanted.contains(mount.name.empty() ? mount.source : mount.name);
    });
}

bool ListFilter::matches_network(const ContainerSnapshot& c) const {
    if (!filters_.contains("network")) return true;
    return std::ranges::any_of(filters_.get("network"), [&](const std::string& text) {
        return std::ranges::any_of(c.network.networks, [&](const auto& item) {
            return item.first == text || item.second.network_id.starts_with(text);
        });
    });
}

bool ListFilter::matches_port(const ContainerSnapshot& c) const {
    if (published_.empty() && exposed_.empty()) return true;
    return std::ranges::any_of(c.ports, [&](const PublishedPort& port) {
        return published_.contains({port.public_port, port.protocol}) ||
               exposed_.contains({port.private_port, port.protocol});
    });
}

}  // namespace dockerd::engine
