#include "launch/connection.hpp"

#include "launch/failure.hpp"

#include <dockerd/base/strings.hpp>
#include <dockerd/base/worker_pool.hpp>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace dockerd::runtime::launch {

namespace {

[[noreturn]] void throw_not_running(const std::string& id) {
    throw base::Error(base::ErrorKind::conflict, "container " + id + " is not running");
}

ExecStarted not_running(const std::string& id) {
    return {.pid = 0, .error = "container " + id + " is not running", .exit_code = 126};
}

ExecStarted exec_started(const wire::Reply& reply) {
    if (reply.ok) return {.pid = reply.pid, .error = {}, .exit_code = 0};
    const StartFailure failure = start_failure(Attempt::exec, reply.failed);
    return {.pid = 0, .error = failure.what(), .exit_code = failure.exit_code()};
}

/// The fields of ExecRequest; the plan is only borrowed.
struct BorrowedExecRequest {
    BorrowedExecRequest(const ExecPlan& plan, std::optional<PendingAttach>&& client) {
        if (client) clients.push_back(attach_request(std::move(*client), next_attach_id()));
        content(plan, clients);
    }
    BorrowedExecRequest(const ExecPlan& plan, base::Fd&& output, const std::string* known) {
        content.known = known;
        clients.emplace_back().client = std::move(output);
        content(plan, clients);
    }
    std::vector<wire::AttachRequest> clients;  ///< own the descriptors that `content` names
    wire::Encoder content;
};

}  // namespace

std::uint64_t next_attach_id() {
    static std::atomic<std::uint64_t> last = 0;
    return ++last;
}

wire::AttachRequest attach_request(PendingAttach&& client, std::uint64_t id) {
    wire::AttachRequest request;
    request.attach_id = id;
    request.use_stdin = client.options.stdin;
    request.use_stdout = client.options.stdout;
    request.use_stderr = client.options.stderr;
    request.multiplexed = client.options.multiplexed;
    request.detach_keys = std::move(client.options.detach_keys);
    request.client = std::move(client.client);
    request.input = std::move(client.input);
    return request;
}

Connection::Connection(std::string id, pid_t pid, base::Fd pidfd, base::Fd socket)
    : id_(std::move(id)), pid_(pid), pidfd_(std::move(pidfd)), socket_(std::move(socket)) {}

int Connection::send(wire::Kind kind, std::uint32_t serial, const wire::Encoder& content) {
    if (!socket_) return EPIPE;
    int error = 0;
    {
        const base::Lock lock(sending_);
        error = wire::send_packet(socket_.get(), kind, serial, content);
    }
    send_owed();
    return error;
}

/// EAGAIN when it would have to wait, for the monitor or for who sends to it now. For messages of
/// one packet.
int Connection::send_now(wire::Kind kind, std::uint32_t serial, const wire::Encoder& content) {
    if (!socket_) return EPIPE;
    if (!sending_.try_lock()) return EAGAIN;
    const int error = wire::send_packet(socket_.get(), kind, serial, content, /*wait=*/false);
    sending_.unlock();
    send_owed();
    return error;
}

/// Acknowledges what can be without waiting, neither for the monitor nor for who sends to it now;
/// that one comes here afterwards.
void Connection::send_owed() {
    for (;;) {
        std::string exec_id;
        {
            const base::Lock lock(mutex_);
            if (owed_.empty()) return;
            exec_id = owed_.front();
        }
        if (!sending_.try_lock()) return;
        const int error = wire::send_packet(socket_.get(), wire::Kind::exec_ack, 0,
                                            wire::encode(wire::ExecAck{exec_id}), /*wait=*/false);
        sending_.unlock();
        if (error == EAGAIN) return;
        // Gone: nobody waits for it.
        const base::Lock lock(mutex_);
        if (const auto sent = std::ranges::find(owed_, exec_id); sent != owed_.end()) {
            owed_.erase(sent);
        }
    }
}

wire::Reply Connection::ask(wire::Kind kind, const wire::Encoder& content) {
    std::uint32_t serial = 0;
    {
        const base::Lock lock(mutex_);
        if (lost_) throw_not_running(id_);
        serial = next_serial_++;
        waiting_[serial] = std::nullopt;
    }
    const int error = send(kind, serial, content);
    // The answer may wait for something else: a program does not start while its cgroup is frozen.
    const base::LongWait wait;
    base::Lock lock(mutex_);
    while (error == 0 && !lost_ && !waiting_[serial]) changed_.wait(lock);
    std::optional<wire::Reply> reply = std::move(waiting_[serial]);
    waiting_.erase(serial);
    if (!reply) throw_not_running(id_);
    return std::move(*reply);
}

