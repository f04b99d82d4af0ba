#include <dockerd/plugins/plugins.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::plugins {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

/// Folders to find plugins in, and plugins that answer with fixed bytes.
class PluginsTest : public testing::Test {
protected:
    PluginsTest() {
        std::string name = (fs::temp_directory_path() / "plugins-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        options_.sockets = root_ + "/run";
        options_.specs = {root_ + "/etc", root_ + "/lib"};
        options_.patience = std::chrono::milliseconds(40);
        options_.first_pause = std::chrono::milliseconds(10);
        for (const char* folder : {"/run", "/etc", "/lib"}) fs::create_directory(root_ + folder);
    }
    ~PluginsTest() override {
        for (const auto& listener : listeners_) ::shutdown(listener, SHUT_RDWR);
        for (auto& server : servers_) server.join();
        for (const auto& listener : listeners_) ::close(listener);
        fs::remove_all(root_);
    }

    int listen_at(const std::string& path) {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        std::strcpy(where.sun_path, path.c_str());
        EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
        EXPECT_EQ(::listen(fd, 8), 0);
        listeners_.push_back(fd);
        return fd;
    }
    /// Serves one request after the other with `answer`, byte for byte; notes what came.
    void serve(const std::string& path, const std::string& answer) {
        const int fd = listen_at(path);
        servers_.emplace_back([this, fd, answer] {
            for (;;) {
                const base::Fd client{::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC)};
                if (!client) return;
                std::string request;
                char byte = 0;
                while (!request.ends_with("\r\n\r\n") && ::read(client.get(), &byte, 1) == 1) {
                    request += byte;
                }
                {
                    const base::Lock lock(mutex_);
                    request_ = request;
                }
                ++requests_;
                (void)::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
            }
        });
    }
    void write(const std::string& path, const std::string& text) {
        fs::create_directories(fs::path(root_ + path).parent_path());
        std::ofstream(root_ + path) << text;
    }
    Answer ask(const std::string& answer) {
        const std::string path = root_ + "/run/x" + std::to_string(listeners_.size()) + ".sock";
        serve(path, answer);
        return post(parse_endpoint("unix://" + path), "/P.M", "", std::chrono::seconds(20));
    }

    std::string root_;
    Options options_;
    std::vector<int> listeners_;
    std::vector<std::thread> servers_;
    base::Mutex mutex_;
    std::string request_;
    std::atomic<int> requests_ = 0;
};

TEST_F(PluginsTest, AreFoundBySocketsAndFiles) {
    listen_at(root_ + "/run/one.sock");
    fs::create_directory(root_ + "/run/two");
    listen_at(root_ + "/run/two/two.sock");
    write("/run/no-socket.sock", "");
    write("/etc/three.spec", " tcp://192.0.2.1:8080/ignored\n");
    write("/lib/four/four.json", R"({"Addr": "https://[2001:db8::1]", "TLSConfig": {"CAFile": "/ca"}})");
    write("/lib/five.txt", "tcp://192.0.2.1:8080");
    EXPECT_THAT(scan(options_), ElementsAre("four", "one", "three", "two"));
    EXPECT_EQ(find_endpoint(options_, "two")->path, root_ + "/run/two/two.sock");
    const auto three = *find_endpoint(options_, "three");
    EXPECT_EQ(three.host + " " + three.port, "192.0.2.1 8080");
    EXPECT_EQ(url_host(three), "192.0.2.1:8080");
    const auto four = *find_endpoint(options_, "four");
    EXPECT_EQ(four.host + " " + four.port + " " + four.ca_file, "2001:db8::1 443 /ca");
    EXPECT_TRUE(four.tls);
    EXPECT_FALSE(four.skip_verify);
    EXPECT_FALSE(find_endpoint(options_, "five"));
}

TEST_F(PluginsTest, NamesLeadNowhereElse) {
    listen_at(root_ + "/up.sock");
    EXPECT_FALSE(find_endpoint(options_, "../up"));
    EXPECT_FALSE(find_endpoint(options_, ""));
}

TEST_F(PluginsTest, AddressesNeedAProtocol) {
    write("/etc/bad.spec", "/run/x.sock");
    EXPECT_EQ(error_of([&] { find_endpoint(options_, "bad"); }), "Unknown protocol");
}

TEST_F(PluginsTest, AnswersComeInThreeForms) {
    EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest").body, "{}");
    EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\n{\r\n1\r\n}\r\n0\r\n\r\n").body,
              "{}");
    const auto until_the_end = ask("HTTP/1.0 404 Not Found\n\nnothing");
    EXPECT_EQ(until_the_end.status, 404);
    EXPECT_EQ(until_the_end.body, "nothing");
    EXPECT_EQ(ask("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
    const base::Lock lock(mutex_);
    EXPECT_EQ(request_,
              "POST /P.M HTTP/1.1\r\nHost: plugin.moby.localhost\r\nUser-Agent: Go-http-client/1.1\r\n"
              "Content-Length: 0\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\nConnection: "
              "close\r\n\r\n");
}

TEST_F(PluginsTest, AnswersThatAreNoneAreRefused) {
    const auto refused = [&](const std::string& answer) {
        return error_of([&] { ask(answer); });
    };
    EXPECT_EQ(refused(""), "EOF");
    EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}"), "unexpected EOF");
    EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n{}"), "bad Content-Length \"-3\"");
    EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
              "http: response body too large");
    EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n"),
              "http: response body too large");
    EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
              "invalid byte in chunk length");
    EXPECT_THAT(refused("SSH-2.0\r\n\r\n"), HasSubstr("malformed HTTP response \"SSH-2.0\""));
    EXPECT_EQ(refused(std::string(100000, 'a')), "net/http: HTTP/1.x response headers too long");
}

