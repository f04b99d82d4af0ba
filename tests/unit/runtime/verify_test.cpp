#include <dockerd/runtime/verify.hpp>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {
namespace {

using Warnings = std::vector<std::string>;

SysInfo full_sysinfo() {
    SysInfo info;
    for (bool SysInfo::*field :
         {&SysInfo::memory_limit, &SysInfo::swap_limit, &SysInfo::memory_reservation,
          &SysInfo::oom_kill_disable, &SysInfo::memory_swappiness, &SysInfo::kernel_memory,
          &SysInfo::cpu_shares, &SysInfo::cpu_cfs, &SysInfo::blkio_weight,
          &SysInfo::blkio_weight_device, &SysInfo::cpuset, &SysInfo::pids_limit,
          &SysInfo::cgroup_namespaces}) {
        info.*field = true;
    }
    info.cpus = "0-1";
    info.mems = "0";
    info.cpu_set = {0, 1};
    info.mem_set = {0};
    info.num_cpu = 2;
    return info;
}

/// The text of the refusal, or the warnings joined by newlines.
std::string verify(model::HostConfig host, const SysInfo& info = full_sysinfo(),
                   const VerifyOptions& options = {}) {
    try {
        std::string all;
        for (const auto& warning : verify_host_config(host, info, options)) all += warning + "\n";
        return all;
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        return error.what();
    }
}

template <typename Change>
std::string with(Change change, const SysInfo& info = full_sysinfo()) {
    model::HostConfig host;
    change(host);
    return verify(std::move(host), info);
}

template <typename Change>
std::string limits(Change change, const SysInfo& info = full_sysinfo()) {
    return with([&](model::HostConfig& host) { change(host.resources); }, info);
}

TEST(VerifyHostConfig, RefusesMemoryAsDockerDoes) {
    EXPECT_EQ(limits([](auto& r) { r.memory = 1; }), "Minimum memory limit allowed is 6MB");
    EXPECT_EQ(limits([](auto& r) {
                  r.memory = 64 << 20;
                  r.memory_swap = 32 << 20;
              }),
              "Minimum memoryswap limit should be larger than memory limit, see usage");
    EXPECT_EQ(limits([](auto& r) { r.memory_swap = 32 << 20; }),
              "You should always set the Memory limit when using Memoryswap limit, see usage");
    EXPECT_EQ(limits([](auto& r) { r.memory_swappiness = 101; }),
              "Invalid value: 101, valid memory swappiness range is 0-100");
    EXPECT_EQ(limits([](auto& r) { r.memory_swappiness = -1; }), "");
    EXPECT_EQ(limits([](auto& r) { r.memory_reservation = 1; }),
              "Minimum memory reservation allowed is 6MB");
    EXPECT_EQ(limits([](auto& r) {
                  r.memory = 8 << 20;
                  r.memory_reservation = 9 << 20;
              }),
              "Minimum memory limit can not be less than memory reservation limit, see usage");
}

TEST(VerifyHostConfig, RefusesCpuAsDockerDoes) {
    EXPECT_EQ(limits([](auto& r) { r.nano_cpus = 3'000'000'000; }),
              "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available");
    EXPECT_EQ(limits([](auto& r) { r.nano_cpus = 2'000'000'000; }), "");
    EXPECT_EQ(limits([](auto& r) {
                  r.nano_cpus = 1;
                  r.cpu_period = 1000;
              }),
              "Conflicting options: Nano CPUs and CPU Period cannot both be set");
    EXPECT_EQ(limits([](auto& r) { r.cpu_period = 10; }),
              "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. "
              "1000000)");
    EXPECT_EQ(limits([](auto& r) { r.cpu_quota = 10; }),
              "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    EXPECT_EQ(limits([](auto& r) { r.cpuset_cpus = "0-9"; }),
              "Requested CPUs are not available - requested 0-9, available: 0-1");
    EXPECT_EQ(limits([](auto& r) { r.cpuset_mems = "1"; }),
              "Requested memory nodes are not available - requested 1, available: 0");
    EXPECT_EQ(limits([](auto& r) { r.cpuset_cpus = "a"; }),
              "Invalid value a for cpuset cpus: invalid format: a");
    EXPECT_EQ(limits([](auto& r) { r.cpuset_cpus = "1-100000000000"; }),
              "Invalid value 1-100000000000 for cpuset cpus: value of out range, maximum is 8192");
    EXPECT_EQ(limits([](auto& r) { r.blkio_weight = 5; }),
              "Range of blkio weight is from 10 to 1000");
}

TEST(VerifyHostConfig, TakesBackWhatTheKernelLacks) {
    SysInfo none;
    none.num_cpu = 2;
    none.cgroup_namespaces = true;
    model::HostConfig host;
    model::Resources& r = host.resources;
    r.memory = 64 << 20;
    r.memory_swap = 128 << 20;
    r.memory_reservation = 32 << 20;
    r.oom_kill_disable = false;
    r.pids_limit = 10;
    r.cpu_shares = 512;
    r.cpu_quota = 50000;
    r.cpuset_cpus = "0";
    r.blkio_weight_device.push_back({"/dev/sda", 100});
    const Warnings warnings = verify_host_config(host, none, {});
    EXPECT_EQ(warnings.size(), 7u);
    EXPECT_EQ(
        warnings.front(),
        "Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
        "Limitation discarded.");
    EXPECT_EQ(r.memory, 0);
    EXPECT_EQ(r.memory_swap, -1);
    EXPECT_EQ(r.memory_reservation, 0);
    EXPECT_FALSE(r.oom_kill_disable);
    EXPECT_FALSE(r.pids_limit);
    EXPECT_EQ(r.cpu_shares, 0);
    EXPECT_EQ(r.cpu_quota, 0);
    EXPECT_EQ(r.cpuset_cpus, "");
    EXPECT_TRUE(r.blkio_weight_device.empty());
    EXPECT_FALSE(r.blkio_weight_device.is_null());
}

TEST(VerifyHostConfig, ChecksModes) {
    EXPECT_EQ(with([](auto& h) { h.ipc_mode = "x"; }), "invalid IPC mode: x");
    EXPECT_EQ(with([](auto& h) { h.ipc_mode = "container:"; }), "");
    EXPECT_EQ(with([](auto& h) { h.pid_mode = "container:"; }), "invalid PID mode: container:");
    EXPECT_EQ(with([](auto& h) { h.uts_mode = "x"; }), "invalid UTS mode: x");
    EXPECT_EQ(with([](auto& h) { h.shm_size = -1; }), "SHM size can not be less than 0");
    EXPECT_EQ(with([](auto& h) { h.oom_score_adj = 1001; }),
              "Invalid value 1001, range for oom score adj is [-1000, 1000]");
    EXPECT_EQ(with([](auto& h) { h.cgroupns_mode = "x"; }), "invalid cgroup namespace mode: x");
    EXPECT_EQ(with([](auto& h) { h.tmpfs["/a/.."] = ""; }),
              "invalid specification: destination can't be '/'");
    EXPECT_EQ(with([](auto& h) { h.tmpfs["a"] = ""; }),
              "invalid mount path: 'a' mount path must be absolute");
    EXPECT_EQ(with([](auto& h) {
                  h.network_mode = "host";
                  h.port_bindings["80/tcp"] = {};
              }),
              "Published ports are discarded when using host network mode\n");
}

TEST(VerifyHostConfig, LooksAtTheDaemonsOwnOptions) {
    model::HostConfig host;
    host.resources.cgroup_parent = "a.slice";
    EXPECT_EQ(verify(host, full_sysinfo(), {.systemd_driver = true}), "");
    host.resources.cgroup_parent = "/a";
    EXPECT_EQ(verify(host, full_sysinfo(), {.systemd_driver = true}),
              "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"");
    host = {};
    host.privileged = true;
    EXPECT_EQ(verify(host, full_sysinfo(), {.remapped_root = true}),
              "privileged mode is incompatible with user namespaces.  You must run the container "
              "in the host namespace when running privileged mode");
    host.userns_mode = "host";
    EXPECT_EQ(verify(host, full_sysinfo(), {.remapped_root = true}), "");
}

TEST(AdaptHostConfig, FillsInDefaults) {
    model::HostConfig host;
    host.resources.memory = 64 << 20;
    SysInfo info;
    adapt_host_config(host, info, {});
    EXPECT_EQ(host.resources.memory_swap, 128 << 20);
    EXPECT_EQ(host.shm_size, 67108864);
    EXPECT_EQ(host.ipc_mode, "private");
    EXPECT_EQ(host.cgroupns_mode, "host");
    EXPECT_EQ(host.resources.oom_kill_disable, false);
    info.cgroup_unified = true;
    model::HostConfig privileged;
    privileged.privileged = true;
    adapt_host_config(privileged, info, {});
    EXPECT_EQ(privileged.cgroupns_mode, "private");
}

}  // namespace
}  // namespace dockerd::runtime
