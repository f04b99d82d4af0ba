// Asks the resolver of the container's network as fast as it answers.
#include "payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { lots = 32, room = 512, head = 12 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// A query for addresses of the name; returns its size.
static size_t make_query(unsigned char *out, const char *name) {
    memcpy(out, "\0\0\1\0\0\1\0\0\0\0\0\0", head);
    size_t size = head;
    for (const char *label = name; *label != '\0';) {
        const size_t length = strcspn(label, ".");
        out[size++] = (unsigned char)length;
        memcpy(out + size, label, length);
        size += length;
        label += length + (label[length] == '.');
    }
    memcpy(out + size, "\0\0\1\0\1", 5);
    return size + 5;
}

// Whether this answers the query with the one address.
static int is_right(const unsigned char *answer, size_t size, const unsigned char *query, size_t asked,
                    const struct in_addr *address) {
    return size > asked + 4 && (answer[2] & 0x80) != 0 && (answer[3] & 0x0f) == 0 && answer[6] == 0 && answer[7] == 1 &&
           memcmp(answer + head, query + head, asked - head) == 0 && memcmp(answer + size - 4, address, 4) == 0;
}

struct Load {
    int fd;
    unsigned char query[room];
    size_t size;
    struct in_addr address;
    char under_way[1 << 16];
    long sent, answers, wrong;
};

static void send_some(struct Load *load, long count) {
    unsigned char queries[lots][room];
    struct iovec vectors[lots];
    struct mmsghdr messages[lots];
    memset(messages, 0, sizeof messages);
    if (count > lots) count = lots;
    for (long i = 0; i < count; ++i) {
        const unsigned id = (unsigned)(load->sent + i) & 0xffffU;
        memcpy(queries[i], load->query, load->size);
        queries[i][0] = (unsigned char)(id >> 8);
        queries[i][1] = (unsigned char)id;
        load->under_way[id] = 1;
        vectors[i] = (struct iovec){queries[i], load->size};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (long done = 0; done < count;) {
        const int now = sendmmsg(load->fd, messages + done, (unsigned)(count - done), 0);
        if (now < 0) exit(fail("sendmmsg"));
        done += now;
    }
    load->sent += count;
}

static void take_some(struct Load *load) {
    unsigned char answers[lots][room];
    struct iovec vectors[lots];
    struct mmsghdr messages[lots];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < lots; ++i) {
        vectors[i] = (struct iovec){answers[i], room};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = recvmmsg(load->fd, messages, lots, MSG_WAITFORONE, NULL);
    if (count < 0) exit(fail("recvmmsg"));
    for (int i = 0; i < count; ++i) {
        const size_t size = messages[i].msg_len;
        const unsigned id = size < 2 ? 0 : (unsigned)(answers[i][0] << 8 | answers[i][1]);
        ++load->answers;
        if (!load->under_way[id] || !is_right(answers[i], size, load->query, load->size, &load->address)) ++load->wrong;
        load->under_way[id] = 0;
    }
}

static int open_resolver(void) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, "127.0.0.11", &to.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) exit(fail("connect"));
    return fd;
}

int cmd_ask_names(int argc, char **argv) {
    static struct Load load;
    if (argc < 3 || strlen(argv[0]) > 250 || inet_pton(AF_INET, argv[1], &load.address) != 1) return 2;
    const long count = number(argc, argv, 2, 1), window = number(argc, argv, 3, 1);
    load.size = make_query(load.query, argv[0]);
    load.fd = open_resolver();
    const double begin = seconds();
    while (load.answers < count) {
        const long free = window - (load.sent - load.answers), left = count - load.sent;
        if (free > 0 && left > 0) send_some(&load, free < left ? free : left);
        struct pollfd wait = {load.fd, POLLIN, 0};
        if (poll(&wait, 1, 5000) != 1) break;  // an answer is lost, and the number below says so
        take_some(&load);
    }
    printf("queries %ld answers %ld wrong %ld microseconds %.0f\n", load.sent, load.answers, load.wrong,
           (seconds() - begin) * 1e6);
    return 0;
}

// -- packets that are no queries, or hardly any --------------------------------

static unsigned long long state;

// Marsaglia's xorshift64.
static unsigned chance(unsigned below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % below;
}

// One of the first queries with up to seven bytes altered, cut off, put in, or made a pointer; returns its size.
static size_t mutate(unsigned char *out, const struct Load *load) {
    size_t size = load->size;
    memcpy(out, load->query, size);
    out[0] = (unsigned char)chance(256);
    switch (chance(4)) {
        case 0:
            out[size - 3] = 28;  // AAAA
            break;
        case 1:
            out[size - 3] = 12;  // PTR
            break;
        case 2:  // EDNS
            out[11] = 1;
            memcpy(out + size, "\0\0\51\20\0\0\0\0\0\0\0", 11);
            size += 11;
            break;
        default:
            break;
    }
    for (unsigned change = chance(8); change > 0; --change) {
        const size_t at = chance((unsigned)size), more = 1 + chance(40);
        switch (chance(4)) {
            case 0:
                out[at] = (unsigned char)chance(256);
                break;
            case 1:
                size = 1 + at;
                break;
            case 2:
                if (size + more > room) break;
                memmove(out + at + more, out + at, size - at);
                memset(out + at, (int)chance(256), more);
                size += more;
                break;
            default:
                out[at] = (unsigned char)(0xc0 | chance(64));
                break;
        }
    }
    return size;
}

static void send_mutated(int fd, const struct Load *load, int count) {
    unsigned char packets[lots][room];
    struct iovec vectors[lots];
    struct mmsghdr messages[lots];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < count; ++i) {
        vectors[i] = (struct iovec){packets[i], mutate(packets[i], load)};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (int done = 0; done < count;) {
        const int now = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        if (now < 0) exit(fail("sendmmsg"));
        done += now;
    }
}

// What does not fit into the resolver's socket would be lost unseen, so behind every few packets a query is
// answered. Answers to the others are left lying in their socket.
int cmd_fuzz_names(int argc, char **argv) {
    enum { batches = 3 };
    static struct Load load;
    if (argc < 3 || strlen(argv[0]) > 250 || inet_pton(AF_INET, argv[1], &load.address) != 1) return 2;
    const long count = number(argc, argv, 2, 1);
    state = (unsigned long long)number(argc, argv, 3, 1) * 2 + 1;
    load.size = make_query(load.query, argv[0]);
    load.fd = open_resolver();
    const int fuzz = open_resolver();
    long packets = 0;
    while (packets < count) {
        for (int i = 0; i < batches; ++i, packets += lots) send_mutated(fuzz, &load, lots);
        send_some(&load, 1);
        struct pollfd wait = {load.fd, POLLIN, 0};
        if (poll(&wait, 1, 20000) != 1) break;  // an answer is lost, and the number below says so
        take_some(&load);
    }
    printf("packets %ld queries %ld answers %ld wrong %ld\n", packets, load.sent, load.answers, load.wrong);
    return 0;
}
