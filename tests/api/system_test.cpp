#include <gtest/gtest.h>

#include "client.hpp"
#include "golden.hpp"

namespace dockerd::test {
namespace {

class System : public testing::Test {
protected:
    System() {
        engine::VersionInfo& version = api.fakes.system.version_info;
        version = {.version = "28.2.2",
                   .git_commit = "45873be",
                   .go_version = "g++ 12",
                   .os = "linux",
                   .arch = "amd64",
                   .kernel_version = "6.1",
                   .build_time = "2025-05-30T12:00:00.000000000+00:00"};
        engine::SystemInfo& info = api.fakes.system.system_info;
        info.id = "I1";
        info.driver = "overlay2";
        info.driver_status = {{"Backing Filesystem", "extfs"}};
        info.volume_plugins = {"local"};
        info.system_time = {10, 0};
        info.cgroup_version = "1";
        info.insecure_registry_cidrs = {"::1/128", "127.0.0.0/8"};
        info.insecure_registries = {"reg:5000"};
        info.security_options = {"name=seccomp,profile=builtin", "name=cgroupns"};
        info.firewall_driver = "nftables";
        info.default_address_pools = {{"10.0.0.0/8", 24}};
        info.warnings = {"WARNING: <x>"};
    }
    ServedApi api;
};

TEST_F(System, PingHasAllHeaders) {
    const Answer get = api.ask("GET /_ping");
    EXPECT_EQ(get.status, 200);
    EXPECT_EQ(get.body, "OK");
    const std::map<std::string, std::string> expected{
        {"api-version", "1.50"},
        {"cache-control", "no-cache, no-store, must-revalidate"},
        {"content-length", "2"},
        {"content-type", "text/plain; charset=utf-8"},
        {"docker-experimental", "false"},
        {"ostype", "linux"},
        {"pragma", "no-cache"},
        {"builder-version", "1"},
        {"server", "Docker/28.2.2 (linux)"},
        {"swarm", "inactive"}};
    auto headers = get.headers;
    EXPECT_EQ(headers.erase("date"), 1U);
    EXPECT_EQ(headers, expected);
    const Answer head = api.ask("HEAD /_ping");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.at("content-length"), "0");
    EXPECT_EQ(head.headers.at("content-type"), "text/plain; charset=utf-8");
    EXPECT_EQ(head.headers.at("swarm"), "inactive");
}

TEST_F(System, VersionIsTheSameInEveryVersion) {
    const std::string expected =
        R"({"Platform":{"Name":"Docker Engine - Community"},"Components":[{"Name":"Engine",)"
        R"("Version":"28.2.2","Details":{"ApiVersion":"1.50","Arch":"amd64",)"
        R"("BuildTime":"2025-05-30T12:00:00.000000000+00:00","Experimental":"false",)"
        R"("GitCommit":"45873be","GoVersion":"g++ 12","KernelVersion":"6.1",)"
        R"("MinAPIVersion":"1.24","Os":"linux"}}],"Version":"28.2.2","ApiVersion":"1.50",)"
        R"("MinAPIVersion":"1.24","GitCommit":"45873be","GoVersion":"g++ 12","Os":"linux",)"
        R"("Arch":"amd64","KernelVersion":"6.1",)"
        R"("BuildTime":"2025-05-30T12:00:00.000000000+00:00"})"
        "\n";
    EXPECT_EQ(api.ask("GET /version").body, expected);
    for (const char* version : {"1.24", "1.41", "1.44", "1.50"}) {
        EXPECT_EQ(api.ask("GET /v" + std::string(version) + "/version").body, expected);
    }
}

TEST_F(System, InfoOf150) {
    EXPECT_EQ(
        api.ask("GET /v1.50/info").body,
        R"({"ID":"I1","Containers":0,"ContainersRunning":0,"ContainersPaused":0,)"
        R"("ContainersStopped":0,"Images":0,"Driver":"overlay2",)"
        R"("DriverStatus":[["Backing Filesystem","extfs"]],"Plugins":{"Volume":["local"],)"
        R"("Network":[],"Authorization":null,"Log":[]},"MemoryLimit":false,"SwapLimit":false,)"
        R"("CpuCfsPeriod":false,"CpuCfsQuota":false,"CPUShares":false,"CPUSet":false,)"
        R"("PidsLimit":false,"IPv4Forwarding":false,"Debug":false,"NFd":0,)"
        R"("OomKillDisable":false,"NGoroutines":0,"SystemTime":"1970-01-01T00:00:10Z",)"
        R"("LoggingDriver":"","CgroupDriver":"","CgroupVersion":"1","NEventsListener":0,)"
        R"("KernelVersion":"","OperatingSystem":"","OSVersion":"","OSType":"","Architecture":"",)"
        R"("IndexServerAddress":"https://index.docker.io/v1/","RegistryConfig":{"IndexConfigs":)"
        R"({"docker.io":{"Mirrors":[],"Name":"docker.io","Official":true,"Secure":true},)"
        R"("reg:5000":{"Mirrors":[],"Name":"reg:5000","Official":false,"Secure":false}},)"
        R"("InsecureRegistryCIDRs":["::1/128","127.0.0.0/8"],"Mirrors":null},"NCPU":0,)"
        R"("MemTotal":0,"GenericResources":null,"DockerRootDir":"","HttpProxy":"",)"
        R"("HttpsProxy":"","NoProxy":"","Name":"","Labels":[],"ExperimentalBuild":false,)"
        R"("ServerVersion":"","Runtimes":{"io.containerd.runc.v2":{"path":"runc"},)"
        R"("runc":{"path":"runc"}},"DefaultRuntime":"runc","Swarm":{"NodeID":"","NodeAddr":"",)"
        R"("LocalNodeState":"inactive","ControlAvailable":false,"Error":"",)"
        R"("RemoteManagers":null},"LiveRestoreEnabled":false,"Isolation":"","InitBinary":"",)"
        R"("ContainerdCommit":{"ID":"N/A"},"RuncCommit":{"ID":"N/A"},"InitCommit":{"ID":"N/A"},)"
        R"("SecurityOptions":["name=seccomp,profile=builtin","name=cgroupns"],)"
        R"("DefaultAddressPools":[{"Base":"10.0.0.0/8","Size":24}],)"
        R"("FirewallBackend":{"Driver":"nftables"},"CDISpecDirs":[],"Warnings":["WARNING: <x>"]})"
        "\n");
}

TEST_F(System, InfoOfOlderVersions) {
    const std::string body = api.ask("GET /v1.24/info").body;
    EXPECT_TRUE(body.starts_with(
        R"({"Architecture":"","BridgeNfIp6tables":false,"BridgeNfIptables":false,"CDISpecDirs":[],)"
        R"("CPUSet":false,)"))
        << body;
    EXPECT_NE(body.find(R"("ContainerdCommit":{"Expected":"N/A","ID":"N/A"})"),
              std::string::npos);
    EXPECT_NE(body.find(R"("RegistryConfig":{"AllowNondistributableArtifactsCIDRs":null,)"
                        R"("AllowNondistributableArtifactsHostnames":null,"IndexConfigs":)"),
              std::string::npos);
    EXPECT_NE(body.find(R"("SecurityOptions":["seccomp","cgroupns"])"), std::string::npos);
    EXPECT_EQ(body.find("FirewallBackend"), std::string::npos);
    EXPECT_TRUE(body.ends_with("\"Warnings\":[\"WARNING: \\u003cx\\u003e\"]}\n")) << body;
    EXPECT_NE(api.ask("GET /v1.49/info").body.find("FirewallBackend"), std::string::npos);
}

TEST_F(System, DiskUsageAnswersTheTypesAskedFor) {
    engine::DiskUsage& usage = api.fakes.system.usage;
    usage.layers_size = 7;
    usage.images = {{.id = "sha256:80", .repo_tags = {"a:b"}, .created = {1, 0}, .size = 7,
                     .shared_size = 0, .containers = 2}};
    usage.volumes = {{.name = "v", .driver = "local", .mountpoint = "/m", .created_at = {1, 0},
                      .size = 3, .reference_count = 1}};
    const std::string volumes =
        R"("Volumes":[{"CreatedAt":"1970-01-01T00:00:01Z","Driver":"local","Labels":null,)"
        R"("Mountpoint":"/m","Name":"v","Options":null,"Scope":"local",)"
        R"("UsageData":{"RefCount":1,"Size":3}}])";
    EXPECT_EQ(api.ask("GET /system/df").body,
              R"({"LayersSize":7,"Images":[{"Containers":2,"Created":1,"Id":"sha256:80",)"
              R"("Labels":null,"ParentId":"","RepoDigests":null,"RepoTags":["a:b"],)"
              R"("SharedSize":0,"Size":7}],"Containers":[],)" +
                  volumes + ",\"BuildCache\":[]}\n");
    EXPECT_EQ(api.ask("GET /system/df?type=volume").body,
              R"({"LayersSize":0,"Images":null,"Containers":null,)" + volumes +
                  ",\"BuildCache\":null}\n");
    EXPECT_EQ(api.ask("GET /system/df?type=x").body, message("unknown object type: x"));
    EXPECT_EQ(api.ask("GET /v1.41/system/df?type=x").status, 200);
}

TEST_F(System, DebugAnswersWhatThereIs) {
    const auto type = [&](const char* call) {
        const auto answer = api.ask(call);
        return std::to_string(answer.status) + " " + answer.headers.at("content-type");
    };
    EXPECT_EQ(type("GET /debug/vars"), "200 application/json; charset=utf-8");
    EXPECT_EQ(type("GET /debug/pprof/"), "200 text/html; charset=utf-8");
    EXPECT_EQ(type("GET /debug/pprof/cmdline"), "200 text/plain; charset=utf-8");
    EXPECT_EQ(api.ask("GET /debug/pprof/symbol").body, "num_symbols: 0\n");
    EXPECT_NE(api.ask("GET /debug/pprof/goroutine").body.find("thread "), std::string::npos);
    // What only Go's runtime has, and what nobody has.
    EXPECT_EQ(api.ask("GET /debug/pprof/profile").status, 501);
    EXPECT_EQ(api.ask("GET /debug/pprof/trace").status, 501);
    EXPECT_EQ(api.ask("GET /debug/pprof/heap").status, 501);
    EXPECT_EQ(api.ask("GET /debug/pprof/nope").status, 404);
    EXPECT_EQ(api.ask("GET /debug/pprof/nope").body, "Unknown profile\n");
}

}  // namespace
}  // namespace dockerd::test
