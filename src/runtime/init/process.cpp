#include "init/process.hpp"

#include "init/report.hpp"
#include "init/root_file_system.hpp"
#include "init/title.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

namespace dockerd::runtime::init {

namespace {

void set_capabilities(std::uint64_t effective, std::uint64_t permitted) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    for (unsigned half = 0; half < 2; ++half) {
        data[half].effective = static_cast<std::uint32_t>(effective >> (32 * half));
        data[half].permitted = static_cast<std::uint32_t>(permitted >> (32 * half));
        data[half].inheritable = 0;  // CVE-2022-24769
    }
    if (::syscall(SYS_capset, &header, data) != 0) {
        fail("capabilities", errno, "unable to apply caps: capset");
    }
}

void drop_bounding(std::uint64_t keep) {
    for (unsigned cap = 0; cap < 64; ++cap) {
        if ((keep >> cap & 1) != 0) continue;
        const int held = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (held < 0) return;  // past the last capability of this kernel
        if (held == 1 && ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            fail("capabilities", errno, "unable to apply bounding set: prctl");
        }
    }
}

void raise_ambient(std::uint64_t ambient) {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
        fail("capabilities", errno, "unable to apply caps: clear ambient");
    }
    for (unsigned cap = 0; cap < 64; ++cap) {
        if ((ambient >> cap & 1) == 0) continue;
        // Fails without the capability in the inheritable set, which is empty on purpose: ambient
        // capabilities are then left out, as in Docker since its fix of CVE-2022-24769.
        (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    }
}

void install_filter(const ProcessPlan& process) {
    if (!process.seccomp_program) return;
    const std::string& code = *process.seccomp_program;
    const std::size_t size = code.size() / sizeof(sock_filter);
    // The kernel copies the bytes, however they are aligned.
    auto* const filter =
        static_cast<sock_filter*>(static_cast<void*>(const_cast<char*>(code.data())));
    const sock_fprog program{static_cast<unsigned short>(size), filter};
    if (size > USHRT_MAX ||
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, process.seccomp_flags, &program) != 0) {
        fail("seccomp", errno, "unable to init seccomp: seccomp");
    }
}

void chown_stdio(std::uint32_t uid) {
    for (int fd = 0; fd <= 2; ++fd) {
        struct stat info {};
        if (::fstat(fd, &info) != 0) fail("user", errno, "unable to setup user: fstat");
        const bool null = S_ISCHR(info.st_mode) && info.st_rdev == 0x103;
        if (info.st_uid == uid || null) continue;
        if (::fchown(fd, uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM && errno != EROFS) {
            fail("user", errno, "unable to setup user: chown");
        }
    }
}

void change_user(const users::Identity& identity) {
    chown_stdio(identity.uid);
    // The raw calls: glibc's wrappers are for processes with threads.
    const auto* groups = identity.groups.data();
    if (::syscall(SYS_setgroups, identity.groups.size(), groups) != 0) {
        fail("user", errno, "unable to setup user: setgroups");
    }
    if (::syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) != 0) {
        if (errno != EINVAL) fail("user", errno, "unable to setup user");
        fail("user", 0,
             "unable to setup user: cannot setgid to unmapped gid " + std::to_string(identity.gid) +
                 " in user namespace");
    }
    if (::syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) != 0) {
        if (errno != EINVAL) fail("user", errno, "unable to setup user");
        fail("user", 0,
             "unable to setup user: cannot setuid to unmapped uid " + std::to_string(identity.uid) +
                 " in user namespace");
    }
}

/// True when it worked; false when it has to be tried again as the user.
bool change_directory(const std::string& cwd, bool last_try) {
    if (::chdir(cwd.c_str()) == 0) return true;
    if (!last_try && (errno == EACCES || errno == EPERM)) return false;
    fail("cwd", errno, "chdir to cwd (" + quoted(cwd) + ") set in config.json failed");
}

