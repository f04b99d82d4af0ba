#include "images/changes.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>

#include "containers/signals.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(ErrorKind::invalid_argument, text);
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string to_upper(std::string text) {
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

/// One instruction: its name as written, its flags ("--interval=5s") and the rest of its line.
struct Instruction {
    std::string name;
    std::vector<std::string> flags;
    std::string rest;
    char escape = '\\';

    [[nodiscard]] std::string expand(std::string_view word,
                                     const model::ContainerConfig& config) const {
        return expand_word(word, config.env, escape);
    }
};

/// The escape character that `# escape=` at the top chooses.
char escape_of(const std::vector<std::string>& lines) {
    for (const auto& line : lines) {
        std::string_view text = base::trim(line);
        if (!text.starts_with('#')) break;
        text = base::trim(text.substr(1));
        const auto equals = text.find('=');
        if (equals == std::string_view::npos) break;
        if (!base::iequals(base::trim(text.substr(0, equals)), "escape")) continue;
        const std::string value(base::trim(text.substr(equals + 1)));
        if (value != "\\" && value != "`") {
            invalid("invalid escape token '" + value + "' does not match ` or \\");
        }
        return value.front();
    }
    return '\\';
}

/// Lines joined at escape characters, without comments and empty ones.
/// Source: buildkit frontend/dockerfile/parser/parser.go, Parse.
std::vector<std::string> logical_lines(const std::vector<std::string>& raw_lines, char escape) {
    std::vector<std::string> lines;
    std::string open;
    bool continued = false;
    for (const auto& raw : raw_lines) {
        std::string_view line = raw;
        const auto trimmed = base::trim(line);
        if (trimmed.empty() || trimmed.front() == '#') continue;
        while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
        // Two of them in a row stand for one.
        continued = line.ends_with(escape) && (line.size() == 1 || line[line.size() - 2] != escape);
        if (continued) line.remove_suffix(1);
        open += line;
        if (continued) continue;
        lines.emplace_back(base::trim(open));
        open.clear();
    }
    if (continued) lines.emplace_back(base::trim(open));
    return lines;
}

Instruction split_instruction(const std::string& line) {
    const auto end = std::ranges::find_if(line, is_space) - line.begin();
    Instruction instruction;
    instruction.name = line.substr(0, static_cast<std::size_t>(end));
    instruction.rest = base::trim(std::string_view(line).substr(instruction.name.size()));
    return instruction;
}

/// Splits at white space outside quotes; quotes and backslashes stay for expand_word.
/// Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseWords.
std::vector<std::string> split_words(std::string_view text, char escape = '\\') {
    std::vector<std::string> words;
    std::string word;
    char quote = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quote == 0 && is_space(c)) {
            if (!word.empty()) words.push_back(std::move(word));
            word.clear();
            continue;
        }
        word += c;
        if (c == escape && quote != '\'' && i + 1 < text.size()) {
            word += text[++i];
        } else if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == quote) {
            quote = 0;
        }
    }
    if (!word.empty()) words.push_back(std::move(word));
    return words;
}

