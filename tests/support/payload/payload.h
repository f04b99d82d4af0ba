#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Every sub-command takes the arguments behind its name and returns the exit code.
int cmd_exit(int argc, char **argv);
int cmd_signal_self(int argc, char **argv);
int cmd_sleep(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_ignore_term(int argc, char **argv);
int cmd_signal_report(int argc, char **argv);
int cmd_echo(int argc, char **argv);
int cmd_echo_err(int argc, char **argv);
int cmd_cat_stdin(int argc, char **argv);
int cmd_count_stdin(int argc, char **argv);
int cmd_spam(int argc, char **argv);
int cmd_ticks(int argc, char **argv);
int cmd_flood(int argc, char **argv);
int cmd_interleave(int argc, char **argv);
int cmd_args(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_cwd(int argc, char **argv);
int cmd_ids(int argc, char **argv);
int cmd_hostname(int argc, char **argv);
int cmd_caps(int argc, char **argv);
int cmd_rlimits(int argc, char **argv);
int cmd_mounts(int argc, char **argv);
int cmd_fds(int argc, char **argv);
int cmd_namespaces(int argc, char **argv);
int cmd_cgroup(int argc, char **argv);
int cmd_proc(int argc, char **argv);
int cmd_sysctl(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_write(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_mkdev(int argc, char **argv);
int cmd_syscall(int argc, char **argv);
int cmd_mount_tmpfs(int argc, char **argv);
int cmd_oom(int argc, char **argv);
int cmd_burn(int argc, char **argv);
int cmd_fork(int argc, char **argv);
int cmd_orphan(int argc, char **argv);
int cmd_zombies(int argc, char **argv);
int cmd_tty_size(int argc, char **argv);
int cmd_tty_watch(int argc, char **argv);
int cmd_links(int argc, char **argv);
int cmd_listen(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_udp_listen(int argc, char **argv);
int cmd_udp_send(int argc, char **argv);
int cmd_ask_names(int argc, char **argv);
int cmd_fuzz_names(int argc, char **argv);
int cmd_watch_processes(int argc, char **argv);
int cmd_freeze(int argc, char **argv);
int cmd_swap(int argc, char **argv);
int cmd_replace(int argc, char **argv);
int cmd_write_into(int argc, char **argv);
int cmd_hold_output(int argc, char **argv);

// Shared: prints "WHAT: errno NAME" to standard error and returns 1.
int fail(const char *what);
// The number at index, or the default when there is none.
long number(int argc, char **argv, int index, long otherwise);

#ifdef __cplusplus
}
#endif
