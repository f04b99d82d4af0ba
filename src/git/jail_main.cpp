// The program of the jail: two processes of this one name, and those of git. The outer one waits
// with the rights it was started with; the inner one is the first of its namespaces, has none, and
// executes git.

#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/git/jail.hpp>
#include <dockerd/sys/architecture.hpp>

#include "jail_files.hpp"
#include "wire.hpp"

namespace dockerd::git {
namespace {

/// From here on the numbers are of another calling convention (x32).
constexpr std::uint32_t foreign_calls = 0x40000000;

void check(bool done, const char* call) {
    if (!done) base::throw_errno(errno, call);
}

void prepare_process() {
    (void)::syscall(SYS_close_range, wire::folder_fd + 1, ~0U,
                    0U);                                       // nothing else was meant for us
    (void)::prctl(PR_SET_NAME, program_name.data(), 0, 0, 0);  // for ps only
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (const int fd : {wire::socket_fd, wire::folder_fd}) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
    // The launcher's are not meant for git.
    for (int number = 1; number < NSIG; ++number) (void)std::signal(number, SIG_DFL);
    ::umask(022);
}

/// The first the out-of-memory killer thinks of. Not everybody may say so.
void be_expendable() {
    const base::Fd file{::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)};
    if (file) (void)::write(file.get(), "1000", 4);
}

void drop_rights() {
    for (unsigned long capability = 0; capability < 64; ++capability) {
        // Past the kernel's last one, or without CAP_SETPCAP; what matters goes with the user.
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) break;
    }
    (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    check(::setgroups(0, nullptr) == 0, "setgroups");
    check(::setresgid(nobody, nobody, nobody) == 0, "setresgid");
    check(::setresuid(nobody, nobody, nobody) == 0, "setresuid");
    check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl(PR_SET_NO_NEW_PRIVS)");
    // Another user's process has neither of these any more.
    check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl(PR_SET_DUMPABLE)");
    check(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "prctl(PR_SET_PDEATHSIG)");
}

void install(sock_filter* code, std::size_t count) {
    const sock_fprog program{static_cast<unsigned short>(count), code};
    check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                    &program) == 0,
          "seccomp");
}

/// The network is the host's: of it there are only addresses, no sockets of the host's own
/// services, and nothing of the kernel's. Nor may one process of the jail look into another.
void filter_sockets() {
    const auto load = [](std::size_t offset) -> sock_filter {
        return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
    };
    const auto jump = [](int test, std::uint32_t value, std::uint8_t yes,
                         std::uint8_t no) -> sock_filter {
        return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | BPF_K | test), value, yes, no);
    };
    const auto give = [](std::uint32_t verdict) -> sock_filter {
        return BPF_STMT(BPF_RET | BPF_K, verdict);
    };
    std::array<sock_filter, 12> code{
        load(offsetof(seccomp_data, arch)),     jump(BPF_JEQ, sys::audit_architecture, 0, 9),
        load(offsetof(seccomp_data, nr)),       jump(BPF_JGE, foreign_calls, 7, 0),
        jump(BPF_JEQ, SYS_ptrace, 6, 0),        jump(BPF_JEQ, SYS_socket, 0, 4),
        load(offsetof(seccomp_data, args)),  // the low half of the family
        jump(BPF_JEQ, AF_INET, 2, 0),           jump(BPF_JEQ, AF_INET6, 1, 0),
        give(SECCOMP_RET_ERRNO | EAFNOSUPPORT), give(SECCOMP_RET_ALLOW),
        give(SECCOMP_RET_ERRNO | EPERM),
    };
    install(code.data(), code.size());
}

void filter_calls(const std::string& filter) {
    filter_sockets();
    if (filter.size() < sizeof(sock_filter)) return;
    std::vector<sock_filter> code(filter.size() / sizeof(sock_filter));
    std::memcpy(code.data(), filter.data(), code.size() * sizeof(sock_filter));
    install(code.data(), code.size());
}

/// A repository can make git want much; on a machine that has it this is still a bound.
void limit_resources() {
    const auto limit = [](auto resource, rlim_t most) {
        const rlimit value{most, most};
        (void)::setrlimit(resource, &value);  // one that is lower already stays
    };
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 1024);
    limit(RLIMIT_MEMLOCK, 0);
    limit(RLIMIT_AS, 16UL << 30U);
}

struct Streams {
    base::Fd output;
    base::Fd errors;
    base::Fd failure;  ///< an errno when the program was not executed
};

[[noreturn]] void execute(const std::vector<std::string>& words, const Streams& streams) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    if (::dup2(streams.output.get(), 1) == 1 && ::dup2(streams.errors.get(), 2) == 2 &&
        ::chdir("/tree") == 0) {
        limit_resources();  // from here on nothing is allocated
        ::execvp(arguments.front(), arguments.data());
    }
    const int error = errno;
    (void)::write(streams.failure.get(), &error, sizeof error);
    ::_exit(127);
}

