#include <dockerd/build/instruction.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>

#include "flags.hpp"
#include "statement.hpp"

namespace dockerd::build {
namespace {

using Type = Flags::Type;
using Known = std::map<std::string, Type>;

void no_flags(const Statement& statement) { (void)Flags(statement.flags, {}); }

void require_some(const Statement& statement) {
    if (!statement.arguments.empty()) return;
    invalid(to_upper(statement.name) + " requires at least one argument");
}

std::string one_argument(const Statement& statement) {
    if (statement.arguments.size() != 1) {
        invalid(to_upper(statement.name) + " requires exactly one argument");
    }
    return statement.arguments.front();
}

Pairs read_pairs(const Statement& statement) {
    no_flags(statement);
    require_some(statement);
    Pairs pairs;
    for (std::size_t at = 0; at + 2 < statement.arguments.size(); at += 3) {
        const std::string& key = statement.arguments[at];
        if (key.empty()) invalid(to_upper(statement.name) + " names can not be blank");
        pairs.emplace_back(key, statement.arguments[at + 1]);
    }
    return pairs;
}

CommandLine read_command(const Statement& statement) {
    CommandLine line;
    line.exec_form = statement.json;
    line.words = statement.arguments;
    return line;
}

Run read_run(const Statement& statement) {
    const Flags flags(statement.flags, Known{{"mount", Type::texts},
                                             {"network", Type::text},
                                             {"security", Type::text}});
    Run run{.line = read_command(statement),
            .files = statement.heredocs,
            .mounts = flags.texts("mount"),
            .network = flags.text("network", "default"),
            .security = flags.text("security", "sandbox")};
    if (run.network != "default" && run.network != "none" && run.network != "host") {
        invalid("invalid network mode " + base::quote(run.network));
    }
    if (run.security != "sandbox" && run.security != "insecure") {
        invalid("security " + base::quote(run.security) + " is not valid");
    }
    return run;
}

Copy read_copy(const Statement& statement) {
    const std::string name = to_upper(statement.name);
    if (statement.arguments.size() < 2) {
        invalid(name + " requires at least two arguments, but only one was provided. Destination "
                       "could not be determined");
    }
    Copy copy;
    copy.is_add = name == "ADD";
    Known known{{"chown", Type::text}, {"chmod", Type::text}, {"link", Type::boolean},
                {"exclude", Type::texts}};
    if (copy.is_add) {
        known.insert({{"keep-git-dir", Type::boolean}, {"checksum", Type::text},
                      {"unpack", Type::boolean}});
    } else {
        known.insert({{"from", Type::text}, {"parents", Type::boolean}});
    }
    const Flags flags(statement.flags, known);
    copy.chown = flags.text("chown");
    copy.chmod = flags.text("chmod");
    copy.link = flags.boolean("link");
    copy.excludes = flags.texts("exclude");
    copy.from = flags.text("from");
    copy.parents = flags.boolean("parents");
    copy.checksum = flags.text("checksum");
    copy.keep_git_dir = flags.boolean("keep-git-dir");
    if (flags.has("unpack")) copy.unpack = flags.boolean("unpack");
    copy.destination = statement.arguments.back();
    if (!parse_heredoc(copy.destination).name.empty()) {
        invalid(name + " cannot accept a heredoc as a destination");
    }
    for (auto word = statement.arguments.begin(); word + 1 != statement.arguments.end(); ++word) {
        const std::string heredoc = parse_heredoc(*word).name;
        const auto found = std::ranges::find(statement.heredocs, heredoc, &Heredoc::name);
        if (heredoc.empty() || found == statement.heredocs.end()) {
            copy.sources.push_back(*word);
        } else {
            copy.files.push_back(*found);
        }
    }
    return copy;
}

/// Says what is wrong with a duration. Source: Go time/format.go, ParseDuration.
[[noreturn]] void refuse_duration(const std::string& value) {
    constexpr const char* digits = "0123456789";
    const std::string in = " in duration " + base::quote(value);
    std::string_view rest = value;
    if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
    while (!rest.empty()) {
        const auto number = std::min(rest.find_first_not_of("0123456789."), rest.size());
        if (rest.substr(0, number).find_first_of(digits) == std::string_view::npos) break;
        rest.remove_prefix(number);
        const std::string unit(rest.substr(0, rest.find_first_of("0123456789.")));
        if (unit.empty()) invalid("time: missing unit" + in);
        static const std::set<std::string> units{"ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "m", "h"};
        if (!units.contains(unit)) invalid("time: unknown unit " + base::quote(unit) + in);
        rest.remove_prefix(unit.size());
    }
    invalid("time: invalid duration " + base::quote(value));
}

std::int64_t read_interval(const Flags& flags, const std::string& name) {
    const std::string value = flags.text(name);
    if (value.empty()) return 0;
    const auto duration = base::parse_duration(value);
    if (!duration) refuse_duration(value);
    if (duration->count() != 0 && duration->count() < 1'000'000) {
        invalid("Interval " + base::quote(name) + " cannot be less than 1ms");
    }
    return duration->count();
}

std::int64_t read_retries(const std::string& value) {
    if (value.empty()) return 0;
    const auto retries = base::parse_int(value);
    const auto refuse = [&](const char* why) {
        invalid("strconv.ParseInt: parsing " + base::quote(value) + ": " + why);
    };
    if (!retries) refuse("invalid syntax");
    if (*retries != static_cast<std::int32_t>(*retries)) refuse("value out of range");
    if (*retries < 0) invalid(fmt::format("--retries cannot be negative ({})", *retries));
    return *retries;
}

Healthcheck read_healthcheck(const Statement& statement) {
    require_some(statement);
    const std::string type = to_upper(statement.arguments.front());
    Healthcheck out;
    out.health.test.given = true;
    if (type == "NONE") {
        if (statement.arguments.size() > 1) invalid("HEALTHCHECK NONE takes no arguments");
        out.health.test.push_back(type);
        return out;
    }
    const Flags flags(statement.flags, Known{{"interval", Type::text},
                                             {"timeout", Type::text},
                                             {"start-period", Type::text},
                                             {"start-interval", Type::text},
                                             {"retries", Type::text}});
    if (type != "CMD") {
        invalid("Unknown type " + base::quote(type) + " in HEALTHCHECK (try CMD)");
    }
    if (statement.arguments.size() < 2) invalid("Missing command after HEALTHCHECK CMD");
    out.health.test.push_back(statement.json ? "CMD" : "CMD-SHELL");
    out.health.test.insert(out.health.test.end(), statement.arguments.begin() + 1,
                           statement.arguments.end());
    out.health.interval = read_interval(flags, "interval");
    out.health.timeout = read_interval(flags, "timeout");
    out.health.start_period = read_interval(flags, "start-period");
    out.health.start_interval = read_interval(flags, "start-interval");
    out.health.retries = read_retries(flags.text("retries"));
    return out;
}

Onbuild read_onbuild(const Statement& statement) {
    require_some(statement);
    no_flags(statement);
    const std::string trigger = to_upper(trim_spaces(statement.arguments.front()));
    if (trigger == "ONBUILD") invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger == "MAINTAINER" || trigger == "FROM") {
        invalid(trigger + " isn't allowed as an ONBUILD trigger");
    }
    const auto line = trim_left(statement.original);
    Onbuild out{std::string(trim_left(line.substr(statement.name.size())))};
    for (const Heredoc& heredoc : statement.heredocs) {
        out.trigger += "\n" + heredoc.content + heredoc.name;
    }
    return out;
}

Arg read_arg(const Statement& statement) {
    require_some(statement);
    Arg out;
    for (const std::string& word : statement.arguments) {
        const auto equals = word.find('=');
        if (equals == 0) invalid("ARG names can not be blank");
        Arg::Item item{.key = word.substr(0, equals), .value = std::nullopt};
        if (equals != std::string::npos) item.value = word.substr(equals + 1);
        out.items.push_back(std::move(item));
    }
    return out;
}

Shell read_shell(const Statement& statement) {
    no_flags(statement);
    require_some(statement);
    if (!statement.json) invalid("SHELL requires the arguments to be in JSON form");
    return {statement.arguments};
}

Volume read_volume(const Statement& statement) {
    require_some(statement);
    no_flags(statement);
    Volume out;
    for (const std::string& word : statement.arguments) {
        out.paths.emplace_back(trim_spaces(word));
        if (out.paths.back().empty()) invalid("VOLUME specified can not be an empty string");
    }
    return out;
}

Expose read_expose(const Statement& statement) {
    require_some(statement);
    no_flags(statement);
    Expose out{statement.arguments};
    std::ranges::sort(out.ports);
    return out;
}

template <typename T>
T read_text(const Statement& statement) {
    T out{one_argument(statement)};
    no_flags(statement);
    return out;
}

template <typename T>
T read_flagless_command(const Statement& statement) {
    no_flags(statement);
    return {read_command(statement)};
}

const std::vector<std::string>& instruction_names() {
    static const std::vector<std::string> names{
        "ADD",  "ARG",   "CMD",        "COPY",    "ENTRYPOINT", "ENV",
        "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
        "RUN",  "SHELL", "STOPSIGNAL", "USER",    "VOLUME",     "WORKDIR"};
    return names;
}

decltype(Instruction::what) read_what(const Statement& statement) {
    const std::string name = base::to_lower(statement.name);
    if (name == "env") return Env{read_pairs(statement)};
    if (name == "label") return Label{read_pairs(statement)};
    if (name == "arg") return read_arg(statement);
    if (name == "cmd") return read_flagless_command<Cmd>(statement);
    if (name == "entrypoint") return read_flagless_command<Entrypoint>(statement);
    if (name == "run") return read_run(statement);
    if (name == "copy" || name == "add") return read_copy(statement);
    if (name == "expose") return read_expose(statement);
    if (name == "healthcheck") return read_healthcheck(statement);
    if (name == "maintainer") return read_text<Maintainer>(statement);
    if (name == "onbuild") return read_onbuild(statement);
    if (name == "shell") return read_shell(statement);
    if (name == "stopsignal") return StopSignal{one_argument(statement)};
    if (name == "user") return read_text<User>(statement);
    if (name == "volume") return read_volume(statement);
    if (name == "workdir") return read_text<Workdir>(statement);
    invalid("unknown instruction: " + statement.name +
            suggestion(statement.name, instruction_names(), /*case_sensitive=*/false));
}

// Source: buildkit frontend/dockerfile/instructions/parse.go, validStageName.
bool is_stage_name(std::string_view name) {
    if (name.empty() || name.front() < 'a' || name.front() > 'z') return false;
    return std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    });
}

