#pragma once

#include <condition_variable>
#include <optional>
#include <vector>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/images.hpp>

#include "images/progress_board.hpp"

namespace dockerd::engine::builds {

/// Puts what stages tell at the same time into the order of the Dockerfile.
///
/// The first stage that is not through is heard at once; what the others tell is kept until it is their
/// turn, and they wait when that gets too much.
/// Thread: any; each stage has one.
class StageOutput {
public:
    /// `shown`: the stages that will be built.
    StageOutput(ProgressBoard& board, base::CancellationPtr cancellation,
                const std::vector<bool>& shown);

    /// Throws: internal, "stages that wait for each other tell too much".
    void pass(std::size_t stage, Progress progress);
    /// Whether what the stage tells is heard at once.
    [[nodiscard]] bool is_heard(std::size_t stage);
    /// Somebody whose turn may be earlier waits for the stage: it waits for nobody, and fails when it tells
    /// too much.
    void hurry(std::size_t stage);
    /// The stage has told everything.
    void finish(std::size_t stage);
    /// The stage has failed, and what others tell from now on is not worth hearing. What was heard of
    /// the first one is followed by the failed one's text. Only the first call counts.
    void fail(std::size_t stage);

private:
    struct Held {
        std::vector<Progress> told;
        std::size_t bytes = 0;
        bool done = false;
        bool hurried = false;
    };
    void drain();
    /// What is to be told next; nothing when that has to come first.
    std::vector<Progress> take();

    ProgressBoard& board_;
    base::CancellationPtr cancellation_;
    base::Mutex telling_;  ///< taken before mutex_; held while the client is waited for
    base::Mutex mutex_;
    std::condition_variable_any room_;
    std::vector<Held> stages_;
    std::size_t front_ = 0;
    std::optional<std::size_t> failed_;
};

}  // namespace dockerd::engine::builds
