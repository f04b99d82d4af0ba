#include <dockerd/build/stages.hpp>

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::build {
namespace {

/// The `from` of a mount, which has no variables; empty where there is none.
std::string source_of(const std::string& mount) {
    for (const std::string& field : base::split(mount, ',')) {
        if (base::to_lower(field).starts_with("from=")) return field.substr(5);
    }
    return {};
}

}  // namespace

StageNames::StageNames(const Program& program) : program_(program) {
    for (std::size_t at = 0; at < program.stages.size(); ++at) {
        const std::string& name = program.stages[at].name;
        if (!name.empty()) first_.try_emplace(name, at);
    }
}

std::optional<std::size_t> StageNames::find(std::string_view name, std::size_t before) const {
    const auto found = first_.find(base::to_lower(name));
    if (found == first_.end() || found->second >= before) return std::nullopt;
    return found->second;
}

std::optional<std::size_t> StageNames::find_or_number(std::string_view name,
                                                      std::size_t before) const {
    if (const auto stage = find(name, before)) return stage;
    const auto number = base::parse_int(name);
    if (!number) return std::nullopt;
    const auto count = static_cast<std::int64_t>(before);
    if (*number == count) {
        base::fail(base::ErrorKind::internal, "refers to current build stage");
    }
    if (*number < 0 || *number > count) {
        base::fail(base::ErrorKind::internal, "index out of bounds");
    }
    return static_cast<std::size_t>(*number);
}

bool StageNames::is_taken(std::size_t stage) const {
    const auto found = first_.find(program_.stages[stage].name);
    return found != first_.end() && found->second != stage;
}

StageGraph stage_graph(const Program& program, const StageNames& names,
                       const std::function<std::string(const Stage& stage)>& base_of) {
    StageGraph graph(program.stages.size());
    for (std::size_t at = 0; at < graph.size(); ++at) {
        const Stage& stage = program.stages[at];
        const auto add = [&](const std::optional<std::size_t>& found) {
            if (found) graph[at].push_back(*found);
        };
        const auto add_source = [&](const std::string& name) {
            if (name.empty()) return;
            try {
                add(names.find_or_number(name, at));
            } catch (const base::Error&) {
                // Said when the step is done.
            }
        };
        add(names.find(base_of(stage), at));
        for (const Instruction& instruction : stage.instructions) {
            if (const auto* const copy = std::get_if<Copy>(&instruction.what)) {
                add_source(copy->from);
            } else if (const auto* const run = std::get_if<Run>(&instruction.what)) {
                for (const std::string& mount : run->mounts) add_source(source_of(mount));
            }
        }
        std::ranges::sort(graph[at]);
        const auto twice = std::ranges::unique(graph[at]);
        graph[at].erase(twice.begin(), twice.end());
    }
    return graph;
}

std::vector<bool> needed_stages(const StageGraph& graph, const StageNames& names) {
    std::vector<bool> needed(graph.size());
    for (std::size_t at = graph.size(); at-- > 0;) {
        if (at + 1 == graph.size() || names.is_taken(at)) needed[at] = true;
        if (!needed[at]) continue;
        for (const std::size_t earlier : graph[at]) needed[earlier] = true;
    }
    return needed;
}

}  // namespace dockerd::build
