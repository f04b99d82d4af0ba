#include "images/progress_board.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <exception>
#include <thread>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/thread.hpp>
#include <dockerd/base/worker_pool.hpp>

namespace dockerd::engine {
namespace {

// Source: moby pkg/progress/progressreader.go.
constexpr std::int64_t largest_step = 512 * 1024;
constexpr std::chrono::milliseconds pace{100};
/// Of a client that does not read.
constexpr std::size_t max_waiting = 1000;

}  // namespace

ProgressBoard::ProgressBoard() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) base::throw_errno(errno, "eventfd");
}

void ProgressBoard::wake() noexcept {
    const std::uint64_t one = 1;
    (void)::write(event_.get(), &one, sizeof one);  // full is readable as well
}

void ProgressBoard::push(Progress progress) {
    bool first = false;
    {
        const base::Lock lock(mutex_);
        first = queue_.empty();
        queue_.push_back(std::move(progress));
    }
    // Else somebody is awake, or will be, who takes them all.
    if (first) wake();
}

void ProgressBoard::message(const std::string& id, const std::string& status) {
    push({.status = status, .id = id});
}

void ProgressBoard::action(const std::string& id, const std::string& status) {
    push({.status = status, .id = id, .action = true});
}

void ProgressBoard::aux(const std::string& json) { push({.action = true, .aux_json = json}); }

void ProgressBoard::bytes(const std::string& id, const std::string& status, std::int64_t current,
                          std::int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    {
        const base::Lock lock(mutex_);
        Pace& last = paces_[id];
        if (last.status != status) last = {.status = status, .told = 0, .at = {}};
        const std::int64_t step =
            total > 0 ? std::min<std::int64_t>(total / 100, largest_step) : largest_step;
        const bool end = current == total;
        if (!end && (current - last.told <= step || now - last.at < pace ||
                     queue_.size() > max_waiting)) {
            return;
        }
        if (end && last.told == current) return;
        last.told = current;
        last.at = now;
        queue_.push_back({.status = status, .id = id, .current = current, .total = total,
                          .action = true});
    }
    wake();
}

void ProgressBoard::pass(Progress progress, const base::Cancellation& cancellation) {
    bool first = false;
    {
        base::Lock lock(mutex_);
        (void)room_.wait(lock, cancellation.token(),
                         [&] { return queue_.size() < max_waiting; });
        first = queue_.empty();
        queue_.push_back(std::move(progress));
    }
    if (first) wake();
}

std::deque<Progress> ProgressBoard::take() {
    std::uint64_t count = 0;
    (void)::read(event_.get(), &count, sizeof count);  // nothing there: somebody was quicker
    const base::Lock lock(mutex_);
    room_.notify_all();
    return std::exchange(queue_, {});
}

void run_watched(int connection, const ProgressSink& progress,
                 const base::CancellationPtr& cancellation,
                 const std::function<void(ProgressBoard&)>& work) {
    ProgressBoard board;
    std::exception_ptr failure;
    std::atomic<bool> done{false};
    std::thread worker = base::start_quiet_thread([&] {
        try {
            work(board);
        } catch (...) {
            failure = std::current_exception();
        }
        done = true;
        board.wake();
    });
    std::exception_ptr client;
    const auto show = [&] {
        for (const Progress& step : board.take()) {
            if (client) return;
            try {
                progress(step);
            } catch (const base::Error&) {
                // Nobody reads any more: the rest is not worth the work.
                client = std::current_exception();
                cancellation->cancel();
            }
        }
    };
    while (!done) {
        const bool watching = connection >= 0 && !cancellation->is_cancelled();
        std::array<pollfd, 2> entries{
            pollfd{.fd = board.fd(), .events = POLLIN, .revents = 0},
            pollfd{.fd = watching ? connection : -1, .events = POLLRDHUP, .revents = 0}};
        {
            const base::LongWait wait;
            (void)::poll(entries.data(), entries.size(), -1);  // interrupted: looked at again
        }
        if ((entries[1].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) cancellation->cancel();
        show();
    }
    worker.join();
    show();
    if (failure) std::rethrow_exception(failure);
    if (client) std::rethrow_exception(client);
}

}  // namespace dockerd::engine
