#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/runtime/plan_container.hpp>

#include "process.hpp"

namespace dockerd::runtime {

namespace {

/// Source: moby oci/defaults.go, defaultUnixPathEnv.
constexpr const char* default_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Source: runc rlimit_linux.go.
constexpr std::array<std::pair<std::string_view, std::uint32_t>, 16> limit_numbers{{
    {"AS", RLIMIT_AS},
    {"CORE", RLIMIT_CORE},
    {"CPU", RLIMIT_CPU},
    {"DATA", RLIMIT_DATA},
    {"FSIZE", RLIMIT_FSIZE},
    {"LOCKS", RLIMIT_LOCKS},
    {"MEMLOCK", RLIMIT_MEMLOCK},
    {"MSGQUEUE", RLIMIT_MSGQUEUE},
    {"NICE", RLIMIT_NICE},
    {"NOFILE", RLIMIT_NOFILE},
    {"NPROC", RLIMIT_NPROC},
    {"RSS", RLIMIT_RSS},
    {"RTPRIO", RLIMIT_RTPRIO},
    {"RTTIME", RLIMIT_RTTIME},
    {"SIGPENDING", RLIMIT_SIGPENDING},
    {"STACK", RLIMIT_STACK},
}};

ResourceLimit numbered(const model::Ulimit& ulimit) {
    std::string name = ulimit.name;
    std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    const auto found =
        std::ranges::find(limit_numbers, name, [](const auto& entry) { return entry.first; });
    if (found == limit_numbers.end()) {
        base::fail(base::ErrorKind::internal, fmt::format("wrong rlimit value: RLIMIT_{}", name));
    }
    return {.type = found->second,
            .soft = static_cast<std::uint64_t>(ulimit.soft),
            .hard = static_cast<std::uint64_t>(ulimit.hard)};
}

}  // namespace

std::vector<std::string> merge_environment(std::vector<std::string> defaults,
                                           const std::vector<std::string>& overrides) {
    std::map<std::string, std::size_t, std::less<>> places;
    for (std::size_t at = 0; at < defaults.size(); ++at) {
        places[defaults[at].substr(0, defaults[at].find('='))] = at;
    }
    for (const std::string& entry : overrides) {
        const std::size_t equals = entry.find('=');
        const auto place = places.find(std::string_view(entry).substr(0, equals));
        if (equals == std::string::npos) {
            if (place != places.end()) defaults[place->second].clear();
        } else if (place != places.end()) {
            defaults[place->second] = entry;
        } else {
            // Docker does not note these: of two equal names among the overrides both stay.
            defaults.push_back(entry);
        }
    }
    std::erase(defaults, "");
    return defaults;
}

std::vector<std::string> container_environment(const model::ContainerConfig& config,
                                               const std::vector<std::string>& linked_env,
                                               bool tty) {
    std::vector<std::string> env{default_path, "HOSTNAME=" + config.hostname};
    if (tty) env.emplace_back("TERM=xterm");
    env.insert(env.end(), linked_env.begin(), linked_env.end());
    return merge_environment(std::move(env), config.env);
}

std::vector<ResourceLimit> resource_limits(const model::List<model::Ulimit>& own,
                                           const model::List<model::Ulimit>& defaults) {
    std::vector<ResourceLimit> limits;
    for (const model::Ulimit& ulimit : own) limits.push_back(numbered(ulimit));
    for (const model::Ulimit& ulimit : defaults) {
        if (std::ranges::find(own, ulimit.name, &model::Ulimit::name) == own.end()) {
            limits.push_back(numbered(ulimit));
        }
    }
    return limits;
}

std::string apparmor_profile(const HostFacts& facts, const SecurityOptions& security,
                             bool privileged) {
    if (!facts.app_armor) return {};
    if (!security.apparmor.empty()) return security.apparmor;
    return privileged ? "unconfined" : "docker-default";
}

CapabilitySets capability_sets(CapabilitySet capabilities) {
    return {.bounding = capabilities, .effective = capabilities, .permitted = capabilities};
}

ConsoleSize console_size(const std::array<std::int64_t, 2>& size) {
    const auto side = [](std::int64_t cells) {
        return static_cast<std::uint16_t>(std::clamp<std::int64_t>(cells, 0, 65535));
    };
    return {.height = side(size[0]), .width = side(size[1])};
}

void set_seccomp(ProcessPlan& process, const SeccompFilterPtr& filter) {
    if (!filter) return;
    process.seccomp_program = {filter, &filter->program};
    process.seccomp_flags = filter->flags;
}

ExecPlan plan_exec(const ExecInput& input) {
    const model::ExecCreate& exec = *input.exec;
    ExecPlan plan;
    plan.id = input.exec_id;
    plan.privileged = exec.privileged;
    ProcessPlan& process = plan.process;
    process.args = exec.cmd;
    process.env = merge_environment(
        container_environment(*input.config, input.linked_env, exec.tty), exec.env);
    process.cwd = !exec.working_dir.empty() ? exec.working_dir : input.config->working_dir;
    if (process.cwd.empty()) process.cwd = "/";
    process.user = !exec.user.empty() ? exec.user : input.config->user;
    process.additional_groups = input.host->group_add;
    process.capabilities =
        capability_sets(exec.privileged ? capability_scope().available : input.capabilities);
    set_seccomp(process, input.seccomp);
    process.no_new_privileges = input.security.no_new_privileges;
    process.limits = resource_limits(input.host->resources.ulimits, input.default_ulimits);
    process.has_oom_score_adj = true;
    process.oom_score_adj = static_cast<std::int32_t>(input.host->oom_score_adj);
    process.tty = exec.tty;
    process.open_stdin = exec.attach_stdin;
    if (exec.console_size) process.console_size = console_size(*exec.console_size);
    process.apparmor_profile =
        apparmor_profile(*input.facts, input.security, input.host->privileged);
    return plan;
}

}  // namespace dockerd::runtime
