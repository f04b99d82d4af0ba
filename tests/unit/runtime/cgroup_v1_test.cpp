#include <dockerd/runtime/cgroup.hpp>

#include <algorithm>

#include <dockerd/base/error.hpp>

#include "recorded_cgroups.hpp"

namespace dockerd::runtime {
namespace {

class CgroupV1 : public RecordedCgroups {
protected:
    void SetUp() override {
        RecordedCgroups::SetUp();
        for (const char* name : {"cpu,cpuacct", "memory", "cpuset", "devices", "freezer", "blkio",
                                 "pids", "systemd"}) {
            put(std::string(name) + "/docker/abc/cgroup.procs");
            put(std::string(name) + "/docker/abc/tasks");
        }
        put_all("cpu,cpuacct/docker/abc",
                {{"cpu.shares", "300\n"}, {"cpu.cfs_period_us", ""}, {"cpu.cfs_quota_us", ""}});
        put_all("memory/docker/abc", {{"memory.limit_in_bytes", "9223372036854771712\n"},
                                      {"memory.memsw.limit_in_bytes", ""},
                                      {"memory.soft_limit_in_bytes", ""},
                                      {"memory.swappiness", ""},
                                      {"memory.oom_control", ""}});
        put_all("cpuset", {{"cpuset.cpus", "0-1\n"}, {"cpuset.mems", "0\n"}});
        put_all("cpuset/docker", {{"cpuset.cpus", "\n"}, {"cpuset.mems", "\n"}});
        put_all("cpuset/docker/abc", {{"cpuset.cpus", "\n"}, {"cpuset.mems", "\n"}});
        put_all("devices/docker/abc", {{"devices.allow", ""}, {"devices.deny", ""}});
        put("pids/docker/abc/pids.max");
        put_all("blkio/docker/abc", {{"blkio.bfq.weight", ""},
                                     {"blkio.throttle.read_bps_device", ""},
                                     {"blkio.throttle.write_iops_device", ""}});
        host.emplace(CgroupHost::open_recorded(CgroupVersion::v1, root));
    }

    std::optional<CgroupHost> host;
};

TEST_F(CgroupV1, WritesOnlyWhatIsSet) {
    const Cgroup cgroup = host->create("/docker", "abc", {});
    EXPECT_EQ(cgroup.path(), "/docker/abc");
    EXPECT_EQ(get("pids/docker/abc/pids.max"), "");
    EXPECT_EQ(get("devices/docker/abc/devices.deny"), "");
    EXPECT_EQ(get("cpuset/docker/cpuset.cpus"), "0-1") << "the parent is filled first";
    EXPECT_EQ(get("cpuset/docker/abc/cpuset.cpus"), "0-1");
    EXPECT_EQ(get("cpuset/docker/abc/cpuset.mems"), "0");
    EXPECT_EQ(cgroup.open_procs().size(), 8u);
}

TEST_F(CgroupV1, NoLimitOfProcessesIsNotTold) {
    put_all("pids/docker/abc", {{"pids.current", "3\n"}, {"pids.max", "max\n"}});
    const Cgroup cgroup = host->create("/docker", "abc", {});
    EXPECT_EQ(cgroup.stats().pids.current, 3u);
    EXPECT_EQ(cgroup.stats().pids.limit, 0u);
    put("pids/docker/abc/pids.max", "20\n");
    EXPECT_EQ(cgroup.stats().pids.limit, 20u);
}

TEST_F(CgroupV1, WritesEveryLimit) {
    CgroupLimits limits;
    limits.memory = 64 << 20;
    limits.memory_swap = 128 << 20;
    limits.memory_reservation = 32 << 20;
    limits.memory_swappiness = 10;
    limits.oom_kill_disable = true;
    limits.cpu_shares = 300;
    limits.cpu_period = 50000;
    limits.cpu_quota = 25000;
    limits.cpuset_cpus = "1";
    limits.pids = 77;
    limits.blkio_weight = 300;
    limits.read_bps = {{8, 0, 1048576}};
    limits.write_iops = {{8, 16, 100}};
    (void)host->create("/docker", "abc", limits);
    EXPECT_EQ(get("memory/docker/abc/memory.limit_in_bytes"), "67108864");
    EXPECT_EQ(get("memory/docker/abc/memory.memsw.limit_in_bytes"), "134217728");
    EXPECT_EQ(get("memory/docker/abc/memory.soft_limit_in_bytes"), "33554432");
    EXPECT_EQ(get("memory/docker/abc/memory.swappiness"), "10");
    EXPECT_EQ(get("memory/docker/abc/memory.oom_control"), "1");
    EXPECT_EQ(get("cpu,cpuacct/docker/abc/cpu.shares"), "300");
    EXPECT_EQ(get("cpu,cpuacct/docker/abc/cpu.cfs_period_us"), "50000");
    EXPECT_EQ(get("cpu,cpuacct/docker/abc/cpu.cfs_quota_us"), "25000");
    EXPECT_EQ(get("cpuset/docker/abc/cpuset.cpus"), "1");
    EXPECT_EQ(get("pids/docker/abc/pids.max"), "77");
    EXPECT_EQ(get("blkio/docker/abc/blkio.bfq.weight"), "300");
    EXPECT_EQ(get("blkio/docker/abc/blkio.throttle.read_bps_device"), "8:0 1048576");
    EXPECT_EQ(get("blkio/docker/abc/blkio.throttle.write_iops_device"), "8:16 100");
}

TEST_F(CgroupV1, PidsLimitOfZeroOrLessMeansNone) {
    Cgroup cgroup = host->create("/docker", "abc", {});
    CgroupLimits limits;
    limits.pids = 0;
    cgroup.update(limits);
    EXPECT_EQ(get("pids/docker/abc/pids.max"), "max");
}

TEST_F(CgroupV1, NamesTheFileThatRefuses) {
    CgroupLimits limits;
    limits.cpu_rt_runtime = 1000;
    try {
        (void)host->create("/docker", "abc", limits);
        FAIL() << "accepted a limit the kernel does not have";
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::internal);
        EXPECT_EQ(error.what(), "open " + root +
                                    "/cpu,cpuacct/docker/abc/cpu.rt_runtime_us: no such file or "
                                    "directory");
    }
}

TEST_F(CgroupV1, RefusesAPopulatedCgroup) {
    put("cpu,cpuacct/docker/abc/cgroup.procs", "12\n13\n");
    try {
        (void)host->create("/docker", "abc", {});
        FAIL() << "took over a cgroup with processes";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "container's cgroup is not empty: 2 process(es) found");
    }
}

