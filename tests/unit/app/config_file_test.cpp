#include "app/config_file.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include <dockerd/base/error.hpp>

#include "app/flags.hpp"
#include "support/raw_http.hpp"

namespace dockerd::app {
namespace {

Config flags(std::vector<const char*> arguments) { return parse_flags(arguments).config; }

Config merged(std::string_view text, std::vector<const char*> arguments = {}) {
    Config config = flags(std::move(arguments));
    merge_file_text(config, text);
    return config;
}

template <typename Function>
std::string fault_of(Function run) {
    try {
        run();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "accepted";
}

std::string fault(std::string_view text, std::vector<const char*> arguments = {}) {
    return fault_of([&] { (void)merged(text, std::move(arguments)); });
}

TEST(ConfigFile, AcceptsEmptyAndEveryByteOrderMark) {
    EXPECT_EQ(merged("").mtu, 1500);
    EXPECT_EQ(merged(" \n").mtu, 1500);
    EXPECT_EQ(merged("\xEF\xBB\xBF{\"mtu\":1400}").mtu, 1400);
    EXPECT_EQ(
        merged(std::string_view(
                   "\xFF\xFE{\0\"\0i\0p\0\"\0:\0\"\0001\0.\0001\0.\0001\0.\0001\0\"\0}\0", 34))
            .ip,
        "1.1.1.1");
}

TEST(ConfigFile, OverridesDefaultsAndKeepsFlags) {
    const Config config = merged(
        R"({"iptables":false,"live-restore":true,"hosts":["unix:///b"],"log-opts":{"max-size":"1m"},
            "default-shm-size":"1g","mtu":0,"data-root":"","labels":["a=b"],
            "default-address-pools":[{"base":"10.0.0.0/8","size":24}],
            "default-ulimits":{"nofile":{"Name":"nofile","Soft":1,"Hard":2}},
            "proxies":{"http-proxy":"http://p"},"features":{"cdi":true},
            "runtimes":{"x":{"path":"/x","runtimeArgs":["--a"]}},"dns":["1.1.1.1"],
            "builder":{"gc":{"enabled":true}},"host-gateway-ip":"1.2.3.4"})",
        {"--bip=10.1.0.1/24"});
    EXPECT_FALSE(config.iptables);
    EXPECT_TRUE(config.live_restore);
    EXPECT_EQ(config.hosts, (std::vector<std::string>{"unix:///b"}));
    EXPECT_EQ(config.log_opts.at("max-size"), "1m");
    EXPECT_EQ(config.default_shm_size.value, 1 << 30);
    EXPECT_EQ(config.mtu, 1500);
    EXPECT_EQ(config.data_root, "/var/lib/docker");
    EXPECT_EQ(config.labels.at(0), "a=b");
    EXPECT_EQ(config.default_address_pools.at(0).size, 24);
    EXPECT_EQ(config.default_ulimits.at("nofile").hard, 2);
    EXPECT_EQ(config.http_proxy, "http://p");
    EXPECT_TRUE(config.features.at("cdi"));
    EXPECT_EQ(config.runtimes.at("x").args.at(0), "--a");
    EXPECT_EQ(config.bip, "10.1.0.1/24");
    EXPECT_EQ(config.host_gateway_ips.at(0), "1.2.3.4");
}

// Each expected text is what dockerd 28.2.2 printed behind the file's name.
TEST(ConfigFile, IsRefusedInDockersWords) {
    EXPECT_EQ(fault(R"({"foo":1})"),
              "the following directives don't match any configuration option: foo");
    EXPECT_EQ(fault(R"({"debug":true})", {"-D"}),
              "the following directives are specified both as a flag and in the configuration "
              "file: debug: (from flag: true, from file: true)");
    EXPECT_EQ(fault(R"({"hosts":["unix:///x"]})", {"-H", "unix:///tmp/x.sock"}),
              "the following directives are specified both as a flag and in the configuration "
              "file: hosts: (from flag: [unix:///tmp/x.sock], from file: [unix:///x])");
    EXPECT_EQ(fault(R"({"mtu":"x"})", {"--mtu=1400"}),
              "the following directives are specified both as a flag and in the configuration "
              "file: mtu: (from flag: 1400, from file: x)");
    EXPECT_EQ(fault(R"({"proxies":{"http-proxy":"http://u:p@h"}})", {"--http-proxy=http://a:b@c"}),
              "the following directives are specified both as a flag and in the configuration "
              "file: http-proxy: (from flag: http://xxxxx:xxxxx@c, from file: "
              "http://xxxxx:xxxxx@h)");
    EXPECT_EQ(fault(R"({"debug":)"), "unexpected end of JSON input");
    EXPECT_EQ(fault("{} x"), "invalid character 'x' after top-level value");
    EXPECT_EQ(fault("[]"),
              "json: cannot unmarshal array into Go value of type map[string]interface {}");
    EXPECT_EQ(fault(R"({"log-opts":{"a":1}})"),
              "json: cannot unmarshal number into Go struct field "
              "Config.CommonConfig.LogConfig.log-opts of type string");
    EXPECT_EQ(fault(R"({"data-root":5})"),
              "json: cannot unmarshal number into Go struct field Config.CommonConfig.data-root of "
              "type string");
    EXPECT_EQ(fault(R"({"labels":"x"})"),
              "json: cannot unmarshal string into Go struct field Config.CommonConfig.labels of "
              "type []string");
    EXPECT_EQ(fault(R"({"dns":["x"]})"), "invalid IP address: x");
    EXPECT_EQ(fault(R"({"dns":"x"})"),
              "json: cannot unmarshal string into Go struct field "
              "Config.CommonConfig.DNSConfig.dns of type []net.IP");
    EXPECT_EQ(fault(R"({"default-address-pools":[{"base":"x","size":1}]})"),
              "netip.ParsePrefix(\"x\"): no '/'");
    EXPECT_EQ(fault(R"({"live-restore":1})"),
              "json: cannot unmarshal number into Go struct field "
              "Config.CommonConfig.live-restore of type bool");
}

TEST(ConfigFile, NamesTheFileInErrors) {
    const test::TempDir dir;
    const std::string file = dir.path() + "/daemon.json";
    std::ofstream(file) << R"({"log-level":"foo"})";
    const std::string argument = "--config-file=" + file;
    EXPECT_EQ(fault_of([&] { (void)load_config(flags({argument.c_str()})); }),
              "unable to configure the Docker daemon with file " + file +
                  ": merged configuration validation from file and command line flags failed: "
                  "invalid logging level: foo");
    EXPECT_EQ(fault_of([&] { (void)load_config(flags({"--config-file=/nonexist"})); }),
              "unable to configure the Docker daemon with file /nonexist: open /nonexist: no such "
              "file or directory");
}

TEST(ConfigFile, ReloadsOnlyWhatIsReloadable) {
    const test::TempDir dir;
    const std::string file = dir.path() + "/daemon.json";
    std::ofstream(file) << R"({"debug":false})";
    const std::string argument = "--config-file=" + file;
    const Config running = load_config(flags({argument.c_str()}));
    std::ofstream(file) << R"({"debug":true,"data-root":"/elsewhere","labels":["a=b"]})";
    const Config next = reload_config(running);
    EXPECT_TRUE(next.debug);
    EXPECT_EQ(next.labels.at(0), "a=b");
    EXPECT_EQ(next.data_root, "/var/lib/docker");
}

TEST(Validate, RefusesInDockersWords) {
    const auto text = [](std::vector<const char*> arguments) {
        return fault_of([&] { validate(flags(std::move(arguments))); });
    };
    EXPECT_EQ(text({"--log-level=foo"}), "invalid logging level: foo");
    EXPECT_EQ(text({"--log-format=x"}), "invalid log format: x");
    EXPECT_EQ(text({"--exec-opt=foo=bar"}), "invalid exec-opt (foo=bar): unknown option: 'foo'");
    EXPECT_EQ(text({"--mtu=-1"}), "invalid default MTU: -1");
    EXPECT_EQ(text({"--label=a=b", "--label=a=c"}), "conflict labels for a=c and a=b");
    EXPECT_EQ(text({"--default-ipc-mode=x"}),
              "default IPC mode setting (x) is invalid; use \"shareable\" or \"private\"");
    const std::string fixed = "invalid fixed-cidr-v6: invalid fixed-cidr-v6: ";
    EXPECT_EQ(text({"--fixed-cidr-v6=x"}), fixed + "netip.ParsePrefix(\"x\"): no '/'");
    EXPECT_EQ(text({"--fixed-cidr-v6=zz/64"}),
              fixed + "netip.ParsePrefix(\"zz/64\"): ParseAddr(\"zz\"): unable to parse IP");
    EXPECT_EQ(text({"--fixed-cidr-v6=fd00::/200"}),
              fixed + "netip.ParsePrefix(\"fd00::/200\"): prefix length out of range");
    EXPECT_EQ(text({"--fixed-cidr-v6=10.0.0.0/8"}),
              fixed + "'10.0.0.0/8' is not a valid IPv6 subnet");
    EXPECT_EQ(text({"--fixed-cidr-v6=fe80::/80"}),
              fixed + "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'");
    EXPECT_EQ(text({"--host-gateway-ip=1.2.3.4", "--host-gateway-ip=1.2.3.5"}),
              "only one IPv4 host gateway IP address can be specified");
    EXPECT_EQ(text({"--host-gateway-ip=::1", "--host-gateway-ip=::2"}),
              "only one IPv6 host gateway IP address can be specified");
    EXPECT_EQ(text({"--userland-proxy-path=proxy"}),
              "invalid userland-proxy-path: must be an absolute path: proxy");
    EXPECT_EQ(text({"--userland-proxy-path="}),
              "invalid userland-proxy-path: userland-proxy is enabled, but userland-proxy-path is "
              "not set");
    EXPECT_EQ(text({"--userland-proxy=false", "--userland-proxy-path="}), "accepted");
    EXPECT_EQ(text({"--default-cgroupns-mode=x"}),
              "invalid default cgroup namespace (x): use \"host\" or \"private\"");
    EXPECT_EQ(fault_of([] {
                  check_combinations(flags({"-b", "x", "--bip", "10.0.0.1/8"}));
              }),
              "You specified -b & --bip, mutually exclusive options. Please specify only one");
}

}  // namespace
}  // namespace dockerd::app
