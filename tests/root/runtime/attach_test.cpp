#include "container_fixture.hpp"

namespace dockerd::runtime::testing {
namespace {

using Attach = Containers;

TEST_F(Attach, EndOfInputEndsTheContainersInput) {
    ContainerPlan reader = plan({"cat"});
    reader.process.open_stdin = true;
    reader.stdin_once = true;
    const std::string id = reader.id;
    Peer peer;
    PendingAttach client = full_client(peer, false);
    client.input = "early ";
    auto monitor = start(std::move(reader), std::move(client));
    peer.write("and late");
    peer.end_input();
    EXPECT_EQ(frames(peer.read_all(), 1), "early and late");
    EXPECT_EQ(events.exit_of(id).exit_code, 0);
    monitor->release();
}

TEST_F(Attach, MegabytesGoThroughInputAndOutput) {
    ContainerPlan reader = plan({"cat"});
    reader.process.open_stdin = true;
    reader.stdin_once = true;
    reader.log.kind = LogKind::none;
    const std::string id = reader.id;
    Peer peer;
    auto monitor = start(std::move(reader), full_client(peer, false));
    std::string sent;
    for (int i = 0; sent.size() < 4U << 20; ++i) sent += std::to_string(i) + "\n";
    std::thread writer([&] {
        for (std::size_t at = 0; at < sent.size(); at += 65536) {
            const auto part = std::string_view(sent).substr(at, 65536);
            for (std::size_t done = 0; done < part.size();) {
                const ssize_t n =
                    ::write(peer.socket.get(), part.data() + done, part.size() - done);
                if (n <= 0) return;
                done += static_cast<std::size_t>(n);
            }
        }
        peer.end_input();
    });
    const std::string got = frames(peer.read_all(), 1);
    writer.join();
    EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
    EXPECT_EQ(events.exit_of(id).exit_code, 0);
    monitor->release();
}

TEST_F(Attach, SlowClientHoldsTheContainerBackAndGetsAll) {
    ContainerPlan writer = plan({"sh", "-c", "yes 0123456789 | head -c 8000000; echo done"});
    writer.log.kind = LogKind::none;
    const std::string id = writer.id;
    Peer peer;
    auto monitor = start(std::move(writer), full_client(peer, false));
    ::usleep(200'000);  // not a synchronisation: the client is slow
    EXPECT_EQ(frames(peer.read_all(), 1).size(), 8000000U + 5);
    EXPECT_EQ(events.exit_of(id).exit_code, 0);
    monitor->release();
}

TEST_F(Attach, VanishedClientDoesNotStopTheContainer) {
    ContainerPlan shell = interactive(false);
    shell.stdin_once = false;
    const std::string id = shell.id;
    Peer first, second;
    PendingAttach watcher;
    watcher.client = first.open();
    auto monitor = start(std::move(shell), std::move(watcher));
    first.socket.reset();
    const auto later = monitor->attach({.stdin = true}, second.open(), "echo here\nexit 3\n");
    EXPECT_EQ(frames(second.read_all(), 1), "here\n");
    events.await_closed(later);
    EXPECT_EQ(events.exit_of(id).exit_code, 3);
    monitor->release();
}

TEST_F(Attach, AttachAfterTheEndIsRefused) {
    ContainerPlan simple = plan({"true"});
    const std::string id = simple.id;
    auto monitor = daemon().start(std::move(simple), {});
    (void)events.exit_of(id);
    Peer peer;
    EXPECT_THROW(monitor->attach({}, peer.open(), ""), base::Error);
    monitor->release();
}

TEST_F(Attach, TerminalHasSizeAndIsRaw) {
    ContainerPlan shell = plan({"sh", "-c", "tty; stty size; read x; stty size; echo got $x"});
    shell.process.open_stdin = true;
    shell.process.tty = true;
    shell.process.console_size = {40, 100};
    const std::string id = shell.id;
    Peer peer;
    auto monitor = start(std::move(shell), full_client(peer, true));
    EXPECT_EQ(peer.read_until("40 100\r\n"), "/dev/pts/0\r\n40 100\r\n");
    monitor->resize({50, 120});
    peer.write("word\n");
    EXPECT_EQ(peer.read_until("got word\r\n"), "word\r\n50 120\r\ngot word\r\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 0);
    monitor->release();
}

TEST_F(Attach, ConsoleIsTheTerminal) {
    ContainerPlan shell = plan({"sh", "-c", "stat -c %t:%T /dev/console; echo x >/dev/console"});
    shell.process.tty = true;
    const Result result = run(std::move(shell));
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out, "88:0\r\nx\r\n");
}

TEST_F(Attach, DetachKeysLeaveTheContainerRunning) {
    ContainerPlan shell = interactive(true);
    const std::string id = shell.id;
    Peer peer, second;
    auto monitor = start(std::move(shell), full_client(peer, true));
    peer.write("echo one\n");
    (void)peer.read_until("one\r\none\r\n");
    peer.write("\x10\x11");
    (void)peer.read_all();
    events.await_detach(id + "/");
    (void)monitor->attach({.stdin = true, .multiplexed = false}, second.open(), "exit 7\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 7);
    monitor->release();
}

TEST_F(Attach, HeldClientGetsAllThatPiledUpMeanwhile) {
    constexpr std::size_t printed = 300'000;
    ContainerPlan printer = interactive(false);
    const std::string id = printer.id;
    Peer reader, held;
    auto monitor = start(std::move(printer), full_client(reader, false));
    base::Fd theirs = held.open();
    base::Fd replayer{::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 0)};
    const auto client = monitor->attach_held({}, std::move(theirs), "");
    reader.write("yes 0123456789 | head -c 300000\n");
    std::string seen;
    while (frames(seen, 1).size() < printed) seen += reader.read_at_least(1);
    // The log's replay has filled the socket, and the container prints nothing more.
    const std::string line(4096, 'r');
    std::size_t replayed = 0;
    for (ssize_t n = 1; n > 0; replayed += n > 0 ? static_cast<std::size_t>(n) : 0) {
        n = ::send(replayer.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    replayer.reset();
    monitor->resume(client.attach_id);
    EXPECT_EQ(held.read_at_least(replayed + seen.size()).substr(replayed), seen);
    reader.write("exit 7\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 7);
    monitor->release();
}

TEST_F(Attach, DetachKeysBeforeTheLogWasReplayedEndThatClientAlone) {
    ContainerPlan shell = interactive(true);
    const std::string id = shell.id;
    Peer first, hasty;
    auto monitor = start(std::move(shell), full_client(first, true));
    const auto held = monitor->attach_held(
        {.stdin = true, .multiplexed = false, .detach_keys = "\x10\x11"}, hasty.open(), "\x10\x11");
    EXPECT_EQ(hasty.read_all(), "");
    events.await_detach(id + "/");
    monitor->resume(held.attach_id);
    first.write("echo one; exit 7\n");
    (void)first.read_until("one\r\none\r\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 7);
    monitor->release();
}

}  // namespace
}  // namespace dockerd::runtime::testing