SharedSocket Connection::answered(std::uint32_t serial, wire::Reply&& reply) {
    std::function<void(ExecStarted)> done;
    {
        const base::Lock lock(mutex_);
        if (probing_ == Probing::asked && serial == prober_serial_) {
            // Older monitors do not know what it is, and others have none.
            probing_ = reply.ok ? Probing::there : Probing::refused;
            if (!reply.ok) prober_.reset();
            return prober_;
        }
        if (const auto found = begun_.find(serial); found != begun_.end()) {
            done = std::move(found->second.done);
            if (!reply.ok) unattended_.erase(found->second.exec_id);
            begun_.erase(found);
        } else if (const auto asked = waiting_.find(serial); asked != waiting_.end()) {
            asked->second = std::move(reply);
            changed_.notify_all();
        }
    }
    if (done) done(exec_started(reply));
    return nullptr;
}

std::vector<std::string> Connection::prober_lost(const SharedSocket& prober) {
    std::vector<std::function<void(ExecStarted)>> not_begun;
    std::vector<std::string> started;
    {
        const base::Lock lock(mutex_);
        if (prober_ == prober) {
            prober_.reset();
            probing_ = Probing::none;
        }
        for (auto exec = unattended_.begin(); exec != unattended_.end();) {
            if (exec->second != prober) {
                ++exec;
                continue;
            }
            const auto begun = std::ranges::find(begun_, exec->first, [](const auto& one) -> auto& {
                return one.second.exec_id;
            });
            if (begun == begun_.end()) {
                started.push_back(exec->first);
            } else {
                not_begun.push_back(std::move(begun->second.done));
                begun_.erase(begun);
            }
            exec = unattended_.erase(exec);
        }
    }
    for (const auto& done : not_begun) done(not_running(id_));
    return started;
}

void Connection::lost() {
    std::map<std::uint32_t, Begun> begun;
    {
        const base::Lock lock(mutex_);
        lost_ = true;
        begun.swap(begun_);
        unattended_.clear();
        changed_.notify_all();
    }
    for (const auto& [serial, exec] : begun) exec.done(not_running(id_));
}

std::uint64_t Connection::attach(const AttachOptions& options, base::Fd client,
                                 const std::string& input) {
    const std::uint64_t attach_id = next_attach_id();
    const wire::AttachRequest request =
        attach_request(PendingAttach{options, std::move(client), input}, attach_id);
    const wire::Reply reply = ask(wire::Kind::attach, wire::encode(request));
    if (!reply.ok) throw_not_running(id_);
    return attach_id;
}

HeldClient Connection::attach_held(const AttachOptions& options, base::Fd client,
                                   const std::string& input) {
    HeldClient held;
    held.attach_id = next_attach_id();
    const wire::AttachRequest request =
        attach_request(PendingAttach{options, std::move(client), input}, held.attach_id);
    const wire::Reply reply = ask(wire::Kind::attach_held, wire::encode(request));
    if (!reply.ok) throw_not_running(id_);
    const auto parts = base::split(reply.failed.text, ' ');
    if (parts.size() == 2) {
        held.log_end =
            LogPosition{static_cast<std::uint64_t>(base::parse_int(parts[0]).value_or(0)),
                        base::parse_int(parts[1]).value_or(0)};
    }
    return held;
}

void Connection::resume(std::uint64_t attach_id) {
    // Gone: its clients are as well.
    (void)send(wire::Kind::attach_resume, 0, wire::encode(wire::AttachResume{attach_id}));
}

bool Connection::signal(int signal) {
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0) return true;
    if (errno == ESRCH) return false;
    base::throw_errno(errno, "signal container " + id_);
}

void Connection::resize(ConsoleSize size) {
    if (send(wire::Kind::resize, 0, wire::encode(wire::ResizeRequest{{}, size})) != 0)
        throw_not_running(id_);
}

pid_t Connection::exec_start(const ExecPlan& plan, std::optional<PendingAttach> client) {
    const BorrowedExecRequest request(plan, std::move(client));
    const wire::Reply reply = ask(wire::Kind::exec_start, request.content);
    if (!reply.ok) throw start_failure(Attempt::exec, reply.failed);
    return reply.pid;
}

void Connection::exec_begin(const ExecPlan& plan, base::Fd output,
                            std::function<void(ExecStarted)> done) {
    (void)begin(plan, output, done, /*wait=*/true);
}

