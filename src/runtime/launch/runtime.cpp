#include "launch/connection.hpp"
#include "launch/failure.hpp"
#include "launch/launcher.hpp"
#include "launch/reaper.hpp"
#include "launch/state_files.hpp"
#include "users/passwd.hpp"
#include "wire/packet.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/runtime/runtime.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <optional>
#include <utility>

namespace dockerd::runtime {

struct Runtime::Impl {
    explicit Impl(RuntimeEvents events) : reaper(std::move(events)) {}
    launch::Launcher launcher;
    launch::Reaper reaper;
};

namespace {

struct Pair {
    base::Fd ours, theirs;
};

Pair make_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        base::throw_errno(errno, "socketpair");
    }
    return {base::Fd{ends[0]}, base::Fd{ends[1]}};
}

/// What the monitor says first; nullopt when the connection closed without a word.
std::optional<wire::Started> await_started(const base::Fd& socket, const CgroupMaker& make_cgroup,
                                           wire::Failed& failed) {
    wire::Packet packet;
    if (wire::receive_packet(socket.get(), /*wait=*/true, packet) != wire::Receive::packet)
        return {};
    std::exception_ptr no_cgroup;
    if (wire::Made made; packet.kind == wire::Kind::made && make_cgroup && packet.to(made)) {
        try {
            const wire::CgroupReady ready{make_cgroup(made.pid)};
            (void)wire::send_message(socket.get(), wire::Kind::cgroup_ready, 0, ready);
        } catch (const base::Error&) {
            no_cgroup = std::current_exception();
            (void)::shutdown(socket.get(), SHUT_WR);  // the monitor's sign to end with its process
        }
        packet = {};
        if (wire::receive_packet(socket.get(), /*wait=*/true, packet) != wire::Receive::packet &&
            !no_cgroup) {
            return {};
        }
    }
    if (no_cgroup) {
        const bool knows_why =
            packet.kind == wire::Kind::failed && packet.to(failed) && !failed.step.empty();
        if (!knows_why) std::rethrow_exception(no_cgroup);
        return {};
    }
    wire::Started started;
    if (packet.kind == wire::Kind::started && packet.to(started) && started.pidfd) return started;
    if (packet.kind != wire::Kind::failed || !packet.to(failed)) {
        failed = {"protocol", 0, "the monitor answered something else"};
    }
    return {};
}

/// Sends the request and waits. Once more when the launcher died under it: then nobody has it.
template <typename Request>
std::optional<std::pair<wire::Started, base::Fd>> hand_over(launch::Launcher& launcher,
                                                            wire::Kind kind, Request& request,
                                                            wire::Failed& failed,
                                                            const CgroupMaker& make_cgroup = {}) {
    for (int attempt = 0; attempt < 2; ++attempt) {
        Pair pair = make_pair();
        request.connection = std::move(pair.theirs);
        launcher.send(kind, wire::encode(request));
        request.connection.reset();  // else its end would never be seen
        if (auto started = await_started(pair.ours, make_cgroup, failed)) {
            return std::make_pair(std::move(*started), std::move(pair.ours));
        }
        if (!failed.step.empty()) return {};
        if (!launcher.has_died()) break;
    }
    failed = {"launcher", 0, "the launcher ended"};
    return {};
}

}  // namespace

Runtime::Runtime(RuntimeEvents events) : impl_(std::make_shared<Impl>(std::move(events))) {
    impl_->launcher.ensure();
}

Runtime::~Runtime() { stop(); }

void Runtime::stop() { impl_->reaper.stop(); }

pid_t Runtime::launcher_pid() const { return impl_->launcher.pid(); }

std::shared_ptr<Monitor> Runtime::start(ContainerPlan plan, std::vector<PendingAttach> clients,
                                        const CgroupMaker& make_cgroup) {
    if (plan.process.args.empty()) {
        base::fail(base::ErrorKind::invalid_argument, "no command specified");
    }
    wire::StartRequest request;
    request.plan = std::move(plan);
    for (PendingAttach& client : clients) {
        request.clients.push_back(
            launch::attach_request(std::move(client), launch::next_attach_id()));
    }
    request.awaits_cgroup = make_cgroup != nullptr;
    wire::Failed failed;
    auto handed = hand_over(impl_->launcher, wire::Kind::start, request, failed, make_cgroup);
    if (!handed) throw launch::start_failure(launch::Attempt::container, failed);
    auto& [started, socket] = *handed;
    auto connection = std::make_shared<launch::Connection>(
        request.plan.id, started.pid, std::move(started.pidfd), std::move(socket));
    impl_->reaper.add(connection);
    return connection;
}

base::Fd Runtime::start_program(const std::string& name, int program, std::span<const int> fds) {
    const auto duplicate = [&name](int fd) {
        base::Fd out{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
        if (!out) base::throw_errno(errno, name + ": dup");
        return out;
    };
    wire::ExecuteRequest request;
    request.name = name;
    request.program = duplicate(program);
    for (const int fd : fds) request.fds.push_back(duplicate(fd));
    wire::Failed failed;
    auto handed = hand_over(impl_->launcher, wire::Kind::execute, request, failed);
    if (!handed && failed.error != 0) base::throw_errno(failed.error, name + ": " + failed.text);
    if (!handed) base::fail(base::ErrorKind::internal, name + ": " + failed.text);
    return std::move(handed->first.pidfd);
}

Recovered Runtime::recover(const std::string& state_directory, const std::string& id) {
    return launch::recover(impl_->reaper, state_directory, id);
}

void Runtime::forget(const std::string& state_directory) { launch::remove_state(state_directory); }

void Runtime::forget_processes(const std::string& state_directory) {
    launch::remove_process_state(state_directory);
}

ResolvedUser resolve_user(const base::Fd& root, const std::string& user,
                          const std::vector<std::string>& additional_groups) {
    users::Identity identity;
    bool blind = false;
    const std::string error = users::look_up(users::files_in_root(root.get(), &blind), user,
                                             additional_groups, identity);
    // Else it is found out where the names can be looked up.
    if (!error.empty() && !blind) base::fail(base::ErrorKind::invalid_argument, error);
    return {identity.uid, identity.gid, std::move(identity.groups), std::move(identity.home)};
}

}  // namespace dockerd::runtime
