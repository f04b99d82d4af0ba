#include <dockerd/base/worker_pool.hpp>

#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::base {

/// One mutex for all: a job costs far more than taking it. Each idle thread has its own
/// condition variable, so the one that slept last can be woken first.
struct WorkerPool::Impl {
    struct Sleeper {
        std::condition_variable wake;
        bool awake = false;
    };

    explicit Impl(Options chosen) : options(std::move(chosen)) {}

    void run_thread();
    void run_job(std::function<void()> job) const;
    bool sleep(std::unique_lock<std::mutex>& lock);
    void wake_one();
    void spawn();
    /// Threads that are not in a LongWait.
    [[nodiscard]] std::size_t active() const { return threads - std::min(waiting, threads); }
    [[nodiscard]] bool has_room() const { return active() < options.max_threads; }
    bool begin_wait();
    void end_wait();

    static void* entry(void* self) {
        static_cast<Impl*>(self)->run_thread();
        return nullptr;
    }

    const Options options;
    mutable std::mutex mutex;
    std::condition_variable gone;
    std::deque<std::function<void()>> queue;
    std::vector<Sleeper*> idle;
    std::size_t threads = 0;
    std::size_t running = 0;
    std::size_t waiting = 0;  ///< in a LongWait, up to max_waiting
    bool stopping = false;

    static thread_local Impl* mine;      ///< the calling thread's pool
    static thread_local int wait_depth;  ///< LongWaits of the calling thread, one in another
    static thread_local bool wait_counts;
};

thread_local WorkerPool::Impl* WorkerPool::Impl::mine = nullptr;
thread_local int WorkerPool::Impl::wait_depth = 0;
thread_local bool WorkerPool::Impl::wait_counts = false;

/// Takes the job over: what it holds may post to this pool when it goes, so that is without the
/// lock.
void WorkerPool::Impl::run_job(std::function<void()> job) const {
    try {
        const std::function<void()> own = std::move(job);
        own();
    } catch (const std::exception& error) {
        log::error("job in pool {} failed: {}", options.name, error.what());
    } catch (...) {
        log::error("job in pool {} failed", options.name);
    }
}

/// Waits for work. False when the thread should end.
bool WorkerPool::Impl::sleep(std::unique_lock<std::mutex>& lock) {
    if (stopping) return false;
    Sleeper self;
    idle.push_back(&self);
    const auto deadline = std::chrono::steady_clock::now() + options.idle;
    const bool woken = self.wake.wait_until(lock, deadline, [&] { return self.awake || stopping; });
    if (!self.awake) std::erase(idle, &self);
    return woken && !stopping;
}

/// Pre: the mutex is held and a thread is idle.
void WorkerPool::Impl::wake_one() {
    Sleeper* const sleeper = idle.back();
    idle.pop_back();
    sleeper->awake = true;
    sleeper->wake.notify_one();
}

void WorkerPool::Impl::run_thread() {
    (void)::pthread_setname_np(::pthread_self(), options.name.substr(0, 15).c_str());
    mine = this;
    std::unique_lock lock(mutex);
    while (true) {
        while (!queue.empty() && !stopping && active() <= options.max_threads) {
            std::function<void()> job = std::move(queue.front());
            queue.pop_front();
            ++running;
            lock.unlock();
            run_job(std::move(job));
            lock.lock();
            --running;
        }
        // One too many since a wait is over: the others do the work, also what this one was woken
        // for.
        if (active() > options.max_threads) {
            if (!queue.empty() && !idle.empty()) wake_one();
            break;
        }
        if (sleep(lock) || (!stopping && !queue.empty())) continue;
        if (stopping || threads > 1) break;
        // The last one, after a quiet time: what a crowd needed lies about the heap in pieces.
        lock.unlock();
        (void)::malloc_trim(0);
        lock.lock();
        if (stopping || queue.empty()) break;
    }
    --threads;
    // Notified under the lock: the destructor may free `this` as soon as it gets it.
    gone.notify_all();
}

/// Pre: the mutex is held and there is room for one more.
void WorkerPool::Impl::spawn() {
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, options.stack_bytes);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);

    // Signals are for the main thread.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int failure = ::pthread_create(&thread, &attributes, &Impl::entry, this);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);

    if (failure == 0) {
        ++threads;
    } else if (threads == 0) {
        throw_errno(failure, "pthread_create");
    }
}

/// False when too many wait already: this one then keeps its place.
bool WorkerPool::Impl::begin_wait() {
    const std::lock_guard lock(mutex);
    if (waiting >= options.max_waiting) return false;
    ++waiting;
    if (!queue.empty() && !stopping && has_room()) spawn();
    return true;
}

void WorkerPool::Impl::end_wait() {
    const std::lock_guard lock(mutex);
    --waiting;
}

LongWait::LongWait() {
    using Pool = WorkerPool::Impl;
    if (Pool::mine == nullptr || Pool::wait_depth++ > 0) return;
    Pool::wait_counts = Pool::mine->begin_wait();
}

LongWait::~LongWait() {
    using Pool = WorkerPool::Impl;
    if (Pool::mine == nullptr || --Pool::wait_depth > 0) return;
    if (Pool::wait_counts) Pool::mine->end_wait();
}

void Mutex::lock_in_long_wait() {
    const LongWait wait;
    raw_.lock();
}

WorkerPool::WorkerPool(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

WorkerPool::~WorkerPool() {
    std::deque<std::function<void()>> dropped;
    std::unique_lock lock(impl_->mutex);
    impl_->stopping = true;
    dropped.swap(impl_->queue);
    for (Impl::Sleeper* sleeper : impl_->idle) sleeper->wake.notify_one();
    impl_->gone.wait(lock, [&] { return impl_->threads == 0; });
}

void WorkerPool::post(std::function<void()> job) {
    // `job` outlives the lock: what it holds may post when it goes.
    const std::lock_guard lock(impl_->mutex);
    if (impl_->stopping) return;
    impl_->queue.push_back(std::move(job));
    if (!impl_->idle.empty()) {
        impl_->wake_one();
    } else if (impl_->has_room()) {
        try {
            impl_->spawn();
        } catch (...) {
            job = std::move(impl_->queue.back());
            impl_->queue.pop_back();
            throw;
        }
    }
}

std::size_t WorkerPool::threads() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->threads;
}

std::size_t WorkerPool::pending() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->running + impl_->queue.size();
}

}  // namespace dockerd::base
