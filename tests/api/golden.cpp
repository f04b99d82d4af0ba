#include "golden.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>

#include <dockerd/model/json.hpp>

namespace dockerd::test {

using base::Json;

namespace {

engine::ContainerStatus read_status(const std::string& text) {
    using engine::ContainerStatus;
    if (text == "created") return ContainerStatus::created;
    if (text == "running") return ContainerStatus::running;
    return ContainerStatus::exited;
}

base::WallTime time_of(const Json& json) {
    return base::parse_rfc3339(json.get<std::string>()).value();
}

engine::ContainerState read_state(const Json& json) {
    engine::ContainerState state;
    state.status = read_status(json["Status"]);
    state.running = json["Running"];
    state.pid = json["Pid"];
    state.exit_code = json["ExitCode"];
    state.started_at = time_of(json["StartedAt"]);
    state.finished_at = time_of(json["FinishedAt"]);
    if (!json.contains("Health")) return state;
    const Json& health = json["Health"];
    state.health.emplace();
    state.health->status = health["Status"];
    state.health->failing_streak = health["FailingStreak"];
    for (const Json& entry : health["Log"]) {
        state.health->log.push_back({.start = time_of(entry["Start"]),
                                     .end = time_of(entry["End"]),
                                     .exit_code = entry["ExitCode"],
                                     .output = entry["Output"]});
    }
    return state;
}

std::vector<engine::MountPoint> read_mounts(const Json& json) {
    std::vector<engine::MountPoint> mounts;
    for (const Json& mount : json) {
        mounts.push_back({.type = mount["Type"],
                          .name = mount.value("Name", ""),
                          .source = mount["Source"],
                          .destination = mount["Destination"],
                          .driver = mount.value("Driver", ""),
                          .mode = mount["Mode"],
                          .rw = mount["RW"],
                          .propagation = mount["Propagation"]});
    }
    return mounts;
}

}  // namespace

std::string golden(const std::string& name) {
    std::ifstream file(std::string(DOCKERD_TEST_DATA) + "/" + name);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

engine::ContainerSnapshot read_inspect(const std::string& text) {
    const Json json = Json::parse(text);
    engine::ContainerSnapshot container;
    container.id = json["Id"];
    container.name = json["Name"];
    container.created = time_of(json["Created"]);
    container.path = json["Path"];
    container.args = json["Args"].get<std::vector<std::string>>();
    container.state = read_state(json["State"]);
    container.image_id = json["Image"];
    container.resolv_conf_path = json["ResolvConfPath"];
    container.hostname_path = json["HostnamePath"];
    container.hosts_path = json["HostsPath"];
    container.log_path = json["LogPath"];
    container.driver = json["Driver"];
    container.platform = json["Platform"];
    auto config = std::make_shared<model::ContainerConfig>();
    model::decode(json["Config"], *config);
    container.config = std::move(config);
    auto host_config = std::make_shared<model::HostConfig>();
    model::decode(json["HostConfig"], *host_config);
    container.host_config = std::move(host_config);
    if (json["ExecIDs"].is_array()) {
        container.exec_ids = json["ExecIDs"].get<std::vector<std::string>>();
    }
    container.graph_driver.name = json["GraphDriver"]["Name"];
    container.graph_driver.data =
        json["GraphDriver"]["Data"].get<std::map<std::string, std::string>>();
    if (json.contains("SizeRw")) container.size_rw = json["SizeRw"].get<std::int64_t>();
    if (json.contains("SizeRootFs")) {
        container.size_root_fs = json["SizeRootFs"].get<std::int64_t>();
    }
    container.mounts = read_mounts(json["Mounts"]);
    const Json& network = json["NetworkSettings"];
    container.network.sandbox_id = network["SandboxID"];
    container.network.sandbox_key = network["SandboxKey"];
    model::decode(network["Ports"], container.network.ports);
    model::decode(network["Networks"], container.network.networks);
    return container;
}

std::vector<engine::ContainerSummary> read_list(const std::string& text) {
    std::vector<engine::ContainerSummary> rows;
    for (const Json& json : Json::parse(text)) {
        auto container = std::make_shared<engine::ContainerSnapshot>();
        container->id = json["Id"];
        container->name = json["Names"][0];
        container->path = json["Command"];
        container->image_id = json["ImageID"];
        container->created = {json["Created"].get<std::int64_t>(), 0};
        container->state.status = read_status(json["State"]);
        auto config = std::make_shared<model::ContainerConfig>();
        model::decode(json["Labels"], config->labels);
        container->config = std::move(config);
        auto host_config = std::make_shared<model::HostConfig>();
        host_config->network_mode = json["HostConfig"].value("NetworkMode", "");
        if (json["HostConfig"].contains("Annotations")) {
            model::decode(json["HostConfig"]["Annotations"], host_config->annotations);
        }
        container->host_config = std::move(host_config);
        model::decode(json["NetworkSettings"]["Networks"], container->network.networks);
        container->mounts = read_mounts(json["Mounts"]);
        for (const Json& port : json["Ports"]) {
            container->ports.push_back({.host_ip = port.value("IP", ""),
                                        .private_port = port["PrivatePort"],
                                        .public_port = port.value("PublicPort", std::uint16_t{0}),
                                        .protocol = port["Type"]});
        }
        engine::ContainerSummary row;
        row.container = container;
        row.image = json["Image"];
        row.status_text = json["Status"];
        if (json.contains("SizeRootFs")) row.size_root_fs = json["SizeRootFs"].get<std::int64_t>();
        rows.push_back(std::move(row));
    }
    return rows;
}

}  // namespace dockerd::test
