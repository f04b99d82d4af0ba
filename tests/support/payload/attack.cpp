// What a hostile program in a container tries: the other side of tests/daemon/attack_*_test.py.
#include <dirent.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include "payload.h"

namespace {

volatile sig_atomic_t told_to_end = 0;

void end_politely() {
    struct sigaction action {};
    action.sa_handler = [](int) { told_to_end = 1; };
    sigaction(SIGTERM, &action, nullptr);
}

std::string link_of(const std::string& path) {
    char target[4096];
    const ssize_t size = readlink(path.c_str(), target, sizeof target);
    return size < 0 ? std::string{} : std::string(target, static_cast<size_t>(size));
}

/// What was seen in other processes, each kind once.
class Sightings {
public:
    void add(const std::string& line) {
        if (seen_.insert(line).second) printf("%s\n", line.c_str());
    }

private:
    std::set<std::string> seen_;
};

/// Numbers of pipes, sockets and descriptors say nothing.
std::string without_numbers(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (isdigit(static_cast<unsigned char>(c)) == 0) out += c;
    }
    return out;
}

bool is_own_root(const struct stat& info) {
    struct stat own {};
    return stat("/", &own) == 0 && own.st_dev == info.st_dev && own.st_ino == info.st_ino;
}

/// A folder of another process that is not inside our root is a way out.
void look_at_folder(const std::string& path, const char* what, Sightings& sightings) {
    const int fd = open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat info {};
    const bool root = fstat(fd, &info) == 0 && is_own_root(info);
    if (!root) sightings.add(std::string("folder ") + what + " " + link_of(path));
    close(fd);
}

void look_at_descriptors(const std::string& process, Sightings& sightings) {
    DIR* folder = opendir((process + "/fd").c_str());
    if (folder == nullptr) return;
    while (const dirent* entry = readdir(folder)) {
        if (entry->d_name[0] == '.') continue;
        const std::string path = process + "/fd/" + entry->d_name;
        const std::string target = link_of(path);
        struct stat info {};
        if (!target.empty()) sightings.add("fd " + without_numbers(target));
        if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && !is_own_root(info)) {
            sightings.add("folder fd " + target);
        }
    }
    closedir(folder);
}

void look_at_program(const std::string& process, Sightings& sightings) {
    const std::string target = link_of(process + "/exe");
    if (!target.empty()) sightings.add("exe " + target);
    if (target.empty() || target[0] != '/' || access(target.c_str(), F_OK) == 0) return;
    // Not a file of the container: if it can be written to, the host's program is ours.
    const int fd = open((process + "/exe").c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    sightings.add("writable exe " + target);
    close(fd);
}

/// Takes a process over while it is being prepared, if the kernel lets us.
void attach_to(pid_t pid, Sightings& sightings) {
    if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return;
    int status = 0;
    if (ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0 &&
        waitpid(pid, &status, __WALL) == pid) {
        const std::string process = "/proc/" + std::to_string(pid);
        const std::string program = link_of(process + "/exe");
        // Only what is still one of the engine's processes is a find.
        if (!program.empty() && access(program.c_str(), F_OK) != 0) {
            sightings.add("attached " + program);
            look_at_folder(process + "/root", "attached root", sightings);
            look_at_folder(process + "/cwd", "attached cwd", sightings);
            look_at_descriptors(process, sightings);
        }
    }
    ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
}

/// One pass over all processes but our own; how many there were.
long look_around(const char* mode, Sightings& sightings) {
    long count = 0;
    DIR* all = opendir("/proc");
    if (all == nullptr) return 0;
    while (const dirent* entry = readdir(all)) {
        const pid_t pid = atoi(entry->d_name);
        if (pid <= 1 || pid == getpid()) continue;
        ++count;
        const std::string process = std::string("/proc/") + entry->d_name;
        look_at_folder(process + "/root", "root", sightings);
        look_at_folder(process + "/cwd", "cwd", sightings);
        look_at_descriptors(process, sightings);
        look_at_program(process, sightings);
        if (strcmp(mode, "attach") == 0) attach_to(pid, sightings);
    }
    closedir(all);
    return count;
}

/// Every file of a procfs that would show a write that went astray.
int write_through(const char* path, const char* text) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    const ssize_t written = write(fd, text, strlen(text));
    const int error = written < 0 ? errno : 0;
    close(fd);
    return error;
}

}  // namespace

int cmd_watch_processes(int argc, char** argv) {
    end_politely();
    const char* mode = argc > 0 ? argv[0] : "look";
    Sightings sightings;
    long seen = 0;
    puts("ready");
    fflush(stdout);
    while (told_to_end == 0) seen += look_around(mode, sightings);
    printf("processes %s\n", seen > 0 ? "seen" : "none");
    return 0;
}

int cmd_freeze(int argc, char** argv) {
    (void)argc, (void)argv;
    end_politely();
    puts("ready");
    fflush(stdout);
    std::set<pid_t> frozen;
    while (told_to_end == 0) {
        DIR* all = opendir("/proc");
        while (const dirent* entry = all == nullptr ? nullptr : readdir(all)) {
            const pid_t pid = atoi(entry->d_name);
            if (pid <= 1 || pid == getpid() || kill(pid, SIGSTOP) != 0) continue;
            if (frozen.insert(pid).second) puts("frozen");
        }
        if (all != nullptr) closedir(all);
        fflush(stdout);
    }
    return 0;
}

int cmd_swap(int argc, char** argv) {
    if (argc < 2) return 64;
    end_politely();
    puts("ready");
    fflush(stdout);
    long swaps = 0;
    for (; told_to_end == 0; ++swaps) {
        if (syscall(SYS_renameat2, AT_FDCWD, argv[0], AT_FDCWD, argv[1], 2 /* RENAME_EXCHANGE */) !=
            0) {
            return fail("renameat2");
        }
    }
    printf("swaps %s\n", swaps > 0 ? "made" : "none");
    return 0;
}

int cmd_replace(int argc, char** argv) {
    if (argc < 2) return 64;
    end_politely();
    const int folder = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* entries = folder < 0 ? nullptr : fdopendir(folder);
    if (entries == nullptr) return fail(argv[0]);
    puts("ready");
    fflush(stdout);
    long replaced = 0;
    while (told_to_end == 0) {
        rewinddir(entries);
        while (const dirent* entry = readdir(entries)) {
            if (entry->d_type != DT_REG || unlinkat(folder, entry->d_name, 0) != 0) continue;
            if (symlinkat(argv[1], folder, entry->d_name) == 0) ++replaced;
        }
    }
    printf("replaced %ld\n", replaced);
    return 0;
}

int cmd_write_into(int argc, char** argv) {
    if (argc < 2) return 64;
    const int error = write_through(argv[0], argv[1]);
    printf("write %s %s\n", argv[0], error == 0 ? "done" : strerrorname_np(error));
    return 0;
}

int cmd_hold_output(int argc, char** argv) {
    (void)argc, (void)argv;
    // A grandchild that keeps standard output and error open while its parents end.
    if (fork() != 0) return 0;
    setsid();
    puts("held");
    fflush(stdout);
    for (;;) pause();
}
