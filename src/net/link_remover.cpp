#include "link_remover.hpp"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/base/thread.hpp>
#include <dockerd/sys/netlink.hpp>

#include "link.hpp"

namespace dockerd::net {

namespace {

constexpr std::chrono::milliseconds last_patience{2000};
constexpr std::chrono::milliseconds retirement{100};

/// Whether the notices that have arrived say that the link is gone.
bool tells_removal(const sys::NetlinkSocket& socket, std::vector<char>& buffer, int index) {
    bool gone = false;
    bool lost = false;  // then the end of the call tells
    while (sys::receive_notices(socket, buffer, lost, [&](const sys::NetlinkNotice& notice) {
        const auto head = sys::attribute_value<ifinfomsg>(notice.payload);
        // A bridge tells of ports that leave it in the same words, with a family of its own.
        gone = gone || (notice.type == RTM_DELLINK && head.ifi_family == AF_UNSPEC &&
                        head.ifi_index == index);
    })) {
    }
    return gone;
}

}  // namespace

/// The threads that have not ended.
struct LinkRemover::Threads {
    base::Mutex mutex;
    std::condition_variable_any ended;
    int count DOCKERD_GUARDED_BY(mutex) = 0;
};

namespace {

/// One removal, of the thread that does it and of who asked.
struct Call {
    Links links;
    base::Fd done{::eventfd(0, EFD_CLOEXEC)};
    std::exception_ptr failure;  ///< to be read when `done` is readable
};

void run(Call& call, int index) {
    try {
        call.links.remove(index);
    } catch (...) {  // it is thrown again by who asked
        call.failure = std::current_exception();
    }
    const std::uint64_t one = 1;
    (void)!::write(call.done.get(), &one, sizeof one);  // cannot fail: it is 0
}

}  // namespace

/// The links that are to go, and the thread that sees to it while there are any.
struct LinkRemover::Retired {
    base::Mutex mutex;
    std::condition_variable_any changed;
    std::vector<int> indices DOCKERD_GUARDED_BY(mutex);
    bool runs DOCKERD_GUARDED_BY(mutex) = false;
    int waiting DOCKERD_GUARDED_BY(mutex) = 0;  ///< who waits for it to end

    void run(std::shared_ptr<Links> links);
};

void LinkRemover::Retired::run(std::shared_ptr<Links> links) {
    base::Lock lock(mutex);
    const auto due = std::chrono::steady_clock::now() + retirement;
    while (waiting == 0 && changed.wait_until(lock, due) == std::cv_status::no_timeout) {
    }  // of whoever wants to have it over
    while (!indices.empty()) {
        for (const int index : std::exchange(indices, {})) {
            lock.unlock();
            try {
                links->remove(index);
            } catch (const base::Error& error) {
                if (error.errno_value() != ENODEV) base::log::warn("{}, ignoring", error.what());
            }
            lock.lock();
        }
    }
    links.reset();  // with its descriptors, before anybody is told of the end
    runs = false;
    changed.notify_all();
}

LinkRemover::LinkRemover()
    : threads_(std::make_shared<Threads>()), retired_(std::make_shared<Retired>()) {}

void LinkRemover::retire(int index) {
    const base::Lock lock(retired_->mutex);
    if (!retired_->runs) {
        auto links = std::make_shared<Links>();
        base::start_quiet_thread([retired = retired_, links = std::move(links)]() mutable {
            retired->run(std::move(links));
        }).detach();
        retired_->runs = true;
    }
    retired_->indices.push_back(index);
}

void LinkRemover::settle() {
    base::Lock lock(retired_->mutex);
    ++retired_->waiting;
    retired_->changed.notify_all();
    while (retired_->runs) retired_->changed.wait(lock);
    --retired_->waiting;
}

void LinkRemover::remove(int index) {
    sys::NetlinkSocket notices(NETLINK_ROUTE);
    notices.join_group(RTNLGRP_LINK);
    auto call = std::make_shared<Call>();
    if (!call->done) base::throw_errno(errno, "delete link");
    bool alone = false;
    try {
        const base::Lock lock(threads_->mutex);
        base::start_quiet_thread([call, index, threads = threads_]() mutable {
            run(*call, index);
            call.reset();  // with its descriptors, before anybody is told of the end
            const base::Lock ended(threads->mutex);
            --threads->count;
            threads->ended.notify_all();
        }).detach();
        ++threads_->count;
    } catch (const std::system_error& error) {
        base::log::debug("delete link: no thread for it: {}", error.what());
        alone = true;
    }
    if (alone) run(*call, index);
    std::vector<char> buffer;
    for (;;) {
        std::array<pollfd, 2> polled{pollfd{notices.fd().get(), POLLIN, 0},
                                     pollfd{call->done.get(), POLLIN, 0}};
        (void)::poll(polled.data(), polled.size(), -1);  // interrupted: looked at below
        if (polled[1].revents != 0) break;
        if (tells_removal(notices, buffer, index)) return;
    }
    if (call->failure) std::rethrow_exception(call->failure);
}

LinkRemover::~LinkRemover() {
    const auto deadline = std::chrono::steady_clock::now() + last_patience;
    {
        base::Lock lock(retired_->mutex);
        ++retired_->waiting;
        retired_->changed.notify_all();
        while (retired_->runs) {
            if (retired_->changed.wait_until(lock, deadline) == std::cv_status::timeout) break;
        }
    }
    base::Lock lock(threads_->mutex);
    while (threads_->count > 0) {
        if (threads_->ended.wait_until(lock, deadline) == std::cv_status::timeout) {
            base::log::warn("a network link is still being removed by the kernel");
            return;
        }
    }
}

}  // namespace dockerd::net
