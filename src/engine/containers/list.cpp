#include <fmt/format.h>

#include <re2/re2.h>

#include <algorithm>
#include <set>

#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/net/ports.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "sizes.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;
using model::Filters;

// Source: moby daemon/list.go, acceptedPsFilterTags.
const std::vector<std::string_view> accepted_filters{
    "ancestor", "before", "exited", "id",      "isolation", "label",   "name",  "status",
    "health",   "since",  "volume", "network", "is-task",   "publish", "expose"};

std::int64_t seconds_between(base::WallTime from, base::WallTime to) {
    return std::max<std::int64_t>(0, to.seconds() - from.seconds());
}

std::string ago(base::WallTime then) {
    return base::human_duration(std::chrono::seconds(seconds_between(then, base::WallTime::now())));
}

/// Source: moby container/state.go, String.
std::string status_text(const ContainerState& state) {
    std::string text;
    if (state.running) {
        if (state.paused) return "Up " + ago(state.started_at) + " (Paused)";
        if (state.restarting) {
            return fmt::format("Restarting ({}) {} ago", state.exit_code, ago(state.finished_at));
        }
        text = "Up " + ago(state.started_at);
        if (state.health && !state.health->status.empty() && state.health->status != "none") {
            const bool starting = state.health->status == "starting";
            text += starting ? " (health: starting)" : " (" + state.health->status + ")";
        }
        return text;
    }
    if (state.removing) return "Removal In Progress";
    if (state.dead) return "Dead";
    if (state.started_at.is_zero()) return "Created";
    if (state.finished_at.is_zero()) return "";
    return fmt::format("Exited ({}) {} ago", state.exit_code, ago(state.finished_at));
}

/// A port filter such as "8080", "80/tcp", "8000-8010/udp" as protocol and range.
struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    std::string protocol;
};

PortRange parse_port_filter(const std::string& text) {
    const auto slash = text.find('/');
    const auto parts = base::split(text.substr(0, slash), '-');
    const auto first = base::parse_int(parts[0]);
    const auto last = base::parse_int(parts.back());
    if (!first || !last || *first < 0 || *last > 65535 || *first > *last) {
        base::fail(ErrorKind::invalid_argument, "invalid port: " + text);
    }
    return {static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last),
            slash == std::string::npos ? "tcp" : base::to_lower(text.substr(slash + 1))};
}

bool matches_port(const Filters& filters, const std::string& key, const ContainerSnapshot& c) {
    const auto& wanted = filters.get(key);
    if (wanted.empty()) return true;
    return std::ranges::any_of(wanted, [&](const std::string& text) {
        const PortRange range = parse_port_filter(text);
        return std::ranges::any_of(c.ports, [&](const PublishedPort& port) {
            const auto number = key == "publish" ? port.public_port : port.private_port;
            return port.protocol == range.protocol && number >= range.first &&
                   number <= range.last && number != 0;
        });
    });
}

/// A name matches as a regular expression, with or without its slash.
bool matches_name(const Filters& filters, const std::string& name) {
    const auto& wanted = filters.get("name");
    if (wanted.empty()) return true;
    return std::ranges::any_of(wanted, [&](const std::string& pattern) {
        const re2::RE2 expression(pattern, re2::RE2::Quiet);
        if (!expression.ok()) return name.find(pattern) != std::string::npos;
        return re2::RE2::PartialMatch(name, expression) ||
               re2::RE2::PartialMatch(name.substr(1), expression);
    });
}

bool matches_id(const Filters& filters, const std::string& id) {
    const auto& wanted = filters.get("id");
    return wanted.empty() || std::ranges::any_of(wanted, [&](const std::string& prefix) {
               return id.starts_with(prefix);
           });
}

bool matches_mount(const Filters& filters, const ContainerSnapshot& c) {
    const auto& wanted = filters.get("volume");
    if (wanted.empty()) return true;
    return std::ranges::any_of(c.mounts, [&](const MountPoint& mount) {
        return wanted.contains(mount.destination) || wanted.contains(mount.name) ||
               wanted.contains(mount.source);
    });
}

bool matches_network(const Filters& filters, const ContainerSnapshot& c) {
    const auto& wanted = filters.get("network");
    if (wanted.empty()) return true;
    return std::ranges::any_of(c.network.networks, [&](const auto& item) {
        return wanted.contains(item.first) ||
               std::ranges::any_of(wanted, [&](const std::string& text) {
                   return !text.empty() && item.second.network_id.starts_with(text);
               });
    });
}

