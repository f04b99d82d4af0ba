// The settings of the launcher's sanitizers. dockerd starts it with an empty environment and
// without a standard error, so what ASAN_OPTIONS says is read from the environment of the process
// that started it: where reports are written.
//
// Leaks are looked for when the launcher ends, and when a monitor ends in good order: by _exit, for
// it has the launcher's stack below its own. Container inits and execs become users' programs.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace {

// This runs before the sanitizer's own functions work: raw calls, no library, no instrumentation.
char settings[4096] =
    "detect_leaks=1:detect_stack_use_after_return=0:exitcode=99:print_stacktrace=1:";
char environment[65536];

bool begins(const char* text, const char* with) {
    while (*with != '\0' && *text == *with) ++text, ++with;
    return *with == '\0';
}

void append(const char* text) {
    unsigned end = 0;
    while (settings[end] != '\0') ++end;
    while (*text != '\0' && end + 1 < sizeof settings) settings[end++] = *text++;
    settings[end] = '\0';
}

long read_environment() {
    char path[32] = "/proc/";
    char digits[16];
    int count = 0;
    int at = 6;
    for (long pid = ::syscall(SYS_getppid); pid > 0; pid /= 10)
        digits[count++] = static_cast<char>('0' + pid % 10);
    while (count > 0) path[at++] = digits[--count];
    for (const char* rest = "/environ"; *rest != '\0'; ++rest) path[at++] = *rest;
    const long fd = ::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    long size = 0;
    for (long n = 1; n > 0; size += n > 0 ? n : 0) {
        n = ::syscall(SYS_read, fd, environment + size,
                      sizeof environment - 1 - static_cast<unsigned long>(size));
    }
    ::syscall(SYS_close, fd);
    return size;
}

/// A monitor is the launcher's child. What it makes has its name but is its own child, or in a
/// container already, where the launcher is not seen.
bool is_monitor() {
    char path[64];
    (void)::snprintf(path, sizeof path, "/proc/%d/comm", static_cast<int>(::getppid()));
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    char name[16] = {};
    const bool found = fd >= 0 && ::read(fd, name, sizeof name - 1) > 0;
    if (fd >= 0) (void)::close(fd);
    return found && begins(name, "docker-launcher");
}

const char* complete_settings() {
    static bool done = false;
    if (done) return settings;
    done = true;
    const long size = read_environment();
    for (long at = 0; at < size; ++at) {
        if (begins(environment + at, "ASAN_OPTIONS=")) append(environment + at + 13);
        while (environment[at] != '\0') ++at;
    }
    return settings;
}

}  // namespace

extern "C" {
int __lsan_do_recoverable_leak_check();
[[noreturn]] void __real__exit(int code);

/// In place of _exit, by the linker's --wrap.
[[noreturn]] void __wrap__exit(int code) {
    if (code == 0 && is_monitor() && __lsan_do_recoverable_leak_check() != 0) code = 99;
    __real__exit(code);
}

const char* __asan_default_options() { return complete_settings(); }
const char* __ubsan_default_options() { return complete_settings(); }
}
