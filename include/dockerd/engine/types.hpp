#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/memo.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>

/// What the engine tells the API about containers: immutable values, free of JSON and versions.
namespace dockerd::engine {

/// A source of bytes: reads up to buffer.size(), 0 at the end. Throws when the peer is gone.
using ByteReader = std::function<std::size_t(std::span<char> buffer)>;
/// A sink of bytes. Throws when the peer is gone.
using ByteWriter = std::function<void(std::string_view bytes)>;

/// Ends a subscription when destroyed; after that the callback is not running and not called.
class Subscription {
public:
    Subscription() = default;
    explicit Subscription(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
    Subscription(Subscription&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
    Subscription& operator=(Subscription&& other) noexcept {
        if (this != &other) {
            reset();
            cancel_ = std::exchange(other.cancel_, nullptr);
        }
        return *this;
    }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription() { reset(); }

    /// Cancels now.
    void reset() {
        if (const auto cancel = std::exchange(cancel_, nullptr)) cancel();
    }

private:
    std::function<void()> cancel_;
};

/// Docker's states of a container.
enum class ContainerStatus { created, restarting, running, removing, paused, exited, dead };

/// "running", as in State.Status. Source: moby container/state.go, StateString.
const char* status_name(ContainerStatus status);

/// One run of a health check.
struct HealthResult {
    base::WallTime start;
    base::WallTime end;
    std::int64_t exit_code = 0;
    std::string output;
};

/// Source: moby api/types/container/health.go. status: none, starting, healthy, unhealthy.
struct Health {
    std::string status;
    std::int64_t failing_streak = 0;
    std::vector<HealthResult> log;
};

/// Source: API document, ContainerState.
struct ContainerState {
    ContainerStatus status = ContainerStatus::created;
    bool running = false;  ///< also true while paused or restarting, as Docker shows it
    bool paused = false;
    bool restarting = false;
    bool removing = false;
    bool oom_killed = false;
    bool dead = false;
    std::int64_t pid = 0;
    std::int64_t exit_code = 0;
    std::string error;
    base::WallTime started_at;
    base::WallTime finished_at;
    std::optional<Health> health;
};

/// One mount as inspect and ps show it. Source: API document, MountPoint.
struct MountPoint {
    std::string type;
    std::string name;
    std::string source;
    std::string destination;
    std::string driver;
    std::string mode;
    bool rw = true;
    std::string propagation;
};

/// A published or exposed port. public_port 0: only exposed.
struct PublishedPort {
    std::string host_ip;
    std::uint16_t private_port = 0;
    std::uint16_t public_port = 0;
    std::string protocol;
};

/// A container's networks as they stand. The legacy fields repeat the default bridge's.
struct NetworkState {
    std::string sandbox_id;
    std::string sandbox_key;
    /// Source: API document, NetworkSettings.Ports: "80/tcp" to bindings; null when only exposed.
    model::PortMap ports;
    model::Map<model::EndpointSettings> networks;
};

/// Source: API document, DriverData.
struct GraphDriver {
    std::string name;
    std::map<std::string, std::string> data;
};

/// Everything there is to tell about a container at one moment.
struct ContainerSnapshot {
    std::string id;
    std::string name;  ///< with the leading slash
    std::vector<std::string> link_names;  ///< "/other/alias": how linked containers call it
    base::WallTime created;
    std::string path;
    std::vector<std::string> args;
    // Shared by the snapshots that differ in state only; never null.
    std::shared_ptr<const model::ContainerConfig> config;
    std::shared_ptr<const model::HostConfig> host_config;
    ContainerState state;
    std::string image_id;  ///< "sha256:..."
    std::vector<std::string> mounted_images;  ///< ids of images its mounts show
    std::string resolv_conf_path;
    std::string hostname_path;
    std::string hosts_path;
    std::string log_path;
    std::int64_t restart_count = 0;
    std::string driver;
    std::string platform;
    std::string mount_label;
    std::string process_label;
    std::string app_armor_profile;
    std::vector<std::string> exec_ids;
    GraphDriver graph_driver;
    std::vector<MountPoint> mounts;
    std::vector<PublishedPort> ports;
    NetworkState network;
    std::optional<std::int64_t> size_rw;
    std::optional<std::int64_t> size_root_fs;
    /// What lists repeat for as long as the snapshot stands, in pieces: theirs who write lists.
    base::Memo<std::vector<std::string>> list_pieces;
};
using ContainerPtr = std::shared_ptr<const ContainerSnapshot>;

/// One row of `docker ps`: the snapshot, and what is computed for the list.
struct ContainerSummary {
    ContainerPtr container;
    std::string image;        ///< the name to show: as given, or the id when the tag moved on
    std::string status_text;  ///< "Up 2 hours (healthy)"
    std::optional<std::int64_t> size_rw;
    std::optional<std::int64_t> size_root_fs;
};

/// An exec at one moment.
struct ExecSnapshot {
    std::string id;
    std::string container_id;
    bool running = false;
    bool can_remove = false;
    std::optional<std::int64_t> exit_code;
    std::int64_t pid = 0;
    std::string entrypoint;
    std::vector<std::string> arguments;
    std::string user;
    bool tty = false;
    bool privileged = false;
    bool open_stdin = false;
    bool open_stdout = false;
    bool open_stderr = false;
    std::string detach_keys;  ///< the bytes of the sequence, not its names
};

/// The table of ps.
struct TopResult {
    std::vector<std::string> titles;
    std::vector<std::vector<std::string>> processes;
};

}  // namespace dockerd::engine
