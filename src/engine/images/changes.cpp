#include "images/changes.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/apply.hpp>
#include <dockerd/build/dockerfile.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/build/instruction.hpp>

#include "containers/signals.hpp"

namespace dockerd::engine {
namespace {

bool is_change_command(const std::string& name) {
    static constexpr auto known = std::to_array<std::string_view>(
        {"cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "stopsignal",
         "user", "volume", "workdir"});
    return std::ranges::find(known, base::to_lower(name)) != known.end();
}

}  // namespace

void check_stop_signal(const build::Instruction& instruction) {
    const auto* const stop = std::get_if<build::StopSignal>(&instruction.what);
    // Any number will do here, also one that no signal has.
    if (stop == nullptr || base::parse_int(stop->signal).value_or(0) != 0) return;
    (void)parse_signal(stop->signal);
}

void apply_changes(model::ContainerConfig& config, const std::vector<std::string>& changes) {
    if (changes.empty()) return;
    const auto dockerfile = build::parse_dockerfile(base::join(changes, "\n"));
    std::vector<build::Instruction> instructions;
    for (const auto& statement : dockerfile.statements) {
        if (!is_change_command(statement.name)) {
            base::fail(base::ErrorKind::invalid_argument,
                       statement.name + " is not a valid change command");
        }
    }
    for (const auto& statement : dockerfile.statements) {
        instructions.push_back(build::read_instruction(statement));
    }
    build::ConfigState state{.config = config, .author = {}, .command_set = false};
    for (auto& instruction : instructions) {
        try {
            const std::vector<std::string> environment = state.config.env;
            build::expand(instruction, [&](std::string_view word) {
                return build::expand_word(word, environment, dockerfile.escape);
            });
            check_stop_signal(instruction);
            (void)build::apply(state, instruction, environment, dockerfile.escape);
        } catch (const base::Error& error) {
            throw base::Error(base::ErrorKind::invalid_argument, error.what());
        }
    }
    config = std::move(state.config);
}

}  // namespace dockerd::engine
