#include "probe.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::engine {

bool Probe::read() {
    const base::Lock lock(mutex_);
    std::array<char, 16 * 1024> buffer;
    // Not for ever: another probe's output waits as well.
    for (int round = 0; round < 16; ++round) {
        const ssize_t size = ::read(output_.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return errno == EAGAIN;
        if (size == 0) return false;
        text_.append({buffer.data(), static_cast<std::size_t>(size)});
        if (static_cast<std::size_t>(size) < buffer.size()) return true;
    }
    return true;
}

void Probe::finish() {
    (void)read();
    const base::Lock lock(mutex_);
    output_.reset();
}

int Probe::output_fd() const {
    const base::Lock lock(mutex_);
    return output_.get();
}

std::string Probe::text() const {
    const base::Lock lock(mutex_);
    return text_.text();
}

ProbeReader::~ProbeReader() {
    std::thread thread;
    {
        const base::Lock lock(mutex_);
        thread = std::move(thread_);
        const std::uint64_t one = 1;
        // A full counter wakes the thread as well.
        if (stop_) (void)!::write(stop_.get(), &one, sizeof one);
    }
    if (thread.joinable()) thread.join();
}

void ProbeReader::watch(const std::shared_ptr<Probe>& probe) {
    const base::Lock lock(mutex_);
    if (!epoll_) start_thread();
    const int fd = probe->output_fd();
    epoll_event interest{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &interest) != 0) {
        base::throw_errno(errno, "watch the output of a health check");
    }
    probes_[fd] = probe;
}

void ProbeReader::forget(const Probe& probe) {
    std::shared_ptr<Probe> gone;  // let go of without the lock
    const base::Lock lock(mutex_);
    const auto found = probes_.find(probe.output_fd());
    if (found == probes_.end() || found->second.get() != &probe) return;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, probe.output_fd(), nullptr);  // it is watched
    gone = std::move(found->second);
    probes_.erase(found);
}

void ProbeReader::start_thread() {
    epoll_ = base::Fd(::epoll_create1(EPOLL_CLOEXEC));
    stop_ = base::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!epoll_ || !stop_) base::throw_errno(errno, "epoll_create");
    epoll_event interest{.events = EPOLLIN, .data = {.fd = stop_.get()}};
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &interest);  // both are good
    thread_ = std::thread([this, epoll = epoll_.get()] { run(epoll); });
}

void ProbeReader::run(int epoll) {
    (void)::pthread_setname_np(::pthread_self(), "probes");
    std::array<epoll_event, 16> ready{};
    while (true) {
        const int count = ::epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), -1);
        if (count < 0 && errno != EINTR) return;
        for (int i = 0; i < count; ++i) {
            const int fd = ready[static_cast<std::size_t>(i)].data.fd;
            std::shared_ptr<Probe> probe;
            {
                const base::Lock lock(mutex_);
                if (fd == stop_.get()) return;
                const auto found = probes_.find(fd);
                if (found == probes_.end()) continue;
                probe = found->second;
            }
            if (!probe->read()) forget(*probe);
        }
    }
}

}  // namespace dockerd::engine
