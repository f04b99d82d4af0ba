#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/build/apply.hpp>
#include <dockerd/build/args.hpp>
#include <dockerd/build/dockerfile.hpp>
#include <dockerd/build/instruction.hpp>
#include <dockerd/build/run_mount.hpp>

#include "build/build_log.hpp"
#include "build/builds.hpp"
#include "build/cache.hpp"
#include "build/context.hpp"
#include "build/copy_target.hpp"
#include "build/download.hpp"
#include "images/platform.hpp"

namespace dockerd::engine::builds {

/// One stage while it is built.
struct StageState {
    build::ConfigState state;
    build::Args args;
    std::string name;
    std::string image_id;  ///< of the last step; empty on top of scratch
    std::string os = "linux";
    ImageCache cache;
    bool cache_missed = false;  ///< what follows a step that was done is done as well
};

/// A writable layer of the build's own, gone with this.
class WorkLayer {
public:
    WorkLayer(store::Layers& layers, const std::string& parent_chain);
    WorkLayer(const WorkLayer&) = delete;
    WorkLayer& operator=(const WorkLayer&) = delete;
    ~WorkLayer();

    /// Its files; a mount that knows no devices.
    [[nodiscard]] int root() const { return tree_.get(); }
    /// What was changed, as a layer. Nothing may be changed afterwards.
    [[nodiscard]] store::StagedLayer stage();

private:
    void unmount() noexcept;

    store::Layers& layers_;
    std::string id_;
    base::Fd tree_;
    bool mounted_ = false;
};

/// The files of an image, to be copied from.
struct ImageFiles {
    ImageFiles(store::Layers& layers, const std::string& chain)
        : layer(layers, chain), tree(layer.root()) {}
    WorkLayer layer;
    SourceTree tree;
};

/// One build from its Dockerfile to an image without a name.
///
/// Source: moby builder/dockerfile/builder.go, dispatchers.go, internals.go.
/// Thread: one.
class BuildRun {
public:
    BuildRun(BuildParts& parts, const BuildOptions& options, BuildLog& log, Context* context);

    /// Returns the image's id. Throws: as BuildService::build.
    std::string run(const std::string& dockerfile_text, const std::string& dockerfile_name);

private:
    struct FinishedStage {
        std::string name;
        std::string image_id;
    };
    // build_run.cpp
    void select_target();
    void add_labels();
    void announce(const std::string& code);
    StageState begin_stage(const build::Stage& stage);
    /// Throws: internal, "Build cancelled".
    void check_cancelled();
    void build_stage(const build::Stage& stage);
    void run_triggers(StageState& stage);
    void step(StageState& stage, build::Instruction instruction);
    void dispatch(StageState& stage, const build::Instruction& instruction);
    void commit_config(StageState& stage, const std::string& comment);
    void change_directory(StageState& stage, const std::string& comment);
    void inherit_health(StageState& stage) const;
    bool find_cached(StageState& stage, const model::ContainerConfig& config);
    [[nodiscard]] Platform platform_of(const StageState& stage) const;
    // base_images.cpp
    [[nodiscard]] const FinishedStage* finished_stage(const std::string& name) const;
    [[nodiscard]] const FinishedStage* finished_stage_or_number(const std::string& name) const;
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
        std::string image;  ///< of a bind: the image it is of; none: of the context
        std::string path;   ///< of a bind, without links
    };
    [[nodiscard]] std::vector<StepMount> read_mounts(const StageState& stage,
                                                     const build::Run& run);
    void find_bind(StepMount& step);
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
    SourceTree& source_tree(const std::string& from, std::optional<ImageFiles>& files);
    [[nodiscard]] CopyItem inline_item(const StageState& stage, const build::Heredoc& file) const;
    using Downloads = std::vector<std::unique_ptr<DownloadedFile>>;
    void add_download(std::vector<CopyItem>& items, const build::Copy& copy,
                      const std::string& url, Downloads& downloads);

    BuildParts& parts_;
    const BuildOptions& options_;
    BuildLog& log_;
    Context* context_;  ///< none: the Dockerfile came alone
    build::Program program_;
    build::Args args_;
    model::HostConfig host_;
    char escape_ = '\\';
    std::size_t step_ = 0;
    std::size_t steps_ = 0;
    std::vector<FinishedStage> finished_;
    /// Made by steps and not yet removed; a step without files of its own has only a name.
    struct StepContainer {
        std::string id;
        bool exists = true;
    };
    std::vector<StepContainer> containers_;
};

}  // namespace dockerd::engine::builds
