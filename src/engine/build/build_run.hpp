#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/build/args.hpp>
#include <dockerd/build/dockerfile.hpp>
#include <dockerd/build/instruction.hpp>
#include <dockerd/build/stages.hpp>

#include "build/build_log.hpp"
#include "build/builds.hpp"
#include "build/context.hpp"
#include "build/stage_output.hpp"
#include "build/work_layer.hpp"

namespace dockerd::engine::builds {

/// One build from its Dockerfile to an image without a name.
///
/// The stages that the target needs are built, each as soon as those it takes from are, side by side.
/// The first failure ends the others, and is the build's.
/// Source: moby builder/dockerfile/builder.go.
/// Thread: one calls run(); what stages ask may be called from any of theirs.
class BuildRun {
public:
    BuildRun(BuildParts& parts, const BuildOptions& options, ProgressBoard& board,
             const base::CancellationPtr& cancellation, Context* context);

    /// Returns the image's id. Throws: as BuildService::build.
    std::string run(const std::string& dockerfile_text, const std::string& dockerfile_name);

    // What stages ask.
    [[nodiscard]] BuildParts& parts() const { return parts_; }
    [[nodiscard]] const BuildOptions& options() const { return options_; }
    [[nodiscard]] Context* context() const { return context_; }
    [[nodiscard]] const build::Program& program() const { return program_; }
    [[nodiscard]] const build::StageNames& names() const { return *names_; }
    [[nodiscard]] char escape() const { return escape_; }
    /// All steps there are up to the target, also of stages that are not built.
    [[nodiscard]] std::size_t steps() const { return steps_; }
    [[nodiscard]] std::size_t steps_before(std::size_t stage) const { return first_step_[stage]; }
    /// For a stage: those before the first FROM are declared.
    [[nodiscard]] build::Args new_arguments();
    void merge_used(const build::Args& stage);
    /// The image of an earlier stage; empty if that has none. One that nobody knew to be needed is
    /// built here and now, and told in `log`. Throws: as StageRun::run.
    std::string image_of(std::size_t stage, const BuildLog& log);
    /// The files of an image, mounted until the build is through.
    SourceTree& files_of(const std::string& chain);

private:
    enum class State { waiting, running, done, failed };
    struct Node {
        State state = State::waiting;
        std::string image_id;
        std::size_t told_as = 0;          ///< the stage whose text its own is part of
        std::size_t missing = 0;          ///< needed stages that are not done
        std::vector<std::size_t> users;   ///< needed stages that wait for this one
    };
    void read(const std::string& text, const std::string& name);
    void select_target();
    void add_labels();
    void count_steps();
    void declare_arguments();
    void plan();
    void build_stages();
    void work();
    void build_next(base::Lock& lock);
    void build_stage(std::size_t stage, const BuildLog& log);
    void finish(std::size_t stage, const std::string& image_id);
    void fail(std::size_t stage, std::size_t told_as);
    void warn_of_unused();

    BuildParts& parts_;
    const BuildOptions& options_;
    ProgressBoard& board_;
    base::CancellationPtr client_;
    base::CancellationPtr cancellation_;  ///< the client's, and that a stage failed
    BuildLog log_;
    Context* context_;
    build::Program program_;
    std::optional<build::StageNames> names_;
    build::Args args_;
    char escape_ = '\\';
    std::size_t steps_ = 0;
    std::vector<std::size_t> first_step_;
    std::vector<bool> needed_;
    std::optional<StageOutput> output_;

    base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::vector<Node> nodes_;
    std::set<std::size_t> ready_;
    std::size_t workers_ = 0;
    std::size_t left_ = 0;
    std::exception_ptr failure_;

    base::Mutex files_mutex_;
    std::map<std::string, ImageFiles> files_;
};

}  // namespace dockerd::engine::builds
