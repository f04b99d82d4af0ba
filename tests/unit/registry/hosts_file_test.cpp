#include "registry/hosts_file.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <dockerd/registry/service.hpp>

namespace dockerd::registry {
namespace {

/// A certs.d with one folder.
class CertsDir : public testing::Test {
protected:
    CertsDir() : top_(testing::TempDir() + "certs-" + std::to_string(::getpid())) {
        std::filesystem::create_directories(folder());
    }
    ~CertsDir() override { std::filesystem::remove_all(top_); }

    [[nodiscard]] std::string folder() const { return top_ + "/reg.example:5000"; }
    void write(const std::string& text) const { std::ofstream(folder() + "/hosts.toml") << text; }
    [[nodiscard]] HostsFile read(const std::string& text) const {
        write(text);
        return read_hosts_file(folder()).value();
    }
    [[nodiscard]] std::vector<Endpoint> endpoints(bool push) const {
        const Service service({.certs_dir = top_});
        const base::Cancellation none;
        return push ? service.push_endpoints("reg.example:5000", none)
                    : service.pull_endpoints("reg.example:5000", none);
    }

    std::string top_;
};

std::vector<std::string> urls(const std::vector<Endpoint>& endpoints) {
    std::vector<std::string> out;
    for (const Endpoint& endpoint : endpoints) out.push_back(endpoint.root().text());
    return out;
}

TEST_F(CertsDir, HasNoHostsFileAsARule) { EXPECT_FALSE(read_hosts_file(folder())); }

TEST_F(CertsDir, HostsKeepTheirOrder) {
    const HostsFile file = read(R"(
        [host."https://z.example"]
        capabilities = ["pull", "resolve"]
        ca = "z.crt"
        client = [["z.cert", "z.key"], ["/all.pem", ""]]
        [host."http://a.example:81/cache"]
        capabilities = ["push"]
        skip_verify = true
        override_path = true
        [host."http://a.example:81/cache".header]
        X-One = "1"
        X-Two = ["a", "b"]
        [host."m.example"]
    )");
    ASSERT_EQ(file.hosts.size(), 3U);
    const auto& [z, a, m] = std::tie(file.hosts[0], file.hosts[1], file.hosts[2]);
    EXPECT_EQ(z.url.text(), "https://z.example");
    EXPECT_TRUE(z.pull && !z.push && z.tls.verify && !z.own_path);
    EXPECT_EQ(z.tls.ca_files, std::vector<std::string>{folder() + "/z.crt"});
    EXPECT_EQ(z.tls.certificates,
              (std::vector<std::pair<std::string, std::string>>{
                  {folder() + "/z.cert", folder() + "/z.key"}, {"/all.pem", "/all.pem"}}));
    EXPECT_EQ(a.url.text(), "http://a.example:81/cache");
    EXPECT_TRUE(!a.pull && a.push && !a.tls.verify && a.own_path);
    ASSERT_EQ(a.headers.all().size(), 3U);
    EXPECT_EQ(a.headers.get("X-One"), "1");
    EXPECT_EQ(m.url.text(), "https://m.example");
    EXPECT_TRUE(m.pull && !m.push);
    EXPECT_FALSE(file.server);
}

TEST_F(CertsDir, WhatIsWrongIsNamedWithItsLine) {
    const auto refused = [&](const std::string& text) -> std::string {
        try {
            (void)read(text);
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
            const std::string what = error.what();
            return what.substr(what.find("hosts.toml"));
        }
        return "taken";
    };
    EXPECT_EQ(refused("server = 5"), "hosts.toml: line 1: \"server\" must be a string");
    EXPECT_EQ(refused("\n[host.\"a\"]\nca = 1"),
              "hosts.toml: line 3: \"ca\" must be a string or a list of strings");
    EXPECT_EQ(refused("\n\nskip_verify = \"yes\"\nserver = \"a\""),
              "hosts.toml: line 3: \"skip_verify\" must be true or false");
    EXPECT_EQ(refused("server = \"ftp://a\"").substr(0, 18), "hosts.toml: line 1");
    EXPECT_EQ(refused("server = \"a").substr(0, 18), "hosts.toml: line 1");
}

TEST_F(CertsDir, ListedHostsComeFirst) {
    write("[host.\"http://m.example\"]\n[host.\"https://p.example/x\"]\n"
          "capabilities = [\"push\"]\noverride_path = true\n");
    const auto pull = endpoints(/*push=*/false);
    EXPECT_EQ(urls(pull),
              (std::vector<std::string>{"http://m.example/v2", "https://reg.example:5000/v2"}));
    EXPECT_TRUE(pull[0].mirror && pull[0].is_foreign);
    EXPECT_TRUE(!pull[1].mirror && !pull[1].is_foreign);
    EXPECT_EQ(urls(endpoints(/*push=*/true)),
              (std::vector<std::string>{"https://p.example/x", "https://reg.example:5000/v2"}));
}

TEST_F(CertsDir, TheServerTakesTheRegistrysPlace) {
    write("server = \"http://real.example\"\n");
    const auto pull = endpoints(/*push=*/false);
    EXPECT_EQ(urls(pull), std::vector<std::string>{"http://real.example/v2"});
    EXPECT_TRUE(!pull[0].mirror && !pull[0].is_foreign);
}

}  // namespace
}  // namespace dockerd::registry
