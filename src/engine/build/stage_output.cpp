#include "build/stage_output.hpp"

#include <utility>

#include <dockerd/base/error.hpp>

namespace dockerd::engine::builds {
namespace {

/// Of a stage that is not heard yet.
constexpr std::size_t max_held = 1UL << 20U;
/// Of one that cannot wait.
constexpr std::size_t max_hurried = 64UL << 20U;

}  // namespace

StageOutput::StageOutput(ProgressBoard& board, base::CancellationPtr cancellation,
                         const std::vector<bool>& shown)
    : board_(board), cancellation_(std::move(cancellation)), stages_(shown.size()) {
    for (std::size_t at = 0; at < shown.size(); ++at) stages_[at].done = !shown[at];
    while (front_ < stages_.size() && stages_[front_].done) ++front_;
}

void StageOutput::pass(std::size_t stage, Progress progress) {
    {
        base::Lock lock(mutex_);
        if (failed_ && *failed_ != stage) return;
        Held& held = stages_[stage];
        held.bytes += progress.stream.size() + sizeof progress;
        held.told.push_back(std::move(progress));
        if (stage != front_) {
            (void)room_.wait(lock, cancellation_->token(),
                             [&] {
                                 return stage == front_ || held.hurried || held.bytes < max_held;
                             });
            if (stage != front_ && held.bytes > max_hurried) {
                base::fail(base::ErrorKind::internal,
                           "stages that wait for each other tell too much");
            }
            return;
        }
    }
    drain();
}

bool StageOutput::is_heard(std::size_t stage) {
    const base::Lock lock(mutex_);
    return stage == front_ && !failed_;
}

void StageOutput::hurry(std::size_t stage) {
    const base::Lock lock(mutex_);
    stages_[stage].hurried = true;
    room_.notify_all();
}

void StageOutput::finish(std::size_t stage) {
    {
        const base::Lock lock(mutex_);
        stages_[stage].done = true;
    }
    drain();
}

void StageOutput::fail(std::size_t stage) {
    drain();
    {
        const base::Lock lock(mutex_);
        if (failed_) return;
        failed_ = stage;
        front_ = stage;
        room_.notify_all();
    }
    drain();
}

std::vector<Progress> StageOutput::take() {
    const base::Lock lock(mutex_);
    while (front_ < stages_.size()) {
        Held& held = stages_[front_];
        if (!held.told.empty()) {
            held.bytes = 0;
            return std::exchange(held.told, {});
        }
        if (!held.done) break;
        ++front_;
        room_.notify_all();
    }
    return {};
}

void StageOutput::drain() {
    const base::Lock telling(telling_);
    while (true) {
        auto next = take();
        if (next.empty()) return;
        for (Progress& progress : next) board_.pass(std::move(progress), *cancellation_);
    }
}

}  // namespace dockerd::engine::builds
