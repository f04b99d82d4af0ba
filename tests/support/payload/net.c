// Links and small servers and clients.
#include "payload.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *text_of(const struct sockaddr *address, char *text, size_t size) {
    const void *raw = address->sa_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                                                     : (const void *)&((const struct sockaddr_in *)address)->sin_addr;
    const char *found = inet_ntop(address->sa_family, raw, text, (socklen_t)size);
    if (found == NULL) return "?";
    return strncmp(found, "::ffff:", 7) == 0 ? found + 7 : found;
}

int cmd_links(int argc, char **argv) {
    (void)argc, (void)argv;
    struct if_nameindex *links = if_nameindex();
    if (links == NULL) return fail("if_nameindex");
    for (struct if_nameindex *link = links; link->if_index != 0; ++link) printf("link %s\n", link->if_name);
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) return fail("getifaddrs");
    for (struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        char text[64];
        const int family = one->ifa_addr == NULL ? AF_UNSPEC : one->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6) continue;
        printf("address %s %s\n", one->ifa_name, text_of(one->ifa_addr, text, sizeof text));
    }
    return 0;
}

// A socket bound to the port on all addresses, IPv6 with IPv4 where there is IPv6.
static int bound(int type, const char *port) {
    const int yes = 1, no = 0;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(port))};
    int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
        if (bind(fd, (struct sockaddr *)&six, sizeof six) == 0) return fd;
        close(fd);
    }
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    return bind(fd, (struct sockaddr *)&four, sizeof four) == 0 ? fd : -1;
}

static void serve(int fd, const char *peer) {
    FILE *in = fdopen(fd, "r");
    char line[4096];
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        dprintf(fd, "%s %s", peer, line);
    }
    if (in != NULL) fclose(in);
}

int cmd_listen(int argc, char **argv) {
    if (argc < 1) return 64;
    const long count = number(argc, argv, 1, -1);
    const int fd = bound(SOCK_STREAM, argv[0]);
    if (fd < 0 || listen(fd, 128) != 0) return fail("listen");
    signal(SIGCHLD, SIG_IGN);
    printf("listening %s\n", argv[0]);
    fflush(stdout);
    for (long i = 0; count < 0 || i < count; ++i) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        const int client = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
        if (client < 0) return fail("accept");
        char text[64];
        const char *name = text_of((struct sockaddr *)&peer, text, sizeof text);
        if (count == 1) {
            serve(client, name);
        } else if (fork() == 0) {
            serve(client, name);
            _exit(0);
        } else {
            close(client);
        }
    }
    return 0;
}

static int target(const char *address, const char *port, int type) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(port))};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    const int is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
    if (!is_six && inet_pton(AF_INET, address, &four.sin_addr) != 1) return -1;
    const int fd = socket(is_six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
    const struct timeval limit = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const int result = is_six ? connect(fd, (struct sockaddr *)&six, sizeof six)
                              : connect(fd, (struct sockaddr *)&four, sizeof four);
    if (result == 0) return fd;
    return -1;
}

static int ask(int fd, const char *text) {
    dprintf(fd, "%s\n", text);
    char answer[4096];
    const ssize_t n = read(fd, answer, sizeof answer - 1);
    if (n <= 0) return fail("read");
    fwrite(answer, 1, (size_t)n, stdout);
    return 0;
}

int cmd_connect(int argc, char **argv) {
    if (argc < 2) return 64;
    const int fd = target(argv[0], argv[1], SOCK_STREAM);
    if (fd < 0) return fail("connect");
    if (argc > 2) return ask(fd, argv[2]);
    puts("connected");
    return 0;
}

int cmd_udp_send(int argc, char **argv) {
    if (argc < 3) return 64;
    const int fd = target(argv[0], argv[1], SOCK_DGRAM);
    return fd < 0 ? fail("connect") : ask(fd, argv[2]);
}

int cmd_udp_listen(int argc, char **argv) {
    if (argc < 1) return 64;
    const long count = number(argc, argv, 1, -1);
    const int fd = bound(SOCK_DGRAM, argv[0]);
    if (fd < 0) return fail("bind");
    printf("listening %s\n", argv[0]);
    fflush(stdout);
    for (long i = 0; count < 0 || i < count; ++i) {
        char data[4096], answer[4200], text[64];
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        const ssize_t n = recvfrom(fd, data, sizeof data - 1, 0, (struct sockaddr *)&peer, &size);
        if (n < 0) return fail("recvfrom");
        data[n] = '\0';
        const char *name = text_of((struct sockaddr *)&peer, text, sizeof text);
        const int used = snprintf(answer, sizeof answer, "%s %s", name, data);
        sendto(fd, answer, (size_t)used, 0, (struct sockaddr *)&peer, size);
    }
    return 0;
}
