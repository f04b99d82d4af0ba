#include "monitor/spawn.hpp"

#include "init/clone.hpp"
#include "init/report.hpp"
#include "wire/packet.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace dockerd::runtime::monitor {

namespace {

/// What the helper of an exec and the process it makes have, until that executes its program.
constexpr std::size_t helper_stack = 128 * 1024;

int make_pipe(base::Fd& read_end, base::Fd& write_end) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
    return 0;
}

int make_link(base::Fd& ours, base::Fd& theirs) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
    return 0;
}

/// Puts this process into a namespace of another container for as long as a child is made, so that
/// the child is born there: also a child with a user namespace of its own, which could not enter.
class Borrowed {
public:
    int enter(const NamespaceChoice& choice, int kind, const char* name) {
        if (choice.mode != NamespaceMode::join) return 0;
        kind_ = kind;
        own_.reset(::open(name, O_RDONLY | O_CLOEXEC));
        if (!own_ || ::setns(choice.fd.get(), kind) != 0) return errno;
        entered_ = true;
        return 0;
    }
    void leave() {
        // Its own namespace never refuses this process.
        if (entered_ && ::setns(own_.get(), kind_) != 0) ::_exit(1);
        entered_ = false;
    }

private:
    base::Fd own_;
    int kind_ = 0;
    bool entered_ = false;
};

std::uint64_t clone_flags(const Namespaces& namespaces) {
    const auto bit = [](const NamespaceChoice& choice, std::uint64_t flag) {
        return choice.mode == NamespaceMode::create ? flag : 0;
    };
    return CLONE_NEWNS | bit(namespaces.pid, CLONE_NEWPID) | bit(namespaces.ipc, CLONE_NEWIPC) |
           bit(namespaces.uts, CLONE_NEWUTS) | bit(namespaces.net, CLONE_NEWNET) |
           bit(namespaces.user, CLONE_NEWUSER);
}

int write_map(pid_t pid, const char* name, const std::vector<IdMapping>& mappings) {
    std::string text;
    for (const IdMapping& line : mappings) {
        text += std::to_string(line.inside) + " " + std::to_string(line.outside) + " " +
                std::to_string(line.length) + "\n";
    }
    const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
    const base::Fd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file || ::write(file.get(), text.data(), text.size()) < 0) return errno;
    return 0;
}

Child no_child(wire::Failed& failed, const char* step, int error, const char* text) {
    failed = {step, error, text};
    return Child{};
}

}  // namespace

int make_stdio(const ProcessPlan& process, init::Stdio& theirs, Ends& ours) {
    if (process.tty) return 0;
    if (process.open_stdin) {
        if (const int error = make_pipe(theirs.in, ours.in)) return error;
    } else {
        theirs.in.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!theirs.in) return errno;
    }
    if (const int error = make_pipe(ours.out, theirs.out)) return error;
    return make_pipe(ours.err, theirs.err);
}

int direct_stdio(std::vector<wire::AttachRequest>& clients, init::Stdio& theirs) {
    if (clients.size() != 1) return EINVAL;
    theirs.in.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!theirs.in) return errno;
    theirs.out = std::move(clients.front().client);
    clients.clear();
    theirs.err.reset(::fcntl(theirs.out.get(), F_DUPFD_CLOEXEC, 0));
    return theirs.err ? 0 : errno;
}

