#include <dockerd/build/apply.hpp>

#include <arpa/inet.h>

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/build/expand.hpp>

#include "statement.hpp"

namespace dockerd::build {
namespace {

template <typename List>
void set_list(List& list, const std::vector<std::string>& words) {
    list.assign(words.begin(), words.end());
    list.given = true;
}

/// `["a" "b"]`, as Go prints a list by %q.
std::string quoted_list(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out += (out.empty() ? "" : " ") + base::quote(word);
    return "[" + out + "]";
}

std::string plain_list(const std::vector<std::string>& words) {
    return "[" + base::join(words, " ") + "]";
}

/// A number as Go prints it by %q: the character of that number.
// Source: Go strconv, QuoteRune.
std::string quoted_rune(std::int64_t number) {
    constexpr std::string_view letters = "abtnvfr";
    if (number >= 7 && number <= 13) {
        return fmt::format("'\\{}'", letters[static_cast<std::size_t>(number - 7)]);
    }
    if (number == '\'' || number == '\\') {
        return fmt::format("'\\{}'", static_cast<char>(number));
    }
    if (number < ' ' || number == 0x7f) return fmt::format("'\\x{:02x}'", number);
    if (number < 0x7f) return fmt::format("'{}'", static_cast<char>(number));
    if (number < 0x10000) return fmt::format("'\\u{:04x}'", number);
    return number > 0x10ffff ? "'\xEF\xBF\xBD'" : fmt::format("'\\U{:08x}'", number);
}

std::string shown(const model::HealthConfig& health) {
    const auto time = [](std::int64_t nanoseconds) {
        return base::quote(base::format_duration(std::chrono::nanoseconds(nanoseconds)));
    };
    return fmt::format("&{{{} {} {} {} {} {}}}", quoted_list(health.test), time(health.interval),
                       time(health.timeout), time(health.start_period),
                       time(health.start_interval), quoted_rune(health.retries));
}

/// "8080" or "127.0.0.1:8080" or "[::1]:8080".
void check_host_part(std::string_view host) {
    const auto colon = host.rfind(':');
    const std::string port(host.substr(colon == std::string_view::npos ? 0 : colon + 1));
    const auto dash = port.find('-');
    const auto is_port = [](const std::string& text) {
        const auto number = base::parse_int(text);
        return number && *number >= 0 && *number <= 65535;
    };
    if (!port.empty() && !(is_port(port.substr(0, dash)) &&
                           (dash == std::string::npos || is_port(port.substr(dash + 1))))) {
        invalid("invalid hostPort: " + port);
    }
    if (colon == std::string_view::npos) return;
    std::string address(host.substr(0, colon));
    if (address.starts_with('[') && address.ends_with(']')) {
        address = address.substr(1, address.size() - 2);
    }
    in6_addr unused{};
    if (address.empty() || ::inet_pton(AF_INET, address.c_str(), &unused) == 1 ||
        ::inet_pton(AF_INET6, address.c_str(), &unused) == 1) {
        return;
    }
    invalid("invalid IP address: " + address);
}

/// One port of EXPOSE: "80", "80/udp", "8000-8010/tcp". A host part is allowed and ignored.
/// Source: docker/go-connections nat/nat.go, ParsePortSpec.
void expose(model::ContainerConfig& config, const std::string& text) {
    const auto slash = text.find('/');
    std::string protocol = slash == std::string::npos ? "" : base::to_lower(text.substr(slash + 1));
    std::string ports = text.substr(0, slash);
    if (const auto colon = ports.rfind(':'); colon != std::string::npos) {
        check_host_part(std::string_view(ports).substr(0, colon));
        ports.erase(0, colon + 1);
    }
    if (ports.empty()) invalid("no port specified: " + text + "<empty>");
    const auto dash = ports.find('-');
    const auto first = base::parse_int(ports.substr(0, dash));
    const auto last = dash == std::string::npos ? first : base::parse_int(ports.substr(dash + 1));
    if (!first || !last || *first < 0 || *last > 65535 || *first > *last) {
        invalid("invalid containerPort: " + ports);
    }
    if (protocol.empty()) protocol = "tcp";
    if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
        invalid("invalid proto: " + protocol);
    }
    for (auto port = *first; port <= *last; ++port) {
        config.exposed_ports[std::to_string(port) + "/" + protocol] = {};
    }
}

/// The changes to one configuration. Source: moby builder/dockerfile/dispatchers.go.
class Applier {
public:
    Applier(ConfigState& state, const std::vector<std::string>& environment, char escape)
        : state_(state), config_(state.config), environment_(environment), escape_(escape) {}

