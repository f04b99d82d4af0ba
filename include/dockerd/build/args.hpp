#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <dockerd/build/instruction.hpp>

namespace dockerd::build {

using ArgValues = std::map<std::string, std::optional<std::string>>;

/// Arguments of a build: what ARG declares, and what the client gives for it.
///
/// Each stage has a copy of its own: new_stage().
/// Source: moby builder/dockerfile/buildargs.go.
class Args {
public:
    /// `given`: by the client; nullopt for one that is named without a value.
    /// `predefined`: what has a value without being given, for ARG and FROM: "TARGETARCH".
    Args(ArgValues given, ArgValues predefined);

    /// For the next stage: what stands before FROM, and nothing declared.
    [[nodiscard]] Args new_stage() const;
    /// Before the first FROM.
    void declare_global(const Arg& arg);
    void declare(const Arg& arg);
    /// What a stage has used counts for the whole build.
    void merge_used(const Args& stage) { used_.insert(stage.used_.begin(), stage.used_.end()); }

    /// "K=V" of all that a FROM may use.
    [[nodiscard]] std::vector<std::string> of_from() const;
    /// "K=V" of all that is declared, sorted; what `environment` has is left out.
    [[nodiscard]] std::vector<std::string> of_stage(
        const std::vector<std::string>& environment) const;
    /// Whether the history of RUN names it: proxies do not change what a command does.
    [[nodiscard]] bool is_in_history(const std::string& key) const;
    /// Given and never declared, sorted.
    [[nodiscard]] std::vector<std::string> unused() const;

private:
    [[nodiscard]] std::vector<std::string> values(const ArgValues& declared) const;
    [[nodiscard]] std::optional<std::string> value_of(const std::string& key,
                                                      const ArgValues& declared) const;

    ArgValues given_;
    ArgValues predefined_;
    ArgValues globals_;
    ArgValues declared_;
    std::set<std::string> used_;
};

}  // namespace dockerd::build
