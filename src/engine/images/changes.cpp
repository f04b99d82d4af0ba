#include "images/changes.hpp"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>

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

/// One instruction: its name as written and the rest of its line.
struct Instruction {
    std::string name;
    std::string rest;
};

/// Lines joined at backslashes, without comments and empty ones.
std::vector<std::string> logical_lines(const std::vector<std::string>& changes) {
    std::vector<std::string> lines;
    std::string open;
    bool continued = false;
    for (const auto& raw : base::split(base::join(changes, "\n"), '\n')) {
        std::string_view line = raw;
        const auto trimmed = base::trim(line);
        if (trimmed.empty() || trimmed.front() == '#') continue;
        while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
        continued = line.ends_with('\\');
        if (continued) line.remove_suffix(1);
        open += line;
        if (continued) continue;
        lines.emplace_back(base::trim(open));
        open.clear();
    }
    if (!base::trim(open).empty()) lines.emplace_back(base::trim(open));
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
std::vector<std::string> split_words(std::string_view text) {
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
        if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
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

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// "K=V K2=V2", or the old form "K V with spaces".
/// Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseNameVal.
Pairs parse_pairs(const Instruction& instruction, const std::vector<std::string>& environment) {
    const std::string name = to_upper(instruction.name);
    const auto words = split_words(instruction.rest);
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
        key = expand_word(key, environment);
        value = expand_word(value, environment);
        if (key.empty()) invalid(name + " names can not be blank");
    }
    return pairs;
}

void apply_env(model::ContainerConfig& config, const Instruction& instruction) {
    // All values of one instruction see the environment before it.
    for (const auto& [key, value] : parse_pairs(instruction, config.env)) {
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
    for (const auto& [key, value] : parse_pairs(instruction, config.env))
        config.labels[key] = value;
    config.labels.given = true;
}

/// Exec form as it is, shell form behind the shell.
model::StrSlice command_line(const model::ContainerConfig& config, const std::string& text) {
    model::StrSlice line;
    line.given = true;
    if (auto list = parse_string_list(text)) {
        line.assign(list->begin(), list->end());
        return line;
    }
    if (text.empty()) return line;
    if (config.shell.empty()) {
        line.assign({"/bin/sh", "-c"});
    } else {
        line.assign(config.shell.begin(), config.shell.end());
    }
    line.push_back(text);
    return line;
}

/// One port of EXPOSE: "80", "80/udp", "8000-8010/tcp".
void expose(model::ContainerConfig& config, const std::string& text) {
    const auto slash = text.find('/');
    const std::string protocol =
        slash == std::string::npos ? "tcp" : base::to_lower(text.substr(slash + 1));
    std::string ports = text.substr(0, slash);
    // A host part is allowed and ignored.
    if (const auto colon = ports.rfind(':'); colon != std::string::npos) ports.erase(0, colon + 1);
    if (ports.empty()) invalid("no port specified: " + text + "<empty>");
    if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
        invalid("invalid proto: " + protocol);
    }
    const auto dash = ports.find('-');
    const auto first = base::parse_int(ports.substr(0, dash));
    const auto last = dash == std::string::npos ? first : base::parse_int(ports.substr(dash + 1));
    if (!first || !last || *first < 0 || *last > 65535 || *first > *last) {
        invalid("invalid containerPort: " + ports);
    }
    for (auto port = *first; port <= *last; ++port) {
        config.exposed_ports[std::to_string(port) + "/" + protocol] = {};
    }
}

void apply_expose(model::ContainerConfig& config, const Instruction& instruction) {
    const auto words = split_words(instruction.rest);
    if (words.empty()) invalid("EXPOSE requires at least one argument");
    for (const auto& word : words) {
        for (const auto& port : split_words(expand_word(word, config.env))) expose(config, port);
    }
    config.exposed_ports.given = true;
}

std::int64_t parse_interval(const std::string& name, const std::string& value) {
    const auto duration = base::parse_duration(value);
    if (!duration) invalid("time: invalid duration " + base::quote(value));
    if (duration->count() < 0) {
        invalid("Interval " + base::quote(name) + " cannot be less than 0");
    }
    if (duration->count() > 0 && duration->count() < 1'000'000) {
        invalid("Interval " + base::quote(name) + " cannot be less than 1ms");
    }
    return duration->count();
}

void apply_health_flag(model::HealthConfig& health, std::string_view flag) {
    const auto equals = flag.find('=');
    const std::string name(flag.substr(0, equals));
    const std::string value(equals == std::string_view::npos ? "" : flag.substr(equals + 1));
    if (name == "interval")
        health.interval = parse_interval(name, value);
    else if (name == "timeout")
        health.timeout = parse_interval(name, value);
    else if (name == "start-period")
        health.start_period = parse_interval(name, value);
    else if (name == "start-interval")
        health.start_interval = parse_interval(name, value);
    else if (name == "retries") {
        const auto retries = base::parse_int(value);
        if (!retries)
            invalid("strconv.ParseInt: parsing " + base::quote(value) + ": invalid syntax");
        if (*retries < 0) invalid("--retries cannot be negative (" + value + ")");
        health.retries = *retries;
    } else {
        invalid("unknown flag: --" + name);
    }
}

void apply_healthcheck(model::ContainerConfig& config, const Instruction& instruction) {
    model::HealthConfig health;
    std::string rest = instruction.rest;
    while (rest.starts_with("--")) {
        const auto parts = split_instruction(rest);
        apply_health_flag(health, std::string_view(parts.name).substr(2));
        rest = parts.rest;
    }
    const auto [kind, command] = split_instruction(rest);
    const std::string type = to_upper(kind);
    health.test.given = true;
    if (kind.empty()) invalid("HEALTHCHECK requires at least one argument");
    if (type == "NONE") {
        if (!command.empty()) invalid("HEALTHCHECK NONE takes no arguments");
        health.test.push_back("NONE");
    } else if (type != "CMD") {
        invalid("Unknown type " + base::quote(type) + " in HEALTHCHECK (try CMD)");
    } else if (const auto list = parse_string_list(command)) {
        if (list->empty()) invalid("Missing command after HEALTHCHECK CMD");
        health.test.push_back("CMD");
        health.test.insert(health.test.end(), list->begin(), list->end());
    } else {
        if (command.empty()) invalid("Missing command after HEALTHCHECK CMD");
        health.test.assign({"CMD-SHELL", command});
    }
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
    if (instruction.rest.empty()) invalid("VOLUME requires at least one argument");
    const auto list = parse_string_list(instruction.rest);
    for (const auto& word : list ? *list : split_words(instruction.rest)) {
        const std::string path = expand_word(base::trim(word), config.env);
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
    return expand_word(instruction.rest, config.env);
}

void apply_workdir(model::ContainerConfig& config, const Instruction& instruction) {
    const std::string path = one_argument(instruction, config);
    if (path.empty()) invalid("cannot normalize nothing");
    config.working_dir = clean_path(path.front() == '/' ? path : config.working_dir + "/" + path);
}

void apply(model::ContainerConfig& config, const Instruction& instruction, bool& cmd_set) {
    const std::string name = base::to_lower(instruction.name);
    if (name == "cmd") {
        config.cmd = command_line(config, instruction.rest);
        config.args_escaped = false;
        cmd_set = cmd_set || !config.cmd.empty();
    } else if (name == "entrypoint") {
        config.entrypoint = command_line(config, instruction.rest);
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
        config.stop_signal = one_argument(instruction, config);
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

/// Expands one word; see expand_word.
class Expander {
public:
    Expander(std::string_view word, const std::vector<std::string>& environment)
        : word_(word), environment_(environment) {}

    std::string run() {
        std::string out;
        char quote = 0;
        while (at_ < word_.size()) {
            const char c = word_[at_++];
            if (quote == '\'') {
                if (c == '\'')
                    quote = 0;
                else
                    out += c;
            } else if (c == '$') {
                out += variable();
            } else if (c == '\\') {
                if (at_ >= word_.size()) break;
                const char next = word_[at_++];
                if (quote == '"' && next != '"' && next != '$' && next != '\\') out += '\\';
                out += next;
            } else if (c == quote) {
                quote = 0;
            } else if (quote == 0 && (c == '"' || c == '\'')) {
                quote = c;
            } else {
                out += c;
            }
        }
        if (quote != 0) {
            invalid(std::string("unexpected end of statement while looking for matching ") +
                    (quote == '"' ? "double-quote" : "single-quote"));
        }
        return out;
    }

private:
    std::string name() {
        const std::size_t start = at_;
        while (at_ < word_.size() &&
               ((word_[at_] >= 'a' && word_[at_] <= 'z') ||
                (word_[at_] >= 'A' && word_[at_] <= 'Z') || word_[at_] == '_' ||
                (at_ > start && word_[at_] >= '0' && word_[at_] <= '9'))) {
            ++at_;
        }
        return std::string(word_.substr(start, at_ - start));
    }
    std::optional<std::string> value(const std::string& key) const {
        for (const auto& entry : environment_) {
            if (entry.starts_with(key + "=")) return entry.substr(key.size() + 1);
        }
        return std::nullopt;
    }
    std::string variable() {
        if (at_ >= word_.size() || word_[at_] != '{') {
            const std::string key = name();
            return key.empty() ? "$" : value(key).value_or("");
        }
        ++at_;
        const std::string key = name();
        const auto close = word_.find('}', at_);
        if (key.empty() || close == std::string_view::npos) {
            invalid("syntax error: missing '}'");
        }
        const std::string_view modifier = word_.substr(at_, close - at_);
        at_ = close + 1;
        const auto found = value(key);
        if (modifier.empty()) return found.value_or("");
        const bool colon = modifier.front() == ':';
        const bool set = found && !(colon && found->empty());
        const auto operation = modifier.substr(colon ? 1 : 0);
        if (operation.empty()) invalid("unsupported modifier in substitution");
        const std::string word = Expander(operation.substr(1), environment_).run();
        if (operation.front() == '-') return set ? *found : word;
        if (operation.front() == '+') return set ? word : "";
        if (operation.front() != '?') {
            invalid("unsupported modifier (" + std::string(operation.substr(0, 1)) +
                    ") in substitution");
        }
        if (!set) invalid(key + ": " + (word.empty() ? "not allowed to be unset" : word));
        return *found;
    }

    std::string_view word_;
    const std::vector<std::string>& environment_;
    std::size_t at_ = 0;
};

}  // namespace

std::string expand_word(std::string_view word, const std::vector<std::string>& environment) {
    return Expander(word, environment).run();
}

std::optional<std::vector<std::string>> parse_string_list(std::string_view text) {
    if (!text.starts_with('[')) return std::nullopt;
    const auto json = base::Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_array()) return std::nullopt;
    std::vector<std::string> list;
    for (const auto& item : json) {
        if (!item.is_string()) return std::nullopt;
        list.push_back(item.get<std::string>());
    }
    return list;
}

void apply_changes(model::ContainerConfig& config, const std::vector<std::string>& changes) {
    std::vector<Instruction> instructions;
    for (const auto& line : logical_lines(changes)) {
        instructions.push_back(split_instruction(line));
        if (!is_change_command(instructions.back().name)) {
            invalid(instructions.back().name + " is not a valid change command");
        }
    }
    bool cmd_set = false;
    for (const auto& instruction : instructions) apply(config, instruction, cmd_set);
}

}  // namespace dockerd::engine
