#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <string>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/host_facts.hpp>

#include "cgroup/files.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;
using base::Error;
using base::ErrorKind;

namespace {

bool is_loaded(std::string_view name) {
    const std::string all = files::read_text(AT_FDCWD, "/sys/kernel/security/apparmor/profiles");
    for (const auto line : files::fields(all, "\n")) {
        if (line.substr(0, line.find(' ')) == name) return true;
    }
    return false;
}

/// The profile this process runs under, without its mode.
std::string own_profile() {
    const std::string current = files::read_text(AT_FDCWD, "/proc/self/attr/current");
    const auto words = files::fields(current, " \n");
    return words.empty() ? "unconfined" : std::string(words.front());
}

/// The rules of Docker's default profile. Source: moby profiles/apparmor/template.go.
std::string profile_text() {
    const auto there = [](const char* path) { return files::exists(AT_FDCWD, path); };
    std::string text = there("/etc/apparmor.d/tunables/global") ? "#include <tunables/global>\n"
                                                                : "@{PROC}=/proc/\n";
    text += fmt::format("profile {} flags=(attach_disconnected,mediate_deleted) {{\n",
                        default_app_armor_profile);
    if (there("/etc/apparmor.d/abstractions/base")) text += "  #include <abstractions/base>\n";
    text += "  network,\n  capability,\n  file,\n  umount,\n  deny mount,\n";
    for (const std::string& peer :
         {std::string("unconfined"), std::string("runc"), std::string("crun"), own_profile()}) {
        text += fmt::format("  signal (receive) peer={},\n", peer);
    }
    text += fmt::format(
        "  signal (send,receive) peer={0},\n"
        "  ptrace (trace,read,tracedby,readby) peer={0},\n",
        default_app_armor_profile);
    // Of /proc only the processes' own folders and kernel.shm* may be written.
    text += R"(  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,
)";
    // Of /sys only /sys/fs/cgroup may be written.
    text += R"(  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
)";
    return text;
}

base::Fd memory_file(const char* name) {
    base::Fd file{::memfd_create(name, MFD_CLOEXEC)};
    if (!file) base::throw_errno(errno, "memfd_create");
    return file;
}

/// Runs apparmor_parser with `input` as its standard input; returns its status and output.
std::pair<int, std::string> run_parser(const base::Fd& input) {
    const base::Fd output = memory_file("apparmor-output");
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output.get(), STDERR_FILENO);
    // -K: no cache is written; -r: replaces. Without a file the profile is read from stdin.
    std::string program = "/sbin/apparmor_parser";
    std::string flags = "-Kr";
    std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::array<char*, 3> arguments{program.data(), flags.data(), nullptr};
    std::array<char*, 2> environment{path.data(), nullptr};
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(),
                                     environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) base::throw_errno(failed, "exec " + program);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    std::string text(4096, '\0');
    const ssize_t got = ::pread(output.get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return {status, text};
}

}  // namespace

void ensure_default_app_armor_profile() {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (is_loaded(default_app_armor_profile)) return;
    const std::string text = profile_text();
    const base::Fd input = memory_file("apparmor-profile");
    if (::pwrite(input.get(), text.data(), text.size(), 0) !=
        static_cast<ssize_t>(text.size())) {
        base::throw_errno(errno, "write the AppArmor profile");
    }
    const auto [status, output] = run_parser(input);
    if (status == 0) return;
    throw Error(ErrorKind::internal,
                fmt::format("AppArmor enabled on system but the {} profile could not be loaded: "
                            "running 'apparmor_parser -Kr' failed with output: {}",
                            default_app_armor_profile, base::trim(output)));
}

}  // namespace dockerd::runtime
