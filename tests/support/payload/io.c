// Output, input and terminals.
#include "payload.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int fail(const char *what) {
    fprintf(stderr, "%s: errno %s\n", what, strerrorname_np(errno));
    return 1;
}

long number(int argc, char **argv, int index, long otherwise) {
    return index < argc ? strtol(argv[index], NULL, 10) : otherwise;
}

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        const ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int words(int fd, int argc, char **argv) {
    char line[65536];
    size_t size = 0;
    for (int i = 0; i < argc; ++i) {
        size += (size_t)snprintf(line + size, sizeof line - size, "%s%s", i == 0 ? "" : " ", argv[i]);
        if (size >= sizeof line - 1) break;
    }
    line[size++] = '\n';
    return write_all(fd, line, size) < 0 ? fail("write") : 0;
}

int cmd_echo(int argc, char **argv) { return words(1, argc, argv); }
int cmd_echo_err(int argc, char **argv) { return words(2, argc, argv); }

int cmd_cat_stdin(int argc, char **argv) {
    (void)argc, (void)argv;
    char data[65536];
    for (;;) {
        const ssize_t n = read(0, data, sizeof data);
        if (n < 0) return fail("read");
        if (n == 0) return 0;
        if (write_all(1, data, (size_t)n) < 0) return fail("write");
    }
}

int cmd_count_stdin(int argc, char **argv) {
    (void)argc, (void)argv;
    unsigned char data[65536];
    unsigned long long bytes = 0;
    uint32_t sum = 2166136261U;  // FNV-1a
    for (;;) {
        const ssize_t n = read(0, data, sizeof data);
        if (n < 0) return fail("read");
        if (n == 0) break;
        bytes += (unsigned long long)n;
        for (ssize_t i = 0; i < n; ++i) sum = (sum ^ data[i]) * 16777619U;
    }
    printf("bytes=%llu fnv1a=%08x\n", bytes, sum);
    return 0;
}

int cmd_spam(int argc, char **argv) {
    const long lines = number(argc, argv, 0, 1000), width = number(argc, argv, 1, 40);
    for (long i = 0; i < lines; ++i) {
        int used = printf("%08ld ", i);
        while (used++ < width - 1) putchar('.');
        putchar('\n');
    }
    return fflush(stdout) == 0 ? 0 : fail("write");
}

int cmd_ticks(int argc, char **argv) {
    const long pause_ms = number(argc, argv, 0, 10), lines = number(argc, argv, 1, -1);
    const struct timespec wait = {pause_ms / 1000, pause_ms % 1000 * 1000000};
    for (long i = 0; lines < 0 || i < lines; ++i) {
        char line[32];
        const int size = snprintf(line, sizeof line, "tick %08ld\n", i);
        if (write_all(1, line, (size_t)size) < 0) return fail("write");
        nanosleep(&wait, NULL);
    }
    return 0;
}

int cmd_flood(int argc, char **argv) {
    (void)argc, (void)argv;
    for (long i = 0;; ++i) {
        if (printf("flood %ld ................................................\n", i) < 0) return fail("write");
    }
}

int cmd_interleave(int argc, char **argv) {
    const long lines = number(argc, argv, 0, 100);
    for (long i = 0; i < lines; ++i) {
        char line[32];
        const int size = snprintf(line, sizeof line, "%s %ld\n", i % 2 == 0 ? "out" : "err", i);
        if (write_all(i % 2 == 0 ? 1 : 2, line, (size_t)size) < 0) return fail("write");
    }
    return 0;
}

static void print_size(void) {
    struct winsize size = {0, 0, 0, 0};
    if (ioctl(0, TIOCGWINSZ, &size) != 0) {
        printf("size none\n");
    } else {
        printf("size rows=%d columns=%d\n", size.ws_row, size.ws_col);
    }
    fflush(stdout);
}

int cmd_tty_size(int argc, char **argv) {
    (void)argc, (void)argv;
    printf("tty stdin=%d stdout=%d stderr=%d\n", isatty(0), isatty(1), isatty(2));
    print_size();
    return 0;
}

static void on_winch(int signal) { (void)signal; }

int cmd_tty_watch(int argc, char **argv) {
    (void)argc, (void)argv;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_winch;
    sigaction(SIGWINCH, &action, NULL);
    print_size();
    for (;;) {
        char data[256];
        const ssize_t n = read(0, data, sizeof data);
        if (n == 0) return 0;
        if (n < 0 && errno != EINTR) return fail("read");
        if (n < 0) print_size();
    }
}
