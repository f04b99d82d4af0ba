#include "launch/connection.hpp"

#include "launch/failure.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace dockerd::runtime::launch {

namespace {

[[noreturn]] void throw_not_running(const std::string& id) {
    throw base::Error(base::ErrorKind::conflict, "container " + id + " is not running");
}

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
    const base::Lock lock(sending_);
    return wire::send_packet(socket_.get(), kind, serial, content);
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
    base::Lock lock(mutex_);
    while (error == 0 && !lost_ && !waiting_[serial]) changed_.wait(lock);
    std::optional<wire::Reply> reply = std::move(waiting_[serial]);
    waiting_.erase(serial);
    if (!reply) throw_not_running(id_);
    return std::move(*reply);
}

void Connection::answered(std::uint32_t serial, wire::Reply&& reply) {
    const base::Lock lock(mutex_);
    const auto found = waiting_.find(serial);
    if (found == waiting_.end()) return;
    found->second = std::move(reply);
    changed_.notify_all();
}

void Connection::lost() {
    const base::Lock lock(mutex_);
    lost_ = true;
    changed_.notify_all();
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
    std::vector<wire::AttachRequest> clients;
    if (client) clients.push_back(attach_request(std::move(*client), next_attach_id()));
    // As visit(ExecRequest) has it; the plan is only borrowed.
    wire::Encoder content;
    content(plan, clients);
    const wire::Reply reply = ask(wire::Kind::exec_start, content);
    if (!reply.ok) throw start_failure(Attempt::exec, reply.failed);
    return reply.pid;
}

void Connection::exec_resize(const std::string& exec_id, ConsoleSize size) {
    if (send(wire::Kind::resize, 0, wire::encode(wire::ResizeRequest{exec_id, size})) != 0)
        throw_not_running(id_);
}

bool Connection::exec_signal(const std::string& exec_id, int signal) {
    return ask(wire::Kind::exec_signal, wire::encode(wire::ExecSignal{exec_id, signal})).ok;
}

void Connection::acknowledge(const std::string& exec_id) {
    (void)send(wire::Kind::exec_ack, 0,
               wire::encode(wire::ExecAck{exec_id}));  // gone: nobody waits for it
}

void Connection::release() {
    (void)send(wire::Kind::release, 0, wire::Encoder{});  // gone already: as good
}

}  // namespace dockerd::runtime::launch
