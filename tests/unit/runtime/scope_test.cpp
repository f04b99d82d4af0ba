#include <dockerd/runtime/cgroup.hpp>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <gmock/gmock.h>

#include <dockerd/base/error.hpp>

#include "recorded_cgroups.hpp"
#include "systemd/bus.hpp"
#include "systemd/properties.hpp"
#include "systemd_double.hpp"

namespace dockerd::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SlicePath, FollowsTheDashesOfItsName) {
    EXPECT_EQ(systemd::slice_path("system.slice"), "system.slice");
    EXPECT_EQ(systemd::slice_path("a-b-c.slice"), "a.slice/a-b.slice/a-b-c.slice");
    EXPECT_EQ(systemd::slice_path("-.slice"), "");
    for (const char* bad : {"", ".slice", "/docker", "a/b.slice", "a--b.slice", "-a.slice", "a.scope"}) {
        EXPECT_EQ(systemd::slice_path(bad), std::nullopt) << bad;
    }
}

TEST(SystemdVersion, IsTheFirstNumber) {
    EXPECT_EQ(systemd::parse_version("252.38-1~deb12u1"), 252);
    EXPECT_EQ(systemd::parse_version("v245.4-1"), 245);
    EXPECT_EQ(systemd::parse_version("ubuntu"), -1);
    EXPECT_EQ(systemd::parse_version(""), -1);
}

class Scopes : public RecordedCgroups {
protected:
    void SetUp() override {
        RecordedCgroups::SetUp();
        put("cgroup.controllers", "cpuset cpu io memory pids\n");
        put("cgroup.subtree_control", "cpuset cpu io memory pids\n");
        put("system.slice/cgroup.subtree_control", "cpu memory pids\n");
        for (const char* file : {"memory.max", "memory.swap.max", "memory.low", "cpu.max",
                                 "cpu.weight", "pids.max", "io.weight", "cpuset.cpus"}) {
            put(std::string("system.slice/docker-abc.scope/") + file);
        }
        host.emplace(CgroupHost::open_recorded(CgroupVersion::v2, root, systemd.address()));
    }
    [[nodiscard]] std::string error_of(const std::function<void()>& action) const {
        try {
            action();
        } catch (const base::Error& error) {
            return error.what();
        }
        return {};
    }

    const std::string made =
        "StartTransientUnit docker-abc.scope replace Description=s:libcontainer container abc "
        "Slice=s:system.slice Delegate=b:true PIDs=au:4242 MemoryAccounting=b:true "
        "CPUAccounting=b:true IOAccounting=b:true TasksAccounting=b:true "
        "DefaultDependencies=b:false";
    SystemdDouble systemd;
    std::optional<CgroupHost> host;
};

TEST_F(Scopes, AreMadeAroundAProcessWithItsLimits) {
    CgroupLimits limits;
    limits.memory = limits.memory_swap = 100 << 20;
    limits.memory_reservation = 50 << 20;
    limits.cpu_shares = 1024;
    limits.cpu_quota = 33333;
    limits.cpu_period = 50000;
    limits.cpuset_cpus = "0-1,9";
    limits.pids = -1;
    limits.blkio_weight = 500;
    const Cgroup cgroup = host->create_scope("system.slice", "abc", 4242, limits);
    EXPECT_EQ(cgroup.path(), "/system.slice/docker-abc.scope");
    // No swap is told as well: a reload of systemd would lift a limit that it does not know.
    EXPECT_THAT(systemd.calls(),
                ElementsAre(made +
                            " MemoryMax=t:104857600 MemoryLow=t:52428800 MemorySwapMax=t:0 "
                            "CPUWeight=t:39 CPUQuotaPeriodUSec=t:50000 CPUQuotaPerSecUSec=t:670000 "
                            "IOWeight=t:4950 TasksMax=t:18446744073709551615 AllowedCPUs=ay:3,2"));
    EXPECT_EQ(get("system.slice/docker-abc.scope/cpu.max"), "33333 50000");
    EXPECT_EQ(get("system.slice/docker-abc.scope/memory.swap.max"), "0");
    EXPECT_EQ(get("system.slice/docker-abc.scope/pids.max"), "max");
    EXPECT_EQ(get("system.slice/cgroup.subtree_control"), "+cpuset +io");
}

TEST_F(Scopes, WithoutLimitsHaveSystemdsOwn) {
    (void)host->create_scope("system.slice", "abc", 4242, {});
    EXPECT_THAT(systemd.calls(), ElementsAre(made));
    EXPECT_EQ(get("system.slice/docker-abc.scope/pids.max"), "");
}

