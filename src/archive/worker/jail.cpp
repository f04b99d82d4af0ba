#include "jail.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/sys/architecture.hpp>

namespace dockerd::archive::worker {
namespace {


/// The same on all architectures; since Linux 6.6.
constexpr long fchmodat2_call = 452;

void check(bool done, const char* call) {
    if (!done) base::throw_errno(errno, std::string("unpack: ") + call);
}

bool writes_files(Task task) { return task != Task::decompress; }

/// Decoders are bounded to windows of 128 MiB; the rest grows with the number of names.
void limit_resources(Task task) {
    const auto limit = [](auto resource, rlim_t most) {
        const rlimit value{most, most};
        check(::setrlimit(resource, &value) == 0, "setrlimit");
    };
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 64);
    limit(RLIMIT_MEMLOCK, 0);
    limit(RLIMIT_AS, writes_files(task) ? 1UL << 30U : 512UL << 20U);
}

/// Docker's layers bring owners, devices, capabilities of files and attributes that are
/// "trusted."; the last, such as a whiteout's, are for CAP_SYS_ADMIN only. Nothing else that
/// CAP_SYS_ADMIN allows passes the filter.
std::uint64_t wanted_capabilities(Task task) {
    if (!writes_files(task)) return 0;
    std::uint64_t out = 0;
    for (const int capability : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD,
                                 CAP_SETFCAP, CAP_SYS_ADMIN}) {
        out |= 1ULL << static_cast<unsigned>(capability);
    }
    return out;
}

void drop_capabilities(std::uint64_t wanted) {
    for (unsigned long capability = 0; capability < 64; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
        if (errno == EINVAL) break;  // past the kernel's last
        // Without CAP_SETPCAP the bounding set stays; it matters to an exec, and there is none.
        if (errno == EPERM) break;
        check(false, "prctl(PR_CAPBSET_DROP)");
    }
    (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);  // older kernels have none
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2] = {};
    check(::syscall(SYS_capget, &header, sets) == 0, "capget");
    for (unsigned i = 0; i < 2; ++i) {
        sets[i].permitted &= static_cast<std::uint32_t>(wanted >> (32 * i));
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    check(::syscall(SYS_capset, &header, sets) == 0, "capset");
}

/// One program of seccomp's little machine.
class Filter {
public:
    Filter() {
        load(offsetof(seccomp_data, arch));
        jump(BPF_JEQ, sys::audit_architecture, 1, 0);
        give(SECCOMP_RET_KILL_PROCESS);
        load(offsetof(seccomp_data, nr));
    }
    void allow(std::initializer_list<long> calls) {
        for (const long call : calls) {
            jump(BPF_JEQ, static_cast<std::uint32_t>(call), 0, 1);
            give(SECCOMP_RET_ALLOW);
        }
    }
    /// Allowed unless its third argument, what memory is for, has PROT_EXEC.
    void allow_without_exec(long call) {
        jump(BPF_JEQ, static_cast<std::uint32_t>(call), 0, 4);
        load(offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t));  // the low half
        jump(BPF_JSET, PROT_EXEC, 0, 1);
        give(SECCOMP_RET_ERRNO | EPERM);
        give(SECCOMP_RET_ALLOW);
    }
    /// Allowed with one of these two as its second argument.
    void allow_commands(long call, std::uint32_t one, std::uint32_t other) {
        jump(BPF_JEQ, static_cast<std::uint32_t>(call), 0, 5);
        load(offsetof(seccomp_data, args) + sizeof(std::uint64_t));  // the low half
        jump(BPF_JEQ, one, 1, 0);
        jump(BPF_JEQ, other, 0, 1);
        give(SECCOMP_RET_ALLOW);
        give(SECCOMP_RET_ERRNO | EPERM);
    }
    void install() {
        give(SECCOMP_RET_ERRNO | EPERM);
        const sock_fprog program{static_cast<unsigned short>(code_.size()), code_.data()};
        // The bytes are data, never code of ours: no mitigation that older kernels tie to filters
        // is worth its price here.
        check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                        &program) == 0,
              "seccomp");
    }

private:
    void load(std::size_t offset) {
        code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
    }
    void jump(int test, std::uint32_t value, std::uint8_t if_true, std::uint8_t if_false) {
        code_.push_back(
            BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | BPF_K | test), value, if_true, if_false));
    }
    void give(std::uint32_t verdict) { code_.push_back(BPF_STMT(BPF_RET | BPF_K, verdict)); }

    std::vector<sock_filter> code_;
};

void filter_calls(Task task) {
    Filter filter;
    filter.allow({SYS_read, SYS_write, SYS_brk, SYS_munmap, SYS_mremap, SYS_futex, SYS_getrandom,
                  SYS_clock_gettime, SYS_rt_sigreturn, SYS_restart_syscall, SYS_close, SYS_exit,
                  SYS_exit_group});
    filter.allow_without_exec(SYS_mmap);
    filter.allow_without_exec(SYS_mprotect);
    if (writes_files(task)) {
        filter.allow({SYS_openat,     SYS_openat2,   SYS_newfstatat,      SYS_fstat,
                      SYS_mkdirat,    SYS_mknodat,   SYS_symlinkat,       SYS_linkat,
                      SYS_unlinkat,   SYS_fchownat,  SYS_fchmod,          SYS_fchmodat,
                      SYS_utimensat,  SYS_fsetxattr, SYS_lsetxattr,       SYS_fchdir,
                      SYS_getdents64, SYS_lseek,     SYS_sync_file_range, SYS_geteuid,
                      SYS_umask,      fchmodat2_call});
    }
    // For fdopendir; with F_SETOWN and F_SETSIG a pipe could kill any process of root's. Nor is
    // there madvise: with CAP_SYS_ADMIN it can poison memory for good.
    if (writes_files(task)) filter.allow_commands(SYS_fcntl, F_GETFL, F_SETFD);
    filter.install();
}

}  // namespace

void enter_jail(Task task) {
    limit_resources(task);
    if (task == Task::archive) {
        // Only there does the kernel refuse to remove or replace what something is mounted on.
        check(::setns(namespace_fd, CLONE_NEWNS) == 0, "setns");
        base::Fd{namespace_fd}.reset();
    }
    if (writes_files(task)) {
        check(::fchdir(root_fd) == 0 && ::chroot(".") == 0 && ::chdir("/") == 0, "chroot");
    }
    ::umask(077);  // modes are set when a member is complete
    check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl(PR_SET_NO_NEW_PRIVS)");
    drop_capabilities(wanted_capabilities(task));
    check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl(PR_SET_DUMPABLE)");
    filter_calls(task);
}

}  // namespace dockerd::archive::worker
