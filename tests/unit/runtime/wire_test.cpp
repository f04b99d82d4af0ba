#include "runtime/wire/packet.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace dockerd::runtime::wire {
namespace {

struct Sockets {
    Sockets() {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
        a.reset(ends[0]);
        b.reset(ends[1]);
    }
    base::Fd a, b;
};

StartRequest sample() {
    StartRequest request;
    request.plan.id = "abc";
    request.plan.process.args = {"sh", "-c", ""};
    request.plan.process.limits = {{7, 1024, 4096}};
    request.plan.process.tty = true;
    request.plan.sysctls = {{"net.ipv4.ip_forward", "1"}};
    Mount mount;
    mount.kind = MountKind::tmpfs;
    mount.destination = "/tmp";
    mount.read_only = true;
    request.plan.mounts.push_back(std::move(mount));
    request.plan.rootfs.reset(::open("/", O_PATH | O_CLOEXEC));
    return request;
}

TEST(Wire, PlanComesBackAsItWas) {
    const Sockets sockets;
    const StartRequest sent = sample();
    ASSERT_EQ(send_message(sockets.a.get(), Kind::start, 5, sent), 0);
    Packet packet;
    ASSERT_EQ(receive_packet(sockets.b.get(), true, packet), Receive::packet);
    EXPECT_EQ(packet.kind, Kind::start);
    EXPECT_EQ(packet.serial, 5U);
    EXPECT_EQ(packet.version, protocol_version);
    StartRequest got;
    ASSERT_TRUE(packet.to(got));
    EXPECT_EQ(got.plan.id, "abc");
    EXPECT_EQ(got.plan.process.args, sent.plan.process.args);
    EXPECT_EQ(got.plan.process.limits[0].hard, 4096U);
    EXPECT_TRUE(got.plan.process.tty);
    EXPECT_EQ(got.plan.sysctls, sent.plan.sysctls);
    ASSERT_EQ(got.plan.mounts.size(), 1U);
    EXPECT_EQ(got.plan.mounts[0].kind, MountKind::tmpfs);
    EXPECT_TRUE(got.plan.mounts[0].read_only);
    EXPECT_TRUE(got.plan.rootfs);
    EXPECT_FALSE(got.connection);
}

TEST(Wire, LargeBodyTravelsBeside) {
    const Sockets sockets;
    StartRequest sent = sample();
    sent.plan.process.env = {"X=" + std::string(3'000'000, 'y')};
    ASSERT_EQ(send_message(sockets.a.get(), Kind::start, 1, sent), 0);
    Packet packet;
    ASSERT_EQ(receive_packet(sockets.b.get(), true, packet), Receive::packet);
    StartRequest got;
    ASSERT_TRUE(packet.to(got));
    EXPECT_EQ(got.plan.process.env, sent.plan.process.env);
    EXPECT_TRUE(got.plan.rootfs);
}

TEST(Wire, ThousandDescriptorsArriveInOrder) {
    const Sockets sockets;
    StartRequest sent = sample();
    for (int i = 0; i < 600; ++i) {
        Mount mount;
        mount.destination = std::to_string(i);
        mount.tree.reset(::open(i % 2 == 0 ? "/" : "/proc", O_PATH | O_CLOEXEC));
        sent.plan.mounts.push_back(std::move(mount));
    }
    ASSERT_EQ(send_message(sockets.a.get(), Kind::start, 1, sent), 0);
    Packet packet;
    ASSERT_EQ(receive_packet(sockets.b.get(), true, packet), Receive::packet);
    StartRequest got;
    ASSERT_TRUE(packet.to(got));
    ASSERT_EQ(got.plan.mounts.size(), 601U);
    for (int i = 0; i < 600; ++i) {
        char path[64] = {};
        const std::string link =
            "/proc/self/fd/" + std::to_string(got.plan.mounts[i + 1].tree.get());
        ASSERT_GT(::readlink(link.c_str(), path, sizeof path - 1), 0);
        ASSERT_STREQ(path, i % 2 == 0 ? "/" : "/proc");
    }
}

TEST(Wire, LastWordsOfAPeerThatDidNotReadAreHeard) {
    Sockets sockets;
    ASSERT_EQ(send_message(sockets.b.get(), Kind::hello, 0, Hello{}), 0);  // never read
    ASSERT_EQ(send_message(sockets.a.get(), Kind::failed, 0, Failed{"x", 0, "last"}), 0);
    sockets.a.reset();
    Packet packet;
    Failed failed;
    ASSERT_EQ(receive_packet(sockets.b.get(), true, packet), Receive::packet);
    ASSERT_TRUE(packet.to(failed));
    EXPECT_EQ(failed.text, "last");
    EXPECT_EQ(receive_packet(sockets.b.get(), true, packet), Receive::closed);
}

TEST(Wire, EveryTruncationIsRefused) {
    const Encoder encoder = encode(sample());
    for (std::size_t size = 0; size < encoder.bytes.size(); ++size) {
        std::vector<base::Fd> fds;
        for (const int fd : encoder.fds) fds.emplace_back(::dup(fd));
        StartRequest got;
        EXPECT_FALSE(decode(std::string_view(encoder.bytes).substr(0, size), fds, got)) << size;
    }
}

TEST(Wire, ForgedLengthsAndDescriptorsAreRefused) {
    std::vector<base::Fd> none;
    StartRequest got;
    EXPECT_FALSE(
        decode(encode(sample()).bytes, none, got));  // names a descriptor that is not there
    const std::string huge = "\xff\xff\xff\xff";
    ExecAck ack;
    EXPECT_FALSE(decode(huge, none, ack));
    EXPECT_FALSE(decode(encode(ExecAck{"x"}).bytes + "rest", none, ack));
}

TEST(Wire, OtherThingsOnTheSocketAreBroken) {
    const Sockets sockets;
    Packet packet;
    ASSERT_EQ(::send(sockets.a.get(), "hello", 5, 0), 5);
    EXPECT_EQ(receive_packet(sockets.b.get(), false, packet), Receive::broken);
    const std::string zeros(100, '\0');
    const Sockets second;
    ASSERT_EQ(::send(second.a.get(), zeros.data(), zeros.size(), 0), 100);
    EXPECT_EQ(receive_packet(second.b.get(), false, packet), Receive::broken);
    const Sockets third;
    const std::string large(100'000, 'x');
    ASSERT_EQ(::send(third.a.get(), large.data(), large.size(), 0), 100'000);
    EXPECT_EQ(receive_packet(third.b.get(), false, packet), Receive::broken);
    Sockets closed;
    closed.a.reset();
    EXPECT_EQ(receive_packet(closed.b.get(), false, packet), Receive::closed);
    const Sockets quiet;
    EXPECT_EQ(receive_packet(quiet.b.get(), false, packet), Receive::again);
}

}  // namespace
}  // namespace dockerd::runtime::wire
