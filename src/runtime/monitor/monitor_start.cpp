#include "monitor/monitor.hpp"
#include "wire/process_time.hpp"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace dockerd::runtime::monitor {

namespace {

base::Fd child_signals() {
    sigset_t children;
    ::sigemptyset(&children);
    ::sigaddset(&children, SIGCHLD);
    (void)::sigprocmask(SIG_SETMASK, &children, nullptr);  // cannot fail with these arguments
    return base::Fd{::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK)};
}

}  // namespace

Monitor::Monitor(wire::StartRequest&& request)
    : request_(std::move(request)),
      id_(request_.plan.id),
      log_(request_.plan.log),
      stdin_once_(request_.plan.stdin_once),
      tty_(request_.plan.process.tty),
      open_stdin_(request_.plan.process.open_stdin),
      namespaces_(namespaces_of(request_.plan.namespaces)),
      daemon_(std::move(request_.connection)),
      on_daemon_(*this, &Monitor::daemon_ready),
      on_accept_(*this, &Monitor::accept_daemon),
      on_child_(*this, &Monitor::reap) {}

void Monitor::fail_start(const wire::Failed& failed, pid_t pid) {
    if (pid > 0) {
        (void)::kill(pid, SIGKILL);  // our child, not reaped yet: the number cannot be another's
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    // Clients are let go without a word: the daemon may still want to tell them.
    state_.remove();
    send(wire::Kind::failed, 0, failed);
    ::_exit(0);
}

/// With a log that is sent away: the forwarder gets ready while the container does.
void Monitor::start_sink() {
    LogTarget& target = request_.plan.log;
    if (!target.forwarder) return;
    sink_ = std::make_unique<LogSink>(loop_, *this, target);
    if (const int error = sink_->start()) fail_start({"log", error, "start the log forwarder"}, -1);
    log_.set_sink(sink_.get());
}

void Monitor::await_sink(pid_t pid) {
    if (!sink_) return;
    bool gone = false;
    const std::string problem = sink_->await_ready(daemon_.get(), gone);
    if (gone) daemon_.reset();  // it could not know of this container: nobody would own it
    if (!problem.empty()) {
        sink_->give_up();
        fail_start({"log", 0, problem}, pid);
    }
    sink_->watch();
}

/// With systemd's driver: the daemon has it make a scope around the process, which mounts meanwhile.
void Monitor::await_cgroup(const Child& child) {
    if (!request_.awaits_cgroup) return;
    send(wire::Kind::made, 0, wire::Made{child.pid});
    wire::Packet packet;
    wire::CgroupReady ready;
    if (wire::receive_packet(daemon_.get(), /*wait=*/true, packet) == wire::Receive::packet &&
        packet.kind == wire::Kind::cgroup_ready && packet.to(ready)) {
        request_.plan.cgroup_procs = std::move(ready.procs);
        return;
    }
    // There is none. Maybe because the process has ended: then its own reason counts.
    ChildEvent event;
    do {
        event = next_event(child.link, /*wait=*/false);
    } while (event.kind == ChildEvent::Kind::signal);
    fail_start(event.kind == ChildEvent::Kind::failed ? event.failed : wire::Failed{}, child.pid);
}

/// Reports of the child until it has become the user's program.
void Monitor::supervise_start(Child& child, base::Fd& master) {
    bool executing = false;
    for (;;) {
        pollfd ready[2] = {{child.link.get(), POLLIN, 0}, {daemon_.get(), POLLRDHUP, 0}};
        (void)::poll(ready, 2, -1);  // EINTR: looked at again
        if (ready[1].revents != 0) {
            // The daemon died before it could know of this container: nobody would own it.
            daemon_.reset();
            fail_start({}, child.pid);
        }
        ChildEvent event = next_event(child.link, /*wait=*/false);
        switch (event.kind) {
            case ChildEvent::Kind::again:
                break;
            case ChildEvent::Kind::failed:
                fail_start(event.failed, child.pid);
            case ChildEvent::Kind::signal:
                if (event.signal == init::Signal::console) master = std::move(event.fd);
                if (event.signal == init::Signal::execute) executing = true;
                break;
            case ChildEvent::Kind::closed:
                if (executing) return;
                fail_start({"init", 0, "container init was killed before its program started"},
                           child.pid);
        }
    }
}

void Monitor::begin_streams(Ends&& ends, base::Fd&& master) {
    streams_ = std::make_unique<Streams>(
        loop_, *this,
        Streams::Policy{.tty = tty_, .open_stdin = open_stdin_, .close_stdin = stdin_once_}, &log_);
    if (tty_) {
        streams_->set_terminal(std::move(master));
    } else {
        streams_->set_pipes(std::move(ends.in), std::move(ends.out), std::move(ends.err));
    }
    for (wire::AttachRequest& client : request_.clients) (void)streams_->attach(std::move(client));
}

void Monitor::report_started() {
    if (const int error = state_.write_started(started_)) {
        fail_start({"state", error, "write the state of the container"}, started_.pid);
    }
    listener_ = state_.listen();
    if (!listener_) fail_start({"state", errno, "listen in the state directory"}, started_.pid);
}

void Monitor::start() {
    ContainerPlan& plan = request_.plan;
    if (const int error = state_.open(plan.state_directory)) {
        fail_start({"state", error, "mkdir " + plan.state_directory}, -1);
    }
    if (const int error = log_.open()) fail_start({"log", error, "open " + plan.log.path}, -1);
    signals_ = child_signals();
    start_sink();
    init::Stdio theirs;
    Ends ours;
    if (const int error = make_stdio(plan.process, theirs, ours)) {
        fail_start({"stdio", error, "make pipes"}, -1);
    }
    wire::Failed failed;
    Child child = spawn_container(plan, theirs, failed);
    if (child.pid < 0) fail_start(failed, -1);
    theirs = init::Stdio{};

    await_cgroup(child);
    // The first join after a quiet time waits 10 ms for the kernel: the child mounts meanwhile.
    if (const int error = join_cgroups(plan.cgroup_procs, child.pid)) {
        fail_start(
            {"cgroup", error,
             "unable to apply cgroup configuration: failed to write " + std::to_string(child.pid)},
            child.pid);
    }
    await_sink(child.pid);
    (void)init::send_signal(child.link.get(), init::Signal::joined);  // gone: its report follows
    started_ = {child.pid, process_start_time(child.pid), std::move(child.pidfd)};
    report_started();
    base::Fd master;
    supervise_start(child, master);
    begin_streams(std::move(ours), std::move(master));
    cgroup_procs_ = std::move(plan.cgroup_procs);
    send(wire::Kind::started, 0, started_);
}

void Monitor::run() {
    // Orphans of an exec come to us; in a namespace of its own the container's process 1 has them.
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    start();
    request_ = wire::StartRequest{};
    loop_.watch(signals_.get(), EPOLLIN, &on_child_);
    loop_.watch(listener_.get(), EPOLLIN, &on_accept_);
    if (daemon_) loop_.watch(daemon_.get(), EPOLLIN, &on_daemon_);
    (void)::malloc_trim(0);
    reap();  // a short program may have ended already
    for (;;) {
        if (loop_.run_once(timeout())) {
            touched_ = true;
        } else if (touched_) {
            touched_ = false;
            streams_->shrink();
            (void)::malloc_trim(0);
        }
        check_all();
    }
}

void run_monitor(wire::Packet&& packet) {
    wire::StartRequest request;
    // What cannot be read has no connection to answer on; the daemon sees it close.
    if (packet.kind != wire::Kind::start || !packet.to(request)) ::_exit(1);
    packet = wire::Packet{};
    (void)::setsid();
    (void)::prctl(PR_SET_NAME, "docker-monitor", 0, 0, 0);
    Monitor monitor(std::move(request));
    monitor.run();
}

}  // namespace dockerd::runtime::monitor
