#include "link_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/net/ports.hpp>

namespace dockerd::engine {
namespace {

using base::ErrorKind;

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// A port with how it is written.
struct LinkPort {
    std::uint16_t number = 0;
    std::string protocol;
};

/// TCP first, then by number.
std::vector<LinkPort> sorted_ports(const model::StringSet& exposed) {
    std::vector<LinkPort> ports;
    for (const auto& [key, unused] : exposed) {
        const auto [number, protocol] = net::parse_container_port(key);
        ports.push_back({number, std::string(net::protocol_name(protocol))});
    }
    std::ranges::sort(ports, {}, [](const LinkPort& port) {
        return std::tuple(port.protocol != "tcp", port.protocol, port.number);
    });
    return ports;
}

std::string upper(std::string text) {
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

class Variables {
public:
    Variables(std::string alias, std::string address)
        : alias_(std::move(alias)), address_(std::move(address)) {}

    void add(const std::string& name, const std::string& value) {
        out.push_back(alias_ + name + "=" + value);
    }
    [[nodiscard]] std::string url(const LinkPort& port) const {
        return fmt::format("{}://{}:{}", port.protocol, address_, port.number);
    }
    static std::string prefix(const LinkPort& port) {
        return fmt::format("_PORT_{}_{}", port.number, upper(port.protocol));
    }
    void add_port(const LinkPort& port) {
        const std::string start = prefix(port);
        add(start, url(port));
        add(start + "_ADDR", address_);
        add(start + "_PORT", std::to_string(port.number));
        add(start + "_PROTO", port.protocol);
    }
    void add_range(const LinkPort& first, const LinkPort& last) {
        const std::string start = prefix(first);
        add(start + "_START", url(first));
        add(start + "_PORT_START", std::to_string(first.number));
        add(start + "_END", url(last));
        add(start + "_PORT_END", std::to_string(last.number));
    }

    std::vector<std::string> out;

private:
    std::string alias_;
    std::string address_;
};

}  // namespace

std::pair<std::string, std::string> parse_link(const std::string& text) {
    if (text.empty()) base::fail(ErrorKind::internal, "empty string specified for links");
    const auto parts = base::split(text, ':');
    if (parts.size() > 2) base::fail(ErrorKind::internal, "bad format for links: " + text);
    if (parts.size() == 1) return {text, text};
    if (parts[0].starts_with('/')) return {parts[0].substr(1), last_part(parts[1])};
    return {parts[0], parts[1]};
}

std::vector<std::string> link_environment(const std::string& name, const std::string& child_address,
                                          const model::ContainerConfig& child) {
    std::string alias = upper(last_part(name));
    std::ranges::replace(alias, '-', '_');
    Variables variables(alias, child_address);
    const auto ports = sorted_ports(child.exposed_ports);
    if (!ports.empty()) variables.add("_PORT", variables.url(ports.front()));
    for (std::size_t i = 0; i < ports.size();) {
        std::size_t end = i;
        do {
            variables.add_port(ports[end++]);
        } while (end < ports.size() && ports[end].protocol == ports[i].protocol &&
                 ports[end].number == ports[end - 1].number + 1);
        if (end - i > 1) variables.add_range(ports[i], ports[end - 1]);
        i = end;
    }
    variables.add("_NAME", name);
    for (const auto& item : child.env) {
        const auto equals = item.find('=');
        const std::string key = item.substr(0, equals);
        if (equals == std::string::npos || key == "HOME" || key == "PATH") continue;
        variables.add("_ENV_" + key, item.substr(equals + 1));
    }
    return std::move(variables.out);
}

std::string replace_address(std::string_view hosts, std::string_view alias,
                            std::string_view address) {
    std::string out;
    while (!hosts.empty()) {
        const auto end = std::min(hosts.find('\n'), hosts.size() - 1) + 1;
        const std::string_view line = hosts.substr(0, end);
        hosts.remove_prefix(end);
        const auto tab = line.find('\t');
        const std::string_view names =
            tab == std::string_view::npos ? std::string_view() : line.substr(tab + 1);
        const char after = names.starts_with(alias) && names.size() > alias.size()
                               ? names[alias.size()]
                               : '\0';
        if (after == ' ' || after == '.' || after == '\n' || after == '\t') {
            out += fmt::format("{}\t{}", address, names);
        } else {
            out += line;
        }
    }
    return out;
}

void LinkIndex::add(const Link& link) {
    const base::Lock lock(mutex_);
    links_[link.name] = link;
}

void LinkIndex::remove(const std::string& name) {
    const base::Lock lock(mutex_);
    links_.erase(name);
}

std::vector<LinkIndex::Link> LinkIndex::remove_parent(const std::string& id) {
    const base::Lock lock(mutex_);
    std::vector<Link> gone;
    std::erase_if(links_, [&](const auto& item) {
        const bool mine = item.second.parent == id;
        if (mine) gone.push_back(item.second);
        return mine;
    });
    return gone;
}

std::optional<LinkIndex::Link> LinkIndex::find(const std::string& name) const {
    const base::Lock lock(mutex_);
    const auto found = links_.find(name);
    return found == links_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<LinkIndex::Link> LinkIndex::with(std::string Link::*member,
                                             const std::string& id) const {
    const base::Lock lock(mutex_);
    std::vector<Link> out;
    for (const auto& [name, link] : links_) {
        if (link.*member == id) out.push_back(link);
    }
    return out;
}

std::vector<LinkIndex::Link> LinkIndex::children(const std::string& parent) const {
    return with(&Link::parent, parent);
}

std::vector<LinkIndex::Link> LinkIndex::parents(const std::string& child) const {
    return with(&Link::child, child);
}

}  // namespace dockerd::engine