bool Connection::try_exec_begin(const ExecPlan& plan, base::Fd& output,
                                const std::function<void(ExecStarted)>& done) {
    return begin(plan, output, done, /*wait=*/false);
}

/// Asks for a prober, which the next one can go to.
void Connection::want_prober(const ExecPlan& plan) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    auto ours = std::make_shared<const base::Fd>(ends[0]);
    const wire::ProberRequest request{base::Fd{ends[1]}, plan.process.oom_score_adj,
                                      plan.process.seccomp_program};
    std::uint32_t serial = 0;
    {
        const base::Lock lock(mutex_);
        if (lost_ || probing_ != Probing::none) return;
        probing_ = Probing::asked;
        prober_ = std::move(ours);
        prober_filter_ = request.seccomp_program;
        serial = prober_serial_ = next_serial_++;
    }
    if (send_now(wire::Kind::prober, serial, wire::encode(request)) == 0) return;
    const base::Lock lock(mutex_);
    probing_ = Probing::none;
    prober_.reset();
}

/// A prober takes what it can at once; who waits goes to the monitor.
int Connection::send_begin(const SharedSocket& prober, std::uint32_t serial,
                           const wire::Encoder& content, bool wait) {
    constexpr auto kind = wire::Kind::exec_direct;
    if (prober) return wire::send_packet(prober->get(), kind, serial, content, /*wait=*/false);
    return wait ? send(kind, serial, content) : send_now(kind, serial, content);
}

bool Connection::begin(const ExecPlan& plan, base::Fd& output,
                       const std::function<void(ExecStarted)>& done, bool wait) {
    std::uint32_t serial = 0;
    bool wanting = false;
    SharedSocket prober;
    std::shared_ptr<const std::string> known;
    {
        const base::Lock lock(mutex_);
        if (!lost_) {
            // The prober has the cgroups that the monitor has.
            if (probing_ == Probing::there && !wait && plan.cgroup_procs.empty()) prober = prober_;
            if (prober) known = prober_filter_;
            wanting = probing_ == Probing::none;
            serial = next_serial_++;
            begun_[serial] = {plan.id, done};
            unattended_.emplace(plan.id, prober);
        }
    }
    if (serial == 0) {
        done(not_running(id_));
        return true;
    }
    BorrowedExecRequest request(plan, std::move(output), known.get());
    const int error = send_begin(prober, serial, request.content, wait);
    if (error == 0) {
        if (wanting) want_prober(plan);
        return true;
    }
    {
        const base::Lock lock(mutex_);
        const auto found = begun_.find(serial);
        if (found == begun_.end()) return true;  // lost() was quicker
        unattended_.erase(plan.id);
        begun_.erase(found);
    }
    // A prober that is gone may have been killed by itself.
    if (error == EAGAIN || prober) {
        output = std::move(request.clients.front().client);
        return false;
    }
    done(not_running(id_));
    return true;
}

void Connection::exec_resize(const std::string& exec_id, ConsoleSize size) {
    if (send(wire::Kind::resize, 0, wire::encode(wire::ResizeRequest{exec_id, size})) != 0)
        throw_not_running(id_);
}

bool Connection::exec_signal(const std::string& exec_id, int signal) {
    return ask(wire::Kind::exec_signal, wire::encode(wire::ExecSignal{exec_id, signal})).ok;
}

void Connection::exec_kill(const std::string& exec_id) {
    SharedSocket prober;
    {
        const base::Lock lock(mutex_);
        if (const auto exec = unattended_.find(exec_id); exec != unattended_.end()) {
            prober = exec->second;
        }
    }
    // Serial 0: the answer is nobody's. A monitor that is gone has nothing to kill with.
    const auto content = wire::encode(wire::ExecSignal{exec_id, SIGKILL});
    if (prober) {
        (void)wire::send_packet(prober->get(), wire::Kind::exec_signal, 0, content);
    } else {
        (void)send(wire::Kind::exec_signal, 0, content);
    }
}

void Connection::acknowledge(const std::string& exec_id) {
    if (!socket_) return;
    {
        const base::Lock lock(mutex_);
        owed_.push_back(exec_id);
    }
    send_owed();
}

bool Connection::ends_unattended(const std::string& exec_id) {
    const base::Lock lock(mutex_);
    std::erase_if(begun_, [&](const auto& begun) { return begun.second.exec_id == exec_id; });
    return unattended_.erase(exec_id) > 0;
}

void Connection::release() {
    (void)send(wire::Kind::release, 0, wire::Encoder{});  // gone already: as good
}

}  // namespace dockerd::runtime::launch