Stage read_stage(const Statement& statement) {
    Stage stage;
    const auto& words = statement.arguments;
    if (words.size() == 3 && base::iequals(words[1], "as")) {
        stage.name = base::to_lower(words[2]);
        if (!is_stage_name(stage.name)) {
            invalid("invalid name for build stage: " + base::quote(words[2]) +
                    ", name can't start with a number or contain symbols");
        }
    } else if (words.size() != 1) {
        invalid("FROM requires either one or three arguments");
    }
    stage.base = words.front();
    stage.platform = Flags(statement.flags, Known{{"platform", Type::text}}).text("platform");
    stage.code = trim_spaces(statement.original);
    return stage;
}

template <typename... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

}  // namespace

Instruction read_instruction(const Statement& statement) {
    return {.what = read_what(statement), .code = std::string(trim_spaces(statement.original))};
}

Program read_program(const Dockerfile& dockerfile) {
    Program program;
    for (const Statement& statement : dockerfile.statements) {
        std::optional<Instruction> instruction;
        try {
            if (base::iequals(statement.name, "from")) {
                program.stages.push_back(read_stage(statement));
                continue;
            }
            instruction = read_instruction(statement);
        } catch (const base::Error& error) {
            throw error.with_context(
                fmt::format("dockerfile parse error on line {}", statement.first_line));
        }
        if (!program.stages.empty()) {
            program.stages.back().instructions.push_back(std::move(*instruction));
        } else if (std::holds_alternative<Arg>(instruction->what)) {
            program.arguments.push_back(std::move(*instruction));
        } else {
            invalid("no build stage in current context");
        }
    }
    return program;
}

