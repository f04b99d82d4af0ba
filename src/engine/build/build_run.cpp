#include "build/build_run.hpp"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/thread.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/model/reference.hpp>

#include "build/stage_run.hpp"
#include "images/platform.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

/// Of one build; each may have a container.
constexpr std::size_t max_running = 16;

/// Docker's own frontend is built in, in any version; others are programs in images.
// Differs from Docker: its classic builder takes no notice of the directive.
void check_syntax(const std::string& syntax) {
    if (syntax.empty()) return;
    const auto name = [&] {
        try {
            return model::Reference::parse(syntax).familiar_name();
        } catch (const base::Error&) {
            return syntax;
        }
    }();
    if (name == "docker/dockerfile" || name == "docker/dockerfile-upstream") return;
    base::fail(ErrorKind::invalid_argument,
               fmt::format("frontend {} is not supported by this daemon: Dockerfiles are read by the "
                           "built-in docker/dockerfile",
                           base::quote(syntax)));
}

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

BuildRun::BuildRun(BuildParts& parts, const BuildOptions& options, ProgressBoard& board,
                   const base::CancellationPtr& cancellation, Context* context)
    : parts_(parts),
      options_(options),
      board_(board),
      client_(cancellation),
      cancellation_(std::make_shared<base::Cancellation>(cancellation)),
      log_(board, cancellation),
      context_(context),
      args_(options.arguments, platform_arguments(options.platform)) {}

