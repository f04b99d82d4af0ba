#include <dockerd/runtime/cgroup.hpp>

#include <dockerd/base/error.hpp>

#include "recorded_cgroups.hpp"

namespace dockerd::runtime {
namespace {

class CgroupV2 : public RecordedCgroups {
protected:
    void SetUp() override {
        RecordedCgroups::SetUp();
        put("cgroup.controllers", "cpuset cpu io memory pids\n");
        put("cgroup.subtree_control", "cpu memory\n");
        put("docker/cgroup.subtree_control", "cpuset cpu io memory pids\n");
        put_all("docker/abc", {{"cgroup.procs", ""},
                               {"memory.max", ""},
                               {"memory.swap.max", ""},
                               {"memory.low", ""},
                               {"cpu.max", ""},
                               {"cpu.weight", ""},
                               {"pids.max", ""},
                               {"io.max", ""},
                               {"io.weight", ""},
                               {"cpuset.cpus", ""},
                               {"memory.high", ""},
                               {"cgroup.freeze", "0\n"}});
        host.emplace(CgroupHost::open_recorded(CgroupVersion::v2, root));
    }
    std::optional<CgroupHost> host;
};

TEST_F(CgroupV2, EnablesMissingControllersInParents) {
    const Cgroup cgroup = host->create("/docker", "abc", {});
    EXPECT_EQ(get("cgroup.subtree_control"), "+cpuset +io +pids");
    EXPECT_EQ(get("docker/cgroup.subtree_control"), "cpuset cpu io memory pids\n");
    EXPECT_EQ(cgroup.open_procs().size(), 1u);
    EXPECT_TRUE(cgroup.open_unified_directory());
}

TEST_F(CgroupV2, TranslatesLimits) {
    CgroupLimits limits;
    limits.memory = 100 << 20;
    limits.memory_swap = 150 << 20;
    limits.memory_reservation = 50 << 20;
    limits.cpu_shares = 1024;
    limits.cpu_quota = 150000;
    limits.cpuset_cpus = "0";
    limits.pids = 10;
    limits.blkio_weight = 500;
    limits.write_bps = {{259, 1, 4096}};
    limits.unified = {{"memory.high", "90000000"}};
    (void)host->create("/docker", "abc", limits);
    EXPECT_EQ(get("docker/abc/memory.max"), "104857600");
    EXPECT_EQ(get("docker/abc/memory.swap.max"), "52428800");
    EXPECT_EQ(get("docker/abc/memory.low"), "52428800");
    EXPECT_EQ(get("docker/abc/cpu.weight"), "39");
    EXPECT_EQ(get("docker/abc/cpu.max"), "150000 100000");
    EXPECT_EQ(get("docker/abc/cpuset.cpus"), "0");
    EXPECT_EQ(get("docker/abc/pids.max"), "10");
    EXPECT_EQ(get("docker/abc/io.weight"), "4950");
    EXPECT_EQ(get("docker/abc/io.max"), "259:1 wbps=4096");
    EXPECT_EQ(get("docker/abc/memory.high"), "90000000");
}

TEST_F(CgroupV2, SwapEqualToMemoryForbidsSwapAndMinusOneLiftsIt) {
    Cgroup cgroup = host->attach("/docker", "abc");
    CgroupLimits limits;
    limits.memory = limits.memory_swap = 100 << 20;
    cgroup.update(limits);
    EXPECT_EQ(get("docker/abc/memory.swap.max"), "0");
    limits.memory_swap = -1;
    cgroup.update(limits);
    EXPECT_EQ(get("docker/abc/memory.swap.max"), "max");
    limits.memory = -1;
    limits.memory_swap = 0;
    cgroup.update(limits);
    EXPECT_EQ(get("docker/abc/memory.max"), "max");
    EXPECT_EQ(get("docker/abc/memory.swap.max"), "max");
}

TEST_F(CgroupV2, UnifiedNamesCannotBePaths) {
    CgroupLimits limits;
    limits.unified = {{"../x", "1"}};
    try {
        (void)host->create("/docker", "abc", limits);
        FAIL() << "wrote to a path";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "unified resource \"../x\" must be a file name (no slashes)");
    }
}

TEST_F(CgroupV2, ReadsStatisticsAndOomCount) {
    put_all("docker/abc",
            {{"cpu.stat",
              "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 3\n"
              "nr_throttled 1\nthrottled_usec 20\n"},
             {"memory.stat", "anon 4096\nfile 8192\nworkingset_refault_file 4\n"},
             {"memory.current", "12288\n"},
             {"memory.max", "6291456\n"},
             {"memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n"},
             {"io.stat", "259:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n"},
             {"pids.current", "2\n"},
             {"pids.max", "10\n"}});
    const Cgroup cgroup = host->attach("/docker", "abc");
    const CgroupStats stats = cgroup.stats();
    EXPECT_EQ(stats.cpu.total, 1500000u);
    EXPECT_TRUE(stats.cpu.per_cpu.empty());
    EXPECT_EQ(stats.cpu.throttled_time, 20000u);
    EXPECT_EQ(stats.memory.usage, 12288u);
    EXPECT_EQ(stats.memory.max_usage, 0u);
    EXPECT_EQ(stats.memory.failcnt, 2u);
    EXPECT_EQ(stats.memory.stats.size(), 31u);
    ASSERT_EQ(stats.blkio.io_service_bytes.size(), 2u);
    EXPECT_EQ(stats.blkio.io_service_bytes[0].op, "read");
    EXPECT_EQ(stats.blkio.io_service_bytes[1].value, 512u);
    EXPECT_EQ(stats.pids.limit, 10u);
    EXPECT_EQ(cgroup.oom_kills(), 1u);
    EXPECT_FALSE(cgroup.is_frozen());
}

TEST(CgroupWeights, ConvertAsRuncDoes) {
    EXPECT_EQ(cpu_weight_of_shares(0), 0u);
    EXPECT_EQ(cpu_weight_of_shares(2), 1u);
    EXPECT_EQ(cpu_weight_of_shares(512), 20u);
    EXPECT_EQ(cpu_weight_of_shares(262144), 10000u);
    EXPECT_EQ(io_weight_of_blkio(10), 1u);
    EXPECT_EQ(io_weight_of_blkio(1000), 10000u);
}

}  // namespace
}  // namespace dockerd::runtime
