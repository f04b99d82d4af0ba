#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dockerd/build/instruction.hpp>

namespace dockerd::build {

/// Finds the stages that FROM, --from and mounts name. The program outlives it.
class StageNames {
public:
    explicit StageNames(const Program& program);

    /// The stage of that name, in any case, among those before `before`.
    [[nodiscard]] std::optional<std::size_t> find(std::string_view name, std::size_t before) const;
    /// The same for what may be a stage's number instead.
    /// Throws: internal, "refers to current build stage", "index out of bounds".
    /// Source: moby builder/dockerfile/evaluator.go, stagesBuildResults.get.
    [[nodiscard]] std::optional<std::size_t> find_or_number(std::string_view name,
                                                            std::size_t before) const;
    /// Whether an earlier stage has this one's name already.
    [[nodiscard]] bool is_taken(std::size_t stage) const;

private:
    const Program& program_;
    std::unordered_map<std::string, std::size_t> first_;
};

/// By stage: the earlier ones it takes files from or stands on, each once, as far as the text says.
/// What variables of a stage or triggers of its base name is not known before it is built.
using StageGraph = std::vector<std::vector<std::size_t>>;
/// `base_of`: the base of a stage, with variables filled in; empty when that fails.
StageGraph stage_graph(const Program& program, const StageNames& names,
                       const std::function<std::string(const Stage& stage)>& base_of);

/// The stages that the last one cannot do without, and those whose name is taken: they are an error.
std::vector<bool> needed_stages(const StageGraph& graph, const StageNames& names);

}  // namespace dockerd::build
