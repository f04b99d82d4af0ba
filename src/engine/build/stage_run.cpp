#include "build/stage_run.hpp"

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

}  // namespace

StageRun::StageRun(BuildRun& build, std::size_t number, const BuildLog& log)
    : build_(build),
      number_(number),
      stage_(build.program().stages[number]),
      parts_(build.parts()),
      options_(build.options()),
      log_(log),
      step_(build.steps_before(number)),
      context_(build.context()),
      escape_(build.escape()),
      host_(options_.host) {
    host_.log_config.type = "none";
}

void StageRun::announce(const std::string& code) { log_.step(++step_, build_.steps(), code); }

StageState StageRun::begin_stage() {
    const auto& stage = stage_;
    const auto arguments = build_.new_arguments();
    const auto known = arguments.of_from();
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
                   .args = arguments,
                   .image_id = {},
                   .cache = ImageCache(parts_.store, options_.cache_from)};
    const auto earlier = build_.names().find(base, number_);
    const std::string found = earlier ? build_.image_of(*earlier, log_) : base;
    // A stage without steps on top of nothing is nothing.
    if (earlier ? found.empty() : base == "scratch") {
        if (!platform.empty()) out.os = Platform::parse(platform).os;
    } else {
        const auto image = get_image(found, platform, earlier.has_value());
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

void StageRun::check_cancelled() {
    if (!log_.cancellation()->is_cancelled()) return;
    log_.out("Build cancelled\n");
    base::fail(ErrorKind::internal, "Build cancelled");
}

std::string StageRun::run() {
    check_cancelled();
    if (build_.names().is_taken(number_)) {
        base::fail(ErrorKind::internal, stage_.name + " stage name already used");
    }
    announce(stage_.code);
    StageState state = begin_stage();
    run_triggers(state);
    const auto show = [&] {
        state.state.config.image = state.image_id;
        log_.out(fmt::format(" ---> {}\n", base::short_id(state.image_id)));
    };
    show();
    for (const auto& instruction : stage_.instructions) {
        check_cancelled();
        announce(instruction.code);
        step(state, instruction);
        show();
    }
    if (!state.image_id.empty()) log_.image(state.image_id);
    build_.merge_used(state.args);
    return state.image_id;
}

// Source: dispatchers.go, dispatchTriggeredOnBuild.
void StageRun::run_triggers(StageState& stage) {
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

void StageRun::step(StageState& stage, build::Instruction instruction) {
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

void StageRun::dispatch(StageState& stage, const build::Instruction& instruction) {
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
void StageRun::inherit_health(StageState& stage) const {
    if (!stage.state.config.healthcheck || stage.image_id.empty()) return;
    const auto image = parts_.store.get_by_id(stage.image_id);
    if (!image->config->config) return;
    model::ContainerConfig merged = stage.state.config;
    merge_image_config(merged, *image->config->config);
    stage.state.config.healthcheck = merged.healthcheck;
}

bool StageRun::find_cached(StageState& stage, const model::ContainerConfig& config) {
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

Platform StageRun::platform_of(const StageState& stage) const {
    Platform out = options_.platform.empty() ? Platform::host() : Platform::parse(options_.platform);
    out.os = stage.os;
    return out;
}

/// A step that changes no file: an image with its parent's layers.
// Source: internals.go, commit.
void StageRun::commit_config(StageState& stage, const std::string& comment) {
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
void StageRun::change_directory(StageState& stage, const std::string& comment) {
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
