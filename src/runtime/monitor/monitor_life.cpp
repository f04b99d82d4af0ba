#include "monitor/monitor.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace dockerd::runtime::monitor {

namespace {

/// How long output may still come when the process has ended, and how long a client may take.
/// Source: moby daemon/monitor.go, handleContainerExit: 2 seconds.
constexpr std::int64_t drain_time = 2000;
/// How much longer a log that is sent away may take for its last lines. Docker gives it 10 seconds
/// after the output; here all of it is over before somebody who kills a container loses patience.
constexpr std::int64_t log_time = 6000;
/// How long a prober may take to end its checks.
constexpr int prober_time = 1000;
/// How long a client waits for the daemon to take the exit code.
constexpr std::int64_t ack_time = 2000;

}  // namespace

void Exec::ready(std::uint32_t) { monitor->exec_event(*this); }

void Monitor::reap() {
    signalfd_siginfo pending[4];
    while (::read(signals_.get(), pending, sizeof pending) > 0) {
    }
    for (;;) {
        int status = 0;
        // __WALL: a child made with CLONE_PARENT by a helper has no exit signal of its own kind.
        const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
        if (pid <= 0) break;
        const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        child_ended(pid, signal != 0 ? 128 + signal : WEXITSTATUS(status), signal);
    }
}

void Monitor::child_ended(pid_t pid, int code, int signal) {
    if (pid == started_.pid && !ended_) {
        timespec now{};
        (void)::clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock
        ended_ = true;
        exit_ = {code, signal, now.tv_sec, static_cast<std::int32_t>(now.tv_nsec)};
        drain_deadline_ = now_ms() + drain_time;
        return end_probers();
    }
    std::erase(probers_, pid);
    for (const auto& exec : execs_) {
        if (exec->pid == pid) {
            exec->exited = true;
            exec->code = code;
            exec->deadline = now_ms() + drain_time;
            if (exec->look_due != 0) look_at(*exec);
            return;
        }
    }
    // Else an orphan, or the helper of an exec.
}