void check_status_filter(const Filters& filters) {
    static const std::set<std::string> known{"created",  "running", "paused", "restarting",
                                             "removing", "exited",  "dead"};
    for (const auto& value : filters.get("status")) {
        if (known.contains(value)) continue;
        base::fail(ErrorKind::invalid_argument,
                   fmt::format("invalid filter 'status={}': invalid value for state ({}): must be "
                               "one of created, running, paused, restarting, removing, exited, "
                               "dead",
                               value, value));
    }
    static const std::set<std::string> healths{"starting", "healthy", "unhealthy", "none"};
    for (const auto& value : filters.get("health")) {
        if (healths.contains(value)) continue;
        base::fail(ErrorKind::invalid_argument,
                   fmt::format("invalid filter 'health={}': invalid value for health ({}): must "
                               "be one of none, starting, healthy, unhealthy",
                               value, value));
    }
}

std::set<std::int64_t> exit_codes(const Filters& filters) {
    std::set<std::int64_t> codes;
    for (const auto& value : filters.get("exited")) {
        const auto code = base::parse_int(value);
        if (!code) {
            base::fail(ErrorKind::invalid_argument,
                       fmt::format("invalid filter 'exited={}': strconv.Atoi: parsing {}: invalid "
                                   "syntax",
                                   value, base::quote(value)));
        }
        codes.insert(*code);
    }
    return codes;
}

}  // namespace

/// Source: moby daemon/list.go, Containers and includeContainerInList.
std::vector<ContainerSummary> Containers::list(const ListOptions& options) {
    const auto& filters = options.filters;
    filters.validate(accepted_filters);
    check_status_filter(filters);
    const auto codes = exit_codes(filters);
    std::optional<base::WallTime> before;
    std::optional<base::WallTime> since;
    for (const auto& name : filters.get("before")) before = index_.get(name)->snapshot()->created;
    for (const auto& name : filters.get("since")) since = index_.get(name)->snapshot()->created;
    std::set<std::string> ancestors;
    for (const auto& name : filters.get("ancestor")) {
        try {
            ancestors.insert(parts_.images.get(name)->id);
        } catch (const base::Error&) {
            ancestors.insert("no such image");
        }
    }
    const bool all = options.all || options.limit > 0 || filters.contains("status") ||
                     filters.contains("exited") || before || since;

    auto snapshots = this->snapshots();
    std::ranges::sort(snapshots, std::ranges::greater{}, [](const auto& c) { return c->created; });
    std::vector<ContainerSummary> out;
    ImageNames names;
    for (const auto& c : snapshots) {
        const auto& state = c->state;
        if (!all && !state.running) continue;
        if (before && !(c->created < *before)) continue;
        if (since && !(c->created > *since)) continue;
        if (!codes.empty() &&
            (state.running || state.started_at.is_zero() || !codes.contains(state.exit_code))) {
            continue;
        }
        const std::string health = state.health ? state.health->status : "none";
        if (!filters.exact_match("status", status_name(state.status)) ||
            !filters.exact_match("health", health) || !matches_id(filters, c->id) ||
            !matches_name(filters, c->name) || !matches_port(filters, "publish", *c) ||
            !matches_port(filters, "expose", *c) || !matches_mount(filters, *c) ||
            !matches_network(filters, *c) || !filters.match_labels("label", c->config.labels)) {
            continue;
        }
        if (filters.contains("is-task") && filters.get_bool("is-task", false)) continue;
        if (!ancestors.empty() && !ancestors.contains(c->image_id)) continue;
        out.push_back(summarize(c, names));
        if (options.size) {
            const auto [rw, root_fs] = measure_container(parts_.layers, c->id);
            out.back().size_rw = rw;
            out.back().size_root_fs = root_fs;
        }
        if (options.limit > 0 && std::ssize(out) >= options.limit) break;
    }
    return out;
}

std::string Containers::listed_image(const ContainerSnapshot& container, ImageNames& names) const {
    const std::string& name = container.config.image;
    auto known = names.find(name);
    if (known == names.end()) {
        ImageName meaning;
        if (const auto reference = model::Reference::try_parse(name)) {
            meaning.is_reference = true;
            const auto image = parts_.images.find_reference(reference->with_default_tag());
            if (image) meaning.id = image->id;
        }
        known = names.emplace(name, std::move(meaning)).first;
    }
    const ImageName& meaning = known->second;
    // Source: moby daemon/list.go, refreshImage: the id when the name moved on.
    if (!meaning.is_reference || meaning.id == container.image_id) return name;
    const bool by_id = meaning.id.empty() && container.image_id.find(name) != std::string::npos;
    return by_id ? name : container.image_id;
}

ContainerSummary Containers::summarize(const ContainerPtr& container, ImageNames& names) const {
    ContainerSummary row;
    row.container = container;
    row.status_text = status_text(container->state);
    row.image = listed_image(*container, names);
    return row;
}

}  // namespace dockerd::engine