TEST_F(Scopes, TakeThePlaceOfWhatIsLeftOfOne) {
    systemd.put_unit("docker-abc.scope");
    (void)host->create_scope("system.slice", "abc", 4242, {});
    EXPECT_THAT(systemd.calls(), ElementsAre(made, "StopUnit docker-abc.scope replace",
                                             "ResetFailedUnit docker-abc.scope", made));
}

TEST_F(Scopes, ThatFailAreToldAndForgotten) {
    systemd.set_result("failed");
    EXPECT_EQ(error_of([&] { (void)host->create_scope("system.slice", "abc", 4242, {}); }),
              "unable to start unit \"docker-abc.scope\": error creating systemd unit "
              "`docker-abc.scope`: got `failed`");
    EXPECT_THAT(systemd.calls(), ElementsAre(made, "ResetFailedUnit docker-abc.scope"));
}

TEST_F(Scopes, WhoseFilesTakeNoLimitAreStopped) {
    std::filesystem::create_directory(root + "/system.slice/docker-xyz.scope");
    CgroupLimits limits;
    limits.pids = 5;
    EXPECT_THAT(error_of([&] { (void)host->create_scope("system.slice", "xyz", 4242, limits); }),
                HasSubstr("docker-xyz.scope/pids.max: no such file or directory"));
    EXPECT_FALSE(systemd.has_unit("docker-xyz.scope"));
    EXPECT_FALSE(std::filesystem::exists(root + "/system.slice/docker-xyz.scope"));
}

TEST_F(Scopes, NeedASlice) {
    EXPECT_EQ(error_of([&] { (void)host->create_scope("a/b.slice", "abc", 4242, {}); }),
              "invalid slice name: a/b.slice");
    EXPECT_TRUE(systemd.calls().empty());
}

TEST_F(Scopes, AreChangedInBothPlaces) {
    Cgroup cgroup = host->create_scope("system.slice", "abc", 4242, {});
    CgroupLimits limits;
    limits.memory = -1;
    limits.memory_swap = -1;
    limits.cpu_quota = -1;
    limits.pids = 20;
    cgroup.update(limits);
    EXPECT_EQ(systemd.calls().back(),
              "SetUnitProperties docker-abc.scope runtime MemoryMax=t:18446744073709551615 "
              "MemorySwapMax=t:18446744073709551615 CPUQuotaPerSecUSec=t:18446744073709551615 "
              "TasksMax=t:20");
    EXPECT_EQ(get("system.slice/docker-abc.scope/memory.max"), "max");
    EXPECT_EQ(get("system.slice/docker-abc.scope/cpu.max"), "max 100000");
    EXPECT_EQ(get("system.slice/docker-abc.scope/pids.max"), "20");
}

TEST_F(Scopes, AreStoppedWithTheirContainer) {
    Cgroup cgroup = host->create_scope("system.slice", "abc", 4242, {});
    std::filesystem::remove_all(root + "/system.slice/docker-abc.scope");  // as systemd does
    EXPECT_TRUE(cgroup.remove());
    EXPECT_FALSE(systemd.has_unit("docker-abc.scope"));
    // The kernel's news of the last process may have been quicker.
    EXPECT_TRUE(host->attach("system.slice", "abc").remove());
    EXPECT_EQ(systemd.calls().back(), "StopUnit docker-abc.scope replace");
}

TEST_F(Scopes, AreNotWaitedForWithoutEnd) {
    Cgroup cgroup = host->create_scope("system.slice", "abc", 4242, {});
    std::filesystem::remove_all(root + "/system.slice/docker-abc.scope");
    systemd.set_result("");
    EXPECT_TRUE(cgroup.remove(/*patience_ms=*/20));
}

TEST_F(Scopes, OfAnotherDriverAreFoundWhereTheyAre) {
    put("docker/abc/cgroup.procs");
    put("docker/xyz/cgroup.procs");
    // No process, and both places: the driver's own counts.
    EXPECT_EQ(host->find("system.slice", "abc", 0).path(), "/system.slice/docker-abc.scope");
    EXPECT_EQ(host->find("system.slice", "xyz", 0).path(), "/docker/xyz");
    EXPECT_EQ(host->find("system.slice", "none", 0).path(), "/system.slice/docker-none.scope");
    EXPECT_EQ(host->find("/other", "abc", 0).path(), "/other/abc");
}

TEST(Units, SayWhenThereIsNoSystemd) {
    const systemd::Units units({{.address = "unix:path=/nowhere/private", .is_bus = false}});
    try {
        units.start("docker-abc.scope", {});
        FAIL() << "started a unit nowhere";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "failed to connect to dbus: no such file or directory");
    }
}

}  // namespace
}  // namespace dockerd::runtime
