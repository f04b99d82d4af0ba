#include "build/build_run.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers/image_config.hpp"
#include "images/changes.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

// Source: moby oci/defaults.go, DefaultPathEnv.
constexpr const char* default_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What ARG has without being given. Source: buildkit frontend/dockerfile/dockerfile2llb,
/// platformargs.go.
build::ArgValues platform_arguments(const std::string& target) {
    const Platform host = Platform::host();
    const Platform wanted = target.empty() ? host : Platform::parse(target);
    build::ArgValues out;
    const auto add = [&](const std::string& prefix, const Platform& platform) {
        out[prefix + "PLATFORM"] = platform.text();
        out[prefix + "OS"] = platform.os;
        out[prefix + "ARCH"] = platform.architecture;
        out[prefix + "VARIANT"] = platform.variant;
    };
    add("BUILD", host);
    add("TARGET", wanted);
    return out;
}

}  // namespace

BuildRun::BuildRun(BuildParts& parts, const BuildOptions& options, BuildLog& log, Context* context)
    : parts_(parts),
      options_(options),
      log_(log),
      context_(context),
      args_(options.arguments, platform_arguments(options.platform)),
      host_(options.host) {
    host_.log_config.type = "none";
}

void BuildRun::select_target() {
    if (options_.target.empty()) return;
    const auto found = build::find_stage(program_, options_.target);
    if (!found) {
        base::fail(ErrorKind::invalid_argument, "target stage " + base::quote(options_.target) +
                                                    " could not be found");
    }
    program_.stages.resize(*found + 1);
}

/// Labels of the client come last, each in a step of its own.
void BuildRun::add_labels() {
    if (program_.stages.empty()) return;
    for (const auto& [key, value] : options_.labels) {
        program_.stages.back().instructions.push_back(
            {.what = build::Label{.pairs = {{key, value}}, .literal = true},
             .code = "LABEL " + key + "=" + value});
    }
}

void BuildRun::announce(const std::string& code) {
    log_.out(fmt::format("Step {}/{} : {}", ++step_, steps_, code));
    log_.out("\n");
}

std::string BuildRun::run(const std::string& dockerfile_text, const std::string& dockerfile_name) {
    const auto dockerfile = [&] {
        try {
            return build::parse_dockerfile(dockerfile_text);
        } catch (const base::Error& error) {
            // One that was fetched has no name.
            if (dockerfile_name.empty()) throw;
            throw error.with_context("failed to parse " + dockerfile_name);
        }
    }();
    escape_ = dockerfile.escape;
    program_ = build::read_program(dockerfile);
    select_target();
    add_labels();
    for (const std::string& warning : dockerfile.warnings) {
        log_.error("[WARNING]: " + warning + "\n");
    }
    if (!dockerfile.warnings.empty()) {
        log_.error("[WARNING]: Empty continuation lines will become errors in a future release.\n");
    }
    steps_ = program_.arguments.size() + program_.stages.size();
    for (const auto& stage : program_.stages) steps_ += stage.instructions.size();
    for (auto& argument : program_.arguments) {
        announce(argument.code);
        const auto known = args_.of_from();
        build::expand(argument, [&](std::string_view word) {
            return build::expand_word(word, known, escape_);
        });
        args_.declare_global(std::get<build::Arg>(argument.what));
    }
    for (const auto& stage : program_.stages) build_stage(stage);
    const auto unused = args_.unused();
    if (!unused.empty()) {
        log_.out(fmt::format("[Warning] One or more build-args [{}] were not consumed\n",
                             base::join(unused, " ")));
    }
    if (finished_.empty() || finished_.back().image_id.empty()) {
        base::fail(ErrorKind::internal, "No image was generated. Is your Dockerfile empty?");
    }
    return finished_.back().image_id;
}

