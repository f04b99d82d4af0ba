#include "init/container_init.hpp"

#include "init/clone.hpp"
#include "init/process.hpp"
#include "init/report.hpp"
#include "init/root_file_system.hpp"
#include "paths/in_root.hpp"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace dockerd::runtime::init {

namespace {

void take_stdio(const Stdio& stdio) {
    const int from[3] = {stdio.in.get(), stdio.out.get(), stdio.err.get()};
    for (int fd = 0; fd <= 2; ++fd) {
        if (from[fd] >= 0 && ::dup2(from[fd], fd) < 0) fail("stdio", errno, "dup2");
    }
}

void unblock_signals() {
    sigset_t none;
    ::sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);  // cannot fail with these arguments
}

/// A clean process: no handler, own session, nothing dumpable.
void reset_process() {
    // What is ignored would stay so over exec. The raw call: the C library keeps two of the
    // signals for itself and starts programs with them ignored.
    const struct {
        void* handler = nullptr;
        unsigned long flags = 0;
        void* restorer = nullptr;
        std::uint64_t mask = 0;
    } normal;
    for (int signal = 1; signal <= 64; ++signal) {
        (void)::syscall(SYS_rt_sigaction, signal, &normal, nullptr, 8);  // KILL and STOP refuse
    }
    if (::setsid() < 0) fail("session", errno, "setsid");
    (void)::umask(0);
    // Before anything of the host is touched (CVE-2016-9962). Inherited from the launcher, too.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail("session", errno, "prctl(SET_DUMPABLE)");
}

void join_session_keyring(const std::string& id) {
    // Best effort, as in Docker's runtime: kernels without keyrings refuse.
    const std::string name = "_ses." + id;
    (void)::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str());
}

void become_mapped_root(const ContainerPlan& plan) {
    if (plan.namespaces.user.mode != NamespaceMode::create) return;
    await_signal(Signal::mapped);
    if (::syscall(SYS_setresgid, 0, 0, 0) != 0 || ::syscall(SYS_setresuid, 0, 0, 0) != 0 ||
        ::syscall(SYS_setgroups, 0, nullptr) != 0) {
        fail("user", errno, "become root of the user namespace");
    }
    // Changing the user made this process dumpable by its own rules; not yet.
    (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void bring_loopback_up(const ContainerPlan& plan) {
    if (plan.namespaces.net.mode != NamespaceMode::create) return;
    const base::Fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request{};
    std::memcpy(request.ifr_name, "lo", 3);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
        fail("network", errno, "bring up loopback");
    }
}

void name_host(const ContainerPlan& plan) {
    if (!plan.hostname.empty() && ::sethostname(plan.hostname.data(), plan.hostname.size()) != 0) {
        fail("hostname", errno, "sethostname");
    }
    // With Docker this is a sysctl, which takes no more than there is room for.
    constexpr std::size_t room = 64;
    if (!plan.domainname.empty() &&
        ::setdomainname(plan.domainname.data(), std::min(plan.domainname.size(), room)) != 0) {
        fail("hostname", errno, "setdomainname");
    }
}

/// Closes every descriptor above 2 but those of `keep`.
void close_all_but(std::vector<int> kept) {
    std::sort(kept.begin(), kept.end());
    int from = 3;
    for (const int fd : kept) {
        if (fd < from) continue;
        if (fd > from) (void)::syscall(SYS_close_range, from, fd - 1, 0);
        from = fd + 1;
    }
    (void)::syscall(SYS_close_range, from, ~0U, 0U);
}

void make_working_directory(const Rootfs& rootfs) {
    // What cannot be made is found out by chdir, with its own message.
    (void)make_in_root(rootfs.root, rootfs.plan.process.cwd, Leaf::directory);
}

}  // namespace

void run_container_init(ContainerPlan& plan, Stdio& stdio, base::Fd& report) {
    set_report_socket(report.get());
    unblock_signals();
    reset_process();
    take_stdio(stdio);
    stdio = Stdio{};
    become_mapped_root(plan);
    join_session_keyring(plan.id);
    apply_limits(plan.process);
    if (plan.process.has_oom_score_adj) set_oom_score(plan.process.oom_score_adj);
    const base::Fd apparmor = open_apparmor(plan.process);
    Rootfs rootfs{.plan = plan, .root = plan.rootfs};

    attach_root(rootfs);
    rootfs.host_null.reset(::open("/dev/null", O_PATH | O_CLOEXEC));
    if (!is_null_device(rootfs.host_null)) fail("mask", 0, "the host's /dev/null is invalid");
    apply_mounts(rootfs);
    make_devices(rootfs);
    make_working_directory(rootfs);
    if (plan.process.tty) open_terminal(plan.rootfs, plan.process.console_size, true);
    bring_loopback_up(plan);
    name_host(plan);
    write_sysctls(plan);
    hide_paths(rootfs);
    enter_root(rootfs);
    reopen_null();

    const users::Identity identity = find_identity(plan.process);
    await_join(rootfs);
    enter_cgroup_namespace(rootfs);
    // No directory is open any more that a working directory of /proc/self/fd/N could name.
    close_all_but({report.get(), apparmor.get()});
    (void)::umask(static_cast<mode_t>(plan.process.umask));
    become_program(plan.process, identity, apparmor, plan.use_init);
}

