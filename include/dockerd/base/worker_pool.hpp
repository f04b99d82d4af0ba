#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace dockerd::base {

/// Threads made when there is work for them and gone again when there is none for a while.
///
/// The thread that became idle last works next, so the rest can leave.
class WorkerPool {
public:
    struct Options {
        std::string name = "pool";  ///< thread name, up to 15 characters
        std::size_t max_threads = 64;  ///< without those in a LongWait
        std::size_t max_waiting = 4096;  ///< threads in a LongWait that others take the place of
        std::size_t stack_bytes = 512 * 1024;  ///< address space; only touched pages are memory
        std::chrono::milliseconds idle{10'000};
    };

    explicit WorkerPool(Options options);
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    /// Waits for the running jobs and drops the queued ones.
    ~WorkerPool();

    /// Queues a job. Thread: any. An exception that leaves the job is logged and dropped.
    void post(std::function<void()> job);

    /// Threads alive now.
    [[nodiscard]] std::size_t threads() const;
    /// Jobs running or queued.
    [[nodiscard]] std::size_t pending() const;

private:
    friend class LongWait;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// For as long as it lives, the pool of the calling thread may have another one in its place.
///
/// For waits on what may take seconds, or on what another request has to bring about: the end of a
/// container, a client that reads slowly. Without, as many of them as the pool has threads
/// would keep everybody else waiting. On a thread of no pool it does nothing.
class LongWait {
public:
    LongWait();
    LongWait(const LongWait&) = delete;
    LongWait& operator=(const LongWait&) = delete;
    ~LongWait();
};

}  // namespace dockerd::base
