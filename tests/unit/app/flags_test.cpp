#include "app/flags.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <dockerd/base/error.hpp>

#include "app/manual.hpp"
#include "app/options.hpp"

namespace dockerd::app {
namespace {

CommandLine parse(std::vector<const char*> arguments) { return parse_flags(arguments); }

/// The first line of what a bad command line prints.
std::string fault(std::vector<const char*> arguments) {
    try {
        (void)parse_flags(arguments);
    } catch (const base::Error& error) {
        const std::string text = error.what();
        return text.substr(0, text.find('\n'));
    }
    return "accepted";
}

TEST(Options, AreSortedAndNamedOnce) {
    const auto table = options();
    EXPECT_TRUE(std::ranges::is_sorted(table, {}, &Option::name));
    EXPECT_EQ(std::ranges::adjacent_find(table, {}, &Option::name), table.end());
}

TEST(Options, AreInHelpManualAndCompletion) {
    const std::string help = usage_text();
    const std::string manual = manual_page();
    const std::string completion = bash_completion();
    for (const Option& option : options()) {
        const bool shown = option.visibility == Visibility::shown;
        const std::string flag = "--" + std::string(option.name);
        std::string escaped;
        for (const char c : flag) escaped += c == '-' ? std::string("\\-") : std::string(1, c);
        EXPECT_EQ(help.find("  " + flag + " ") != std::string::npos ||
                      help.find(", " + flag + " ") != std::string::npos,
                  shown)
            << flag;
        EXPECT_EQ(manual.find("\\fB" + escaped + "\\fR") != std::string::npos, shown) << flag;
        EXPECT_EQ(completion.find(flag) != std::string::npos, shown) << flag;
    }
}

TEST(Flags, HaveDockersDefaults) {
    const Config config = parse({}).config;
    EXPECT_EQ(config.data_root, "/var/lib/docker");
    EXPECT_EQ(config.exec_root, "/var/run/docker");
    EXPECT_EQ(config.pidfile, "/var/run/docker.pid");
    EXPECT_EQ(config.config_file, "/etc/docker/daemon.json");
    EXPECT_EQ(config.group, "docker");
    EXPECT_EQ(config.default_shm_size.value, 64 << 20);
    EXPECT_TRUE(config.iptables && config.ip6tables && config.ip_forward && config.ip_masq);
    EXPECT_TRUE(config.hosts.empty());
}

TEST(Flags, TakeEveryFormOfPflag) {
    const Config config = parse({"-H",
                                 "unix:///a",
                                 "-Htcp://:1",
                                 "-H=fd://",
                                 "--host=unix://",
                                 "-Dl",
                                 "warn",
                                 "--iptables=false",
                                 "--icc=0",
                                 "--live-restore",
                                 "--mtu",
                                 "1400",
                                 "-bnone",
                                 "--log-opt",
                                 "max-size=1m",
                                 "--log-opt=max-file",
                                 "--dns",
                                 "1.1.1.1,::1",
                                 "-p",
                                 "",
                                 "--exec-opt",
                                 "native.cgroupdriver=systemd",
                                 "--default-shm-size=128m",
                                 "--default-ulimit",
                                 "nofile=1:2",
                                 "--default-address-pool",
                                 "base=10.0.0.0/8,size=24",
                                 "--feature",
                                 "cdi=false",
                                 "--add-runtime",
                                 "crun=/c",
                                 "--default-network-opt",
                                 "bridge=com.docker.network.driver.mtu=1234",
                                 "--containerd=/run/containerd/containerd.sock",
                                 "--oom-score-adjust",
                                 "-500"})
                              .config;
    EXPECT_EQ(config.hosts,
              (std::vector<std::string>{"unix:///a", "tcp://:1", "fd://", "unix://"}));
    EXPECT_TRUE(config.debug);
    EXPECT_EQ(config.log_level, "warn");
    EXPECT_FALSE(config.iptables);
    EXPECT_FALSE(config.icc);
    EXPECT_TRUE(config.live_restore);
    EXPECT_EQ(config.mtu, 1400);
    EXPECT_EQ(config.bridge, "none");
    EXPECT_EQ(config.log_opts.at("max-size"), "1m");
    EXPECT_EQ(config.log_opts.at("max-file"), "");
    EXPECT_EQ(config.dns, (std::vector<std::string>{"1.1.1.1", "::1"}));
    EXPECT_EQ(config.pidfile, "");
    EXPECT_EQ(exec_opt(config, "native.cgroupdriver"), "systemd");
    EXPECT_EQ(config.default_shm_size.value, 128 << 20);
    EXPECT_EQ(config.default_ulimits.at("nofile").hard, 2);
    EXPECT_EQ(config.default_address_pools.at(0).base, "10.0.0.0/8");
    EXPECT_EQ(config.default_address_pools.at(0).size, 24);
    EXPECT_FALSE(config.features.at("cdi"));
    EXPECT_EQ(config.runtimes.at("crun").path, "/c");
    EXPECT_EQ(config.default_network_opts.at("bridge").at("com.docker.network.driver.mtu"), "1234");
    EXPECT_EQ(config.containerd, "/run/containerd/containerd.sock");
}

TEST(Flags, TurnTlsOn) {
    EXPECT_FALSE(parse({}).config.tls.has_value());
    EXPECT_TRUE(*parse({"--tlsverify=false"}).config.tls);
    EXPECT_FALSE(*parse({"--tlsverify=false"}).config.tls_verify);
    EXPECT_TRUE(*parse({"--tls"}).config.tls_verify);
    EXPECT_FALSE(*parse({"--tls=false"}).config.tls);
}

TEST(Flags, StopAtHelpAndVersion) {
    EXPECT_EQ(parse({"--help"}).command, Command::help);
    EXPECT_EQ(parse({"-v"}).command, Command::version);
    EXPECT_EQ(parse({"-h"}).warnings, "Flag shorthand -h has been deprecated, please use --help\n");
}

// Each expected text is what dockerd 28.2.2 printed.
TEST(Flags, AreRefusedInDockersWords) {
    EXPECT_EQ(fault({"--foo"}), "Status: unknown flag: --foo");
    EXPECT_EQ(fault({"-Q"}), "Status: unknown shorthand flag: 'Q' in -Q");
    EXPECT_EQ(fault({"-DQ"}), "Status: unknown shorthand flag: 'Q' in -Q");
    EXPECT_EQ(fault({"--mtu"}), "Status: flag needs an argument: --mtu");
    EXPECT_EQ(fault({"-s"}), "Status: flag needs an argument: 's' in -s");
    EXPECT_EQ(fault({"--=x"}), "Status: bad flag syntax: --=x");
    EXPECT_EQ(fault({"---x"}), "Status: bad flag syntax: ---x");
    EXPECT_EQ(fault({"--debug=x"}),
              "Status: invalid argument \"x\" for \"-D, --debug\" flag: strconv.ParseBool: "
              "parsing \"x\": invalid syntax");
    EXPECT_EQ(fault({"--mtu=x"}),
              "Status: invalid argument \"x\" for \"--mtu\" flag: strconv.ParseInt: parsing "
              "\"x\": invalid syntax");
    EXPECT_EQ(fault({"--cpu-rt-period=9999999999999999999"}),
              "Status: invalid argument \"9999999999999999999\" for \"--cpu-rt-period\" flag: "
              "strconv.ParseInt: parsing \"9999999999999999999\": value out of range");
    EXPECT_EQ(fault({"-H", "foo://x"}),
              "Status: invalid argument \"foo://x\" for \"-H, --host\" flag: invalid bind address "
              "(foo://x): unsupported proto 'foo'");
    EXPECT_EQ(fault({"-H", "tcp://x/y"}),
              "Status: invalid argument \"tcp://x/y\" for \"-H, --host\" flag: invalid bind "
              "address (tcp://x/y): should not contain a path element");
    EXPECT_EQ(fault({"--dns=x"}),
              "Status: invalid argument \"x\" for \"--dns\" flag: invalid string being converted "
              "to IP address: x");
    EXPECT_EQ(fault({"--label=x"}),
              "Status: invalid argument \"x\" for \"--label\" flag: bad attribute format: x");
    EXPECT_EQ(fault({"--registry-mirror=x"}),
              "Status: invalid argument \"x\" for \"--registry-mirror\" flag: invalid mirror: "
              "unsupported scheme \"\" in \"x\"");
    EXPECT_EQ(fault({"--default-ulimit=x"}),
              "Status: invalid argument \"x\" for \"--default-ulimit\" flag: invalid ulimit "
              "argument: x");
    EXPECT_EQ(fault({"--default-shm-size=x"}),
              "Status: invalid argument \"x\" for \"--default-shm-size\" flag: invalid size: 'x'");
    EXPECT_EQ(fault({"--add-runtime=x"}),
              "Status: invalid argument \"x\" for \"--add-runtime\" flag: invalid runtime "
              "argument: x");
    EXPECT_EQ(fault({"--ip=x"}),
              "Status: invalid argument \"x\" for \"--ip\" flag: failed to parse IP: \"x\"");
    EXPECT_EQ(fault({"--default-network-opt=x"}),
              "Status: invalid argument \"x\" for \"--default-network-opt\" flag: invalid value "
              "\"x\" for map option, should be root-key=key=value");
    EXPECT_EQ(fault({"--default-address-pool=base=10.0.0.0/8,size=24,x=1"}),
              "Status: invalid argument \"base=10.0.0.0/8,size=24,x=1\" for "
              "\"--default-address-pool\" flag: unexpected key 'x' in 'x=1'");
    EXPECT_EQ(fault({"--host-gateway-ip=x"}),
              "Status: invalid argument \"x\" for \"--host-gateway-ip\" flag: ParseAddr(\"x\"): "
              "unable to parse IP");
    EXPECT_EQ(parse({"--restart"}).warnings,
              "Flag --restart has been deprecated, Please use a restart policy on docker run\n");
}

}  // namespace
}  // namespace dockerd::app