/// They hold the container's mounts, which are to be gone when its end is told, and their checks
/// need not end with process 1.
void Monitor::end_probers() {
    for (const pid_t pid : probers_) {
        // A child nobody has waited for: the number cannot be another's.
        (void)::kill(pid, SIGTERM);
        (void)::kill(pid, SIGCONT);
        const base::Fd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
        pollfd ended{process.get(), POLLIN, 0};
        if (::poll(&ended, 1, prober_time) != 1) (void)::kill(pid, SIGKILL);
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    probers_.clear();
}

void Monitor::exec_event(Exec& exec) {
    for (;;) {
        ChildEvent event = next_event(exec.link, /*wait=*/false);
        switch (event.kind) {
            case ChildEvent::Kind::again:
                return;
            case ChildEvent::Kind::failed:
                return exec_failed(exec, std::move(event.failed));
            case ChildEvent::Kind::closed:
                if (exec.executing) return exec_prepared(exec);
                return exec_failed(exec, {"exec", 0, "process was killed before it was executed"});
            case ChildEvent::Kind::signal:
                exec_signalled(exec, event);
                if (!exec.link) return;  // it has failed
                break;
        }
    }
}

void Monitor::exec_signalled(Exec& exec, ChildEvent& event) {
    if (event.signal == init::Signal::console) exec.master = std::move(event.fd);
    if (event.signal == init::Signal::execute) exec.executing = true;
    if (event.signal != init::Signal::join) return;
    if (const int error = join_cgroups(exec.cgroups.empty() ? cgroup_procs_ : exec.cgroups, exec.pid)) {
        (void)signal_exec(exec, SIGKILL);
        return exec_failed(exec, {"cgroup", error, "error adding pid to cgroups"});
    }
    (void)init::send_signal(exec.link.get(), init::Signal::joined);  // gone: its report follows
}

/// The end of a direct exec, or the time it may take until it is worth a message of its own.
void Monitor::look_at(Exec& exec) {
    exec.look_due = 0;
    exec_event(exec);
    if (exec.link) loop_.watch(exec.link.get(), EPOLLIN, &exec);
}

void Monitor::exec_prepared(Exec& exec) {
    loop_.forget(exec.link.get());
    exec.link.reset();
    exec.state = Exec::State::running;
    if (exec.tty) {
        exec.streams->set_terminal(std::move(exec.master));
    } else if (!exec.direct) {
        exec.streams->set_pipes(std::move(exec.ends.in), std::move(exec.ends.out),
                                std::move(exec.ends.err));
    }
    // Of a direct one that has ended the code says all.
    if (exec.connection == connection_ && !(exec.direct && exec.exited)) {
        reply(exec.serial, {true, exec.pid, {}});
    }
    for (wire::AttachRequest& client : exec.clients) {
        (void)exec.streams->attach(std::move(client));
    }
    exec.clients.clear();
    if (exec.pending_signal != 0) (void)signal_exec(exec, exec.pending_signal);  // it has ended
}

void Monitor::exec_failed(Exec& exec, wire::Failed failed) {
    loop_.forget(exec.link.get());
    exec.link.reset();
    if (exec.connection == connection_) reply(exec.serial, {false, 0, std::move(failed)});
    exec.state = Exec::State::finished;
}

void Monitor::client_detached(Streams& streams) {
    std::string exec_id;
    for (const auto& exec : execs_) {
        if (exec->streams.get() == &streams) exec_id = exec->id;
    }
    send(wire::Kind::detached, 0, wire::Detached{exec_id});
}

void Monitor::client_closed(std::uint64_t attach_id) {
    send(wire::Kind::attach_closed, 0, wire::AttachClosed{attach_id});
}

void Monitor::streams_changed(Streams&) {}  // check_all() looks after every round

void Monitor::log_progress() {
    if (streams_) streams_->log_progress();
}

void Monitor::log_lost(const std::string& why) {
    send(wire::Kind::log_lost, 0, wire::LogLost{why});
}

void Monitor::check_all() {
    if (sink_) sink_->tick();
    check_exit();
    for (const auto& exec : execs_) check_exec(*exec);
    for (auto it = execs_.begin(); it != execs_.end();) {
        if ((*it)->state != Exec::State::finished) {
            ++it;
            continue;
        }
        // A slow client keeps its stream, though the exec is over.
        if ((*it)->streams->has_clients() && !(*it)->streams->flushed() && !released_) {
            ++it;
            continue;
        }
        (*it)->streams->close_clients();
        loop_.bury(std::move(*it));
        it = execs_.erase(it);
    }
    check_quit();
}

void Monitor::check_exit() {
    if (!ended_ || reported_) return;
    const bool late = now_ms() >= drain_until();
    if (!streams_->drained() && !late) return;
    streams_->give_up_outputs();
    if (!streams_->flushed() && !late) return;
    if (!log_finished()) return;
    report_exit();
}

std::int64_t Monitor::drain_until() const {
    return drain_deadline_ + (log_.blocked() ? log_time : 0);
}

/// Everything is where the log goes, or has had its time.
bool Monitor::log_finished() {
    if (sink_) sink_->finish();
    if (!log_.busy() && (!sink_ || sink_->finished())) return true;
    log_deadline_ = drain_deadline_ + log_time;
    if (now_ms() < log_deadline_) return false;
    if (sink_) sink_->give_up();
    return true;
}

/// The output is complete, then the code is on disk, then the daemon hears of it, and only when it
/// has taken the code the clients' streams end: who then looks at the container sees how it ended.
/// Source: moby daemon/monitor.go, handleContainerExit: both under the container's lock.
void Monitor::report_exit() {
    // Full disk: a daemon that is there hears of it all the same. ENOENT: the directory is gone.
    const int error = state_.write_exited(exit_);
    recorded_ = error == 0 || error == ENOENT;
    reported_ = true;
    taken_deadline_ = now_ms() + ack_time;
    send(wire::Kind::exited, 0, exit_);
}

/// The daemon has taken the exit code, or nobody will.
bool Monitor::exit_taken() const { return released_ || !daemon_ || now_ms() >= taken_deadline_; }

void Monitor::check_exec(Exec& exec) {
    if (exec.look_due != 0 && now_ms() >= exec.look_due) look_at(exec);
    if (exec.state != Exec::State::running || !exec.exited) return;
    const bool late = now_ms() >= exec.deadline;
    if (exec.reported) {
        if (late || !daemon_) finish_exec(exec);
        return;
    }
    if (!exec.streams->drained() && !late) return;
    exec.streams->give_up_outputs();
    if (!exec.streams->flushed() && !late) return;
    exec.reported = true;
    exec.deadline = now_ms() + ack_time;
    send(wire::Kind::exec_exited, 0, wire::ExecExited{exec.id, exec.code});
    if (!daemon_ || exec.direct) finish_exec(exec);
}

/// The code is known to the daemon (or nobody is there to ask): now clients may see the end.
void Monitor::finish_exec(Exec& exec) {
    exec.state = Exec::State::finished;
    if (exec.streams->flushed()) exec.streams->close_clients();
}

void Monitor::check_quit() {
    if (reported_ && exit_taken() && streams_->has_clients() && streams_->flushed()) {
        streams_->close_clients();
    }
    // No daemon is there, and the next one needs no more than the record.
    if (recorded_ && !daemon_ && execs_.empty() && !streams_->has_clients()) ::_exit(0);
    if (!released_) return;
    if (streams_->has_clients() && now_ms() < quit_deadline_) return;
    ::_exit(0);
}

int Monitor::timeout() const {
    std::int64_t until = touched_ ? now_ms() + quiet_time_ : INT64_MAX;
    if (ended_ && !reported_) {
        until = std::min(until, log_deadline_ != 0 ? log_deadline_ : drain_until());
    }
    if (sink_) until = std::min(until, sink_->wake_at());
    if (reported_ && !exit_taken() && streams_->has_clients()) {
        until = std::min(until, taken_deadline_);
    }
    if (released_) until = std::min(until, quit_deadline_);
    for (const auto& exec : execs_) {
        if (exec->look_due != 0) until = std::min(until, exec->look_due);
        if (exec->state != Exec::State::running) continue;
        if (exec->exited) until = std::min(until, exec->deadline);
    }
    if (until == INT64_MAX) return -1;
    return static_cast<int>(std::max<std::int64_t>(0, until - now_ms()));
}

}  // namespace dockerd::runtime::monitor
