#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <future>

#include <dockerd/base/time.hpp>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;

constexpr const char* upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Writes the early input back with a mark, then ends the stream.
class EchoSession : public engine::StreamSession {
public:
    explicit EchoSession(bool tty) : tty_(tty) {}
    bool tty() const override { return tty_; }
    void run(base::Fd client, std::string early_input) override {
        const std::string text = "echo:" + early_input;
        EXPECT_EQ(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }

private:
    bool tty_;
};

class Streams : public testing::Test {
protected:
    ServedApi api;
    FakeContainers& containers = api.fakes.containers;
};

TEST_F(Streams, AttachUpgradesAndHandsTheConnectionOver) {
    engine::AttachOptions seen;
    containers.on_attach = [&](std::string_view name, const engine::AttachOptions& options) {
        EXPECT_EQ(name, "web");
        seen = options;
        return std::make_unique<EchoSession>(false);
    };
    Connection connection = api.connect();
    connection.send(ServedApi::request(
                        "POST /v1.50/containers/web/attach?stream=1&stdin=1&stdout=1&logs=1"
                        "&detachKeys=ctrl-a",
                        "", upgrade) +
                    "early");
    EXPECT_EQ(connection.read_head(),
              "HTTP/1.1 101 UPGRADED\r\n"
              "Content-Type: application/vnd.docker.multiplexed-stream\r\n"
              "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    EXPECT_EQ(connection.read_all(), "echo:early");
    EXPECT_TRUE(seen.stdin_stream && seen.stdout_stream && seen.logs && seen.stream);
    EXPECT_FALSE(seen.stderr_stream);
    EXPECT_TRUE(seen.multiplexed);
    EXPECT_EQ(seen.detach_keys, "ctrl-a");
}

TEST_F(Streams, AttachSaysRawForTerminalsAndOldClients) {
    bool tty = true;
    containers.on_attach = [&](std::string_view, const engine::AttachOptions&) {
        return std::make_unique<EchoSession>(tty);
    };
    const auto head = [&](const char* line) {
        Connection connection = api.connect();
        connection.send(ServedApi::request(line, "", upgrade));
        std::string text = connection.read_head();
        EXPECT_EQ(connection.read_all(), "echo:");
        return text;
    };
    const std::string raw =
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    EXPECT_EQ(head("POST /v1.50/containers/web/attach?stream=1"), raw);
    tty = false;
    EXPECT_EQ(head("POST /v1.41/containers/web/attach?stream=1"), raw);
}

TEST_F(Streams, AttachErrorsAreBareAnswers) {
    containers.on_attach = [](std::string_view name, const engine::AttachOptions&)
        -> std::unique_ptr<engine::StreamSession> {
        throw Error(ErrorKind::not_found, "No such container: " + std::string(name));
    };
    Connection connection = api.connect();
    connection.send(ServedApi::request("POST /containers/nope/attach?stream=1"));
    EXPECT_EQ(connection.read_all(),
              "HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
              "No such container: nope\r\n");
}

TEST_F(Streams, WebsocketAttachNeedsAWebsocket) {
    containers.on_attach = [](std::string_view, const engine::AttachOptions&) {
        return std::make_unique<EchoSession>(false);
    };
    Connection connection = api.connect();
    connection.send(ServedApi::request("GET /containers/web/attach/ws"));
    EXPECT_EQ(connection.read_all(), "HTTP/1.1 400 Bad Request\r\n\r\nnot websocket protocol");
}

/// Reads up to a "!" or the end of the input, then writes it back in upper case.
class ShoutSession : public engine::StreamSession {
public:
    explicit ShoutSession(std::future<void>& worker) : worker_(worker) {}
    bool tty() const override { return false; }
    void run(base::Fd client, std::string) override {
        worker_ = std::async(std::launch::async, [end = std::move(client)]() mutable {
            const base::Fd fd = std::move(end);
            std::string text;
            char piece[64];
            pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
            while (::poll(&ready, 1, 10'000) > 0) {
                const ssize_t got = ::read(fd.get(), piece, sizeof piece);
                if (got <= 0) break;
                text.append(piece, static_cast<std::size_t>(got));
                if (text.ends_with('!')) break;
            }
            for (char& c : text) c = static_cast<char>(std::toupper(c));
            (void)::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
        });
    }

private:
    std::future<void>& worker_;  // outlives the session, as a container's monitor does
};

std::string masked(char first, std::string payload) {
    const std::string mask = "\x01\x02\x03\x04";
    for (std::size_t i = 0; i < payload.size(); ++i) {
        payload[i] = static_cast<char>(payload[i] ^ mask[i % 4]);
    }
    return std::string{first, static_cast<char>(0x80 | payload.size())} + mask + payload;
}

TEST_F(Streams, WebsocketAttachRelaysFrames) {
    engine::AttachOptions seen;
    std::future<void> worker;
    containers.on_attach = [&](std::string_view, const engine::AttachOptions& options) {
        seen = options;
        return std::make_unique<ShoutSession>(worker);
    };
    Connection connection = api.connect();
    // The key and its answer are those of RFC 6455, 1.3.
    connection.send(ServedApi::request(
        "GET /v1.41/containers/web/attach/ws?stream=1", "",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n"));
    EXPECT_EQ(connection.read_head(),
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
              "Sec-WebSocket-Protocol: binary\r\n\r\n");
    connection.send(masked('\x89', "hi"));
    EXPECT_EQ(connection.read_until("hi"), "\x8A\x02hi");
    // A message in two fragments, the first frame itself in two pieces.
    const std::string first = masked('\x01', "abc");
    connection.send(first.substr(0, 4));
    connection.send(first.substr(4) + masked('\x80', "de!"));
    EXPECT_EQ(connection.read_all(), std::string("\x82\x06" "ABCDE!" "\x88\x02\x03\xE8", 12));
    EXPECT_TRUE(seen.stdin_stream && seen.stdout_stream && seen.stderr_stream);
    EXPECT_FALSE(seen.multiplexed);
}

TEST_F(Streams, WebsocketAttachEndsOnTheClientsClose) {
    std::future<void> worker;
    containers.on_attach = [&](std::string_view, const engine::AttachOptions&) {
        return std::make_unique<ShoutSession>(worker);
    };
    Connection connection = api.connect();
    connection.send(ServedApi::request(
        "GET /containers/web/attach/ws?stream=1", "",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    connection.read_head();
    connection.send(masked('\x88', "\x03\xE8"));
    EXPECT_EQ(connection.read_all(), "\x88\x02\x03\xE8");
    worker.get();
}

TEST_F(Streams, ExecStartUpgradesWithTheApisHeaders) {
    model::ExecStart seen;
    containers.on_exec_attach = [&](std::string_view id, const model::ExecStart& start) {
        EXPECT_EQ(id, "e1");
        seen = start;
        return std::make_unique<EchoSession>(start.tty);
    };
    Connection connection = api.connect();
    connection.send(ServedApi::request("POST /v1.50/exec/e1/start",
                                       R"({"Tty":false,"ConsoleSize":[1,2]})", upgrade));
    const std::string head = connection.read_head();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"
                                 "Content-Type: application/vnd.docker.multiplexed-stream\r\n"
                                 "Connection: Upgrade\r\nUpgrade: tcp\r\n"))
        << head;
    EXPECT_NE(head.find("\r\nApi-Version: 1.50\r\n"), std::string::npos);
    EXPECT_EQ(connection.read_all(), "echo:");
    EXPECT_FALSE(seen.console_size);

    Connection plain = api.connect();
    plain.send(ServedApi::request("POST /v1.50/exec/e1/start", R"({"Tty":true,)"
                                                               R"("ConsoleSize":[1,2]})"));
    EXPECT_TRUE(plain.read_head().starts_with(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"));
    plain.read_all();
    EXPECT_EQ(seen.console_size, (std::array<std::int64_t, 2>{1, 2}));
}

TEST_F(Streams, ExecStartErrorsAreJson) {
    containers.on_exec_attach = [](std::string_view id,
                                   const model::ExecStart&) -> std::unique_ptr<EchoSession> {
        throw Error(ErrorKind::not_found, "No such exec instance: " + std::string(id));
    };
    const Answer answer = api.ask("POST /exec/nope/start", "{}", upgrade);
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.body, message("No such exec instance: nope"));

    bool started = false;
    containers.on_exec_start = [&](std::string_view, const model::ExecStart& start) {
        started = start.detach;
    };
    const Answer detached = api.ask("POST /exec/e1/start", R"({"Detach":true})");
    EXPECT_EQ(detached.status, 200);
    EXPECT_EQ(detached.headers.at("content-length"), "0");
    EXPECT_TRUE(started);
}

class Waits : public Streams {
protected:
    Waits() {
        containers.on_wait = [this](std::string_view, engine::WaitCondition condition,
                                    std::function<void(engine::WaitResult)> done) {
            subscribed.set_value({condition, std::move(done)});
            return engine::Subscription([this] { cancelled.set_value(); });
        };
    }
    struct Subscribed {
        engine::WaitCondition condition;
        std::function<void(engine::WaitResult)> done;
    };
    std::promise<Subscribed> subscribed;
    std::promise<void> cancelled;
};

TEST_F(Waits, SendTheHeadBeforeTheExit) {
    Connection connection = api.connect();
    connection.send(ServedApi::request("POST /v1.50/containers/web/wait?condition=next-exit"));
    const std::string head = connection.read_head();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_NE(head.find("Content-Type: application/json\r\n"), std::string::npos);
    EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
    const Subscribed wait = subscribed.get_future().get();
    EXPECT_EQ(wait.condition, engine::WaitCondition::next_exit);
    wait.done({.exit_code = 7, .error = ""});
    EXPECT_EQ(connection.read_until("0\r\n\r\n"), "11\r\n{\"StatusCode\":7}\n\r\n0\r\n\r\n");
    cancelled.get_future().get();
}

TEST_F(Waits, EndWhenTheClientGoes) {
    {
        Connection connection = api.connect();
        connection.send(ServedApi::request("POST /containers/web/wait"));
        connection.read_head();
    }
    cancelled.get_future().get();
}

TEST_F(Waits, AnswerInOnePieceBefore130) {
    Connection connection = api.connect();
    connection.send(ServedApi::request("POST /v1.29/containers/web/wait?condition=x"));
    const Subscribed wait = subscribed.get_future().get();
    EXPECT_EQ(wait.condition, engine::WaitCondition::not_running);
    wait.done({.exit_code = 0, .error = ""});
    const Answer answer = connection.read_answer(false);
    EXPECT_EQ(answer.headers.at("content-length"), "17");
    EXPECT_EQ(answer.body, "{\"StatusCode\":0}\n");
    cancelled.get_future().get();
}

TEST_F(Streams, WaitRefusesUnknownConditions) {
    const Answer answer = api.ask("POST /containers/web/wait?condition=x");
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.body, message("invalid condition: \"x\""));
}

/// Gives its pieces one by one, and waits on a pipe before the last.
class PieceLog : public engine::LogStream {
public:
    PieceLog(bool tty, std::vector<std::string> pieces, int wait_fd)
        : tty_(tty), pieces_(std::move(pieces)), wait_fd_(wait_fd) {}
    bool tty() const override { return tty_; }
    State read(std::string& out, std::size_t) override {
        out += pieces_[next_++];
        if (next_ == pieces_.size()) return State::end;
        return wait_fd_ >= 0 && next_ + 1 == pieces_.size() ? State::wait : State::data;
    }
    int wait_fd() const override { return wait_fd_; }

private:
    bool tty_;
    std::vector<std::string> pieces_;
    int wait_fd_;
    std::size_t next_ = 0;
};

TEST_F(Streams, LogsSendTheHeadAndFollow) {
    int fds[2];
    ASSERT_EQ(::pipe(fds), 0);
    const base::Fd readable(fds[0]);
    const base::Fd writable(fds[1]);
    engine::LogOptions seen;
    containers.on_logs = [&](std::string_view, const engine::LogOptions& options) {
        seen = options;
        return std::make_unique<PieceLog>(false, std::vector<std::string>{"one\n", "two\n", "end\n"},
                                          readable.get());
    };
    Connection connection = api.connect();
    connection.send(ServedApi::request(
        "GET /v1.50/containers/web/logs?stdout=1&follow=1&timestamps=1&details=1&tail=5"
        "&since=100.000000005&until=0"));
    const std::string head = connection.read_head();
    EXPECT_NE(head.find("Content-Type: application/vnd.docker.multiplexed-stream\r\n"),
              std::string::npos);
    EXPECT_EQ(connection.read_until("two\n\r\n"), "4\r\none\n\r\n4\r\ntwo\n\r\n");
    ASSERT_EQ(::write(writable.get(), "x", 1), 1);
    EXPECT_EQ(connection.read_until("0\r\n\r\n"), "4\r\nend\n\r\n0\r\n\r\n");
    EXPECT_TRUE(seen.stdout_stream && seen.follow && seen.timestamps && seen.details);
    EXPECT_FALSE(seen.stderr_stream);
    EXPECT_EQ(seen.tail, 5);
    EXPECT_EQ(seen.since, base::WallTime(100, 5));
    EXPECT_FALSE(seen.until);
}

TEST_F(Streams, LogsRefuseBadParameters) {
    EXPECT_EQ(api.ask("GET /containers/web/logs").body,
              message("Bad parameters: you must choose at least one stream"));
    const Answer since = api.ask("GET /containers/web/logs?stdout=1&since=x");
    EXPECT_EQ(since.status, 500);
    EXPECT_EQ(since.body, message("strconv.ParseInt: parsing \"x\": invalid syntax"));
    std::int64_t tail = 0;
    containers.on_logs = [&](std::string_view, const engine::LogOptions& options) {
        tail = options.tail;
        return std::make_unique<PieceLog>(true, std::vector<std::string>{"x"}, -1);
    };
    const Answer all = api.ask("GET /containers/web/logs?stderr=1&tail=x");
    EXPECT_EQ(all.status, 200);
    EXPECT_EQ(all.headers.at("content-type"), "application/vnd.docker.raw-stream");
    EXPECT_EQ(all.body, "x");
    EXPECT_EQ(tail, -1);
}

engine::EventPtr event(const char* type, const char* action) {
    auto made = std::make_shared<engine::Event>();
    made->type = type;
    made->action = action;
    made->actor_id = "id1";
    made->attributes = {{"name", "a<b"}, {"image", "busybox"}};
    made->time = {10, 5};
    return made;
}

class Events : public Streams {
protected:
    Events() {
        api.fakes.events.on_subscribe = [this](const engine::EventQuery& query,
                                               std::function<void(engine::EventPtr)> deliver) {
            seen = query;
            subscribed.set_value(std::move(deliver));
            return std::pair(past, engine::Subscription());
        };
    }
    std::vector<engine::EventPtr> past;
    engine::EventQuery seen;
    std::promise<std::function<void(engine::EventPtr)>> subscribed;
};

TEST_F(Events, SendTheHeadAtOnceAndKeepGoing) {
    Connection connection = api.connect();
    connection.send(ServedApi::request("GET /v1.50/events"));
    EXPECT_NE(connection.read_head().find("Content-Type: application/json\r\n"),
              std::string::npos);
    const auto deliver = subscribed.get_future().get();
    deliver(event("container", "start"));
    connection.read_until("\r\n");
    EXPECT_EQ(connection.read_until("\n"),
              R"({"status":"start","id":"id1","from":"busybox","Type":"container",)"
              R"("Action":"start","Actor":{"ID":"id1","Attributes":{"image":"busybox",)"
              R"("name":"a\u003cb"}},"scope":"local","time":10,"timeNano":10000000005})"
              "\n");
}

TEST_F(Events, EndAtOnceWhenUntilIsPast) {
    past = {event("network", "connect"), event("image", "create"), event("image", "tag")};
    const Answer answer = api.ask(
        "GET /v1.45/events?since=5&until=20.5&filters=%7B%22whatever%22%3A%5B%22x%22%5D%7D");
    EXPECT_EQ(answer.body,
              R"({"Type":"network","Action":"connect","Actor":{"ID":"id1","Attributes":)"
              R"({"image":"busybox","name":"a\u003cb"}},"scope":"local","time":10,)"
              R"("timeNano":10000000005})"
              "\n"
              R"({"status":"tag","id":"id1","Type":"image","Action":"tag","Actor":{"ID":"id1",)"
              R"("Attributes":{"image":"busybox","name":"a\u003cb"}},"scope":"local","time":10,)"
              R"("timeNano":10000000005})"
              "\n");
    EXPECT_EQ(seen.since, base::WallTime(5, 0));
    EXPECT_EQ(seen.until, base::WallTime(20, 500'000'000));
    EXPECT_TRUE(seen.filters.contains("whatever"));
}

TEST_F(Streams, EventsRefuseBadTimes) {
    const Answer order = api.ask("GET /events?since=5&until=3");
    EXPECT_EQ(order.status, 400);
    EXPECT_EQ(order.body, message("`since` time (5) cannot be after `until` time (3)"));
    EXPECT_EQ(api.ask("GET /events?since=x").body,
              message("strconv.ParseInt: parsing \"x\": invalid syntax"));
}

const char* const no_stats =
    R"({"name":"/st","id":"c1","read":"0001-01-01T00:00:00Z","preread":"0001-01-01T00:00:00Z",)"
    R"("pids_stats":{},"blkio_stats":{"io_service_bytes_recursive":null,)"
    R"("io_serviced_recursive":null,"io_queue_recursive":null,"io_service_time_recursive":null,)"
    R"("io_wait_time_recursive":null,"io_merged_recursive":null,"io_time_recursive":null,)"
    R"("sectors_recursive":null},"num_procs":0,"storage_stats":{},"cpu_stats":{"cpu_usage":)"
    R"({"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":)"
    R"({"periods":0,"throttled_periods":0,"throttled_time":0}},"precpu_stats":{"cpu_usage":)"
    R"({"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":)"
    R"({"periods":0,"throttled_periods":0,"throttled_time":0}},"memory_stats":{}})"
    "\n";

TEST_F(Streams, StatsOfAStoppedContainerAreZero) {
    containers.on_stats = [](std::string_view) {
        return engine::StatsSample{.id = "c1", .name = "/st"};
    };
    EXPECT_EQ(api.ask("GET /containers/st/stats?stream=0").body, no_stats);
    EXPECT_EQ(api.ask("GET /containers/st/stats?one-shot=1").body,
              message("cannot have stream=true and one-shot=true"));
}

TEST_F(Streams, StatsOneShotHasOneSampleWithoutAName) {
    containers.on_stats = [](std::string_view) {
        engine::StatsSample sample{.id = "c1", .name = "/st", .running = true, .read = {10, 0}};
        sample.cgroup.cpu = {.present = true, .total = 5, .per_cpu = {2, 3}, .user = 4,
                             .kernel = 1};
        sample.cgroup.memory = {.present = true, .usage = 7, .limit = 9, .stats = {{"cache", 1}}};
        sample.cgroup.pids = {.present = true, .current = 2};
        sample.cgroup.blkio.present = true;
        sample.system = {.usage = 100, .cpus = 2};
        sample.networks["eth0"].rx_bytes = 3;
        return sample;
    };
    const std::string body = api.ask("GET /containers/st/stats?stream=0&one-shot=1").body;
    EXPECT_TRUE(body.starts_with(
        R"({"read":"1970-01-01T00:00:10Z","preread":"0001-01-01T00:00:00Z","pids_stats":)"
        R"({"current":2},"blkio_stats":{"io_service_bytes_recursive":[],)"))
        << body;
    EXPECT_NE(body.find(R"("cpu_stats":{"cpu_usage":{"total_usage":5,"percpu_usage":[2,3],)"
                        R"("usage_in_kernelmode":1,"usage_in_usermode":4},"system_cpu_usage":100,)"
                        R"("online_cpus":2,)"),
              std::string::npos)
        << body;
    EXPECT_TRUE(body.ends_with(
        R"("memory_stats":{"usage":7,"stats":{"cache":1},"limit":9},"networks":{"eth0":)"
        R"({"rx_bytes":3,"rx_packets":0,"rx_errors":0,"rx_dropped":0,"tx_bytes":0,)"
        R"("tx_packets":0,"tx_errors":0,"tx_dropped":0}}})"
        "\n"))
        << body;
}

TEST_F(Streams, StatsStreamEndsWhenTheContainerIsRemoved) {
    int calls = 0;
    containers.on_stats = [&](std::string_view) -> engine::StatsSample {
        if (++calls > 1) throw Error(ErrorKind::not_found, "No such container: c1");
        return {.id = "c1", .name = "/st"};
    };
    const Answer answer = api.ask("GET /containers/st/stats");
    EXPECT_EQ(answer.body, no_stats);
    EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace dockerd::test
