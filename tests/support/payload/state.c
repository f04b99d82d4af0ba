// What the process sees of itself: credentials, descriptors, mounts, namespaces, files.
#include "payload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern char **environ;

static int print_file(const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return fail(path);
    char data[65536];
    size_t n;
    while ((n = fread(data, 1, sizeof data, file)) > 0) fwrite(data, 1, n, stdout);
    const int failed = ferror(file);
    fclose(file);
    return failed ? fail(path) : 0;
}

int cmd_args(int argc, char **argv) {
    printf("argc=%d\n", argc);
    for (int i = 0; i < argc; ++i) printf("argv[%d]=%s\n", i, argv[i]);
    return 0;
}

int cmd_env(int argc, char **argv) {
    (void)argc, (void)argv;
    for (char **entry = environ; *entry != NULL; ++entry) puts(*entry);
    return 0;
}

int cmd_cwd(int argc, char **argv) {
    (void)argc, (void)argv;
    char path[4096];
    if (getcwd(path, sizeof path) == NULL) return fail("getcwd");
    puts(path);
    return 0;
}

int cmd_ids(int argc, char **argv) {
    (void)argc, (void)argv;
    gid_t groups[1024];
    const int count = getgroups(1024, groups);
    printf("uid=%d euid=%d gid=%d egid=%d groups=", getuid(), geteuid(), getgid(), getegid());
    for (int i = 0; i < count; ++i) printf("%s%d", i == 0 ? "" : ",", groups[i]);
    putchar('\n');
    return 0;
}

int cmd_hostname(int argc, char **argv) {
    (void)argc, (void)argv;
    char host[256], domain[256];
    if (gethostname(host, sizeof host) != 0 || getdomainname(domain, sizeof domain) != 0) return fail("hostname");
    printf("host=%s domain=%s\n", host, domain);
    return 0;
}

int cmd_caps(int argc, char **argv) {
    (void)argc, (void)argv;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) return fail("/proc/self/status");
    char line[512];
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 || strncmp(line, "Seccomp:", 8) == 0)
            fputs(line, stdout);
    }
    fclose(file);
    return 0;
}

int cmd_rlimits(int argc, char **argv) {
    (void)argc, (void)argv;
    return print_file("/proc/self/limits");
}

int cmd_mounts(int argc, char **argv) {
    (void)argc, (void)argv;
    return print_file("/proc/self/mountinfo");
}

int cmd_cgroup(int argc, char **argv) {
    (void)argc, (void)argv;
    return print_file("/proc/self/cgroup");
}

int cmd_cat(int argc, char **argv) {
    int result = 0;
    for (int i = 0; i < argc; ++i) result |= print_file(argv[i]);
    return result;
}

int cmd_fds(int argc, char **argv) {
    (void)argc, (void)argv;
    for (int fd = 0; fd < 1024; ++fd) {
        char path[64], target[4096];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        const ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) continue;
        target[n] = '\0';
        printf("fd %d %s\n", fd, target);
    }
    return 0;
}

int cmd_namespaces(int argc, char **argv) {
    (void)argc, (void)argv;
    static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char path[64], target[128];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        const ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) continue;
        target[n] = '\0';
        puts(target);
    }
    return 0;
}

int cmd_sysctl(int argc, char **argv) {
    if (argc < 1) return 64;
    char path[512];
    snprintf(path, sizeof path, "/proc/sys/%s", argv[0]);
    for (char *c = path + strlen("/proc/sys/"); *c != '\0'; ++c) {
        if (*c == '.') *c = '/';
    }
    return print_file(path);
}

static const char *type_of(mode_t mode) {
    return S_ISDIR(mode)   ? "dir"
           : S_ISREG(mode) ? "file"
           : S_ISLNK(mode) ? "link"
           : S_ISCHR(mode) ? "char"
           : S_ISBLK(mode) ? "block"
           : S_ISFIFO(mode) ? "fifo"
                            : "socket";
}

static int print_stat(int folder, const char *name) {
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return fail(name);
    printf("%s type=%s mode=%04o uid=%d gid=%d size=%lld", name, type_of(info.st_mode), info.st_mode & 07777U,
           info.st_uid, info.st_gid, S_ISDIR(info.st_mode) ? 0LL : (long long)info.st_size);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) printf(" dev=%u:%u", major(info.st_rdev), minor(info.st_rdev));
    char target[4096];
    const ssize_t n = S_ISLNK(info.st_mode) ? readlinkat(folder, name, target, sizeof target - 1) : -1;
    if (n >= 0) printf(" target=%.*s", (int)n, target);
    putchar('\n');
    return 0;
}

int cmd_stat(int argc, char **argv) {
    int result = 0;
    for (int i = 0; i < argc; ++i) result |= print_stat(AT_FDCWD, argv[i]);
    return result;
}

int cmd_ls(int argc, char **argv) {
    const char *folder = argc > 0 ? argv[0] : ".";
    struct dirent **entries;
    const int count = scandir(folder, &entries, NULL, alphasort);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (count < 0 || fd < 0) return fail(folder);
    int result = 0;
    for (int i = 0; i < count; ++i) {
        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
            result |= print_stat(fd, entries[i]->d_name);
    }
    return result;
}

int cmd_write(int argc, char **argv) {
    if (argc < 2) return 64;
    const int fd = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return fail(argv[0]);
    if (write(fd, argv[1], strlen(argv[1])) < 0 || close(fd) != 0) return fail(argv[0]);
    printf("wrote %zu\n", strlen(argv[1]));
    return 0;
}

int cmd_mkdev(int argc, char **argv) {
    if (argc < 3) return 64;
    const dev_t device = makedev((unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]));
    if (mknod(argv[0], S_IFCHR | 0600, device) != 0) return fail("mknod");
    const int fd = open(argv[0], O_RDWR | O_CLOEXEC);
    if (fd < 0) return fail("open");
    close(fd);
    puts("opened");
    return 0;
}

int cmd_syscall(int argc, char **argv) {
    if (argc < 1) return 64;
    long a[7] = {0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < argc && i < 7; ++i) a[i] = strtol(argv[i], NULL, 0);
    const long result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    if (result < 0) {
        printf("syscall %ld errno %s\n", a[0], strerrorname_np(errno));
    } else {
        printf("syscall %ld result %ld\n", a[0], result);
    }
    return 0;
}

int cmd_mount_tmpfs(int argc, char **argv) {
    if (argc < 1) return 64;
    if (mount("tmpfs", argv[0], "tmpfs", 0, NULL) != 0) return fail("mount");
    puts("mounted");
    return 0;
}
