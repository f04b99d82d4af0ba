// Ends, signals, children, memory and processor.
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int cmd_exit(int argc, char **argv) { return (int)number(argc, argv, 0, 0); }

int cmd_signal_self(int argc, char **argv) {
    const int signal_number = (int)number(argc, argv, 0, SIGKILL);
    signal(signal_number, SIG_DFL);
    // The first process of a pid namespace ignores its own fatal signals: a child dies, and its shell-like status.
    const pid_t child = fork();
    if (child == 0) {
        raise(signal_number);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void end_at_term(int signal_number) { _exit(128 + signal_number); }

static void catch_term(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = end_at_term;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

int cmd_sleep(int argc, char **argv) {
    catch_term();
    const char *text = argc > 0 ? argv[0] : "1";
    const double seconds = strtod(text, NULL);
    struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) continue;
    return 0;
}

int cmd_pause(int argc, char **argv) {
    (void)argc, (void)argv;
    catch_term();
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}

int cmd_ignore_term(int argc, char **argv) {
    (void)argc, (void)argv;
    signal(SIGTERM, SIG_IGN);
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}

int cmd_signal_report(int argc, char **argv) {
    (void)argc, (void)argv;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int got = 0;
        if (sigwait(&all, &got) != 0) return fail("sigwait");
        printf("signal %d\n", got);
        fflush(stdout);
        if (got == SIGTERM || got == SIGINT) return 128 + got;
    }
}

int cmd_oom(int argc, char **argv) {
    const long limit = number(argc, argv, 0, 1L << 20), mib = 1L << 20;
    for (long i = 0; i < limit; ++i) {
        char *page = mmap(NULL, (size_t)mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return fail("mmap");
        memset(page, 1, (size_t)mib);
        if (i % 16 == 15) {
            printf("touched %ld MiB\n", i + 1);
            fflush(stdout);
        }
    }
    puts("done");
    return 0;
}

int cmd_burn(int argc, char **argv) {
    const double seconds = argc > 0 ? strtod(argv[0], NULL) : 1;
    struct timespec start, now, used;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (volatile int i = 0; i < 100000; ++i) continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    printf("cpu_ms=%ld\n", (long)used.tv_sec * 1000 + used.tv_nsec / 1000000);
    return 0;
}

int cmd_fork(int argc, char **argv) {
    const long count = number(argc, argv, 0, 100);
    long made = 0;
    pid_t *children = calloc((size_t)count, sizeof *children);
    for (; made < count; ++made) {
        const pid_t child = fork();
        if (child < 0) break;
        if (child == 0) {
            for (;;) pause();
        }
        children[made] = child;
    }
    printf("forked %ld of %ld%s%s\n", made, count, made < count ? " errno " : "",
           made < count ? strerrorname_np(errno) : "");
    for (long i = 0; i < made; ++i) kill(children[i], SIGKILL);
    while (wait(NULL) > 0) continue;
    return 0;
}

int cmd_orphan(int argc, char **argv) {
    const long seconds = number(argc, argv, 0, 1);
    const pid_t child = fork();
    if (child < 0) return fail("fork");
    if (child == 0) {
        if (fork() == 0) {
            sleep((unsigned)seconds);
            puts("orphan done");
            fflush(stdout);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    puts("parent done");
    return 0;
}

static int is_zombie(pid_t pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && end[2] == 'Z';
}

// Children of a child that ended go to pid 1 of the container; whether somebody reaps them is the question.
int cmd_zombies(int argc, char **argv) {
    const long count = number(argc, argv, 0, 10);
    int pids[2], hold[2];  // the grandchildren end when the last writer of hold has closed it
    if (pipe(pids) != 0 || pipe(hold) != 0) return fail("pipe");
    const pid_t child = fork();
    if (child == 0) {
        for (long i = 0; i < count; ++i) {
            const pid_t grandchild = fork();
            if (grandchild == 0) {
                char done;
                close(hold[1]);
                close(pids[1]);
                (void)!read(hold[0], &done, 1);
                _exit(0);
            }
            (void)!write(pids[1], &grandchild, sizeof grandchild);
        }
        _exit(0);
    }
    close(pids[1]);
    waitpid(child, NULL, 0);
    pid_t *list = calloc((size_t)count, sizeof *list);
    long known = 0;
    while (known < count && read(pids[0], &list[known], sizeof *list) == sizeof *list) ++known;
    close(hold[1]);
    long zombies = known;
    for (int round = 0; round < 200 && zombies > 0; ++round) {
        usleep(5000);
        zombies = 0;
        for (long i = 0; i < known; ++i) zombies += is_zombie(list[i]);
    }
    printf("zombies %ld of %ld\n", zombies, known);
    return 0;
}

int cmd_proc(int argc, char **argv) {
    (void)argc, (void)argv;
    const int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    printf("pid=%d ppid=%d sid=%d pgid=%d tty=%d\n", getpid(), getppid(), getsid(0), getpgid(0), terminal >= 0);
    if (terminal >= 0) close(terminal);
    return 0;
}