StageState BuildRun::begin_stage(const build::Stage& stage) {
    const auto known = args_.of_from();
    const std::string given =
        stage.platform.empty() ? "" : build::expand_word(stage.platform, known, escape_);
    if (!given.empty()) {
        (void)base::in_context("failed to parse platform " + given,
                               [&] { return Platform::parse(given); });
    }
    const std::string platform = given.empty() ? options_.platform : given;
    const std::string base = build::expand_word(stage.base, known, escape_);
    if (base.empty()) {
        base::fail(ErrorKind::internal, "base name (" + stage.base + ") should not be blank");
    }
    StageState out{.state = {},
                   .args = args_.new_stage(),
                   .name = stage.name,
                   .image_id = {},
                   .cache = ImageCache(parts_.store, options_.cache_from)};
    const FinishedStage* const earlier = finished_stage(base);
    // A stage without steps on top of nothing is nothing.
    if (earlier != nullptr ? earlier->image_id.empty() : base == "scratch") {
        if (!platform.empty()) out.os = Platform::parse(platform).os;
    } else {
        const auto image = get_image(earlier != nullptr ? earlier->image_id : base, platform,
                                     earlier != nullptr);
        out.image_id = image->id;
        if (!image->config->os.empty()) out.os = image->config->os;
        if (image->config->config) out.state.config = *image->config->config;
    }
    auto& config = out.state.config;
    const bool has_path = std::ranges::any_of(
        config.env, [](const std::string& entry) { return entry.starts_with("PATH="); });
    if (!has_path) config.env.emplace_back(default_path);
    config.env.given = true;
    config.open_stdin = false;
    config.stdin_once = false;
    return out;
}

void BuildRun::check_cancelled() {
    if (!log_.cancellation()->is_cancelled()) return;
    log_.out("Build cancelled\n");
    base::fail(ErrorKind::internal, "Build cancelled");
}

void BuildRun::build_stage(const build::Stage& stage) {
    check_cancelled();
    const auto taken = [&](const FinishedStage& other) { return other.name == stage.name; };
    if (!stage.name.empty() && std::ranges::any_of(finished_, taken)) {
        base::fail(ErrorKind::internal, stage.name + " stage name already used");
    }
    announce(stage.code);
    StageState state = begin_stage(stage);
    run_triggers(state);
    const auto show = [&] {
        state.state.config.image = state.image_id;
        log_.out(fmt::format(" ---> {}\n", base::short_id(state.image_id)));
    };
    show();
    for (const auto& instruction : stage.instructions) {
        check_cancelled();
        announce(instruction.code);
        step(state, instruction);
        show();
    }
    if (!state.image_id.empty()) log_.image(state.image_id);
    args_.merge_used(state.args);
    finished_.push_back({state.name, state.image_id});
}

// Source: dispatchers.go, dispatchTriggeredOnBuild.
void BuildRun::run_triggers(StageState& stage) {
    const auto triggers = std::exchange(stage.state.config.on_build, {});
    if (triggers.empty()) return;
    log_.out(fmt::format("# Executing {} build trigger", triggers.size()));
    if (triggers.size() > 1) log_.out("s");
    log_.out("\n");
    for (const std::string& trigger : triggers) {
        check_cancelled();
        stage.state.config.image = stage.image_id;
        const auto parsed = build::parse_dockerfile(trigger);
        if (parsed.statements.size() != 1) {
            base::fail(ErrorKind::internal, "onbuild trigger should be a single expression");
        }
        step(stage, build::read_instruction(parsed.statements.front()));
    }
}

void BuildRun::step(StageState& stage, build::Instruction instruction) {
    std::vector<std::string> environment = stage.state.config.env;
    const auto arguments = stage.args.of_stage(environment);
    environment.insert(environment.end(), arguments.begin(), arguments.end());
    build::expand(instruction, [&](std::string_view word) {
        return build::expand_word(word, environment, escape_);
    });
    try {
        dispatch(stage, instruction);
    } catch (...) {
        remove_containers(/*failed=*/true);
        throw;
    }
    remove_containers(/*failed=*/false);
}