/// CVE-2024-21626: a directory reached by a leaked descriptor lies outside of the root.
void verify_directory() {
    char path[PATH_MAX];
    const long size = ::syscall(SYS_getcwd, path, sizeof path);
    if (size < 0 && errno != ENOENT) {
        fail("cwd", errno, "failed to verify if current working directory is safe");
    }
    if (size < 1 || path[0] != '/') {
        fail("cwd", 0,
             "current working directory is outside of container mount namespace root -- possible "
             "container breakout detected");
    }
}

/// 0, or the errno of why `path` cannot be executed by this user.
int executable(const std::string& path, bool& stat_failed) {
    struct stat info {};
    stat_failed = ::stat(path.c_str(), &info) != 0;
    if (stat_failed) return errno;
    if (S_ISDIR(info.st_mode)) return EISDIR;
    if (::syscall(SYS_faccessat2, AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0) return 0;
    if (errno != ENOSYS && errno != EPERM) return errno;
    return (info.st_mode & 0111) != 0 ? 0 : EACCES;
}

std::vector<char*> pointers(const std::vector<std::string>& list) {
    std::vector<char*> out;
    out.reserve(list.size() + 1);
    for (const std::string& item : list) out.push_back(const_cast<char*>(item.c_str()));
    out.push_back(nullptr);
    return out;
}

std::string_view path_of(const std::vector<std::string>& environment) {
    for (const std::string& entry : environment) {
        if (entry.starts_with("PATH=")) return std::string_view(entry).substr(5);
    }
    return {};
}

void execute(const std::string& program, const ProcessPlan& process,
             const std::vector<std::string>& environment) {
    const std::vector<char*> args = pointers(process.args);
    const std::vector<char*> env = pointers(environment);
    ::execve(program.c_str(), args.data(), env.data());
    const int error = errno;
    // The words Docker's runtime leaves in the container's log.
    std::string text = ::strerrordesc_np(error) != nullptr ? ::strerrordesc_np(error) : "error";
    if (text.size() > 1 && text[1] >= 'a' && text[1] <= 'z' && text[0] >= 'A' && text[0] <= 'Z') {
        text[0] = static_cast<char>(text[0] - 'A' + 'a');
    }
    text = "exec " + program + ": " + text + "\n";
    (void)!::write(2, text.data(), text.size());  // there is nowhere else to say it
    ::_exit(255);
}

/// Returns in a new child only. `args` are the program's.
void fork_below_reaper(const std::vector<std::string>& args) {
    sigset_t all;
    ::sigfillset(&all);
    (void)::sigprocmask(SIG_BLOCK, &all, nullptr);
    const pid_t child = ::fork();  // not clone3: Docker's filter refuses that
    if (child < 0) fail("init", errno, "fork below init");
    if (child == 0) {
        sigset_t none;
        ::sigemptyset(&none);
        // A group of its own, in the foreground of a terminal if there is one, as tini has it.
        (void)::setpgid(0, 0);
        if (::isatty(0) == 1) (void)::tcsetpgrp(0, ::getpid());
        (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
        return;
    }
    // The streams stay open in the program only, so that their end is seen.
    (void)::syscall(SYS_close_range, 0U, ~0U, 0U);
    (void)::prctl(PR_SET_NAME, "docker-init", 0, 0, 0);
    std::string title = "/sbin/docker-init --";
    for (const std::string& word : args) title += " " + word;
    set_title(title);
    for (;;) {
        siginfo_t info{};
        const int signal = ::sigwaitinfo(&all, &info);
        if (signal < 0) continue;
        if (signal != SIGCHLD) {
            (void)::kill(child, signal);  // gone: its SIGCHLD is on the way
            continue;
        }
        int status = 0;
        for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
            if (pid != child) continue;
            ::_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
}

}  // namespace

void apply_limits(const ProcessPlan& process) {
    for (const ResourceLimit& limit : process.limits) {
        const auto which = static_cast<__rlimit_resource>(limit.type);
        rlimit wanted{limit.soft, limit.hard};
        if (::setrlimit(which, &wanted) == 0) continue;
        if (errno != EPERM)
            fail("rlimit", errno, "error setting rlimit type " + std::to_string(limit.type));
        // Differs from Docker: without CAP_SYS_RESOURCE the limit is as high as it may be.
        rlimit now{};
        if (::getrlimit(which, &now) != 0) continue;
        wanted.rlim_max = wanted.rlim_max < now.rlim_max ? wanted.rlim_max : now.rlim_max;
        wanted.rlim_cur = wanted.rlim_cur < wanted.rlim_max ? wanted.rlim_cur : wanted.rlim_max;
        (void)::setrlimit(which, &wanted);  // as good as it gets
    }
}

void set_oom_score(std::int32_t score) {
    const base::Fd file{::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)};
    const std::string value = std::to_string(score);
    if (file && ::write(file.get(), value.data(), value.size()) >= 0) return;
    if (errno != EACCES && errno != EPERM) {
        fail("oom", errno, "write /proc/self/oom_score_adj");
    }
}

base::Fd open_apparmor(const ProcessPlan& process) {
    if (process.apparmor_profile.empty()) return base::Fd{};
    base::Fd file{::open("/proc/self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC)};
    if (!file) file.reset(::open("/proc/self/attr/exec", O_WRONLY | O_CLOEXEC));
    return file;
}

base::Fd open_apparmor_inside(const ProcessPlan& process) {
    if (process.apparmor_profile.empty()) return base::Fd{};
    // A procfs of its own, attached nowhere: what the container shows at /proc may be anything.
    const base::Fd context{::fsopen("proc", FSOPEN_CLOEXEC)};
    if (!context) fail("apparmor", errno, "fsopen proc");
    // Linux 5.8; without it there is only more to see in this file system.
    (void)::fsconfig(context.get(), FSCONFIG_SET_STRING, "subset", "pid", 0);
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        fail("apparmor", errno, "fsconfig proc");
    }
    const base::Fd tree{::fsmount(context.get(), FSMOUNT_CLOEXEC, 0)};
    if (!tree) fail("apparmor", errno, "fsmount proc");
    base::Fd file{::openat(tree.get(), "self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC)};
    if (!file) file.reset(::openat(tree.get(), "self/attr/exec", O_WRONLY | O_CLOEXEC));
    if (!file) fail("apparmor", errno, "open attr/apparmor/exec");
    return file;
}

users::Identity find_identity(const ProcessPlan& process) {
    const base::Fd root{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    users::Identity identity;
    const std::string error = users::look_up(users::files_in_root(root.get()), process.user,
                                             process.additional_groups, identity);
    if (!error.empty()) fail("lookup", 0, error);
    return identity;
}

void reopen_null() {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const base::Fd place{
        static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof how))};
    if (!is_null_device(place)) return;
    for (int fd = 0; fd <= 2; ++fd) {
        struct stat info {};
        if (::fstat(fd, &info) != 0 || !S_ISCHR(info.st_mode) || info.st_rdev != 0x103) continue;
        const base::Fd inside{::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
        if (is_null_device(inside)) (void)::dup2(inside.get(), fd);  // else the host's will do
    }
}

std::string look_up_program(const std::string& name, std::string_view path, std::string& text,
                            int& error) {
    bool stat_failed = false;
    if (name.find('/') != std::string::npos) {
        error = executable(name, stat_failed);
        if (error == 0) return name;
        text = "exec: " + quoted(name) + (stat_failed ? ": stat " + name : std::string{});
        return {};
    }
    while (!path.empty() && !name.empty()) {
        const auto colon = path.find(':');
        std::string folder(path.substr(0, colon));
        path = colon == std::string_view::npos ? std::string_view{} : path.substr(colon + 1);
        if (folder.empty()) folder = ".";
        const std::string candidate = folder + (folder.ends_with('/') ? "" : "/") + name;
        if (executable(candidate, stat_failed) != 0) continue;
        if (candidate.starts_with('/')) return candidate;
        text =
            "exec: " + quoted(name) + ": cannot run executable found relative to current directory";
        error = 0;
        return {};
    }
    text = "exec: " + quoted(name) + ": executable file not found in $PATH";
    error = 0;
    return {};
}

std::vector<std::string> prepare_environment(const std::vector<std::string>& environment,
                                             const std::string& home, std::string& text) {
    std::vector<std::string> out;
    bool has_home = false;
    for (std::size_t i = 0; i < environment.size(); ++i) {
        const std::string& entry = environment[i];
        const auto equals = entry.find('=');
        if (equals == std::string::npos) text = "invalid environment variable: missing '='";
        if (equals == 0) text = "invalid environment variable: name cannot be empty";
        if (!text.empty()) return {};
        const std::string_view key(entry.data(), equals + 1);
        bool repeated = false;
        for (std::size_t later = i + 1; later < environment.size() && !repeated; ++later) {
            repeated = environment[later].starts_with(key);
        }
        if (repeated) continue;
        if (const auto nul = entry.find('\0'); nul != std::string::npos) {
            text = "invalid environment variable " + quoted(entry.substr(0, equals)) + ": " +
                   (nul < equals ? "name" : "value") + " contains nul byte (\\x00)";
            return {};
        }
        if (key == "HOME=") {
            if (entry.size() == key.size()) continue;
            has_home = true;
        }
        out.push_back(entry);
    }
    if (!has_home) out.push_back("HOME=" + (home.empty() ? std::string("/") : home));
    return out;
}

void become_program(ProcessPlan& process, const users::Identity& identity, const base::Fd& apparmor,
                    bool below_reaper) {
    std::string text;
    int error = 0;
    const auto environment = prepare_environment(process.env, identity.home, text);
    if (!text.empty()) fail("env", 0, text);
    if (process.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fail("seccomp", errno, "prctl(SET_NO_NEW_PRIVS)");
    }
    if (apparmor) {
        const std::string profile = "exec " + process.apparmor_profile;
        if (::write(apparmor.get(), profile.data(), profile.size()) < 0) {
            fail("apparmor", errno, "unable to apply apparmor profile");
        }
    }
    // Everything above 2 goes at exec at the latest, also what a caller up the line leaked.
    if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) != 0 && errno != ENOSYS) {
        fail("fds", errno, "error closing exec fds");
    }
    // Without no_new_privs a filter needs CAP_SYS_ADMIN: before capabilities are dropped.
    if (!process.no_new_privileges) install_filter(process);
    const bool inside = change_directory(process.cwd, /*last_try=*/false);
    drop_bounding(process.capabilities.bounding);
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) fail("user", errno, "unable to set keep caps");
    change_user(identity);
    if (!inside) (void)change_directory(process.cwd, /*last_try=*/true);
    verify_directory();
    if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) fail("user", errno, "unable to clear keep caps");
    set_capabilities(process.capabilities.effective, process.capabilities.permitted);
    raise_ambient(process.capabilities.ambient);
    const std::string program = look_up_program(process.args[0], path_of(environment), text, error);
    if (program.empty()) fail("exec", error, text);
    (void)send_signal(report_socket(), Signal::execute);  // the monitor is gone: nobody to tell
    if (process.no_new_privileges) install_filter(process);
    if (below_reaper) fork_below_reaper(process.args);
    // Closed by hand: on older kernels exec makes the process dumpable before it closes.
    (void)::syscall(SYS_close_range, 3U, ~0U, 0U);  // close-on-exec is set anyway
    execute(program, process, environment);
    ::_exit(255);
}

}  // namespace dockerd::runtime::init