    std::string operator()(const Env& env) {
        std::string comment = "ENV";
        for (const auto& [key, value] : env.pairs) {
            const std::string prefix = key + "=";
            comment += " " + prefix + value;
            const auto known = std::ranges::find_if(
                config_.env, [&](const std::string& entry) { return entry.starts_with(prefix); });
            if (known == config_.env.end()) {
                config_.env.push_back(prefix + value);
            } else {
                *known = prefix + value;
            }
        }
        config_.env.given = true;
        return comment;
    }
    std::string operator()(const Label& label) {
        std::string comment = "LABEL";
        for (const auto& [key, value] : label.pairs) {
            comment += " " + key + "=" + value;
            config_.labels[key] = value;
        }
        config_.labels.given = true;
        return comment;
    }
    std::string operator()(const Cmd& cmd) {
        set_list(config_.cmd, with_shell(cmd.line, config_));
        config_.args_escaped = false;
        if (!cmd.line.words.empty()) state_.command_set = true;
        return "CMD " + quoted_list(config_.cmd);
    }
    std::string operator()(const Entrypoint& entrypoint) {
        config_.entrypoint = {};
        if (!entrypoint.line.words.empty()) {
            set_list(config_.entrypoint, with_shell(entrypoint.line, config_));
        }
        config_.args_escaped = false;
        // A command from below means nothing to the new entry point.
        if (!state_.command_set) config_.cmd = {};
        return "ENTRYPOINT " + quoted_list(config_.entrypoint);
    }
    std::string operator()(const Expose& instruction) {
        std::vector<std::string> ports;
        for (const std::string& word : instruction.ports) {
            for (std::string& port : expand_words(word, environment_, escape_)) {
                ports.push_back(std::move(port));
            }
        }
        for (const std::string& port : ports) expose(config_, port);
        config_.exposed_ports.given = true;
        return "EXPOSE " + base::join(ports, " ");
    }
    std::string operator()(const Healthcheck& check) {
        config_.healthcheck = check.health;
        return "HEALTHCHECK " + shown(check.health);
    }
    std::string operator()(const Maintainer& maintainer) {
        state_.author = maintainer.name;
        return "MAINTAINER " + maintainer.name;
    }
    std::string operator()(const Onbuild& onbuild) {
        config_.on_build.push_back(onbuild.trigger);
        config_.on_build.given = true;
        return "ONBUILD " + onbuild.trigger;
    }
    std::string operator()(const Shell& shell) {
        set_list(config_.shell, shell.words);
        return "SHELL " + plain_list(shell.words);
    }
    std::string operator()(const StopSignal& stop) {
        config_.stop_signal = stop.signal;
        return "STOPSIGNAL " + stop.signal;
    }
    std::string operator()(const User& user) {
        config_.user = user.user;
        return "USER " + user.user;
    }
    std::string operator()(const Volume& volume) {
        for (const std::string& path : volume.paths) {
            if (path.empty()) {
                base::fail(base::ErrorKind::internal,
                           "VOLUME specified can not be an empty string");
            }
            config_.volumes[path] = {};
        }
        config_.volumes.given = true;
        return "VOLUME " + plain_list(volume.paths);
    }
    std::string operator()(const Workdir& workdir) {
        const std::string& path = workdir.path;
        if (path.empty()) base::fail(base::ErrorKind::internal, "cannot normalize nothing");
        config_.working_dir = clean_path(path.front() == '/' ? path : config_.working_dir + "/" + path);
        return "WORKDIR " + config_.working_dir;
    }
    std::string operator()(const Arg& arg) {
        std::string comment = "ARG";
        for (const auto& item : arg.items) {
            comment += " " + item.key;
            if (item.value) comment += "=" + *item.value;
        }
        return comment;
    }
    template <typename Other>
    std::string operator()(const Other& /*changes files*/) {
        return {};
    }

private:
    ConfigState& state_;
    model::ContainerConfig& config_;
    const std::vector<std::string>& environment_;
    const char escape_;
};

}  // namespace

std::string clean_path(const std::string& path) {
    std::vector<std::string> parts;
    for (const auto& part : base::split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            parts.push_back(part);
        } else if (!parts.empty()) {
            parts.pop_back();
        }
    }
    return "/" + base::join(parts, "/");
}

std::vector<std::string> shell_of(const model::ContainerConfig& config) {
    if (config.shell.empty()) return {"/bin/sh", "-c"};
    return {config.shell.begin(), config.shell.end()};
}

std::vector<std::string> with_shell(const CommandLine& line,
                                    const model::ContainerConfig& config) {
    if (line.exec_form) return line.words;
    auto words = shell_of(config);
    words.insert(words.end(), line.words.begin(), line.words.end());
    return words;
}

std::string apply(ConfigState& state, const Instruction& instruction,
                  const std::vector<std::string>& environment, char escape) {
    return std::visit(Applier(state, environment, escape), instruction.what);
}

}  // namespace dockerd::build
