#include "state_writer.hpp"

#include <condition_variable>
#include <mutex>

#include <dockerd/base/log.hpp>

namespace dockerd::engine {

struct StateWriter::Pending::Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
};

void StateWriter::Pending::wait() noexcept {
    if (!shared_) return;
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [&] { return shared_->done; });
}

// The block layer joins flushes that are asked for at the same time, so each write has a thread.
StateWriter::StateWriter(const store::ContainerFiles& files)
    : files_(files), pool_({.name = "states", .max_threads = 32, .stack_bytes = 128 * 1024}) {}

StateWriter::Pending StateWriter::begin(const std::string& id, store::RunState state) {
    Pending pending;
    pending.shared_ = std::make_shared<Pending::Shared>();
    auto write = [this, id, state = std::move(state), shared = pending.shared_] {
        try {
            files_.save_state(id, state);
        } catch (const std::exception& error) {
            base::log::error("container {}: saving state, ignoring: {}", id, error.what());
        }
        const std::lock_guard lock(shared->mutex);
        shared->done = true;
        shared->changed.notify_all();
    };
    try {
        pool_.post(write);
    } catch (const std::exception&) {
        write();  // no thread to be had
    }
    return pending;
}

}  // namespace dockerd::engine
