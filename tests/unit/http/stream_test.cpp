#include <fcntl.h>

#include "test_server.hpp"

namespace dockerd::test {
namespace {

using http::HijackHead;
using http::Notifier;
using http::RawConnection;
using http::Request;
using http::Stream;
using http::Task;
using http::Wake;
using namespace std::chrono_literals;

class HttpStream : public ServerTest {
protected:
    /// Hijacks, then echoes on a pool thread until the client's end, and says "bye".
    void serve_echo(HijackHead head) {
        on_session("/attach", [head](Request, Stream& stream) -> Task<void> {
            HijackHead copy = head;
            auto raw = std::make_shared<RawConnection>(co_await stream.hijack(std::move(copy)));
            stream.calls().post([raw] { echo(*raw); });
        });
        serve();
    }

    static void echo(RawConnection& raw) {
        const int fd = raw.fd.get();
        (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        std::string text = "early:" + raw.early + ";";
        (void)!::write(fd, text.data(), text.size());
        std::array<char, 4096> buffer;
        while (true) {
            const ssize_t count = ::read(fd, buffer.data(), buffer.size());
            if (count <= 0) break;
            (void)!::write(fd, buffer.data(), static_cast<std::size_t>(count));
        }
        (void)!::write(fd, "bye", 3);
    }
};

TEST_F(HttpStream, UpgradesWithHalfCloseAndEarlyBytes) {
    serve_echo({.content_type = "application/vnd.docker.multiplexed-stream"});
    RawHttp client(path);
    client.send("POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst");
    EXPECT_EQ(client.read_until("\r\n\r\n"),
              "HTTP/1.1 101 UPGRADED\r\n"
              "Content-Type: application/vnd.docker.multiplexed-stream\r\n"
              "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    EXPECT_EQ(client.read_until(";"), "early:first;");
    client.send("second");
    EXPECT_EQ(client.read_exactly(6), "second");
    client.half_close();
    EXPECT_EQ(client.read_to_end(), "bye");
}

TEST_F(HttpStream, AddsTheApiHeadersForExec) {
    serve_echo({.api_headers = true});
    RawHttp client(path);
    client.send("POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    EXPECT_EQ(client.read_until("\r\n\r\n"),
              "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
              "Connection: Upgrade\r\nUpgrade: tcp\r\nApi: yes\r\n\r\n");
}

TEST_F(HttpStream, HijacksWithoutUpgrade) {
    serve_echo({.content_type = "application/vnd.docker.multiplexed-stream"});
    RawHttp client(path);
    client.send("POST /attach HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(client.read_until("\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
    client.half_close();
    EXPECT_EQ(client.read_to_end(), "early:;bye");
}

TEST_F(HttpStream, TakesADeclaredBodyAsBodyNotAsInput) {
    serve_echo({});
    RawHttp client(path);
    client.send("POST /attach HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}input");
    (void)client.read_until("\r\n\r\n");
    EXPECT_EQ(client.read_until(";"), "early:input;");
}

TEST_F(HttpStream, UpgradesBeforeAChunkedBodyEnds) {
    serve_echo({});
    RawHttp client(path);
    client.send("POST /attach HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT_NE(client.read_until("\r\n\r\n").find("101 UPGRADED"), std::string::npos);
}

TEST_F(HttpStream, WritesAttachErrorsBare) {
    on_session(
        "/attach",
        [](Request, Stream&) -> Task<void> {
            throw base::Error(base::ErrorKind::not_found, "No such container: x");
            co_return;
        },
        /*bare=*/true);
    serve();
    RawHttp client(path);
    client.send("POST /attach HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n");
    EXPECT_EQ(client.read_to_end(),
              "HTTP/1.1 500 Internal Server Error\r\n"
              "Content-Type: application/vnd.docker.raw-stream\r\n\r\nNo such container: x\r\n");
}

TEST_F(HttpStream, SendsTheHeadBeforeAnythingHappens) {
    on_session("/wait", [](Request, Stream& stream) -> Task<void> {
        http::Headers headers{{"Content-Type", "application/json"}};
        co_await stream.send_head(200, std::move(headers));
        (void)co_await stream.sleep(1h);
    });
    serve();
    RawHttp client(path);
    client.send("POST /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(RawHttp::without_date(client.read_until("\r\n\r\n")),
              "HTTP/1.1 200 OK\r\nApi: yes\r\nContent-Type: application/json\r\n"
              "Transfer-Encoding: chunked\r\n\r\n");
}

TEST_F(HttpStream, WakesForNotificationsOfOtherThreads) {
    on_session("/events", [](Request, Stream& stream) -> Task<void> {
        Notifier notifier = co_await Notifier::make();
        for (int i = 0; i < 100; ++i) {
            stream.calls().post([notifier] { notifier.notify(); });
            const Wake wake = co_await stream.wait(notifier);
            EXPECT_EQ(wake, Wake::notified);
        }
        co_await stream.write("seen");
    });
    serve();
    RawHttp client(path);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_NE(client.read_until("0\r\n\r\n").find("4\r\nseen\r\n0\r\n\r\n"), std::string::npos);
}

// Seen by the address sanitizer only: without it the freed memory is written to and nothing shows.
TEST_F(HttpStream, TakesNotificationsAfterTheServersEnd) {
    std::optional<Notifier> kept;
    Gate waits;
    on_session("/events", [&](Request, Stream& stream) -> Task<void> {
        Notifier notifier = co_await Notifier::make();
        kept = notifier;
        waits.open();
        (void)co_await stream.wait(notifier);
    });
    serve();
    RawHttp client(path);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(waits.wait());
    server.reset();
    kept->notify();
}

TEST_F(HttpStream, RemembersANotificationBeforeTheWait) {
    on_session("/events", [](Request, Stream& stream) -> Task<void> {
        Notifier notifier = co_await Notifier::make();
        notifier.notify();
        notifier.notify();
        const Wake first = co_await stream.wait(notifier, 10s);
        const Wake second = co_await stream.wait(notifier, 1ms);
        EXPECT_EQ(first, Wake::notified);
        EXPECT_EQ(second, Wake::timeout);
    });
    serve();
    RawHttp client(path);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)client.read_until("0\r\n\r\n");
}

TEST_F(HttpStream, WakesWhenADescriptorIsReadable) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const base::Fd in(pipe[0]);
    const base::Fd out(pipe[1]);
    on_session("/logs", [&](Request, Stream& stream) -> Task<void> {
        co_await stream.write("go");
        const Wake wake = co_await stream.wait_readable(in.get());
        EXPECT_EQ(wake, Wake::readable);
        co_await stream.write("on");
    });
    serve();
    RawHttp client(path);
    client.send("GET /logs HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)client.read_until("go\r\n");
    ASSERT_EQ(::write(out.get(), "x", 1), 1);
    EXPECT_EQ(client.read_until("0\r\n\r\n"), "2\r\non\r\n0\r\n\r\n");
}

TEST_F(HttpStream, SeesTheClientLeave) {
    Gate seen;
    on_session("/events", [&](Request, Stream& stream) -> Task<void> {
        Notifier notifier = co_await Notifier::make();
        co_await stream.send_head(200, {});
        const Wake wake = co_await stream.wait(notifier);
        EXPECT_EQ(wake, Wake::closed);
        EXPECT_TRUE(stream.is_closed());
        seen.open();
    });
    serve();
    RawHttp client(path);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)client.read_until("\r\n\r\n");
    client.close();
    EXPECT_TRUE(seen.wait());
}

TEST_F(HttpStream, ServesTheRequestThatCameDuringAStream) {
    on_inline("/next", [](const Request&) { return http::Response::text(200, "next"); });
    on_session("/stats", [](Request, Stream& stream) -> Task<void> {
        co_await stream.write("a");
        (void)co_await stream.sleep(20ms);
    });
    serve();
    RawHttp client(path);
    client.send("GET /stats HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)client.read_until("0\r\n\r\n");
    EXPECT_NE(client.read_response().find("\r\n\r\nnext"), std::string::npos);
    // And again after the wait of the stream was cancelled.
    client.send("GET /stats HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)client.read_until("0\r\n\r\n");
    EXPECT_NE(client.ask("GET /next HTTP/1.1\r\nHost: x\r\n\r\n").find("\r\n\r\nnext"), std::string::npos);
}

TEST_F(HttpStream, BreaksOffWhenTheHandlerFailsLate) {
    on_session("/logs", [](Request, Stream& stream) -> Task<void> {
        co_await stream.write("a");
        throw base::Error(base::ErrorKind::internal, "late");
    });
    serve();
    RawHttp client(path);
    client.send("GET /logs HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(client.read_to_end().ends_with("1\r\na\r\n"));
}

TEST_F(HttpStream, AnswersAnEarlyFailureOfTheHandler) {
    on_session("/logs", [](Request, Stream& stream) -> Task<void> {
        auto work = []() -> int { throw base::Error(base::ErrorKind::conflict, "not now"); };
        (void)co_await http::offload(stream.calls(), work);
    });
    serve();
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /logs HTTP/1.1\r\nHost: x\r\n\r\n"),
              "HTTP/1.1 500 Internal Server Error\r\nApi: yes\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 7\r\n\r\nnot now");
}

TEST_F(HttpStream, EndsSessionsWhenTheServerStops) {
    on_session("/events", [](Request, Stream& stream) -> Task<void> {
        co_await stream.send_head(200, {});
        co_await stream.closed();
    });
    serve();
    RawHttp client(path);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)client.read_until("\r\n\r\n");
    server->stop(10s);
    EXPECT_EQ(client.read_to_end(), "");
    EXPECT_EQ(server->connections(), 0u);
}

}  // namespace
}  // namespace dockerd::test
