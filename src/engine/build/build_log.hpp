#pragma once

#include <string>

#include <dockerd/base/cancellation.hpp>

#include "images/progress_board.hpp"

namespace dockerd::engine::builds {

/// What a build tells its client. The pieces are Docker's, for there are clients that look at
/// single ones. Source: moby pkg/streamformatter.
/// Thread: as ProgressBoard.
class BuildLog {
public:
    BuildLog(ProgressBoard& board, base::CancellationPtr cancellation)
        : board_(board), cancellation_(std::move(cancellation)) {}

    void out(std::string text) { pass({.stream = std::move(text)}); }
    /// What a command writes to its standard error is red.
    void error(const std::string& text) { out("\x1b[91m" + text + "\x1b[0m"); }
    /// The id of a stage's image.
    void image(const std::string& id) { pass({.aux_json = "{\"ID\":\"" + id + "\"}"}); }
    /// How far a download is.
    void bytes(const std::string& id, const std::string& status, std::int64_t current,
               std::int64_t total) {
        board_.bytes(id, status, current, total);
    }
    void pass(Progress progress) { board_.pass(std::move(progress), *cancellation_); }

    [[nodiscard]] const base::CancellationPtr& cancellation() const { return cancellation_; }

private:
    ProgressBoard& board_;
    base::CancellationPtr cancellation_;
};

}  // namespace dockerd::engine::builds
