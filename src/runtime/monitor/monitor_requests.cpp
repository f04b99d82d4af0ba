#include "init/clone.hpp"
#include "monitor/monitor.hpp"
#include "monitor/prober.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace dockerd::runtime::monitor {

void Monitor::accept_daemon() {
    base::Fd peer{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    ucred who{};
    socklen_t size = sizeof who;
    if (!peer || ::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        who.uid != ::geteuid()) {
        return;
    }
    // The newest daemon counts; an older one that still holds its end is on its way out.
    drop_daemon();
    daemon_ = std::move(peer);
    ++connection_;
    loop_.watch(daemon_.get(), EPOLLIN, &on_daemon_);
}

void Monitor::drop_daemon() {
    if (!daemon_) return;
    loop_.forget(daemon_.get());
    daemon_.reset();
    // Nobody will tell us when: what they have of the log is all they get.
    if (streams_) streams_->resume(0);
}

void Monitor::daemon_ready() {
    if (!daemon_) return;
    wire::Packet packet;
    switch (wire::receive_packet(daemon_.get(), /*wait=*/false, packet)) {
        case wire::Receive::packet:
            return handle(packet);
        case wire::Receive::again:
            return;
        case wire::Receive::closed:
        case wire::Receive::broken:
            return drop_daemon();
    }
}

void Monitor::handle(wire::Packet& packet) {
    switch (packet.kind) {
        case wire::Kind::hello:
            return welcome(packet.serial);
        case wire::Kind::attach:
            return attach(packet, /*held=*/false);
        case wire::Kind::attach_held:
            return attach(packet, /*held=*/true);
        case wire::Kind::attach_resume:
            return resume(packet);
        case wire::Kind::resize:
            return resize(packet);
        case wire::Kind::exec_start:
            return exec_start(packet, /*direct=*/false);
        case wire::Kind::exec_direct:
            return exec_start(packet, /*direct=*/true);
        case wire::Kind::exec_signal:
            return exec_signal(packet);
        case wire::Kind::exec_ack:
            return exec_ack(packet);
        case wire::Kind::prober:
            return start_prober(packet);
        case wire::Kind::release:
            return release();
        case wire::Kind::fd_batch:
        case wire::Kind::start:
        case wire::Kind::execute:
        case wire::Kind::cgroup_ready:
        case wire::Kind::made:
        case wire::Kind::started:
        case wire::Kind::failed:
        case wire::Kind::welcome:
        case wire::Kind::reply:
        case wire::Kind::exited:
        case wire::Kind::exec_exited:
        case wire::Kind::detached:
        case wire::Kind::attach_closed:
        case wire::Kind::log_lost:
            break;
    }
    // A newer daemon's question: answered, so that it does not wait.
    reply(packet.serial, {false, 0, {"protocol", 0, "unknown request"}});
}

void Monitor::reply(std::uint32_t serial, const wire::Reply& answer) {
    send(wire::Kind::reply, serial, answer);
}

void Monitor::welcome(std::uint32_t serial) {
    wire::Welcome answer;
    answer.started = {
        started_.pid, started_.start_time,
        base::Fd{started_.pidfd ? ::fcntl(started_.pidfd.get(), F_DUPFD_CLOEXEC, 3) : -1}};
    answer.has_exited = reported_;
    answer.exited = exit_;
    for (const auto& exec : execs_) {
        if (exec->state != Exec::State::finished) answer.execs.push_back({exec->id, exec->pid});
    }
    send(wire::Kind::welcome, serial, answer);
}

void Monitor::attach(wire::Packet& packet, bool held) {
    wire::AttachRequest request;
    if (!packet.to(request) || !request.client) {
        return reply(packet.serial, {false, 0, {"attach", EINVAL, "attach"}});
    }
    if (ended_) return reply(packet.serial, {false, 0, {"attach", ESRCH, "attach"}});
    if (!held) {
        reply(packet.serial, {});
        (void)streams_->attach(std::move(request));
        return;
    }
    wire::Reply answer;
    answer.failed.text = log_.position();
    streams_->attach_held(std::move(request));
    reply(packet.serial, answer);
}

void Monitor::resume(wire::Packet& packet) {
    wire::AttachResume request;
    if (packet.to(request)) streams_->resume(request.attach_id);
}

void Monitor::resize(wire::Packet& packet) {
    wire::ResizeRequest request;
    if (!packet.to(request)) return;
    if (request.exec_id.empty()) return streams_->resize(request.size);
    Exec* exec = find_exec(request.exec_id);
    if (exec != nullptr && exec->streams) exec->streams->resize(request.size);
}

Exec* Monitor::find_exec(const std::string& id) {
    for (const auto& exec : execs_) {
        if (exec->id == id) return exec.get();
    }
    return nullptr;
}

void Monitor::exec_start(wire::Packet& packet, bool direct) {
    wire::ExecRequest request;
    wire::Failed failed;
    if (!packet.to(request) || request.plan.process.args.empty()) {
        return reply(packet.serial, {false, 0, {"protocol", EINVAL, "exec request"}});
    }
    if (ended_) return reply(packet.serial, {false, 0, {"exec", 0, "container is not running"}});
    auto exec = std::make_unique<Exec>();
    exec->monitor = this;
    exec->id = request.plan.id;
    exec->tty = request.plan.process.tty;
    exec->direct = direct;
    exec->serial = packet.serial;
    exec->connection = connection_;
    exec->clients = std::move(request.clients);
    exec->streams = std::make_unique<Streams>(
        loop_, *this,
        Streams::Policy{exec->tty, request.plan.process.open_stdin, /*close_stdin=*/true}, nullptr);
    init::Stdio theirs;
    if (const int error = direct ? direct_stdio(exec->clients, theirs)
                                 : make_stdio(request.plan.process, theirs, exec->ends)) {
        return reply(packet.serial, {false, 0, {"stdio", error, "make pipes"}});
    }
    exec->cgroups = std::move(request.plan.cgroup_procs);
    const auto& cgroups = exec->cgroups.empty() ? cgroup_procs_ : exec->cgroups;
    Child child = spawn_exec(request.plan, {started_.pidfd.get(), namespaces_, cgroups}, theirs,
                             failed);
    if (child.pid < 0) return reply(packet.serial, {false, 0, failed});
    exec->pid = child.pid;
    exec->pidfd = std::move(child.pidfd);
    exec->link = std::move(child.link);
    Exec& made = *exec;
    execs_.push_back(std::move(exec));
    if (direct && child.pid != 0) {
        // Health checks come again: what they use is not worth giving back in between. Most are
        // over soon, and their end is early enough to look how they came to it.
        quiet_time_ = 10'000;
        made.look_due = now_ms() + quick_check_time;
        return;
    }
    loop_.watch(made.link.get(), EPOLLIN, &made);
}

void Monitor::exec_signal(wire::Packet& packet) {
    wire::ExecSignal request;
    wire::Reply answer;
    answer.ok = false;
    if (packet.to(request)) {
        Exec* exec = find_exec(request.exec_id);
        if (exec != nullptr && exec->look_due != 0) look_at(*exec);
        if (exec != nullptr && exec->state == Exec::State::preparing) {
            exec->pending_signal = request.signal;
            answer.ok = true;
        } else {
            answer.ok = exec != nullptr && signal_exec(*exec, request.signal);
        }
    }
    reply(packet.serial, answer);
}

bool Monitor::signal_exec(const Exec& exec, int signal) {
    return exec.pidfd && !exec.exited &&
           ::syscall(SYS_pidfd_send_signal, exec.pidfd.get(), signal, nullptr, 0) == 0;
}

void Monitor::exec_ack(wire::Packet& packet) {
    wire::ExecAck request;
    if (!packet.to(request)) return;
    Exec* exec = find_exec(request.exec_id);
    if (exec != nullptr && exec->reported) finish_exec(*exec);
}

void Monitor::start_prober(wire::Packet& packet) {
    wire::ProberRequest request;
    if (!packet.to(request) || !request.socket) {
        return reply(packet.serial, {false, 0, {"protocol", EINVAL, "prober request"}});
    }
    if (ended_) return reply(packet.serial, {false, 0, {"exec", 0, "container is not running"}});
    if (!can_probe(namespaces_)) {
        return reply(packet.serial, {false, 0, {"prober", ENOTSUP, "prober"}});
    }
    const pid_t own = ::getpid();
    const pid_t pid = init::clone_process(0, nullptr);
    if (pid == 0) run_prober({started_.pidfd.get(), namespaces_, cgroup_procs_}, request, own);
    if (pid < 0) return reply(packet.serial, {false, 0, {"prober", errno, "clone"}});
    probers_.push_back(pid);
    reply(packet.serial, {});
}

void Monitor::release() {
    if (!reported_) return;
    released_ = true;
    // From here on a new start may use the directory again.
    state_.remove();
    quit_deadline_ = now_ms() + 30'000;
    check_quit();
}

}  // namespace dockerd::runtime::monitor