TEST_F(CgroupV1, ParentCannotLeaveTheHierarchy) {
    const Cgroup cgroup = host->attach("/../../docker/./x/..", "abc");
    const auto views = cgroup.mount_views();
    ASSERT_EQ(views.size(), 8u);
    EXPECT_TRUE(std::ranges::any_of(views, [&](const CgroupMountView& view) {
        return view.host_path == root + "/memory/docker/abc" && view.name == "memory";
    }));
}

TEST_F(CgroupV1, ReadsStatistics) {
    put_all("cpu,cpuacct/docker/abc",
            {{"cpuacct.usage", "123456789\n"},
             {"cpuacct.stat", "user 7\nsystem 5\n"},
             {"cpuacct.usage_percpu", "100000000 23456789 \n"},
             {"cpu.stat", "nr_periods 4\nnr_throttled 2\nthrottled_time 99\nnr_bursts 0\n"}});
    put_all("memory/docker/abc",
            {{"memory.stat", "cache 11\nrss 22\ntotal_rss 23\nhierarchical_memsw_limit 5\nnew 1\n"},
             {"memory.usage_in_bytes", "4096\n"},
             {"memory.max_usage_in_bytes", "8192\n"},
             {"memory.failcnt", "3\n"},
             {"memory.limit_in_bytes", "6291456\n"}});
    put_all("blkio/docker/abc",
            {{"blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n"},
             {"blkio.throttle.io_service_bytes", "8:0 Read 4096\nTotal 4096\n"}});
    put_all("pids/docker/abc", {{"pids.current", "5\n"}, {"pids.max", "max\n"}});

    const CgroupStats stats = host->attach("/docker", "abc").stats();

    EXPECT_EQ(stats.cpu.total, 123456789u);
    EXPECT_EQ(stats.cpu.per_cpu, (std::vector<std::uint64_t>{100000000, 23456789}));
    EXPECT_EQ(stats.cpu.user, 70000000u);
    EXPECT_EQ(stats.cpu.kernel, 50000000u);
    EXPECT_EQ(stats.cpu.throttled_time, 99u);
    EXPECT_EQ(stats.memory.usage, 4096u);
    EXPECT_EQ(stats.memory.max_usage, 8192u);
    EXPECT_EQ(stats.memory.failcnt, 3u);
    EXPECT_EQ(stats.memory.limit, 6291456u);
    ASSERT_EQ(stats.memory.stats.size(), 32u);
    EXPECT_TRUE(std::ranges::is_sorted(stats.memory.stats));
    EXPECT_EQ(stats.memory.stats[2], (std::pair<std::string, std::uint64_t>{"cache", 11}));
    ASSERT_EQ(stats.blkio.io_serviced.size(), 3u);
    EXPECT_EQ(stats.blkio.io_serviced[2].op, "Total");
    EXPECT_EQ(stats.blkio.io_service_bytes[0].value, 4096u);
    EXPECT_EQ(stats.pids.current, 5u);
    EXPECT_EQ(stats.pids.limit, 0u);
}

TEST(SystemCpu, SumsSevenFieldsAndCountsProcessors) {
    const SystemCpu cpu = parse_system_cpu(
        "cpu  10 20 30 40 50 60 70 1000 1 1\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 1 1\nintr 5\n");
    EXPECT_EQ(cpu.usage, 280u * 10'000'000u);
    EXPECT_EQ(cpu.cpus, 2u);
}

TEST(CgroupParent, PrefersContainerThenDaemon) {
    EXPECT_EQ(cgroup_parent("/a", "/b"), "/a");
    EXPECT_EQ(cgroup_parent("", "/b"), "/b");
    EXPECT_EQ(cgroup_parent("", ""), "/docker");
}

}  // namespace
}  // namespace dockerd::runtime
