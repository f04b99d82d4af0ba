#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::store {
class StartWrites;
}

namespace dockerd::engine {

/// Facts of this machine that do not change while the daemon runs.
struct HostFacts {
    std::string kernel_version;    ///< "6.1.0-18-amd64"
    std::string architecture;      ///< as uname prints it: "x86_64"
    std::string operating_system;  ///< "Debian GNU/Linux 12 (bookworm)"
    std::string os_version;        ///< "12"
};

/// `root` is "/" but in tests.
HostFacts read_host_facts(const std::string& root = "/");

/// Value of `key` in an os-release file. Source: moby pkg/parsers/operatingsystem.
std::string os_release_value(std::string_view text, std::string_view key);

/// True when process 1 lies in a cgroup of its own, as in a container.
bool is_containerized(std::string_view proc_1_cgroup);

/// uname's release with three numbers at least. Source: moby pkg/parsers/kernel, VersionInfo.
std::string kernel_version_text(std::string_view release);

/// "amd64" for "x86_64": Go's name of an architecture.
std::string go_architecture(std::string_view machine);

/// Units: bytes.
std::int64_t total_memory();
std::string host_name();
std::int64_t open_descriptors();
std::int64_t thread_count();

/// `url` with its user and password made unreadable. Source: moby daemon/config, MaskCredentials.
std::string mask_credentials(const std::string& url);

/// The engine's id from <data_root>/engine-id; made, durably, when there is none; with
/// `later` when that settles.
/// Source: moby daemon/id.go.
std::string load_or_create_id(const std::string& data_root, store::StartWrites* later = nullptr);

}  // namespace dockerd::engine