void BuildRun::dispatch(StageState& stage, const build::Instruction& instruction) {
    if (const auto* const run = std::get_if<build::Run>(&instruction.what)) {
        run_command(stage, *run);
        return;
    }
    if (const auto* const copy = std::get_if<build::Copy>(&instruction.what)) {
        copy_files(stage, *copy);
        return;
    }
    auto& config = stage.state.config;
    if (std::holds_alternative<build::Healthcheck>(instruction.what) && config.healthcheck) {
        const auto& test = config.healthcheck->test;
        if (!test.empty() && test.front() != "NONE") {
            log_.out(fmt::format("Note: overriding previous HEALTHCHECK: [{}]\n",
                                 base::join(test, " ")));
        }
    }
    check_stop_signal(instruction);
    if (const auto* const arg = std::get_if<build::Arg>(&instruction.what)) {
        stage.args.declare(*arg);
    }
    std::vector<std::string> environment = config.env;
    const auto arguments = stage.args.of_stage(environment);
    environment.insert(environment.end(), arguments.begin(), arguments.end());
    const std::string comment = build::apply(stage.state, instruction, environment, escape_);
    inherit_health(stage);
    if (std::holds_alternative<build::Workdir>(instruction.what)) {
        change_directory(stage, comment);
    } else {
        commit_config(stage, comment);
    }
}

/// What a health check leaves open is the parent's. Docker's images have that too, for it fills
/// one object in.
void BuildRun::inherit_health(StageState& stage) const {
    if (!stage.state.config.healthcheck || stage.image_id.empty()) return;
    const auto image = parts_.store.get_by_id(stage.image_id);
    if (!image->config->config) return;
    model::ContainerConfig merged = stage.state.config;
    merge_image_config(merged, *image->config->config);
    stage.state.config.healthcheck = merged.healthcheck;
}

bool BuildRun::find_cached(StageState& stage, const model::ContainerConfig& config) {
    if (options_.no_cache || stage.cache_missed) return false;
    const auto found = stage.cache.find(stage.image_id, config, platform_of(stage));
    if (!found) {
        stage.cache_missed = true;
        return false;
    }
    log_.out(" ---> Using cache\n");
    stage.image_id = *found;
    return true;
}

Platform BuildRun::platform_of(const StageState& stage) const {
    Platform out = options_.platform.empty() ? Platform::host() : Platform::parse(options_.platform);
    out.os = stage.os;
    return out;
}

/// A step that changes no file: an image with its parent's layers.
// Source: internals.go, commit.
void BuildRun::commit_config(StageState& stage, const std::string& comment) {
    model::ContainerConfig config = stage.state.config;
    auto command = build::shell_of(config);
    command.insert(command.end(), {"#(nop) ", comment});
    config.cmd = {};
    config.cmd.assign(command.begin(), command.end());
    if (find_cached(stage, config)) return;
    const std::string container = create_container(stage, config, nullptr);
    commit(stage, config, container, std::nullopt);
}

/// WORKDIR makes the directory where there is none.
// Source: dispatchers.go, dispatchWorkdir.
void BuildRun::change_directory(StageState& stage, const std::string& comment) {
    model::ContainerConfig config = stage.state.config;
    auto command = build::shell_of(config);
    command.push_back("#(nop) " + comment);
    config.cmd = {};
    config.cmd.assign(command.begin(), command.end());
    if (find_cached(stage, config)) return;
    const auto parent = stage.image_id.empty() ? nullptr : parts_.store.get_by_id(stage.image_id);
    WorkLayer layer(parts_.store.layers(), parent ? parent->chain_id : std::string());
    const std::string& path = stage.state.config.working_dir;
    if (path != "/") {
        try {
            (void)sys::make_directories_in_root(layer.root(), path, 0755, 0, 0);
        } catch (const base::Error& error) {
            if (error.errno_value() != ENOTDIR) throw;
            base::fail(ErrorKind::internal, "Cannot mkdir: " + path + " is not a directory");
        }
    }
    const std::string container = create_container(stage, config, nullptr);
    commit(stage, config, container, layer.stage());
}

}  // namespace dockerd::engine::builds
