// Stands in the worker's place in tests: enters the same jail, tries what must not work, and
// reports in the text of an error how each attempt ended: "open /etc/passwd=2 socket=1 ...".

#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <span>
#include <string>

#include <dockerd/archive/stream.hpp>

#include "worker/jail.hpp"

namespace {

using namespace dockerd::archive::worker;

std::string found;

template <typename Call>
void attempt(const char* name, const Call& call) {
    errno = 0;
    const auto result = call();
    found += std::string(found.empty() ? "" : " ") + name + "=" +
             std::to_string(static_cast<long>(result) < 0 ? errno : 0);
}

void* anonymous(int protection) {
    return ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void try_files() {
    attempt("open-passwd", [] { return ::open("/etc/passwd", O_RDONLY); });
    attempt("open-dots", [] { return ::open("../../../../../../etc/passwd", O_RDONLY); });
    attempt("open-dots-of-root",
            [] { return ::openat(root_fd, "../../../../../../etc/passwd", O_RDONLY); });
    attempt("open-proc", [] { return ::open("/proc/self/status", O_RDONLY); });
    attempt("mknod", [] { return ::mknod("/zero", S_IFCHR | 0666, makedev(1, 5)); });
    attempt("open-device", [] { return ::open("/zero", O_RDWR); });
}

void try_processes(pid_t parent) {
    attempt("ptrace", [=] { return ::ptrace(PTRACE_ATTACH, parent, nullptr, nullptr); });
    attempt("kill", [=] { return ::kill(parent, 0); });
    attempt("pidfd_open", [=] { return ::syscall(SYS_pidfd_open, parent, 0); });
    attempt("fork", [] { return ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); });
    attempt("clone3", [] { return ::syscall(SYS_clone3, nullptr, 0); });
    attempt("execve", [] { return ::execl("/bin/sh", "sh", nullptr); });
    attempt("process_vm_readv",
            [=] { return ::syscall(SYS_process_vm_readv, parent, nullptr, 0, nullptr, 0, 0); });
}

void try_kernel() {
    attempt("socket-inet", [] { return ::socket(AF_INET, SOCK_STREAM, 0); });
    attempt("socket-unix", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); });
    attempt("socket-netlink", [] { return ::socket(AF_NETLINK, SOCK_RAW, 0); });
    attempt("mount", [] { return ::mount("none", "/", "tmpfs", 0, nullptr); });
    attempt("umount", [] { return ::umount2("/", MNT_DETACH); });
    attempt("fsopen", [] { return ::syscall(SYS_fsopen, "proc", 0); });
    attempt("open_tree", [] { return ::syscall(SYS_open_tree, AT_FDCWD, "/", 0); });
    attempt("move_mount", [] { return ::syscall(SYS_move_mount, -1, "", -1, "", 0); });
    attempt("pivot_root", [] { return ::syscall(SYS_pivot_root, ".", "."); });
    attempt("chroot", [] { return ::chroot("."); });
    attempt("setns", [] { return ::setns(root_fd, 0); });
    attempt("unshare", [] { return ::unshare(CLONE_NEWUSER); });
    attempt("bpf", [] { return ::syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0); });
    attempt("keyctl", [] { return ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); });
    attempt("io_uring", [] { return ::syscall(SYS_io_uring_setup, 1, nullptr); });
    attempt("userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); });
    attempt("perf_event", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, 0, 0, 0); });
    attempt("by_handle", [] { return ::syscall(SYS_open_by_handle_at, root_fd, nullptr, 0); });
    attempt("ioctl", [] { return ::syscall(SYS_ioctl, root_fd, 0, 0); });
    attempt("fcntl-setown", [] { return ::fcntl(report_fd, F_SETOWN, 1); });
    attempt("fcntl-async", [] { return ::fcntl(report_fd, F_SETFL, O_ASYNC); });
    attempt("madvise-poison", [] { return ::madvise(anonymous(PROT_READ), 4096, MADV_HWPOISON); });
    attempt("prctl", [] { return ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); });
    attempt("capset", [] { return ::syscall(SYS_capset, nullptr, nullptr); });
    attempt("setuid", [] { return ::setuid(0); });
    attempt("setrlimit", [] { return ::syscall(SYS_prlimit64, 0, RLIMIT_AS, nullptr, nullptr); });
    attempt("memfd", [] { return ::syscall(SYS_memfd_create, "x", 0); });
    attempt("init_module", [] { return ::syscall(SYS_init_module, nullptr, 0, ""); });
    attempt("sethostname", [] { return ::syscall(SYS_sethostname, "x", 1); });
    attempt("sendmsg", [] { return ::syscall(SYS_sendmsg, report_fd, nullptr, 0); });
}

void try_memory() {
    attempt("mmap", [] { return anonymous(PROT_READ) == MAP_FAILED ? -1 : 0; });
    attempt("mmap-exec", [] { return anonymous(PROT_READ | PROT_EXEC) == MAP_FAILED ? -1 : 0; });
    attempt("mprotect-exec",
            [] { return ::mprotect(anonymous(PROT_READ), 4096, PROT_READ | PROT_EXEC); });
    attempt("mmap-2g", [] {
        constexpr std::size_t much = 2UL << 30U;
        void* const got =
            ::mmap(nullptr, much, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return got == MAP_FAILED ? -1 : 0;
    });
}

}  // namespace

int main() {
    const pid_t parent = ::getppid();
    Job job;
    const auto input = dockerd::archive::fd_source(dockerd::base::Fd{::dup(input_fd)});
    (void)dockerd::archive::read_full(input, {reinterpret_cast<char*>(&job), sizeof job});
    enter_jail(job.task);
    try_files();
    try_processes(parent);
    try_kernel();
    try_memory();
    Report report;
    report.text_size = static_cast<std::uint32_t>(found.size());
    const auto sink = dockerd::archive::fd_sink(report_fd);
    sink({reinterpret_cast<const char*>(&report), sizeof report});
    sink(found);
    ::_exit(0);
}
