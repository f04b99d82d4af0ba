#include <gtest/gtest.h>

#include <optional>

#include "client.hpp"

namespace dockerd::test {
namespace {

/// Sends create requests and keeps what reached the engine.
class Create : public testing::Test {
protected:
    Create() {
        api.fakes.containers.on_create = [this](std::string name, const std::string& platform,
                                                model::ContainerCreate body) {
            seen_name = std::move(name);
            seen_platform = platform;
            seen = std::move(body);
            return engine::CreateResult{.id = "c1", .warnings = {"engine's own"}};
        };
    }
    Answer create(int minor, std::string_view body, std::string_view query = "") {
        return api.ask("POST /v1." + std::to_string(minor) + "/containers/create" +
                           std::string(query),
                       body);
    }
    const model::HostConfig& host() const { return *seen->host_config; }
    const model::Map<model::EndpointSettings>& endpoints() const {
        return seen->networking_config->endpoints_config;
    }
    void expect_refused(int minor, std::string_view body, std::string_view text) {
        seen.reset();
        const Answer answer = create(minor, body);
        EXPECT_EQ(answer.status, 400) << body;
        EXPECT_EQ(answer.body, message(text)) << body;
        EXPECT_FALSE(seen) << body;
    }

    ServedApi api;
    std::string seen_name, seen_platform;
    std::optional<model::ContainerCreate> seen;
};

TEST_F(Create, AnswersIdAndWarnings) {
    const Answer answer = create(50, R"({"Image":"busybox"})", "?name=web&platform=linux/amd64");
    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(answer.headers.at("content-type"), "application/json");
    EXPECT_EQ(answer.body, "{\"Id\":\"c1\",\"Warnings\":[\"engine's own\"]}\n");
    EXPECT_EQ(seen_name, "web");
    EXPECT_EQ(seen_platform, "linux/amd64");
    EXPECT_EQ(seen->config.image, "busybox");
    EXPECT_EQ(host().network_mode, "bridge");
    EXPECT_FALSE(seen->default_read_only_non_recursive);
}

TEST_F(Create, IgnoresThePlatformBefore141) {
    create(40, R"({"Image":"busybox"})", "?platform=linux/arm64");
    EXPECT_EQ(seen_platform, "");
}

TEST_F(Create, RefusesBodiesThatAreNoConfiguration) {
    expect_refused(50, "", "invalid JSON: got EOF while reading request body");
    expect_refused(50, "{", "invalid JSON: unexpected EOF");
    expect_refused(50, "{}", "config cannot be empty in order to create a container");
    expect_refused(50, "null", "config cannot be empty in order to create a container");
    expect_refused(50, R"({"HostConfig":{}})",
                   "config cannot be empty in order to create a container");
    expect_refused(50, R"({"Image":"x"} {})", "unexpected content after JSON");
    expect_refused(50, "x", "invalid JSON: invalid character 'x' looking for beginning of value");
}

TEST_F(Create, RefusesOtherContentTypes) {
    const Answer plain = api.ask("POST /containers/create", R"({"Image":"x"})",
                                 "Content-Type: text/plain\r\n");
    EXPECT_EQ(plain.status, 400);
    EXPECT_EQ(plain.body, message("unsupported Content-Type header (text/plain): "
                                  "must be 'application/json'"));
    Connection connection = api.connect();
    connection.send("POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    EXPECT_EQ(connection.read_answer(false).body,
              message("malformed Content-Type header (): mime: no media type"));
}

TEST_F(Create, TakesFieldNamesInAnyCaseAndNullForNothing) {
    EXPECT_EQ(create(50, R"({"iMaGe":"busybox","cmd":"ls","HOSTCONFIG":{"binds":["/a:/b"],)"
                         R"("memory":null,"CapAdd":null},"Labels":null,"Unknown":[1]})")
                  .status,
              201);
    EXPECT_EQ(seen->config.image, "busybox");
    EXPECT_EQ(seen->config.cmd, (std::vector<std::string>{"ls"}));
    EXPECT_EQ(host().binds, (std::vector<std::string>{"/a:/b"}));
    EXPECT_TRUE(host().cap_add.is_null());
    EXPECT_TRUE(seen->config.labels.is_null());
}

TEST_F(Create, MovesTheDefaultNetworkToTheBridge) {
    create(50, R"({"Image":"x","HostConfig":{"NetworkMode":"default"},)"
               R"("NetworkingConfig":{"EndpointsConfig":{"default":{"Aliases":["a"]}}}})");
    EXPECT_EQ(host().network_mode, "bridge");
    ASSERT_TRUE(endpoints().contains("bridge"));
    EXPECT_FALSE(endpoints().contains("default"));
    EXPECT_EQ(endpoints().at("bridge").aliases, (std::vector<std::string>{"a"}));
}

TEST_F(Create, GivesOldClientsTheirDefaults) {
    const std::string body = R"({"Image":"x","HostConfig":{"AutoRemove":true,"ConsoleSize":[1,2],)"
                             R"("Annotations":{"a":"b"},"KernelMemoryTCP":5,"KernelMemory":6},)"
                             R"("Healthcheck":{"StartInterval":5}})";
    create(24, body);
    EXPECT_FALSE(host().auto_remove);
    EXPECT_EQ(host().ipc_mode, "shareable");
    EXPECT_EQ(host().cgroupns_mode, "host");
    EXPECT_EQ(host().console_size, (std::array<std::int64_t, 2>{0, 0}));
    EXPECT_TRUE(host().annotations.empty());
    EXPECT_EQ(host().resources.kernel_memory_tcp, 0);
    EXPECT_EQ(host().resources.kernel_memory, 6);
    EXPECT_EQ(seen->config.healthcheck->start_interval, 0);
    EXPECT_TRUE(seen->default_read_only_non_recursive);

    create(40, body);
    EXPECT_TRUE(host().auto_remove);
    EXPECT_EQ(host().ipc_mode, "");
    EXPECT_EQ(host().cgroupns_mode, "host");
    EXPECT_EQ(host().resources.kernel_memory_tcp, 5);

    create(44, body);
    EXPECT_EQ(host().cgroupns_mode, "");
    EXPECT_EQ(host().console_size, (std::array<std::int64_t, 2>{1, 2}));
    EXPECT_EQ(host().annotations.at("a"), "b");
    EXPECT_EQ(host().resources.kernel_memory, 0);
    EXPECT_EQ(seen->config.healthcheck->start_interval, 5);
    EXPECT_FALSE(seen->default_read_only_non_recursive);
}

TEST_F(Create, KeepsPrivateCgroupNamespacesOnUnifiedHosts) {
    api.fakes.system.unified = true;
    create(24, R"({"Image":"x"})");
    EXPECT_EQ(host().cgroupns_mode, "");
}

TEST_F(Create, TakesNoPidsLimitForUnlimited) {
    for (const char* limit : {"0", "-1", "-7"}) {
        create(50, std::string(R"({"Image":"x","HostConfig":{"PidsLimit":)") + limit + "}}");
        EXPECT_FALSE(host().resources.pids_limit) << limit;
    }
    create(50, R"({"Image":"x","HostConfig":{"PidsLimit":5}})");
    EXPECT_EQ(host().resources.pids_limit, 5);
}

TEST_F(Create, ChecksMountOptionsFrom142) {
    const std::string body = R"({"Image":"x","HostConfig":{"Mounts":[{"Type":"bind","Source":"/a",)"
                             R"("Target":"/b","VolumeOptions":{"NoCopy":true},)"
                             R"("BindOptions":{"CreateMountpoint":true}}]}})";
    expect_refused(42, body, "VolumeOptions must not be specified on mount type \"bind\"");
    EXPECT_EQ(create(41, body).status, 201);
    EXPECT_FALSE(host().mounts[0].volume_options);
    EXPECT_FALSE(host().mounts[0].bind_options->create_mountpoint);
}

TEST_F(Create, RefusesWhatAVersionDoesNotKnowYet) {
    const std::string two = R"({"Image":"x","NetworkingConfig":{"EndpointsConfig":)"
                            R"({"a":{},"b":null}}})";
    expect_refused(43, two,
                   "Container cannot be created with multiple network endpoints: a, b");
    EXPECT_EQ(create(44, two).status, 201);

    const std::string subpath = R"({"Image":"x","HostConfig":{"Mounts":[{"Type":"volume",)"
                                R"("Target":"/b","VolumeOptions":{"Subpath":"s"}}]}})";
    expect_refused(44, subpath, "VolumeOptions.Subpath needs API v1.45 or newer");
    EXPECT_EQ(create(45, subpath).status, 201);

    const std::string image = R"({"Image":"x","HostConfig":{"Mounts":[{"Type":"image",)"
                              R"("Source":"y","Target":"/b"}]}})";
    expect_refused(47, image, "Mount type \"Image\" needs API v1.48 or newer");
    EXPECT_EQ(create(48, image).status, 201);

    const std::string recursive = R"({"Image":"x","HostConfig":{"Mounts":[{"Type":"bind",)"
                                  R"("BindOptions":{"ReadOnlyForceRecursive":true}}]}})";
    expect_refused(43, recursive, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
    EXPECT_EQ(create(44, recursive).status, 201);
}

TEST_F(Create, ForgetsGatewayPriorityBefore148) {
    const std::string body =
        R"({"Image":"x","NetworkingConfig":{"EndpointsConfig":{"a":{"GwPriority":7}}}})";
    create(47, body);
    EXPECT_EQ(endpoints().at("a").gw_priority, 0);
    create(48, body);
    EXPECT_EQ(endpoints().at("a").gw_priority, 7);
}

TEST_F(Create, MovesTheMacAddressToTheEndpoint) {
    const std::string body = R"({"Image":"x","MacAddress":"02:42:ac:11:00:02"})";
    EXPECT_EQ(create(43, body).body, "{\"Id\":\"c1\",\"Warnings\":[\"engine's own\"]}\n");
    EXPECT_EQ(endpoints().at("bridge").mac_address, "02:42:ac:11:00:02");
    EXPECT_EQ(seen->config.mac_address, "02:42:ac:11:00:02");

    EXPECT_EQ(create(44, body).body,
              "{\"Id\":\"c1\",\"Warnings\":[\"engine's own\",\"The container-wide MacAddress field "
              "is now deprecated. It should be specified in EndpointsConfig instead.\"]}\n");
    EXPECT_EQ(endpoints().at("bridge").mac_address, "02:42:ac:11:00:02");
    EXPECT_EQ(seen->config.mac_address, "");

    expect_refused(43, R"({"Image":"x","MacAddress":"m","HostConfig":{"NetworkMode":"host"}})",
                   "conflicting options: mac-address and the network mode");
    expect_refused(44,
                   R"({"Image":"x","MacAddress":"m","NetworkingConfig":{"EndpointsConfig":)"
                   R"({"bridge":{"MacAddress":"n"}}}})",
                   "the container-wide MAC address must match the endpoint-specific MAC address "
                   "for the main network, or be left empty");
    expect_refused(44,
                   R"({"Image":"x","MacAddress":"m","NetworkingConfig":{"EndpointsConfig":)"
                   R"({"other":{}}}})",
                   "unable to migrate container-wide MAC address to a specific network: "
                   "HostConfig.NetworkMode must match the identity of a network in "
                   "NetworkSettings.Networks");
}

TEST_F(Create, IgnoresEndpointMacAddressesBefore144) {
    create(43, R"({"Image":"x","NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"m"}}}})");
    EXPECT_EQ(endpoints().at("a").mac_address, "");
}