/// Splits at white space, whatever else there is.
std::vector<std::string> split_blanks(std::string_view text) {
    std::vector<std::string> words;
    std::string word;
    for (const char c : text) {
        if (!is_space(c)) {
            word += c;
        } else if (!word.empty()) {
            words.push_back(std::exchange(word, {}));
        }
    }
    if (!word.empty()) words.push_back(std::move(word));
    return words;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// "K=V K2=V2", or the old form "K V with spaces".
/// Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseNameVal.
Pairs parse_pairs(const Instruction& instruction, const model::ContainerConfig& config) {
    const std::string name = to_upper(instruction.name);
    const auto words = split_words(instruction.rest, instruction.escape);
    if (words.empty()) invalid(name + " requires at least one argument");
    Pairs pairs;
    if (words.front().find('=') == std::string::npos) {
        const auto rest =
            base::trim(std::string_view(instruction.rest).substr(words.front().size()));
        if (rest.empty()) invalid(name + " must have two arguments");
        pairs.emplace_back(words.front(), rest);
    } else {
        for (const auto& word : words) {
            const auto equals = word.find('=');
            if (equals == std::string::npos) {
                invalid("Syntax error - can't find = in " + base::quote(word) +
                        ". Must be of the form: name=value");
            }
            pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
        }
    }
    for (auto& [key, value] : pairs) {
        key = instruction.expand(key, config);
        value = instruction.expand(value, config);
        if (key.empty()) invalid(name + " names can not be blank");
    }
    return pairs;
}

void apply_env(model::ContainerConfig& config, const Instruction& instruction) {
    // All values of one instruction see the environment before it.
    for (const auto& [key, value] : parse_pairs(instruction, config)) {
        const std::string prefix = key + "=";
        const auto known = std::ranges::find_if(
            config.env, [&](const std::string& entry) { return entry.starts_with(prefix); });
        if (known == config.env.end()) {
            config.env.push_back(prefix + value);
        } else {
            *known = prefix + value;
        }
    }
    config.env.given = true;
}

void apply_label(model::ContainerConfig& config, const Instruction& instruction) {
    for (const auto& [key, value] : parse_pairs(instruction, config)) config.labels[key] = value;
    config.labels.given = true;
}

/// Exec form as it is, shell form behind the shell, also with nothing behind it.
model::StrSlice command_line(const model::ContainerConfig& config, const std::string& text) {
    model::StrSlice line;
    line.given = true;
    if (auto list = parse_string_list(text)) {
        line.assign(list->begin(), list->end());
        return line;
    }
    if (config.shell.empty()) {
        line.assign({"/bin/sh", "-c"});
    } else {
        line.assign(config.shell.begin(), config.shell.end());
    }
    if (!text.empty()) line.push_back(text);
    return line;
}

/// "8080" or "127.0.0.1:8080" or "[::1]:8080".
void check_host_part(std::string_view host) {
    const auto colon = host.rfind(':');
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

void apply_expose(model::ContainerConfig& config, const Instruction& instruction) {
    const auto words = split_blanks(instruction.rest);
    if (words.empty()) invalid("EXPOSE requires at least one argument");
    for (const auto& word : words) {
        for (const auto& port : split_blanks(instruction.expand(word, config))) {
            expose(config, port);
        }
    }
    config.exposed_ports.given = true;
}

std::int64_t parse_interval(const std::string& name, const std::string& value) {
    if (value.empty()) return 0;
    const auto duration = base::parse_duration(value);
    if (!duration) invalid("time: invalid duration " + base::quote(value));
    if (duration->count() != 0 && duration->count() < 1'000'000) {
        invalid("Interval " + base::quote(name) + " cannot be less than 1ms");
    }
    return duration->count();
}

std::int64_t parse_retries(const std::string& value) {
    if (value.empty()) return 0;
    const auto retries = base::parse_int(value);
    if (!retries) invalid("strconv.ParseInt: parsing " + base::quote(value) + ": invalid syntax");
    if (*retries < 0) invalid("--retries cannot be negative (" + value + ")");
    return *retries;
}

/// Flags by name. Source: buildkit frontend/dockerfile/instructions/bflag.go, Parse.
std::map<std::string, std::string> parse_flags(const Instruction& instruction,
                                               const std::vector<std::string>& known) {
    std::map<std::string, std::string> values;
    for (const auto& flag : instruction.flags) {
        const auto equals = flag.find('=');
        const std::string name = flag.substr(0, equals).substr(2);
        if (std::ranges::find(known, name) == known.end()) invalid("unknown flag: --" + name);
        if (values.contains(name)) invalid("duplicate flag specified: --" + name);
        if (equals == std::string::npos) invalid("missing a value on flag: --" + name);
        values[name] = flag.substr(equals + 1);
    }
    return values;
}

std::vector<std::string> health_command(const std::string& text) {
    if (const auto list = parse_string_list(text)) {
        if (list->empty()) invalid("Missing command after HEALTHCHECK CMD");
        std::vector<std::string> test{"CMD"};
        test.insert(test.end(), list->begin(), list->end());
        return test;
    }
    if (text.empty()) invalid("Missing command after HEALTHCHECK CMD");
    return {"CMD-SHELL", text};
}

/// Source: buildkit frontend/dockerfile/instructions/parse.go, parseHealthcheck.
void apply_healthcheck(model::ContainerConfig& config, const Instruction& instruction) {
    if (instruction.rest.empty()) invalid("HEALTHCHECK requires at least one argument");
    const Instruction test = split_instruction(instruction.rest);
    const std::string type = to_upper(test.name);
    model::HealthConfig health;
    health.test.given = true;
    if (type == "NONE") {
        if (!test.rest.empty()) invalid("HEALTHCHECK NONE takes no arguments");
        health.test.push_back("NONE");
        config.healthcheck = health;
        return;
    }
    auto flags = parse_flags(instruction,
                             {"interval", "timeout", "start-period", "start-interval", "retries"});
    if (type != "CMD") {
        invalid("Unknown type " + base::quote(type) + " in HEALTHCHECK (try CMD)");
    }
    const auto command = health_command(test.rest);
    health.test.assign(command.begin(), command.end());
    health.interval = parse_interval("interval", flags["interval"]);
    health.timeout = parse_interval("timeout", flags["timeout"]);
    health.start_period = parse_interval("start-period", flags["start-period"]);
    health.start_interval = parse_interval("start-interval", flags["start-interval"]);
    health.retries = parse_retries(flags["retries"]);
    config.healthcheck = health;
}

void apply_onbuild(model::ContainerConfig& config, const Instruction& instruction) {
    if (instruction.rest.empty()) invalid("ONBUILD requires at least one argument");
    const std::string trigger = to_upper(split_instruction(instruction.rest).name);
    if (trigger == "ONBUILD") invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger == "MAINTAINER" || trigger == "FROM") {
        invalid(trigger + " isn't allowed as an ONBUILD trigger");
    }
    config.on_build.push_back(instruction.rest);
    config.on_build.given = true;
}

void apply_volume(model::ContainerConfig& config, const Instruction& instruction) {
    const auto words = parse_string_list(instruction.rest).value_or(split_blanks(instruction.rest));
    if (words.empty()) invalid("VOLUME requires at least one argument");
    for (const auto& word : words) {
        const std::string path = instruction.expand(base::trim(word), config);
        if (path.empty()) invalid("VOLUME specified can not be an empty string");
        config.volumes[path] = {};
    }
    config.volumes.given = true;
}

/// Source: Go path/filepath, Join and Clean.
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

std::string one_argument(const Instruction& instruction, const model::ContainerConfig& config) {
    if (instruction.rest.empty()) {
        invalid(to_upper(instruction.name) + " requires exactly one argument");
    }
    return instruction.expand(instruction.rest, config);
}

void apply_workdir(model::ContainerConfig& config, const Instruction& instruction) {
    const std::string path = one_argument(instruction, config);
    if (path.empty()) invalid("cannot normalize nothing");
    config.working_dir = clean_path(path.front() == '/' ? path : config.working_dir + "/" + path);
}

void apply(model::ContainerConfig& config, const Instruction& instruction, bool& cmd_set) {
    const std::string name = base::to_lower(instruction.name);
    if (name != "healthcheck") parse_flags(instruction, {});
    if (name == "cmd") {
        config.cmd = command_line(config, instruction.rest);
        config.args_escaped = false;
        const auto list = parse_string_list(instruction.rest);
        if (list ? !list->empty() : !instruction.rest.empty()) cmd_set = true;
    } else if (name == "entrypoint") {
        config.entrypoint = command_line(config, instruction.rest);
        if (instruction.rest.empty() || config.entrypoint.empty()) config.entrypoint = {};
        // A command from below means nothing to the new entry point.
        if (!cmd_set) config.cmd = {};
    } else if (name == "env") {
        apply_env(config, instruction);
    } else if (name == "expose") {
        apply_expose(config, instruction);
    } else if (name == "healthcheck") {
        apply_healthcheck(config, instruction);
    } else if (name == "label") {
        apply_label(config, instruction);
    } else if (name == "onbuild") {
        apply_onbuild(config, instruction);
    } else if (name == "stopsignal") {
        const std::string signal = one_argument(instruction, config);
        // Any number will do here, also one that no signal has.
        if (base::parse_int(signal).value_or(0) == 0) (void)parse_signal(signal);
        config.stop_signal = signal;
    } else if (name == "user") {
        config.user = one_argument(instruction, config);
    } else if (name == "volume") {
        apply_volume(config, instruction);
    } else if (name == "workdir") {
        apply_workdir(config, instruction);
    }
}

bool is_change_command(const std::string& name) {
    static const std::vector<std::string> known = {
        "cmd",     "entrypoint", "env",  "expose", "healthcheck", "label",
        "onbuild", "stopsignal", "user", "volume", "workdir"};
    return std::ranges::find(known, base::to_lower(name)) != known.end();
}

}  // namespace

