#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define DOCKERD_TSA(x) __attribute__((x))
#else
#define DOCKERD_TSA(x)
#endif
#define DOCKERD_GUARDED_BY(m) DOCKERD_TSA(guarded_by(m))
#define DOCKERD_REQUIRES(...) DOCKERD_TSA(requires_capability(__VA_ARGS__))

namespace dockerd::base {

/// A std::mutex that clang's thread-safety analysis understands.
class DOCKERD_TSA(capability("mutex")) Mutex {
public:
    enum class Held { for_moments, for_seconds };

    /// What is held for seconds is waited for in a LongWait (worker_pool.hpp).
    explicit Mutex(Held held = Held::for_moments) : held_(held) {}
    /// Waits until it is free.
    void lock() DOCKERD_TSA(acquire_capability()) {
        if (held_ == Held::for_moments) {
            raw_.lock();
        } else if (!raw_.try_lock()) {
            lock_in_long_wait();
        }
    }
    void unlock() DOCKERD_TSA(release_capability()) { raw_.unlock(); }
    bool try_lock() DOCKERD_TSA(try_acquire_capability(true)) { return raw_.try_lock(); }

private:
    void lock_in_long_wait();

    std::mutex raw_;
    const Held held_;
};

/// Holds a Mutex for a scope. Also a BasicLockable, for std::condition_variable_any.
class DOCKERD_TSA(scoped_lockable) Lock {
public:
    explicit Lock(Mutex& mutex) DOCKERD_TSA(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() DOCKERD_TSA(release_capability()) {
        if (held_) mutex_.unlock();
    }

    /// Takes the mutex again after unlock().
    void lock() DOCKERD_TSA(acquire_capability()) {
        mutex_.lock();
        held_ = true;
    }
    /// Gives the mutex up before the scope ends.
    void unlock() DOCKERD_TSA(release_capability()) {
        mutex_.unlock();
        held_ = false;
    }

private:
    Mutex& mutex_;
    bool held_ = true;
};

}  // namespace dockerd::base
