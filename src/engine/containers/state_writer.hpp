#pragma once

#include <memory>
#include <string>

#include <dockerd/base/worker_pool.hpp>
#include <dockerd/store/container_files.hpp>
#include <dockerd/store/run_state.hpp>

namespace dockerd::engine {

/// Makes container states durable beside the work they belong to.
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
        /// Returns when the state would survive a power cut; at once when there is none under way.
        void wait() noexcept;

    private:
        friend class StateWriter;
        struct Shared;
        std::shared_ptr<Shared> shared_;
    };

    explicit StateWriter(const store::ContainerFiles& files);

    [[nodiscard]] Pending begin(const std::string& id, store::RunState state);

private:
    const store::ContainerFiles& files_;
    base::WorkerPool pool_;
};

}  // namespace dockerd::engine
