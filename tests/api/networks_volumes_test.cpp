#include <gtest/gtest.h>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;

class Networks : public testing::Test {
protected:
    ServedApi api;
    FakeNetworks& networks = api.fakes.networks;
};

engine::NetworkDetails net1() {
    engine::NetworkDetails network;
    network.name = "net1";
    network.id = "d34d";
    network.created = {10, 0};
    network.scope = "local";
    network.driver = "bridge";
    network.ipam.driver = "default";
    network.ipam.config.push_back({.subnet = "10.77.0.0/24"});
    network.containers["c1"] = {
        .name = "web", .endpoint_id = "e1", .mac_address = "m", .ipv4_address = "10.77.0.9/24"};
    network.options.given = true;
    network.labels["a"] = "b<c>&";
    return network;
}

std::string net1_text(const std::string& containers) {
    return R"({"Name":"net1","Id":"d34d","Created":"1970-01-01T00:00:10Z","Scope":"local",)"
           R"("Driver":"bridge","EnableIPv4":true,"EnableIPv6":false,"IPAM":{"Driver":"default",)"
           R"("Options":null,"Config":[{"Subnet":"10.77.0.0/24"}]},"Internal":false,)"
           R"("Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,)"
           R"("Containers":)" +
           containers + R"(,"Options":{},"Labels":{"a":"b<c>&"}})";
}
const char* const web_endpoint =
    R"({"c1":{"Name":"web","EndpointID":"e1","MacAddress":"m","IPv4Address":"10.77.0.9/24",)"
    R"("IPv6Address":""}})";

TEST_F(Networks, ListLeavesContainersOutFrom128) {
    networks.on_list = [](const model::Filters&) { return std::vector{net1()}; };
    EXPECT_EQ(api.ask("GET /v1.28/networks").body, "[" + net1_text("{}") + "]\n");
    EXPECT_EQ(api.ask("GET /v1.27/networks/").body, "[" + net1_text(web_endpoint) + "]\n");
    networks.on_list = [](const model::Filters&) { return std::vector<engine::NetworkDetails>(); };
    EXPECT_EQ(api.ask("GET /networks").body, "[]\n");
    EXPECT_EQ(api.ask("GET /networks?filters=%7B%22xyz%22%3A%5B%22a%22%5D%7D").body,
              message("invalid filter 'xyz'"));
}

TEST_F(Networks, InspectTakesScopeAndVerbose) {
    networks.on_inspect = [](std::string_view name, const std::string& scope) {
        EXPECT_EQ(name, "net1");
        EXPECT_EQ(scope, "local");
        return net1();
    };
    EXPECT_EQ(api.ask("GET /networks/net1?scope=local&verbose=true").body,
              net1_text(web_endpoint) + "\n");
    EXPECT_EQ(api.ask("GET /networks/net1?verbose=x").body,
              message("invalid value for verbose: x: strconv.ParseBool: parsing \"x\": "
                      "invalid syntax"));
}

TEST_F(Networks, CreateForgetsEnableIpv4Before148) {
    model::NetworkCreate seen;
    networks.on_create = [&](const model::NetworkCreate& create) {
        seen = create;
        return FakeNetworks::CreateResult{.id = "n1", .warning = ""};
    };
    const std::string body = R"({"Name":"n","EnableIPv4":false,"CheckDuplicate":true,)"
                             R"("ConfigFrom":{"Network":"base"}})";
    const Answer answer = api.ask("POST /v1.47/networks/create", body);
    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(answer.body, "{\"Id\":\"n1\",\"Warning\":\"\"}\n");
    EXPECT_EQ(seen.name, "n");
    EXPECT_EQ(seen.config_from, "base");
    EXPECT_FALSE(seen.enable_ipv4);
    api.ask("POST /v1.48/networks/create", body);
    EXPECT_EQ(seen.enable_ipv4, false);
}

