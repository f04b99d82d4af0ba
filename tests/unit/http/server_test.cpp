#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <thread>
#include <vector>

#include "test_server.hpp"

namespace dockerd::test {
namespace {

using http::Request;
using http::Response;

std::string ok(std::string_view body) {
    return "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

Response echo(const Request& request) { return Response::text(200, request.body); }

class HttpServer : public ServerTest {
protected:
    void SetUp() override {
        on_inline("/hello", [](const Request&) { return Response::text(200, "hello"); });
        on_call("/echo", echo);
    }
};

TEST_F(HttpServer, AnswersAndKeepsTheConnection) {
    serve();
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost:\r\n\r\n"), ok("hello"));
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrder) {
    serve();
    RawHttp client(path);
    client.send(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz");
    EXPECT_EQ(client.read_response(), ok("abc"));
    EXPECT_EQ(client.read_response(), ok("hello"));
    EXPECT_EQ(client.read_response(), ok("z"));
}

TEST_F(HttpServer, ReadsAHeadByteByByte) {
    serve();
    RawHttp client(path);
    for (const char c : std::string("GET /hello HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n")) client.send({&c, 1});
    EXPECT_EQ(client.read_response(), ok("hello"));
}

TEST_F(HttpServer, DecodesChunkedBodies) {
    serve();
    RawHttp client(path);
    EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"),
              ok("abcdefg"));
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
}

TEST_F(HttpServer, AnswersExpectContinueBeforeTheBody) {
    serve();
    RawHttp client(path);
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_EQ(client.ask("xyz"), ok("xyz"));
}

TEST_F(HttpServer, RefusesOtherExpectations) {
    serve();
    RawHttp client(path);
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: tea\r\n\r\n");
    EXPECT_EQ(client.read_to_end(),
              "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(HttpServer, LeavesOutTheBodyOfHead) {
    on_inline("/four", [](const Request&) { return Response::text(200, "four"); });
    serve();
    RawHttp client(path);
    client.send("HEAD /four HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(RawHttp::without_date(client.read_until("\r\n\r\n")),
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Length: 4\r\n\r\n");
    EXPECT_EQ(client.read_response(), ok("hello"));
}

TEST_F(HttpServer, SendsNoLengthWith204) {
    on_call("/none", [](const Request&) { return Response::empty(204); });
    serve();
    RawHttp client(path);
    EXPECT_EQ(client.ask("POST /none HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST_F(HttpServer, ClosesAfterHttp10AndConnectionClose) {
    serve();
    RawHttp old(path);
    old.send("GET /hello HTTP/1.0\r\n\r\n");
    EXPECT_EQ(RawHttp::without_date(old.read_to_end()),
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n"
              "Connection: close\r\n\r\nhello");
    RawHttp closing(path);
    closing.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_NE(closing.read_to_end().find("Connection: close\r\n\r\nhello"), std::string::npos);
}

TEST_F(HttpServer, TurnsExceptionsIntoAnswers) {
    on_call("/bad", [](const Request&) -> Response {
        throw base::Error(base::ErrorKind::internal, "it broke");
    });
    serve();
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /bad HTTP/1.1\r\nHost: x\r\n\r\n"),
              "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Length: 8\r\n\r\nit broke");
}

// --- hostile clients -----------------------------------------------------------------------

class Malformed : public HttpServer, public ::testing::WithParamInterface<const char*> {};

TEST_P(Malformed, IsAnsweredByBadRequestAndTheEnd) {
    serve();
    RawHttp client(path);
    client.send(GetParam());
    const std::string answer = client.read_to_end();
    EXPECT_EQ(answer.substr(0, answer.find("\r\n")), "HTTP/1.1 400 Bad Request") << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
    EXPECT_EQ(answer.find("hello"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Requests, Malformed,
    ::testing::Values(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /hello HTTP/9.9\r\n\r\n", "nonsense\r\n\r\n",
        "GET /hello\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: x\r\nName : x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhelloX",
        "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"));

TEST_F(HttpServer, RefusesAHugeHead) {
    serve();
    RawHttp client(path);
    client.send("GET /hello HTTP/1.1\r\nHost: x\r\nA: " + std::string(2 << 20, 'a') + "\r\n\r\n");
    const std::string answer = client.read_to_end();
    EXPECT_EQ(answer.substr(0, answer.find("\r\n")),
              "HTTP/1.1 431 Request Header Fields Too Large");
}

TEST_F(HttpServer, AcceptsAHeadOf900KiB) {
    serve();
    RawHttp client(path);
    client.send("GET /hello HTTP/1.1\r\nHost: x\r\nA: " + std::string(900 << 10, 'a') + "\r\n\r\n");
    EXPECT_EQ(client.read_response(), ok("hello"));
}

TEST_F(HttpServer, RefusesABodyBeyondTheLimitWithoutReadingIt) {
    serve();
    RawHttp client(path);
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\nabc");
    const std::string answer = client.read_to_end();
    EXPECT_EQ(answer.substr(0, answer.find("\r\n")), "HTTP/1.1 413 Request Entity Too Large");
}

TEST_F(HttpServer, ClosesAHeadThatNeverEnds) {
    http::ServerOptions options;
    options.limits.header_timeout = std::chrono::milliseconds(50);
    serve(options);
    RawHttp slow(path);
    slow.send("GET /hello HT");
    EXPECT_EQ(slow.read_to_end(), "");
}

TEST_F(HttpServer, ServesOthersWhileSlowClientsDribble) {
    serve();
    std::vector<std::unique_ptr<RawHttp>> slow;
    for (int i = 0; i < 200; ++i) {
        slow.push_back(std::make_unique<RawHttp>(path));
        slow.back()->send(i % 2 ? "GET /hello HTTP/1.1\r\nHost: x\r\nA: "
                                : "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    }
    RawHttp client(path);
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"), ok("hi"));
    }
}

TEST_F(HttpServer, ServesAmongAThousandIdleConnections) {
    serve();
    std::vector<std::unique_ptr<RawHttp>> idle;
    for (int i = 0; i < 1000; ++i) idle.push_back(std::make_unique<RawHttp>(path));
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    EXPECT_EQ(server->connections(), 1001u);
    EXPECT_EQ(idle.front()->ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
}

TEST_F(HttpServer, EndsTheLongestIdleWhenFull) {
    http::ServerOptions options;
    options.limits.connections = 4;
    serve(options);
    std::vector<std::unique_ptr<RawHttp>> idle;
    for (int i = 0; i < 4; ++i) {
        idle.push_back(std::make_unique<RawHttp>(path));
        ASSERT_EQ(idle.back()->ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    }
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    EXPECT_EQ(idle[0]->read_to_end(), "");
    EXPECT_EQ(idle[3]->ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
}

// Who floods the network's address must not drive out a client of this machine that waits for its next request.
TEST_F(HttpServer, EndsNoLocalConnectionForTheNetwork) {
    base::Fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(::bind(listener.get(), any, size), 0);
    ASSERT_EQ(::listen(listener.get(), 16), 0);
    ASSERT_EQ(::getsockname(listener.get(), any, &size), 0);
    http::ServerOptions options;
    options.limits.connections = 8;
    server.emplace(app, options);
    server->add_listener(listen_unix(path));
    server->add_listener(std::move(listener));
    server->start();

    RawHttp local(path);
    ASSERT_EQ(local.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    std::vector<std::unique_ptr<RawHttp>> others;
    for (int i = 0; i < 7; ++i) {
        base::Fd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        ASSERT_EQ(::connect(client.get(), any, size), 0);
        others.push_back(std::make_unique<RawHttp>(std::move(client)));
        ASSERT_EQ(others.back()->ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    }
    EXPECT_EQ(others[0]->read_to_end(), "");
    EXPECT_EQ(local.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
}

TEST_F(HttpServer, RunsBlockingCallsSideBySide) {
    Gate gate;
    on_call("/wait", [&](const Request&) {
        gate.wait();
        return Response::text(200, "done");
    });
    serve();
    std::vector<std::unique_ptr<RawHttp>> waiting;
    for (int i = 0; i < 20; ++i) {
        waiting.push_back(std::make_unique<RawHttp>(path));
        waiting.back()->send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    RawHttp client(path);
    EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"), ok("hi"));
    gate.open();
    for (const auto& one : waiting) EXPECT_EQ(one->read_response(), ok("done"));
}

TEST_F(HttpServer, SendsALargeAnswerToASlowReader) {
    const std::string large(8 << 20, 'x');
    on_call("/large", [&](const Request&) { return Response::text(200, large); });
    serve();
    RawHttp slow(path);
    slow.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), ok("hello"));
    EXPECT_EQ(slow.read_response(), ok(large));
}

TEST_F(HttpServer, KnowsWhoIsAsking) {
    on_inline("/who", [](const Request& r) {
        return Response::text(200, std::to_string(r.peer ? r.peer->pid : 0));
    });
    serve();
    RawHttp client(path);
    EXPECT_EQ(client.ask("GET /who HTTP/1.1\r\nHost: x\r\n\r\n"), ok(std::to_string(::getpid())));
}

TEST_F(HttpServer, StopsWithinTheGraceWhileACallRuns) {
    Gate started;
    Gate gate;
    on_call("/wait", [&](const Request&) {
        started.open();
        gate.wait();
        return Response::text(200, "done");
    });
    serve();
    RawHttp client(path);
    client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(started.wait());
    std::thread opener([&] { gate.open(); });
    server->stop(std::chrono::seconds(10));
    opener.join();
    EXPECT_NE(client.read_to_end().find("\r\n\r\ndone"), std::string::npos);
}

}  // namespace
}  // namespace dockerd::test