std::optional<std::size_t> find_stage(const Program& program, std::string_view name) {
    for (std::size_t at = 0; at < program.stages.size(); ++at) {
        if (base::iequals(program.stages[at].name, name)) return at;
    }
    return std::nullopt;
}

void expand(Instruction& instruction,
            const std::function<std::string(std::string_view word)>& expander) {
    const auto fill = [&](std::string& text) { text = expander(text); };
    const auto fill_pairs = [&](Pairs& pairs) {
        for (auto& [key, value] : pairs) {
            fill(key);
            fill(value);
        }
    };
    std::visit(
        Overloaded{
            [&](Env& env) { fill_pairs(env.pairs); },
            [&](Label& label) {
                if (!label.literal) fill_pairs(label.pairs);
            },
            [&](Arg& arg) {
                for (auto& item : arg.items) {
                    fill(item.key);
                    if (item.value) fill(*item.value);
                }
            },
            [&](Copy& copy) {
                fill(copy.chown);
                fill(copy.chmod);
                if (copy.is_add) fill(copy.checksum);
                std::ranges::for_each(copy.sources, fill);
                fill(copy.destination);
            },
            [&](StopSignal& stop) { fill(stop.signal); },
            [&](User& user) { fill(user.user); },
            [&](Volume& volume) { std::ranges::for_each(volume.paths, fill); },
            [&](Workdir& workdir) { fill(workdir.path); },
            [](auto& /*nothing to fill in*/) {},
        },
        instruction.what);
}

}  // namespace dockerd::build
