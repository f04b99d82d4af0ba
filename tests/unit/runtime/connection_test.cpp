#include "runtime/launch/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace dockerd::runtime::launch {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A connection to a monitor that reads nothing until the test does.
class ConnectionTest : public testing::Test {
protected:
    ConnectionTest() {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        monitor_.reset(ends[1]);
        connection_ = std::make_unique<Connection>("abc", ::getpid(), base::Fd(), base::Fd(ends[0]));
    }
    void fill() {
        const auto packet = wire::encode(wire::AttachResume{1});
        while (wire::send_packet(connection_->socket(), wire::Kind::attach_resume, 0, packet,
                                 /*wait=*/false) == 0) {
        }
        EXPECT_EQ(errno, EAGAIN);
    }
    /// Reads all there is: the execs acknowledged.
    std::vector<std::string> acknowledged() {
        std::vector<std::string> out;
        wire::Packet packet;
        while (wire::receive_packet(monitor_.get(), /*wait=*/false, packet) ==
               wire::Receive::packet) {
            wire::ExecAck ack;
            if (packet.kind == wire::Kind::exec_ack && packet.to(ack)) out.push_back(ack.exec_id);
        }
        return out;
    }

    base::Fd monitor_;
    std::unique_ptr<Connection> connection_;
};

TEST_F(ConnectionTest, AcknowledgesAtOnce) {
    connection_->acknowledge("one");
    connection_->acknowledge("two");
    EXPECT_THAT(acknowledged(), ElementsAre("one", "two"));
}

TEST_F(ConnectionTest, NeverWaitsToAcknowledge) {
    fill();
    // What the reaper does for all containers: a monitor that is stopped must not keep it.
    connection_->acknowledge("one");
    connection_->acknowledge("two");
    EXPECT_THAT(acknowledged(), IsEmpty());
    connection_->resume(2);
    EXPECT_THAT(acknowledged(), ElementsAre("one", "two"));
}

TEST_F(ConnectionTest, DoesNotWaitForWhoSends) {
    fill();
    std::thread sender([this] { connection_->resume(2); });
    connection_->acknowledge("one");
    std::vector<std::string> seen;
    while (seen.empty()) seen = acknowledged();
    EXPECT_THAT(seen, ElementsAre("one"));
    sender.join();
}

TEST_F(ConnectionTest, KnowsWhenTheMonitorIsGone) {
    monitor_.reset();
    connection_->acknowledge("one");
    connection_->acknowledge("two");
    connection_->resume(1);
    EXPECT_THROW(connection_->resize({.height = 1, .width = 1}), base::Error);
}

TEST_F(ConnectionTest, AnExecThatHasEndedSoonIsNotStartedAnyMore) {
    int started = 0;
    ExecPlan plan;
    plan.id = "quick";
    connection_->exec_begin(plan, base::Fd(), [&](const ExecStarted&) { ++started; });
    EXPECT_TRUE(connection_->ends_unattended("quick"));
    EXPECT_FALSE(connection_->ends_unattended("quick"));
    connection_->lost();
    EXPECT_EQ(started, 0);
}

TEST_F(ConnectionTest, AnExecIsNotBegunWhileTheMonitorTakesNothing) {
    fill();
    ExecPlan plan;
    plan.id = "check";
    base::Fd output{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
    const int number = output.get();
    const auto done = [](const ExecStarted&) { ADD_FAILURE() << "nothing was begun"; };
    EXPECT_FALSE(connection_->try_exec_begin(plan, output, done));
    EXPECT_EQ(output.get(), number);  // for another try
    EXPECT_FALSE(connection_->ends_unattended("check"));
    (void)acknowledged();  // makes room
    EXPECT_TRUE(connection_->try_exec_begin(plan, output, done));
    EXPECT_FALSE(output);
    EXPECT_TRUE(connection_->ends_unattended("check"));
}

}  // namespace
}  // namespace dockerd::runtime::launch
