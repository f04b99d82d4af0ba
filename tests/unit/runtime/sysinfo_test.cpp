#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/sysinfo.hpp>

#include <dockerd/base/error.hpp>

#include "recorded_cgroups.hpp"

namespace dockerd::runtime {
namespace {

std::string error_of(std::string_view text, int maximum) {
    try {
        (void)parse_cpu_list(text, maximum);
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        return error.what();
    }
    return "no error";
}

TEST(CpuList, ReadsWhatTheKernelPrints) {
    EXPECT_EQ(parse_cpu_list("", 0), std::set<int>{});
    EXPECT_EQ(parse_cpu_list("0,3-4,7,8-10", 0), (std::set<int>{0, 3, 4, 7, 8, 9, 10}));
    EXPECT_EQ(parse_cpu_list("03,1-3", 0), (std::set<int>{1, 2, 3}));
}

TEST(CpuList, RefusesNonsenseAndHugeRanges) {
    EXPECT_EQ(error_of("3-1", 8192), "invalid format: 3-1");
    EXPECT_EQ(error_of("a", 8192), "invalid format: a");
    EXPECT_EQ(error_of("1,", 8192), "invalid format: 1,");
    EXPECT_EQ(error_of("1-100000000000", 8192), "value of out range, maximum is 8192");
    EXPECT_EQ(error_of("1-99999999999999999999", 8192), "invalid format: 1-99999999999999999999");
    EXPECT_EQ(error_of("8193", 8192), "value of out range, maximum is 8192");
}

TEST(CpuList, KnowsWhatIsAvailable) {
    EXPECT_TRUE(is_cpu_list_available("0-1", {0, 1}));
    EXPECT_TRUE(is_cpu_list_available("", {0, 1}));
    EXPECT_FALSE(is_cpu_list_available("0-9", {0, 1}));
    // Five billion numbers, were they counted (CVE-2018-20699).
    std::string many = "0";
    for (int i = 0; i < 600'000; ++i) many += ",0-8192";
    EXPECT_FALSE(is_cpu_list_available(many, {0, 1}));
}

class SysInfoV1 : public RecordedCgroups {};

TEST_F(SysInfoV1, LooksAtFilesOfTheHierarchies) {
    put_all("memory", {{"memory.memsw.limit_in_bytes", ""}, {"memory.oom_control", ""}});
    put_all("cpu,cpuacct", {{"cpu.shares", ""}, {"cpu.cfs_quota_us", ""}});
    put_all("cpuset", {{"cpuset.cpus", "0-3\n"}, {"cpuset.mems", "0\n"}});
    put("devices/devices.allow");
    const SysInfo info = read_sysinfo(CgroupHost::open_recorded(CgroupVersion::v1, root));
    EXPECT_FALSE(info.cgroup_unified);
    EXPECT_TRUE(info.memory_limit);
    EXPECT_TRUE(info.swap_limit);
    EXPECT_FALSE(info.memory_reservation);
    EXPECT_TRUE(info.oom_kill_disable);
    EXPECT_TRUE(info.cpu_shares);
    EXPECT_TRUE(info.cpu_cfs);
    EXPECT_FALSE(info.cpu_realtime);
    EXPECT_EQ(info.cpus, "0-3");
    EXPECT_EQ(info.cpu_set, (std::set<int>{0, 1, 2, 3}));
    EXPECT_FALSE(info.pids_limit);
    EXPECT_TRUE(info.cgroup_devices);
    EXPECT_EQ(info.warnings,
              (std::vector<std::string>{"Your kernel does not support memory reservation",
                                        "Your kernel does not support memory swappiness",
                                        "Your kernel does not support CPU realtime scheduler",
                                        "Unable to find blkio cgroup in mounts",
                                        "Unable to find pids cgroup in mounts"}));
}

class SysInfoV2 : public RecordedCgroups {};

TEST_F(SysInfoV2, LooksAtControllers) {
    put("cgroup.controllers", "cpuset cpu memory pids\n");
    put_all(".", {{"cpuset.cpus.effective", "0-1\n"}, {"cpuset.mems.effective", "0\n"}});
    const SysInfo info = read_sysinfo(CgroupHost::open_recorded(CgroupVersion::v2, root));
    EXPECT_TRUE(info.cgroup_unified);
    EXPECT_TRUE(info.memory_limit);
    EXPECT_FALSE(info.oom_kill_disable);
    EXPECT_TRUE(info.pids_limit);
    EXPECT_FALSE(info.blkio_weight);
    EXPECT_EQ(info.cpus, "0-1");
    EXPECT_EQ(info.warnings, (std::vector<std::string>{"Unable to find io controller"}));
}

}  // namespace
}  // namespace dockerd::runtime
