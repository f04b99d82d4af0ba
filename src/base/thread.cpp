#include <dockerd/base/thread.hpp>

#include <pthread.h>

#include <csignal>
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

}  // namespace dockerd::base
