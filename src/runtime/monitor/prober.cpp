#include "monitor/prober.hpp"

#include "init/clone.hpp"
#include "init/memory.hpp"
#include "monitor/loop.hpp"
#include "monitor/spawn.hpp"
#include "wire/packet.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>

namespace dockerd::runtime::monitor {

namespace {

/// How long a check may take before its start is worth a message, in milliseconds.
constexpr std::int64_t quick_check_time = 100;

volatile std::sig_atomic_t told_to_end = 0;

class Prober {
public:
    Prober(std::span<const base::Fd> cgroups, int socket, std::int32_t oom_score_adj,
           std::shared_ptr<const std::string> filter)
        : cgroups_(cgroups),
          socket_(socket),
          oom_score_adj_(oom_score_adj),
          filter_(std::move(filter)) {}

    [[noreturn]] void run();

private:
    /// A check that runs, and the socket pair it reports on, which the next one uses again.
    struct Probe {
        pid_t pid = 0;  ///< 0: this place is free
        std::uint32_t serial = 0;
        std::int64_t look_due = 0;  ///< 0: the daemon knows how it started
        bool failed = false;        ///< and that it did not
        std::array<char, 128> id{};
        base::Fd ours, theirs;
    };

    void take_request();
    void begin(wire::Packet& packet);
    void start(Probe& probe, ExecPlan& plan, const base::Fd& output);
    void signal(wire::Packet& packet);
    void reap();
    void ended(Probe& probe, int status);
    bool look_at(Probe& probe);
    void tick();
    [[nodiscard]] bool busy() const;
    [[nodiscard]] std::int64_t next_look() const;
    [[noreturn]] void end();

    template <typename T>
    void send(wire::Kind kind, std::uint32_t serial, const T& message) {
        if (wire::send_message(socket_, kind, serial, message) != 0) end();
    }
    void refuse(std::uint32_t serial, wire::Failed failed) {
        send(wire::Kind::reply, serial, wire::Reply{false, 0, std::move(failed)});
    }

    std::span<const base::Fd> cgroups_;
    int socket_;
    std::int32_t oom_score_adj_;
    std::shared_ptr<const std::string> filter_;
    std::array<Probe, 32> probes_;
};

bool Prober::busy() const {
    return std::any_of(probes_.begin(), probes_.end(), [](const auto& one) { return one.pid != 0; });
}

std::int64_t Prober::next_look() const {
    std::int64_t due = 0;
    for (const Probe& probe : probes_) {
        if (probe.look_due != 0 && (due == 0 || probe.look_due < due)) due = probe.look_due;
    }
    return due;
}

void Prober::run() {
    sigset_t normal;
    ::sigemptyset(&normal);
    for (;;) {
        init::reuse_own_memory();
        const std::int64_t due = next_look();
        const std::int64_t left = due == 0 ? 0 : std::max<std::int64_t>(due - now_ms(), 0);
        const timespec wait{left / 1000, left % 1000 * 1'000'000};
        pollfd ready{socket_, POLLIN, 0};
        // Children end while this waits, and only then is it told.
        const int count = ::ppoll(&ready, 1, due == 0 ? nullptr : &wait, &normal);
        if (told_to_end != 0) end();
        if (busy()) reap();
        if (count > 0) take_request();
        if (due != 0) tick();
    }
}

void Prober::take_request() {
    wire::Packet packet;
    switch (wire::receive_packet(socket_, /*wait=*/false, packet)) {
        case wire::Receive::packet:
            break;
        case wire::Receive::again:
            return;
        case wire::Receive::closed:
        case wire::Receive::broken:
            end();
    }
    if (packet.kind == wire::Kind::exec_direct) return begin(packet);
    if (packet.kind == wire::Kind::exec_signal) return signal(packet);
    refuse(packet.serial, {"protocol", 0, "unknown request"});
}

void Prober::begin(wire::Packet& packet) {
    wire::ExecRequest request;
    if (!packet.to(request, filter_) || request.plan.process.args.empty() || request.plan.process.tty ||
        request.clients.size() != 1 || request.plan.process.oom_score_adj != oom_score_adj_ ||
        request.plan.id.size() >= Probe{}.id.size()) {
        return refuse(packet.serial, {"protocol", EINVAL, "exec request"});
    }
    const auto free = std::find_if(probes_.begin(), probes_.end(),
                                   [](const Probe& one) { return one.pid == 0; });
    if (free == probes_.end()) return refuse(packet.serial, {"clone", EAGAIN, "clone"});
    free->serial = packet.serial;
    free->failed = false;
    free->id = {};
    std::copy(request.plan.id.begin(), request.plan.id.end(), free->id.begin());
    start(*free, request.plan, request.clients.front().client);
}

void Prober::start(Probe& probe, ExecPlan& plan, const base::Fd& output) {
    if (!probe.theirs) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
            return refuse(probe.serial, {"clone", errno, "socketpair"});
        }
        probe.ours.reset(ends[0]);
        probe.theirs.reset(ends[1]);
    }
    const pid_t pid = init::clone_process(0, nullptr);
    if (pid == 0) init::run_probe(plan, cgroups_, output.get(), probe.theirs.get());
    if (pid < 0) {
        return refuse(probe.serial, {"clone", errno, "error executing setns process: clone"});
    }
    probe.pid = pid;
    probe.look_due = now_ms() + quick_check_time;
}

