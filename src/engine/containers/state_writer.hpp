#pragma once

#include <functional>
#include <memory>
#include <string>

#include <dockerd/base/worker_pool.hpp>
#include <dockerd/store/container_files.hpp>
#include <dockerd/store/run_state.hpp>

namespace dockerd::engine {

/// Writes container states and records beside the work they belong to.
///
/// Thread: any; the caller serialises one container's states by its `operation` lock, which it
/// holds until the write is over.
class StateWriter {
public:
    /// A write under way. Trouble with the disk is only logged: the container runs all the same.
    class Pending {
    public:
        Pending() = default;
        Pending(Pending&&) = default;
        Pending& operator=(Pending&&) = delete;
        ~Pending() { wait(); }
        /// Returns when it is written; at once when nothing is under way.
        void wait() noexcept;

    private:
        friend class StateWriter;
        struct Shared;
        std::shared_ptr<Shared> shared_;
    };

    explicit StateWriter(const store::ContainerFiles& files);

    /// The state would survive a power cut when it is written.
    [[nodiscard]] Pending begin(const std::string& id, store::RunState state);
    /// The record survives a death of the daemon when it is written.
    [[nodiscard]] Pending begin_relaxed(store::ContainerRecord record);

private:
    Pending run(const std::string& id, std::function<void()> write);

    const store::ContainerFiles& files_;
    base::WorkerPool pool_;
};

}  // namespace dockerd::engine