TEST_F(PluginsTest, WhoNeverAnswersIsLeftInTime) {
    listen_at(root_ + "/run/mute.sock");
    const auto endpoint = *find_endpoint(options_, "mute");
    EXPECT_EQ(error_of([&] { post(endpoint, "/P.M", "{}", std::chrono::milliseconds(30)); }),
              "context deadline exceeded");
}

TEST_F(PluginsTest, IsActivatedOnce) {
    const std::string body = R"({"Implements": ["VolumeDriver"]})";
    serve(root_ + "/run/one.sock",
          "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    Registry registry(options_);
    const auto plugin = registry.get("one", "VolumeDriver");
    EXPECT_EQ(registry.get("one", "VolumeDriver"), plugin);
    EXPECT_THAT(registry.all("VolumeDriver"), ElementsAre(plugin));
    EXPECT_THAT(registry.all("NetworkDriver"), ElementsAre());
    EXPECT_EQ(requests_, 1);
    EXPECT_EQ(error_of([&] { registry.get("one", "NetworkDriver"); }),
              "legacy plugin: Plugin does not implement the requested driver: plugin=\"one\", "
              "requested implementation=\"NetworkDriver\"");
}

TEST_F(PluginsTest, IsTriedAgainForAWhile) {
    serve(root_ + "/run/bad.sock", "");
    // Long enough for a second attempt also on a machine that hardly gets on.
    options_.patience = std::chrono::seconds(1);
    options_.first_pause = std::chrono::milliseconds(100);
    Registry registry(options_);
    EXPECT_EQ(error_of([&] { registry.get("bad", "VolumeDriver"); }),
              "legacy plugin: Post \"http://plugin.moby.localhost/Plugin.Activate\": EOF");
    // At once, and after 0.1, 0.3 and 0.7 s if the machine keeps up: then no pause fits any more.
    const int tried = requests_;
    EXPECT_THAT(tried, testing::AnyOf(2, 3, 4));
    EXPECT_THAT(registry.all("VolumeDriver"), ElementsAre());
    EXPECT_EQ(requests_, tried + 1);
}

TEST_F(PluginsTest, NobodyWaitsWhenTheDaemonEnds) {
    options_.patience = std::chrono::hours(10);
    options_.first_pause = std::chrono::hours(1);
    Registry registry(options_);
    std::thread waits([&] {
        EXPECT_EQ(error_of([&] { registry.get("nosuch", "VolumeDriver"); }),
                  "plugin \"nosuch\" not found");
    });
    registry.stop();
    waits.join();
}

TEST_F(PluginsTest, WhoDoesNotAnswerWhenTheDaemonEndsIsNotAskedAgain) {
    options_.last_grace = std::chrono::milliseconds(20);
    const int fd = listen_at(root_ + "/run/mute.sock");
    Registry registry(options_);
    const auto patience = std::make_shared<Patience>(options_);
    const Plugin plugin("mute", *find_endpoint(options_, "mute"), patience);
    bool asked = false;
    const auto call = [&] {
        try {
            (void)plugin.call("P.M", "{}", std::chrono::hours(1));
        } catch (const Unreachable& error) {
            asked = error.asked();
            EXPECT_STREQ(error.what(), "Post \"http://plugin.moby.localhost/P.M\": context deadline exceeded");
        }
    };
    std::thread waits(call);
    const base::Fd client{::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC)};
    patience->stop();
    waits.join();
    EXPECT_TRUE(asked);
    call();
    EXPECT_FALSE(asked) << "a plugin that hangs takes its grace once, not for each mount";
}

TEST_F(PluginsTest, IsAskedToTheEndIfItAnswers) {
    const std::string path = root_ + "/run/fine.sock";
    serve(path, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    const auto patience = std::make_shared<Patience>(options_);
    const Plugin plugin("fine", parse_endpoint("unix://" + path), patience);
    patience->stop();
    EXPECT_EQ(plugin.call("P.M", "{}", std::chrono::hours(1)), "{}");
    EXPECT_EQ(plugin.call("P.M", "{}", std::chrono::hours(1)), "{}");
}

TEST_F(PluginsTest, SaysWhatThePluginSays) {
    const auto told = [&](const std::string& body) {
        const std::string path = root_ + "/run/y" + std::to_string(listeners_.size()) + ".sock";
        serve(path, "HTTP/1.1 500 No\r\n\r\n" + body);
        const Plugin plugin("y", parse_endpoint("unix://" + path),
                            std::make_shared<Patience>(options_));
        return error_of([&] { (void)plugin.call("P.M", "", std::chrono::seconds(20)); });
    };
    EXPECT_EQ(told(R"({"Err": "no room"})"), "P.M: no room");
    EXPECT_EQ(told("plain"), "P.M: plain");
    EXPECT_EQ(told(R"({"Err": ""})"), R"(P.M: {"Err": ""})");
}

}  // namespace
}  // namespace dockerd::plugins