void Prober::signal(wire::Packet& packet) {
    wire::ExecSignal request;
    wire::Reply answer;
    answer.ok = false;
    if (packet.to(request)) {
        for (const Probe& probe : probes_) {
            if (probe.pid == 0 || request.exec_id != probe.id.data()) continue;
            // A child that nobody has waited for: the number cannot be another's.
            answer.ok = ::kill(probe.pid, request.signal) == 0;
        }
    }
    send(wire::Kind::reply, packet.serial, answer);
}

/// Learns how a check started: false if that is not decided yet. The daemon is told of a failure.
bool Prober::look_at(Probe& probe) {
    ChildEvent event = next_event(probe.ours, /*wait=*/false);
    if (event.kind == ChildEvent::Kind::again) return false;
    probe.look_due = 0;
    if (event.kind == ChildEvent::Kind::signal && event.signal == init::Signal::execute) return true;
    probe.failed = true;
    // Whatever else came is not the last that could come.
    probe.ours.reset();
    probe.theirs.reset();
    if (event.kind != ChildEvent::Kind::failed) {
        event.failed = {"protocol", 0, "the process reported something else"};
        (void)::kill(probe.pid, SIGKILL);  // not waited for yet, or as good as gone
    }
    refuse(probe.serial, std::move(event.failed));
    return true;
}

void Prober::reap() {
    for (;;) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return;
        for (Probe& probe : probes_) {
            if (probe.pid == pid) ended(probe, status);
        }
        if (!busy()) return;
    }
}

void Prober::ended(Probe& probe, int status) {
    const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    const bool told = probe.look_due == 0;
    const bool looked = told || look_at(probe);
    probe.pid = 0;
    probe.look_due = 0;
    if (!looked) {
        return refuse(probe.serial, {"exec", 0, "process was killed before it was executed"});
    }
    if (!probe.failed) {
        send(wire::Kind::exec_exited, 0, wire::ExecExited{probe.id.data(), code});
    }
}

/// Tells of checks that take their time.
void Prober::tick() {
    const std::int64_t now = now_ms();
    for (Probe& probe : probes_) {
        if (probe.look_due == 0 || probe.look_due > now) continue;
        if (!look_at(probe)) {
            probe.look_due = now + quick_check_time;
        } else if (!probe.failed) {
            send(wire::Kind::reply, probe.serial, wire::Reply{true, probe.pid, {}});
        }
    }
}

/// The container has ended, or nobody is there to hear of the checks: none of them runs on.
void Prober::end() {
    for (const Probe& probe : probes_) {
        // Ours, and not waited for: the number cannot be another's. The monitor waits for it.
        if (probe.pid != 0) (void)::kill(probe.pid, SIGKILL);
    }
    ::_exit(0);
}

}  // namespace

bool can_probe(int namespaces) {
    if ((namespaces & CLONE_NEWUSER) != 0) return false;
    // Older kernels do not let a process in the container join its cgroups by itself.
    utsname name{};
    if (::uname(&name) != 0) return false;
    const std::string_view release(name.release);
    int major = 0;
    int minor = 0;
    const char* last = release.data() + release.size();
    const char* dot = std::from_chars(release.data(), last, major).ptr;
    if (dot == last) return false;
    (void)std::from_chars(dot + 1, last, minor);  // rubbish counts as 0
    return major > 5 || (major == 5 && minor >= 16);
}

namespace {

struct Start {
    const init::Target& target;
    wire::ProberRequest& request;
};

[[noreturn]] void prepare_and_run(void* argument) {
    const auto& [target, request] = *static_cast<Start*>(argument);
    std::array<base::Fd, 32> cgroups;
    if (target.cgroups.size() > cgroups.size()) ::_exit(1);
    // The objects of the heap keep their descriptors: nothing of it is used or freed again.
    for (std::size_t i = 0; i < target.cgroups.size(); ++i) {
        cgroups[i] = base::Fd{target.cgroups[i].get()};
    }
    const std::span<const base::Fd> own(cgroups.data(), target.cgroups.size());
    base::Fd socket{request.socket.get()};
    const std::int32_t score = request.oom_score_adj;
    const bool own_memory = init::take_own_memory();
    std::shared_ptr<const std::string> filter;
    if (request.seccomp_program) {
        filter = std::make_shared<const std::string>(*request.seccomp_program);
    }
    init::keep_own_memory();
    if (own_memory) init::part_from_parent();
    init::become_prober({target.pidfd, target.namespaces, own}, socket, score);
    Prober prober(own, socket.get(), score, std::move(filter));
    // Both interrupt its wait, and nothing else.
    struct sigaction heard {};
    heard.sa_handler = [](int number) {
        if (number == SIGTERM) told_to_end = 1;
    };
    sigset_t kept;
    ::sigemptyset(&kept);
    for (const int number : {SIGCHLD, SIGTERM}) {
        ::sigaddset(&kept, number);
        (void)::sigaction(number, &heard, nullptr);
    }
    (void)::sigprocmask(SIG_SETMASK, &kept, nullptr);
    prober.run();
}

}  // namespace

void run_prober(const init::Target& target, wire::ProberRequest& request, pid_t monitor) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != monitor) ::_exit(1);
    Start start{target, request};
    init::run_on_own_stack(prepare_and_run, &start);
}

}  // namespace dockerd::runtime::monitor
