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
    return run(id, [this, id, state = std::move(state)] { files_.save_state(id, state); });
}

StateWriter::Pending StateWriter::begin_relaxed(store::ContainerRecord record) {
    std::string id = record.id;
    return run(id, [this, record = std::move(record)] { files_.save_relaxed(record); });
}

StateWriter::Pending StateWriter::run(const std::string& id, std::function<void()> write) {
    Pending pending;
    pending.shared_ = std::make_shared<Pending::Shared>();
    auto job = [id, write = std::move(write), shared = pending.shared_] {
        try {
            write();
        } catch (const std::exception& error) {
            base::log::error("container {}: saving state, ignoring: {}", id, error.what());
        }
        const std::lock_guard lock(shared->mutex);
        shared->done = true;
        shared->changed.notify_all();
    };
    try {
        pool_.post(job);
    } catch (const std::exception&) {
        job();  // no thread to be had
    }
    return pending;
}

}  // namespace dockerd::engine