TEST_F(Create, MovesInterfaceSysctlsToTheEndpoint) {
    const std::string body =
        R"({"Image":"x","HostConfig":{"Sysctls":{"net.ipv4.conf.eth0.forwarding":"1",)"
        R"("net.core.somaxconn":"9"}}})";
    EXPECT_EQ(create(47, body).body,
              R"({"Id":"c1","Warnings":["engine's own","Migrated sysctl )"
              R"(\"net.ipv4.conf.eth0.forwarding\" to DriverOpts{)"
              R"(\"com.docker.network.endpoint.sysctls\":)"
              R"(\"net.ipv4.conf.IFNAME.forwarding=1\"}."]})"
              "\n");
    EXPECT_EQ(host().sysctls.size(), 1U);
    EXPECT_EQ(endpoints().at("bridge").driver_opts.at("com.docker.network.endpoint.sysctls"),
              "net.ipv4.conf.IFNAME.forwarding=1");

    const Answer refused = create(48, body);
    EXPECT_EQ(refused.status, 500);
    EXPECT_EQ(refused.body,
              message("interface specific sysctl setting \"net.ipv4.conf.eth0.forwarding\" must "
                      "be supplied using driver option 'com.docker.network.endpoint.sysctls'"));
    EXPECT_EQ(create(46, R"({"Image":"x","HostConfig":{"Sysctls":{"net.ipv4.conf.eth1.a":"1"}}})")
                  .body,
              message("unable to determine network endpoint for sysctl net.ipv4.conf.eth1.a, use "
                      "driver option 'com.docker.network.endpoint.sysctls' to set per-interface "
                      "sysctls"));
}