Child spawn_container(ContainerPlan& plan, init::Stdio& stdio, wire::Failed& failed) {
    Child child;
    base::Fd theirs;
    if (const int error = make_link(child.link, theirs)) {
        return no_child(failed, "clone", error, "socketpair");
    }
    const Namespaces& namespaces = plan.namespaces;
    Borrowed pid, ipc, uts, net;
    int error = pid.enter(namespaces.pid, CLONE_NEWPID, "/proc/self/ns/pid");
    if (error == 0) error = ipc.enter(namespaces.ipc, CLONE_NEWIPC, "/proc/self/ns/ipc");
    if (error == 0) error = uts.enter(namespaces.uts, CLONE_NEWUTS, "/proc/self/ns/uts");
    if (error == 0) error = net.enter(namespaces.net, CLONE_NEWNET, "/proc/self/ns/net");
    if (namespaces.user.mode == NamespaceMode::join) error = ENOTSUP;
    int raw_pidfd = -1;
    if (error == 0) {
        child.pid = init::clone_process(clone_flags(namespaces), &raw_pidfd);
        if (child.pid == 0) init::run_container_init(plan, stdio, theirs);
        if (child.pid < 0) error = errno;
    }
    for (Borrowed* one : {&pid, &ipc, &uts, &net}) one->leave();
    if (error != 0)
        return no_child(failed, "namespace", error, "error joining or creating namespaces");
    child.pidfd.reset(raw_pidfd);
    if (namespaces.user.mode == NamespaceMode::create) {
        error = write_map(child.pid, "gid_map", plan.gid_mappings);
        if (error == 0) error = write_map(child.pid, "uid_map", plan.uid_mappings);
        if (error == 0) (void)init::send_signal(child.link.get(), init::Signal::mapped);
        // Without the signal the child waits until the link closes, and ends.
        if (error != 0) return no_child(failed, "user", error, "write id maps");
    }
    return child;
}

Child spawn_exec(ExecPlan& plan, const init::Target& target, init::Stdio& stdio,
                 wire::Failed& failed) {
    Child child;
    base::Fd theirs;
    if (const int error = make_link(child.link, theirs)) {
        return no_child(failed, "clone", error, "socketpair");
    }
    init::ExecHelper helper{plan, target, stdio, theirs};
    alignas(64) std::array<char, helper_stack> stack;
    // As vfork: a copy of this process's memory would cost more than all that the helper does.
    const pid_t pid = ::clone(init::run_exec_helper, stack.data() + stack.size(),
                              CLONE_VM | CLONE_VFORK | SIGCHLD, &helper);
    if (pid < 0) return no_child(failed, "clone", errno, "clone");
    init::set_report_socket(-1);
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    child.pid = helper.made;
    if (child.pid == 0) return child;
    // It cannot be another's number: nobody has waited for this process yet.
    child.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
    if (!child.pidfd) {
        const int error = errno;
        (void)::kill(child.pid, SIGKILL);  // not reaped yet: the number cannot be another's
        return no_child(failed, "clone", error, "pidfd_open");
    }
    return child;
}

int join_cgroups(const std::vector<base::Fd>& procs, pid_t pid) {
    const std::string text = std::to_string(pid);
    for (const base::Fd& file : procs) {
        if (::write(file.get(), text.data(), text.size()) >= 0) continue;
        if (errno != ESRCH) return errno;  // ended already: its report says why
    }
    return 0;
}

int namespaces_of(const Namespaces& namespaces) {
    return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
           CLONE_NEWCGROUP | (namespaces.user.mode == NamespaceMode::host ? 0 : CLONE_NEWUSER);
}

ChildEvent next_event(const base::Fd& link, bool wait) {
    ChildEvent event;
    char probe = 0;
    ssize_t size = 0;
    do {
        size = ::recv(link.get(), &probe, 1, MSG_PEEK | MSG_TRUNC | (wait ? 0 : MSG_DONTWAIT));
        // ECONNRESET: the child ended with something of ours unread. Its last words are still
        // there.
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size < 0 && errno == EAGAIN) return event;
    event.kind = ChildEvent::Kind::closed;
    if (size <= 0) return event;
    if (size != static_cast<ssize_t>(sizeof(init::SignalBody))) {
        wire::Packet packet;
        if (wire::receive_packet(link.get(), wait, packet) == wire::Receive::packet &&
            packet.kind == wire::Kind::failed && packet.to(event.failed)) {
            event.kind = ChildEvent::Kind::failed;
        }
        return event;
    }
    init::SignalBody body{};
    iovec part{&body, sizeof body};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(link.get(), &message, MSG_CMSG_CLOEXEC) != size) return event;
    const cmsghdr* first = CMSG_FIRSTHDR(&message);
    if (first != nullptr && first->cmsg_type == SCM_RIGHTS) {
        int raw = -1;
        std::memcpy(&raw, CMSG_DATA(first), sizeof raw);
        event.fd.reset(raw);
    }
    event.kind = ChildEvent::Kind::signal;
    event.signal = body.signal;
    event.number = body.number;
    return event;
}

}  // namespace dockerd::runtime::monitor