namespace {

/// By itself and only now, not as its helper: a container that has all the processes it may can be
/// looked into. With `asks` the other end of the report socket is asked when that is refused.
void join_cgroups(std::span<const base::Fd> cgroups, bool asks) {
    for (const base::Fd& file : cgroups) {
        if (::write(file.get(), "0", 1) >= 0) continue;
        // Kernels before 5.16 ask what this process may, not who opened the file, and this one is
        // in the container's namespaces already.
        if (!asks || (errno != ENOENT && errno != EACCES && errno != EPERM)) {
            fail("cgroup", errno, "error adding pid to cgroups");
        }
        (void)send_signal(report_socket(), Signal::join);
        return await_signal(Signal::joined);
    }
}

/// Goes on as the process that was born in the container.
[[noreturn]] void run_exec(ExecPlan& plan, std::span<const base::Fd> cgroups, bool asks) {
    join_cgroups(cgroups, asks);
    // Before anything of the container is looked at: who may debug this process may use its files.
    // Their owners are the monitor's: here nothing else closes them.
    for (const base::Fd& file : cgroups) base::Fd{file.get()}.reset();
    if (::setsid() < 0) fail("session", errno, "setsid");
    if (plan.process.tty) {
        const base::Fd root{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
        open_terminal(root, plan.process.console_size, false);
    }
    reopen_null();
    const users::Identity identity = find_identity(plan.process);
    join_session_keyring(plan.id);
    const base::Fd apparmor = open_apparmor_inside(plan.process);
    (void)::umask(static_cast<mode_t>(plan.process.umask));
    become_program(plan.process, identity, apparmor, /*below_reaper=*/false);
}

}  // namespace

int run_exec_helper(void* argument) {
    auto& [plan, target, stdio, report, made] = *static_cast<ExecHelper*>(argument);
    set_report_socket(report.get());
    unblock_signals();
    reset_process();
    base::Fd pidfd{::fcntl(target.pidfd, F_DUPFD_CLOEXEC, 3)};
    apply_limits(plan.process);
    if (plan.process.has_oom_score_adj) set_oom_score(plan.process.oom_score_adj);
    // Nothing of the host is open in the process that is born inside: only its streams, the
    // report socket and the files by which it joins the container's own cgroups.
    take_stdio(stdio);
    std::vector<int> kept{pidfd.get(), report.get()};
    for (const base::Fd& file : target.cgroups) kept.push_back(file.get());
    close_all_but(std::move(kept));
    if (::setns(pidfd.get(), target.namespaces) != 0) {
        fail("namespace", errno, "error executing setns process: setns");
    }
    pidfd.reset();
    // CLONE_PARENT: the monitor becomes the parent and so learns the exit code.
    const pid_t child = clone_process(CLONE_PARENT, nullptr);
    if (child < 0) fail("clone", errno, "error executing setns process: clone");
    if (child == 0) run_exec(plan, target.cgroups, /*asks=*/true);
    made = child;
    ::_exit(0);
}

void become_prober(const Target& target, base::Fd& socket, std::int32_t oom_score_adj) {
    reset_process();
    (void)::prctl(PR_SET_NAME, "docker-prober", 0, 0, 0);
    set_oom_score(oom_score_adj);
    const base::Fd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    for (int fd = 0; fd <= 2; ++fd) {
        if (!null || ::dup2(null.get(), fd) < 0) ::_exit(1);
    }
    base::Fd pidfd{::fcntl(target.pidfd, F_DUPFD_CLOEXEC, 3)};
    std::vector<int> kept{pidfd.get(), socket.get()};
    for (const base::Fd& file : target.cgroups) kept.push_back(file.get());
    close_all_but(std::move(kept));
    if (::setns(pidfd.get(), target.namespaces) != 0) ::_exit(1);
}

void run_probe(ExecPlan& plan, std::span<const base::Fd> cgroups, int pipe, int report) {
    set_report_socket(report);
    base::Fd output{pipe};
    std::vector<int> kept{pipe, report};
    for (const base::Fd& file : cgroups) kept.push_back(file.get());
    close_all_but(std::move(kept));
    for (int fd = 1; fd <= 2; ++fd) {
        if (::dup2(pipe, fd) < 0) fail("stdio", errno, "dup2");
    }
    output.reset();
    unblock_signals();
    apply_limits(plan.process);
    run_exec(plan, cgroups, /*asks=*/false);
}

}  // namespace dockerd::runtime::init
