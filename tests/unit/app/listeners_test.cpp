#include "app/listeners.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include <dockerd/base/error.hpp>

#include "app/pidfile.hpp"
#include "support/raw_http.hpp"

namespace dockerd::app {
namespace {

template <typename Function>
std::string fault_of(Function run) {
    try {
        run();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "accepted";
}

std::string completed(std::string_view text) { return parse_host(text).text(); }

TEST(Hosts, AreCompletedAsDockerDoes) {
    EXPECT_EQ(completed("unix://"), "unix:///var/run/docker.sock");
    EXPECT_EQ(completed("unix:///a"), "unix:///a");
    EXPECT_EQ(completed("tcp://"), "tcp://localhost:2375");
    EXPECT_EQ(completed("tcp://:1234"), "tcp://localhost:1234");
    EXPECT_EQ(completed("tcp://0.0.0.0"), "tcp://0.0.0.0:2375");
    EXPECT_EQ(completed("tcp://[::1]:5"), "tcp://[::1]:5");
    EXPECT_EQ(completed(":1234"), "tcp://localhost:1234");
    EXPECT_EQ(completed("host:1234"), "tcp://host:1234");
    EXPECT_EQ(completed("fd://*"), "fd://*");
    EXPECT_EQ(fault_of([] { (void)parse_host("tcp://x:y"); }),
              "invalid bind address (tcp://x:y): invalid port: y");
}

TEST(Hosts, AreSortedWithoutTwins) {
    std::vector<std::string> out;
    for (const Host& host : normalize_hosts({"unix:///b", "tcp://", "unix:///b", "fd://"}, false)) {
        out.push_back(host.text());
    }
    EXPECT_EQ(out, (std::vector<std::string>{"fd://", "tcp://localhost:2375", "unix:///b"}));
    EXPECT_EQ(normalize_hosts({}, false).at(0).text(), "unix:///var/run/docker.sock");
    EXPECT_EQ(normalize_hosts({}, true).at(0).text(), "tcp://localhost:2376");
}

class Listeners : public ::testing::Test {
protected:
    Config on(std::vector<std::string> hosts) {
        Config config;
        config.group = "";
        config.hosts = std::move(hosts);
        return config;
    }
    test::TempDir dir;
    std::string path = dir.path() + "/sock";
};

TEST_F(Listeners, MakeASocketOnlyOwnerAndGroupMayUse) {
    const auto sockets = bind_listeners(on({"unix://" + path}));
    ASSERT_EQ(sockets.size(), 1u);
    EXPECT_EQ(sockets[0].name, path);
    struct stat entry {};
    ASSERT_EQ(::stat(path.c_str(), &entry), 0);
    EXPECT_EQ(entry.st_mode & 07777, 0660u);
}

TEST_F(Listeners, ReplaceAStaleSocketAndNothingElse) {
    (void)bind_listeners(on({"unix://" + path}));
    EXPECT_EQ(bind_listeners(on({"unix://" + path})).size(), 1u);
    const std::string file = dir.path() + "/file";
    std::ofstream(file) << "mine";
    EXPECT_EQ(fault_of([&] { (void)bind_listeners(on({"unix://" + file})); }),
              "can't create unix socket " + file + ": listen unix " + file +
                  ": bind: address already in use");
}

TEST_F(Listeners, SayWhatIsWrong) {
    EXPECT_EQ(fault_of([&] { (void)bind_listeners(on({"fd://"})); }),
              "no sockets found via socket activation: make sure the service was started by "
              "systemd");
    EXPECT_EQ(fault_of([&] { (void)bind_listeners(on({"npipe://"})); }),
              "invalid protocol format: \"npipe\"");
    Config config = on({"unix://" + path});
    config.group = "no-such-group";
    EXPECT_EQ(fault_of([&] { (void)bind_listeners(config); }), "group no-such-group not found");
    config.group = "docker-";
}

TEST(Tls, SaysWhichFilesAreMissing) {
    Config config;
    config.tls = true;
    config.tls_cert = "/nonexist/cert.pem";
    config.tls_key = "/nonexist/key.pem";
    EXPECT_EQ(fault_of([&] { (void)load_tls(config); }),
              "invalid TLS configuration: could not load X509 key pair (cert: "
              "\"/nonexist/cert.pem\", key: \"/nonexist/key.pem\"): open /nonexist/cert.pem: no "
              "such file or directory");
}

TEST(PidFile, RefusesWhileItsProcessLives) {
    const test::TempDir dir;
    const std::string path = dir.path() + "/run/pid";
    {
        const PidFile file(path);
        std::string text;
        std::ifstream(path) >> text;
        EXPECT_EQ(text, std::to_string(::getpid()));
    }
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
    std::ofstream(path) << ::getppid() << "\n";
    EXPECT_EQ(fault_of([&] { const PidFile file(path); }),
              "failed to start daemon, ensure docker is not running or delete " + path +
                  ": process with PID " + std::to_string(::getppid()) + " is still running");
    std::ofstream(path) << "nonsense";
    EXPECT_EQ(fault_of([&] { const PidFile file(path); }), "accepted");
}

TEST(PidFile, TakesADaemonThatWasKilledButNotWaitedForAsGone) {
    const test::TempDir dir;
    const std::string path = dir.path() + "/pid";
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    std::ofstream(path) << child;
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    EXPECT_EQ(fault_of([&] { const PidFile file(path); }), "accepted");
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace dockerd::app
