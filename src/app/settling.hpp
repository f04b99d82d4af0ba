#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "wiring.hpp"

namespace dockerd::app {

/// What a start leaves for later, behind the first answer: its files become durable, what the first
/// container needs is prepared once the machine had a moment for whoever waited for the daemon, and
/// memory that only the start needed is given back.
class Settling {
public:
    explicit Settling(Wiring& wiring);
    Settling(const Settling&) = delete;
    Settling& operator=(const Settling&) = delete;
    /// Waits for what has begun.
    ~Settling();

    /// Begins nothing more.
    void end();

private:
    void run();
    bool wait();

    Wiring& wiring_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ended_ = false;
    std::thread thread_;
};

}  // namespace dockerd::app