std::optional<std::vector<std::string>> parse_string_list(std::string_view text) {
    if (!text.starts_with('[')) return std::nullopt;
    const auto json = base::Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_array()) return std::nullopt;
    std::vector<std::string> list;
    for (const auto& item : json) {
        if (!item.is_string()) {
            invalid("when using JSON array syntax, arrays must be comprised of strings only");
        }
        list.push_back(item.get<std::string>());
    }
    return list;
}

void apply_changes(model::ContainerConfig& config, const std::vector<std::string>& changes) {
    if (changes.empty()) return;
    const auto lines = base::split(base::join(changes, "\n"), '\n');
    const char escape = escape_of(lines);
    std::vector<Instruction> instructions;
    for (const auto& line : logical_lines(lines, escape)) {
        Instruction instruction = split_instruction(line);
        if (!is_change_command(instruction.name)) {
            invalid(instruction.name + " is not a valid change command");
        }
        while (instruction.rest.starts_with("--")) {
            Instruction flag = split_instruction(instruction.rest);
            instruction.rest = std::move(flag.rest);
            instruction.flags.push_back(std::move(flag.name));
        }
        instruction.escape = escape;
        instructions.push_back(std::move(instruction));
    }
    if (instructions.empty()) invalid("file with no instructions");
    bool cmd_set = false;
    for (const auto& instruction : instructions) apply(config, instruction, cmd_set);
}

}  // namespace dockerd::engine
