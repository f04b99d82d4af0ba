#include <dockerd/base/thread.hpp>

#include <pthread.h>

#include <csignal>
#include <future>
#include <memory>
#include <utility>

#include <dockerd/base/undo.hpp>

namespace dockerd::base {

std::thread start_quiet_thread(std::function<void()> body) {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    (void)::pthread_sigmask(SIG_SETMASK, &all, &before);
    const Undo unblock([&]() noexcept { (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr); });
    return std::thread(std::move(body));
}

bool finish_within(std::chrono::milliseconds patience, std::function<void()> work) {
    const auto task = std::make_shared<std::packaged_task<void()>>(std::move(work));
    auto done = task->get_future();
    std::thread worker = start_quiet_thread([task] { (*task)(); });
    if (done.wait_for(patience) != std::future_status::ready) {
        worker.detach();
        return false;
    }
    worker.join();
    done.get();
    return true;
}

}  // namespace dockerd::base