TEST_F(Create, WarnsOfAnIgnoredVolumeDriverFrom148) {
    const std::string body = R"({"Image":"x","HostConfig":{"VolumeDriver":"d",)"
                             R"("Mounts":[{"Type":"volume","Target":"/v"}]}})";
    EXPECT_EQ(create(47, body).body, "{\"Id\":\"c1\",\"Warnings\":[\"engine's own\"]}\n");
    EXPECT_EQ(create(48, body).body,
              "{\"Id\":\"c1\",\"Warnings\":[\"engine's own\",\"WARNING: the container-wide "
              "volume-driver configuration is ignored for volumes specified via 'mount'. Use "
              "'--mount type=volume,volume-driver=...' instead\"]}\n");
}

TEST_F(Create, RefusesConflictingNetworkOptions) {
    const auto with = [](const std::string& host, const std::string& config = "") {
        return R"({"Image":"x")" + config + R"(,"HostConfig":{)" + host + "}}";
    };
    const std::string shared = R"("NetworkMode":"container:web")";
    expect_refused(50, with(R"("NetworkMode":"container:")"),
                   "invalid network mode: invalid container format container:<name|id>");
    expect_refused(50, with(shared, R"(,"Hostname":"h")"),
                   "conflicting options: hostname and the network mode");
    expect_refused(50, with(shared + R"(,"Links":["a"])"),
                   "conflicting options: container type network can't be used with links. "
                   "This would result in undefined behavior");
    expect_refused(50, with(shared + R"(,"Dns":["1.1.1.1"])"),
                   "conflicting options: dns and the network mode");
    expect_refused(50, with(shared + R"(,"ExtraHosts":["a:1.1.1.1"])"),
                   "conflicting options: custom host-to-IP mapping and the network mode");
    expect_refused(50, with(shared + R"(,"PublishAllPorts":true)"),
                   "conflicting options: port publishing and the container type network mode");
    expect_refused(50, with(shared, R"(,"ExposedPorts":{"80/tcp":{}})"),
                   "conflicting options: port exposing and the container type network mode");
    expect_refused(50, with(R"("UTSMode":"host")", R"(,"Hostname":"h")"),
                   "conflicting options: hostname and the UTS mode");
    expect_refused(50, with(R"("Isolation":"hyperv")"),
                   "invalid isolation (hyperv): linux only supports 'default'");
    expect_refused(50, with(R"("CpuShares":-1)"),
                   "invalid CPU shares (-1): value must be a positive integer");
    expect_refused(50, with(R"("IOMaximumIOps":1)"),
                   "invalid option: QoS maximum IOPs configuration is not supported on linux");
}

}  // namespace
}  // namespace dockerd::test