void BuildRun::read(const std::string& text, const std::string& name) {
    const auto dockerfile = [&] {
        try {
            return build::parse_dockerfile(text);
        } catch (const base::Error& error) {
            // One that was fetched has no name.
            if (name.empty()) throw;
            throw error.with_context("failed to parse " + name);
        }
    }();
    check_syntax(dockerfile.syntax);
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

void BuildRun::count_steps() {
    steps_ = program_.arguments.size();
    for (const auto& stage : program_.stages) {
        first_step_.push_back(steps_);
        steps_ += 1 + stage.instructions.size();
    }
}

void BuildRun::declare_arguments() {
    std::size_t step = 0;
    for (auto& argument : program_.arguments) {
        log_.step(++step, steps_, argument.code);
        const auto known = args_.of_from();
        build::expand(argument, [&](std::string_view word) {
            return build::expand_word(word, known, escape_);
        });
        args_.declare_global(std::get<build::Arg>(argument.what));
    }
}

void BuildRun::plan() {
    names_.emplace(program_);
    const auto known = args_.of_from();
    const auto graph = build::stage_graph(program_, *names_, [&](const build::Stage& stage) {
        try {
            return build::expand_word(stage.base, known, escape_);
        } catch (const base::Error&) {
            return std::string();  // said when the stage begins
        }
    });
    needed_ = build::needed_stages(graph, *names_);
    nodes_.resize(graph.size());
    for (std::size_t at = 0; at < graph.size(); ++at) {
        if (!needed_[at]) continue;
        ++left_;
        nodes_[at].missing = graph[at].size();
        for (const std::size_t earlier : graph[at]) nodes_[earlier].users.push_back(at);
        if (graph[at].empty()) ready_.insert(at);
    }
    output_.emplace(board_, cancellation_, needed_);
}

std::string BuildRun::run(const std::string& dockerfile_text, const std::string& dockerfile_name) {
    read(dockerfile_text, dockerfile_name);
    count_steps();
    declare_arguments();
    plan();
    build_stages();
    if (failure_) std::rethrow_exception(failure_);
    warn_of_unused();
    if (nodes_.empty() || nodes_.back().image_id.empty()) {
        base::fail(ErrorKind::internal, "No image was generated. Is your Dockerfile empty?");
    }
    return nodes_.back().image_id;
}

/// Stages that are ready begin in the order of the Dockerfile: the first one that is not through, which is
/// the one that is heard, is always running or the next to be.
void BuildRun::build_stages() {
    std::vector<std::thread> threads;
    const auto join = [&]() noexcept {
        for (std::thread& thread : threads) thread.join();
        threads.clear();
    };
    const base::Undo join_all(join);
    base::Lock lock(mutex_);
    while (left_ > 0 && !failure_) {
        if (ready_.empty() || workers_ >= max_running) {
            changed_.wait(lock);
            continue;
        }
        if (workers_ == 0) {
            lock.unlock();
            join();
            lock.lock();
        }
        if (workers_ == 0 && ready_.size() == 1) {
            // Nothing else becomes ready before it is through.
            build_next(lock);
            continue;
        }
        ++workers_;
        try {
            threads.push_back(base::start_quiet_thread([this] { work(); }));
        } catch (const std::system_error&) {
            // The machine has no more threads: on with those there are.
            --workers_;
            build_next(lock);
        }
    }
}

/// Builds what is ready until nothing is.
void BuildRun::work() {
    base::Lock lock(mutex_);
    while (!ready_.empty() && !failure_) build_next(lock);
    --workers_;
    changed_.notify_all();
}

void BuildRun::build_next(base::Lock& lock) {
    const std::size_t stage = *ready_.begin();
    ready_.erase(ready_.begin());
    if (nodes_[stage].state != State::waiting) return;  // somebody could not wait
    nodes_[stage].state = State::running;
    nodes_[stage].told_as = stage;
    lock.unlock();
    build_stage(stage, BuildLog(board_, cancellation_, *output_, stage));
    lock.lock();
}

/// Pre: the stage's state is `running`.
void BuildRun::build_stage(std::size_t stage, const BuildLog& log) {
    try {
        finish(stage, StageRun(*this, stage, log).run());
    } catch (...) {
        fail(stage, log.stage());
    }
}

void BuildRun::finish(std::size_t stage, const std::string& image_id) {
    if (needed_[stage]) output_->finish(stage);
    const base::Lock lock(mutex_);
    nodes_[stage].state = State::done;
    nodes_[stage].image_id = image_id;
    if (needed_[stage]) --left_;
    for (const std::size_t user : nodes_[stage].users) {
        if (--nodes_[user].missing == 0) ready_.insert(user);
    }
    changed_.notify_all();
}

void BuildRun::fail(std::size_t stage, std::size_t told_as) {
    output_->fail(told_as);
    cancellation_->cancel();
    const base::Lock lock(mutex_);
    nodes_[stage].state = State::failed;
    if (!failure_) failure_ = std::current_exception();
    changed_.notify_all();
}

std::string BuildRun::image_of(std::size_t stage, const BuildLog& log) {
    bool is_mine = false;
    {
        base::Lock lock(mutex_);
        Node& node = nodes_[stage];
        is_mine = node.state == State::waiting;
        if (is_mine) {
            node.state = State::running;
            node.told_as = needed_[stage] ? stage : log.stage();
        }
    }
    if (is_mine) {
        build_stage(stage, needed_[stage] ? BuildLog(board_, cancellation_, *output_, stage) : log);
    }
    base::Lock lock(mutex_);
    if (nodes_[stage].state == State::running) output_->hurry(nodes_[stage].told_as);
    changed_.wait(lock, [&] { return nodes_[stage].state != State::running; });
    if (nodes_[stage].state == State::failed) std::rethrow_exception(failure_);
    return nodes_[stage].image_id;
}

SourceTree& BuildRun::files_of(const std::string& chain) {
    const base::Lock lock(files_mutex_);
    return files_.try_emplace(chain, parts_.store.layers(), chain).first->second.tree;
}

build::Args BuildRun::new_arguments() {
    const base::Lock lock(mutex_);
    return args_.new_stage();
}

void BuildRun::merge_used(const build::Args& stage) {
    const base::Lock lock(mutex_);
    args_.merge_used(stage);
}

/// What a stage that was not built declares is not amiss either.
void BuildRun::warn_of_unused() {
    for (std::size_t at = 0; at < nodes_.size(); ++at) {
        if (nodes_[at].state == State::done) continue;
        for (const auto& instruction : program_.stages[at].instructions) {
            if (const auto* const arg = std::get_if<build::Arg>(&instruction.what)) {
                args_.declare(*arg);
            }
        }
    }
    const auto unused = args_.unused();
    if (unused.empty()) return;
    log_.out(fmt::format("[Warning] One or more build-args [{}] were not consumed\n",
                         base::join(unused, " ")));
}

}  // namespace dockerd::engine::builds
