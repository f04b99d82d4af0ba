#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/build/apply.hpp>
#include <dockerd/build/args.hpp>
#include <dockerd/build/instruction.hpp>
#include <dockerd/build/run_mount.hpp>

#include "build/build_log.hpp"
#include "build/build_run.hpp"
#include "build/cache.hpp"
#include "build/context.hpp"
#include "build/copy_target.hpp"
#include "build/download.hpp"
#include "build/git_files.hpp"
#include "build/work_layer.hpp"
#include "images/platform.hpp"

namespace dockerd::engine::builds {

/// One stage while it is built.
struct StageState {
    build::ConfigState state;
    build::Args args;
    std::string image_id;  ///< of the last step; empty on top of scratch
    std::string os = "linux";
    ImageCache cache;
    bool cache_missed = false;  ///< what follows a step that was done is done as well
};

/// One stage of a build, from its base to its last step.
///
/// Source: moby builder/dockerfile/dispatchers.go, internals.go.
/// Thread: one.
class StageRun {
public:
    /// `number`: of the stage among all of the Dockerfile.
    StageRun(BuildRun& build, std::size_t number, const BuildLog& log);

    /// Returns the id of the last step's image, empty if there is none; `log` is told everything.
    /// Throws: as BuildService::build.
    std::string run();

private:
    void announce(const std::string& code);
    StageState begin_stage();
    /// Throws: internal, "Build cancelled".
    void check_cancelled();
    void run_triggers(StageState& stage);
    void step(StageState& stage, build::Instruction instruction);
    void dispatch(StageState& stage, const build::Instruction& instruction);
    void commit_config(StageState& stage, const std::string& comment);
    void change_directory(StageState& stage, const std::string& comment);
    void inherit_health(StageState& stage) const;
    bool find_cached(StageState& stage, const model::ContainerConfig& config);
    [[nodiscard]] Platform platform_of(const StageState& stage) const;
    // base_images.cpp
    [[nodiscard]] store::ImagePtr get_image(const std::string& name, const std::string& platform,
                                            bool is_stage);
    void pull(const std::string& name, const std::string& platform);
    // step_layer.cpp
    void commit(StageState& stage, const model::ContainerConfig& config,
                const std::string& container_id, std::optional<store::StagedLayer> layer);
    [[nodiscard]] model::ContainerConfig container_config(const StageState& stage,
                                                          const model::ContainerConfig& config,
                                                          const std::string& container_id) const;
    // run_step.cpp
    void run_command(StageState& stage, const build::Run& run);
    // run_mounts.cpp
    struct StepMount {
        build::RunMount mount;
        std::string key;    ///< what the cache knows it by
        std::string image;  ///< of a bind: the image it is of; none: of the context. Of a cache: its id
        std::string path;   ///< of a bind, without links
        /// Of a cache: it begins with what is at `path`.
        SourceTree* seed = nullptr;
    };
    [[nodiscard]] std::vector<StepMount> read_mounts(const StageState& stage,
                                                     const build::Run& run);
    void find_bind(StepMount& step);
    void find_seed(StepMount& step);
    void fill_cache(const StepMount& step, int data) const;
    [[nodiscard]] std::string source_image(const std::string& from, const std::string& path);
    [[nodiscard]] std::vector<model::Mount> take_mounts(
        const std::vector<StepMount>& steps,
        std::vector<std::unique_ptr<CacheMounts::Lease>>& leases);
    // run_step.cpp, continued
    std::string create_container(const StageState& stage, model::ContainerConfig& config,
                                 const model::HostConfig* runs);
    void run_container(const std::string& id, const std::vector<std::string>& command);
    void remove_containers(bool failed);
    // copy_step.cpp
    void copy_files(StageState& stage, const build::Copy& copy);
    static void set_copy_command(model::ContainerConfig& config, const build::Copy& copy,
                                 const std::string& sum);
    [[nodiscard]] store::StagedLayer make_copy(const StageState& stage, const build::Copy& copy,
                                               const std::vector<CopyItem>& items);
    SourceTree& source_tree(const std::string& from);
    [[nodiscard]] CopyItem inline_item(const StageState& stage, const build::Heredoc& file) const;
    using Downloads = std::vector<std::unique_ptr<DownloadedFile>>;
    void add_download(std::vector<CopyItem>& items, const build::Copy& copy,
                      const std::string& url, Downloads& downloads);
    /// A repository whose files are fetched only when no earlier step has them.
    struct Repository {
        std::size_t item;
        std::unique_ptr<AddedRepository> files;
    };
    using Repositories = std::vector<Repository>;
    void add_repository(std::vector<CopyItem>& items, const build::Copy& copy, git::Source source,
                        Repositories& repositories);
    void fetch_repositories(std::vector<CopyItem>& items, const build::Copy& copy,
                            Repositories& repositories);
    void add_sources(std::vector<CopyItem>& items, const build::Copy& copy, Downloads& downloads,
                     Repositories& repositories);

    BuildRun& build_;
    const std::size_t number_;
    const build::Stage& stage_;
    BuildParts& parts_;
    const BuildOptions& options_;
    BuildLog log_;
    std::size_t step_;
    Context* context_;  ///< none: the Dockerfile came alone
    char escape_;
    model::HostConfig host_;
    /// Made by steps and not yet removed; a step without files of its own has only a name.
    struct StepContainer {
        std::string id;
        std::unique_ptr<StepNote> note;  ///< none: there is no such container
    };
    std::vector<StepContainer> containers_;
};

}  // namespace dockerd::engine::builds