TEST_F(Networks, ConnectDisconnectRemoveAndPrune) {
    networks.on_connect = [](std::string_view name, const model::NetworkConnect& connect) {
        EXPECT_EQ(name, "net1");
        EXPECT_EQ(connect.container, "web");
        EXPECT_EQ(connect.endpoint_config->aliases, (std::vector<std::string>{"a"}));
    };
    const Answer connected = api.ask("POST /networks/net1/connect",
                                     R"({"Container":"web","EndpointConfig":{"Aliases":["a"]}})");
    EXPECT_EQ(connected.status, 200);
    EXPECT_EQ(connected.body, "");
    networks.on_disconnect = [](std::string_view, const model::NetworkDisconnect& connect) {
        EXPECT_TRUE(connect.force);
        throw Error(ErrorKind::internal, "container web is not connected to network net1");
    };
    const Answer disconnected =
        api.ask("POST /networks/net1/disconnect", R"({"Container":"web","Force":true})");
    EXPECT_EQ(disconnected.status, 500);
    networks.on_remove = [](std::string_view name) { EXPECT_EQ(name, "net1"); };
    EXPECT_EQ(api.ask("DELETE /networks/net1").status, 204);
    networks.on_prune = [](const model::Filters&) { return std::vector<std::string>{}; };
    EXPECT_EQ(api.ask("POST /networks/prune").body, "{\"NetworksDeleted\":null}\n");
}

class Volumes : public testing::Test {
protected:
    ServedApi api;
    FakeVolumes& volumes = api.fakes.volumes;
};

engine::Volume vol1() {
    engine::Volume volume;
    volume.name = "vol1";
    volume.driver = "local";
    volume.mountpoint = "/v/vol1/_data";
    volume.created_at = {10, 999};
    volume.labels["k"] = "v";
    return volume;
}
const char* const vol1_text =
    R"({"CreatedAt":"1970-01-01T00:00:10Z","Driver":"local","Labels":{"k":"v"},)"
    R"("Mountpoint":"/v/vol1/_data","Name":"vol1","Options":null,"Scope":"local"})";

TEST_F(Volumes, ListInspectAndCreate) {
    volumes.on_list = [](const model::Filters&) { return engine::VolumeList{{vol1()}, {}}; };
    EXPECT_EQ(api.ask("GET /volumes").body,
              std::string(R"({"Volumes":[)") + vol1_text + "],\"Warnings\":null}\n");
    EXPECT_EQ(api.ask("GET /volumes?filters=x").body,
              message("error reading volume filters: invalid filter"));
    volumes.on_inspect = [](std::string_view) { return vol1(); };
    EXPECT_EQ(api.ask("GET /volumes/vol1").body, std::string(vol1_text) + "\n");
    model::VolumeCreate seen;
    volumes.on_create = [&](const model::VolumeCreate& create) {
        seen = create;
        return vol1();
    };
    const Answer created =
        api.ask("POST /volumes/create", R"({"Name":"vol1","DriverOpts":{"type":"tmpfs"}})");
    EXPECT_EQ(created.status, 201);
    EXPECT_EQ(created.body, std::string(vol1_text) + "\n");
    EXPECT_EQ(seen.driver_opts.at("type"), "tmpfs");
    EXPECT_EQ(api.ask("POST /volumes/create").status, 201);
    EXPECT_EQ(seen.name, "");
}

TEST_F(Volumes, RemoveUpdateAndPrune) {
    volumes.on_remove = [](std::string_view name, bool force) {
        EXPECT_EQ(name, "vol1");
        EXPECT_TRUE(force);
    };
    EXPECT_EQ(api.ask("DELETE /volumes/vol1?force=1").status, 204);
    const Answer update = api.ask("PUT /volumes/vol1");
    EXPECT_EQ(update.status, 503);
    EXPECT_EQ(update.body, message("volume update only valid for cluster volumes, but swarm is "
                                   "unavailable"));
    model::Filters seen;
    volumes.on_prune = [&](const model::Filters& filters) {
        seen = filters;
        return FakeVolumes::PruneResult{};
    };
    EXPECT_EQ(api.ask("POST /v1.42/volumes/prune").body,
              "{\"VolumesDeleted\":[],\"SpaceReclaimed\":0}\n");
    EXPECT_FALSE(seen.contains("all"));
    api.ask("POST /v1.41/volumes/prune");
    EXPECT_EQ(seen.get("all"), (std::set<std::string>{"true"}));
}

}  // namespace
}  // namespace dockerd::test
