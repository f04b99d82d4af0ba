#include <poll.h>

#include "test_server.hpp"

namespace dockerd::test {
namespace {

using http::BodyReader;
using http::Request;
using http::Response;
using http::ResponseWriter;

class HttpTransfer : public ServerTest {
protected:
    void SetUp() override {
        on_transfer("/copy", [](Request&, BodyReader& in, ResponseWriter& out) {
            out.head(200, {{"Content-Type", "application/x-tar"}});
            std::array<char, 4096> buffer;
            while (const std::size_t count = in.read(buffer)) {
                out.write({buffer.data(), count});
            }
        });
        on_transfer("/refuse", [](Request&, BodyReader&, ResponseWriter&) {
            throw base::Error(base::ErrorKind::not_found, "no such thing");
        });
    }
};

TEST_F(HttpTransfer, GivesAShortAnswerALength) {
    serve();
    RawHttp client(path);
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: 3\r\n\r\nabc";
    EXPECT_EQ(client.ask("POST /copy HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), answer);
    EXPECT_EQ(client.ask("POST /copy HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
              answer);
}

TEST_F(HttpTransfer, StreamsALargeBodyBothWays) {
    serve();
    RawHttp client(path);
    const std::string block(1 << 20, 'q');
    client.send("POST /copy HTTP/1.0\r\nContent-Length: 4194304\r\n\r\n");
    std::string got;
    std::thread sender([&] {
        for (int i = 0; i < 4; ++i) client.send(block);
    });
    RawHttp& reader = client;
    got = reader.read_to_end();
    sender.join();
    const auto body = got.find("\r\n\r\n") + 4;
    EXPECT_EQ(got.size() - body, 4u << 20);
    EXPECT_EQ(got.find_first_not_of('q', body), std::string::npos);
}

TEST_F(HttpTransfer, SendsEachFlushAsAChunk) {
    Gate first_read;
    on_transfer("/progress", [&](Request&, BodyReader&, ResponseWriter& out) {
        out.head(200, {{"Content-Type", "application/json"}});
        out.write("{\"a\":1}\r\n");
        out.flush();
        first_read.wait();
        out.write("{\"b\":2}\r\n");
        out.flush();
    });
    serve();
    RawHttp client(path);
    client.send("POST /progress HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(RawHttp::without_date(client.read_until("\r\n\r\n")),
              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
              "Transfer-Encoding: chunked\r\n\r\n");
    EXPECT_EQ(client.read_exactly(14), "9\r\n{\"a\":1}\r\n\r\n");
    first_read.open();
    EXPECT_EQ(client.read_exactly(19), "9\r\n{\"b\":2}\r\n\r\n0\r\n\r\n");
}

TEST_F(HttpTransfer, AnswersAnErrorAndKeepsAfterASmallBody) {
    serve();
    RawHttp client(path);
    const std::string answer =
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 13\r\n\r\nno such thing";
    EXPECT_EQ(client.ask("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), answer);
    EXPECT_EQ(client.ask("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), answer);
}

// A sender that finds its connection answered in the middle of a small body would fail on that.
TEST_F(HttpTransfer, TakesASmallBodyBeforeItAnswersAnError) {
    serve();
    RawHttp client(path);
    client.send("POST /refuse HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    EXPECT_EQ(client.ask("3\r\ndef\r\n0\r\n\r\n"),
              "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Length: 13\r\n\r\nno such thing");
    EXPECT_NE(client.ask("POST /refuse HTTP/1.1\r\nHost: x\r\n\r\n").find("no such thing"),
              std::string::npos);
}

TEST_F(HttpTransfer, AnswersAnErrorAndClosesBeforeALargeBody) {
    serve();
    RawHttp client(path);
    client.send("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    (void)client.send(std::string(300'000, 'x'));
    const std::string answer = client.read_to_end();
    EXPECT_NE(answer.find("Connection: close\r\n\r\nno such thing"), std::string::npos) << answer;
}

TEST_F(HttpTransfer, AsksForTheBodyOnlyWhenItReads) {
    serve();
    RawHttp reading(path);
    reading.send("POST /copy HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(reading.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_NE(reading.ask("hi").find("\r\n\r\nhi"), std::string::npos);

    RawHttp refused(path);
    refused.send("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    const std::string answer = refused.read_to_end();
    EXPECT_EQ(answer.substr(0, answer.find("\r\n")), "HTTP/1.1 500 Internal Server Error");
}

TEST_F(HttpTransfer, TellsTheReaderOfABrokenUpload) {
    Gate seen;
    std::string why;
    on_transfer("/upload", [&](Request&, BodyReader& in, ResponseWriter&) {
        try {
            in.drain();
        } catch (const base::Error& error) {
            why = error.what();
            seen.open();
            throw;
        }
    });
    serve();
    RawHttp client(path);
    client.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    client.close();
    ASSERT_TRUE(seen.wait());
    EXPECT_EQ(why, "unexpected EOF");
}

TEST_F(HttpTransfer, NoticesThatTheClientIsGone) {
    Gate seen;
    on_transfer("/slow", [&](Request&, BodyReader&, ResponseWriter& out) {
        out.write("start");
        out.flush();
        pollfd entry{.fd = out.poll_fd(), .events = POLLRDHUP, .revents = 0};
        EXPECT_EQ(::poll(&entry, 1, 10'000), 1);
        EXPECT_TRUE(out.client_gone());
        seen.open();
    });
    serve();
    RawHttp client(path);
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_NE(client.read_until("start").find("5\r\nstart"), std::string::npos);
    client.close();
    EXPECT_TRUE(seen.wait());
}

TEST_F(HttpTransfer, ThrowsWhenWritingToAClientThatIsGone) {
    Gate gone;
    Gate seen;
    std::string why;
    on_transfer("/slow", [&](Request&, BodyReader&, ResponseWriter& out) {
        gone.wait();
        try {
            while (true) {
                out.write(std::string(65536, 'x'));
            }
        } catch (const base::Error& error) {
            why = error.what();
            seen.open();
            throw;
        }
    });
    serve();
    RawHttp client(path);
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    client.close();
    gone.open();
    ASSERT_TRUE(seen.wait());
    EXPECT_EQ(why, "client went away");
}

}  // namespace
}  // namespace dockerd::test