bool make_pipe(base::Fd& read, base::Fd& write) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    read.reset(ends[0]);
    write.reset(ends[1]);
    return true;
}

/// Adds what is there to `text`, up to the bound. Closes at the end.
void drain(base::Fd& from, std::string& text) {
    char buffer[4096];
    const ssize_t n = ::read(from.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
        from.reset();
        return;
    }
    const std::size_t room = wire::max_text - text.size();
    text.append(buffer, std::min(room, static_cast<std::size_t>(n)));
}

/// What it writes until all of it has ended, or nobody listens any more: then this ends everything.
void collect(Streams& reads, std::string& output, std::string& errors) {
    while (reads.output || reads.errors) {
        pollfd waits[] = {{reads.output.get(), POLLIN, 0},
                          {reads.errors.get(), POLLIN, 0},
                          {wire::socket_fd, POLLRDHUP, 0}};
        if (::poll(waits, 3, -1) < 0 && errno != EINTR) ::_exit(1);
        if (waits[2].revents != 0) ::_exit(0);
        if (waits[0].revents != 0) drain(reads.output, output);
        if (waits[1].revents != 0) drain(reads.errors, errors);
    }
}

/// The status of `child`; what it has left behind is gone then, too.
int reap(pid_t child) {
    int status = 0;
    for (bool killed = false;;) {
        int one = 0;
        const pid_t pid = ::waitpid(-1, &one, 0);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) return status;
        if (pid == child) status = one;
        if (pid == child && !std::exchange(killed, true)) (void)::kill(-1, SIGKILL);
    }
}

std::string perform(const std::vector<std::string>& words) {
    wire::Head head;
    std::string output;
    std::string errors;
    Streams reads;
    Streams writes;
    const bool joined = words.front() == "joined";
    const bool made = make_pipe(reads.output, writes.output) &&
                      make_pipe(reads.failure, writes.failure) &&
                      (joined || make_pipe(reads.errors, writes.errors));
    if (joined && made) writes.errors.reset(::fcntl(writes.output.get(), F_DUPFD_CLOEXEC, 3));
    const pid_t child = made && writes.errors ? ::fork() : -1;
    if (child == 0) execute({words.begin() + 1, words.end()}, writes);
    head.error = child < 0 ? errno : 0;
    writes = {};
    if (child > 0) {
        collect(reads, output, errors);
        head.status = reap(child);
        (void)::read(reads.failure.get(), &head.error, sizeof head.error);
    }
    head.output_size = static_cast<std::uint32_t>(output.size());
    return std::string(reinterpret_cast<const char*>(&head), sizeof head) + output + errors;
}

/// The inner process. Pre: the first one of its process namespace.
[[noreturn]] void run_inner(JailFiles& files, const std::string& filter,
                            const std::vector<std::string>& environment) {
    try {
        be_expendable();
        check(::unshare(CLONE_NEWNS) == 0, "unshare");
        files.enter();
        drop_rights();
        ::clearenv();
        for (const std::string& entry : environment) {
            const auto equals = entry.find('=');
            (void)::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
        }
        filter_calls(filter);
    } catch (const base::Error& error) {
        (void)wire::send(wire::socket_fd, error.what());
        ::_exit(1);
    }
    std::string packet;
    if (!wire::send(wire::socket_fd, "")) ::_exit(0);
    while (wire::receive(wire::socket_fd, packet)) {
        const auto words = wire::split(packet);
        if (words.size() < 2 || !wire::send(wire::socket_fd, perform(words))) break;
    }
    ::_exit(0);
}

/// Ends the inner process with the daemon's end of the socket.
void watch(const base::Fd& inner, pid_t pid) {
    pollfd waits[] = {{inner.get(), POLLIN, 0}, {wire::socket_fd, 0, 0}};
    while (::poll(waits, 2, -1) < 0 && errno == EINTR) continue;
    (void)::syscall(SYS_pidfd_send_signal, inner.get(), SIGKILL, nullptr, 0);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace

void run_jail() {
    prepare_process();
    std::string filter;
    std::string environment;
    std::string keys;
    if (!wire::receive(wire::socket_fd, filter) || !wire::receive(wire::socket_fd, environment) ||
        !wire::receive(wire::socket_fd, keys)) {
        ::_exit(1);
    }
    try {
        JailFiles files(wire::folder_fd, keys == "keys");
        check(::unshare(CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) == 0, "unshare");
        const pid_t pid = ::fork();
        check(pid >= 0, "fork");
        if (pid == 0) run_inner(files, filter, wire::split(environment));
        watch(base::Fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))}, pid);
    } catch (const base::Error& error) {
        (void)wire::send(wire::socket_fd, error.what());
    }
    // Where processes belong to a namespace that has ended no more can be made: a sanitizer's look for
    // leaks would want one.
    ::_exit(0);
}

}  // namespace dockerd::git
