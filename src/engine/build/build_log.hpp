#pragma once

#include <string>

#include <fmt/format.h>

#include <dockerd/base/cancellation.hpp>

#include "build/stage_output.hpp"
#include "images/progress_board.hpp"

namespace dockerd::engine::builds {

/// What a build tells its client. The pieces are Docker's, for there are clients that look at
/// single ones. Source: moby pkg/streamformatter.
/// Thread: as ProgressBoard.
class BuildLog {
public:
    BuildLog(ProgressBoard& board, base::CancellationPtr cancellation)
        : board_(board), cancellation_(std::move(cancellation)) {}
    /// Of one stage.
    BuildLog(ProgressBoard& board, base::CancellationPtr cancellation, StageOutput& output,
             std::size_t stage)
        : board_(board), cancellation_(std::move(cancellation)), output_(&output), stage_(stage) {}

    void out(std::string text) { pass({.stream = std::move(text)}); }
    /// What a command writes to its standard error is red.
    void error(const std::string& text) { out("\x1b[91m" + text + "\x1b[0m"); }
    void step(std::size_t number, std::size_t count, const std::string& code) {
        out(fmt::format("Step {}/{} : {}", number, count, code));
        out("\n");
    }
    /// The id of a stage's image.
    void image(const std::string& id) { pass({.aux_json = "{\"ID\":\"" + id + "\"}"}); }
    /// How far a download is.
    void bytes(const std::string& id, const std::string& status, std::int64_t current,
               std::int64_t total) {
        if (output_ != nullptr && !output_->is_heard(stage_)) return;
        board_.bytes(id, status, current, total);
    }
    void pass(Progress progress) {
        if (output_ != nullptr) {
            output_->pass(stage_, std::move(progress));
        } else {
            board_.pass(std::move(progress), *cancellation_);
        }
    }

    /// Of the client, and of a stage because another one failed.
    [[nodiscard]] const base::CancellationPtr& cancellation() const { return cancellation_; }
    /// The stage whose text this is.
    [[nodiscard]] std::size_t stage() const { return stage_; }

private:
    ProgressBoard& board_;
    base::CancellationPtr cancellation_;
    StageOutput* output_ = nullptr;
    std::size_t stage_ = 0;
};

}  // namespace dockerd::engine::builds
