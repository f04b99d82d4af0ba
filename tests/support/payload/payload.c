// The one program of the test image: `/payload COMMAND [ARGUMENTS]`. Static and without dependencies, so that it
// shows what a container gives it and nothing else. Prints lines a test can parse; errors end with "errno NAME".
#include "payload.h"

#include <stdio.h>
#include <string.h>

typedef int (*Command)(int argc, char **argv);

static const struct {
    const char *name;
    Command run;
    const char *usage;
} commands[] = {
    {"exit", cmd_exit, "CODE: ends with it"},
    {"signal-self", cmd_signal_self, "NUMBER: dies of the signal"},
    {"sleep", cmd_sleep, "SECONDS: sleeps, ending with 0; SIGTERM ends it at once with 143"},
    {"pause", cmd_pause, "sleeps for ever; SIGTERM ends it with 143"},
    {"ignore-term", cmd_ignore_term, "ignores SIGTERM, prints ready and sleeps for ever"},
    {"signal-report", cmd_signal_report, "prints ready, then each signal's number; ends at SIGTERM or SIGINT"},
    {"echo", cmd_echo, "WORDS: to standard output"},
    {"echo-err", cmd_echo_err, "WORDS: to standard error"},
    {"cat-stdin", cmd_cat_stdin, "copies standard input to standard output until its end"},
    {"count-stdin", cmd_count_stdin, "reads standard input to its end and prints bytes and checksum"},
    {"spam", cmd_spam, "LINES [WIDTH]: numbered lines of WIDTH bytes"},
    {"ticks", cmd_ticks, "MILLISECONDS [LINES]: a numbered line every so often"},
    {"flood", cmd_flood, "writes lines without end"},
    {"interleave", cmd_interleave, "LINES: numbered lines in turn to standard output and standard error"},
    {"args", cmd_args, "prints argc and each argument"},
    {"env", cmd_env, "prints the environment, sorted as given"},
    {"cwd", cmd_cwd, "prints the working directory"},
    {"ids", cmd_ids, "prints uid, gid and supplementary groups"},
    {"hostname", cmd_hostname, "prints host and domain name"},
    {"caps", cmd_caps, "prints the capability sets, no_new_privs and the seccomp mode"},
    {"rlimits", cmd_rlimits, "prints soft and hard limits"},
    {"mounts", cmd_mounts, "prints mountinfo"},
    {"fds", cmd_fds, "prints the open descriptors and what they are"},
    {"namespaces", cmd_namespaces, "prints the namespace links"},
    {"cgroup", cmd_cgroup, "prints /proc/self/cgroup"},
    {"proc", cmd_proc, "prints pid, parent, session, group and controlling terminal"},
    {"sysctl", cmd_sysctl, "NAME: prints the value"},
    {"cat", cmd_cat, "FILES: prints them"},
    {"ls", cmd_ls, "FOLDER: prints name, type, mode, owner and device of each entry, sorted"},
    {"write", cmd_write, "FILE TEXT: writes the text"},
    {"stat", cmd_stat, "FILES: prints type, mode, owner, size"},
    {"mkdev", cmd_mkdev, "FILE MAJOR MINOR: makes a character device and opens it"},
    {"syscall", cmd_syscall, "NUMBER [ARGUMENTS]: calls it and prints result or errno"},
    {"mount-tmpfs", cmd_mount_tmpfs, "FOLDER: mounts a tmpfs there"},
    {"oom", cmd_oom, "[MIB]: touches memory until killed or MIB is reached"},
    {"burn", cmd_burn, "SECONDS: keeps a processor busy"},
    {"fork", cmd_fork, "COUNT: makes children until COUNT or the first failure, prints how many"},
    {"orphan", cmd_orphan, "SECONDS: leaves a grandchild behind that prints and ends, and ends itself at once"},
    {"zombies", cmd_zombies, "COUNT: orphans children that end, prints how many zombies remain"},
    {"tty-size", cmd_tty_size, "prints whether the three descriptors are terminals, and rows and columns"},
    {"tty-watch", cmd_tty_watch, "prints rows and columns, again at every SIGWINCH; ends at end of input"},
    {"links", cmd_links, "prints the network links and their addresses"},
    {"listen", cmd_listen, "PORT [COUNT]: TCP server on all addresses that echoes lines with the peer's address"},
    {"connect", cmd_connect, "ADDRESS PORT [TEXT]: sends the text, prints the answer"},
    {"udp-listen", cmd_udp_listen, "PORT [COUNT]: answers datagrams with the peer's address"},
    {"ask-names", cmd_ask_names,
     "NAME ADDRESS COUNT [WINDOW]: asks 127.0.0.11 so often, WINDOW at a time; prints answers, wrong ones and time"},
    {"fuzz-names", cmd_fuzz_names,
     "NAME ADDRESS COUNT [SEED]: sends 127.0.0.11 so many mutated queries, and good ones between; prints their answers"},
    {"watch-processes", cmd_watch_processes,
     "[look|attach]: prints once each what it sees of other processes, until SIGTERM"},
    {"freeze", cmd_freeze, "stops every other process as soon as it is there, until SIGTERM"},
    {"swap", cmd_swap, "A B: exchanges the two names without end, until SIGTERM"},
    {"replace", cmd_replace, "FOLDER TARGET: replaces every file that appears there by a link, until SIGTERM"},
    {"write-into", cmd_write_into, "FILE TEXT: writes into an existing file, prints done or the error"},
    {"hold-output", cmd_hold_output, "ends at once and leaves a process behind that keeps the output open"},
    {"udp-send", cmd_udp_send, "ADDRESS PORT TEXT: sends a datagram, prints the answer"},
};

int main(int argc, char **argv) {
    const size_t count = sizeof commands / sizeof *commands;
    if (argc >= 2) {
        for (size_t i = 0; i < count; ++i) {
            if (strcmp(commands[i].name, argv[1]) == 0) return commands[i].run(argc - 2, argv + 2);
        }
    }
    fprintf(stderr, "payload COMMAND, one of:\n");
    for (size_t i = 0; i < count; ++i) fprintf(stderr, "  %s %s\n", commands[i].name, commands[i].usage);
    return 64;
}
