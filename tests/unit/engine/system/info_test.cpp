#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <dockerd/store/images.hpp>
#include <dockerd/store/volumes_db.hpp>

#include "api/fakes.hpp"
#include "engine/events/events.hpp"
#include "engine/images/images.hpp"
#include "engine/system/system.hpp"
#include "engine/volumes/volumes.hpp"
#include "support/unpacker.hpp"

namespace dockerd::engine {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::StartsWith;

class SystemTest : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "layers keep owners: needs root";
        std::string name = (fs::temp_directory_path() / "info-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        layers_ = std::make_unique<store::Layers>(root_, testing_unpacker());
        image_store_ = std::make_unique<store::Images>(root_, *layers_);
        volume_store_ = std::make_unique<store::VolumesDb>(root_);
        images_ = std::make_unique<Images>(*image_store_, events_);
        volumes_ = std::make_unique<Volumes>(*volume_store_, events_);
        options_.data_root = root_;
        sysinfo_.memory_limit = sysinfo_.cpu_cfs = sysinfo_.cpu_shares = sysinfo_.cpuset = true;
        sysinfo_.swap_limit = sysinfo_.seccomp = sysinfo_.cgroup_namespaces = true;
        sysinfo_.blkio_read_bps_device = sysinfo_.blkio_write_bps_device = true;
        sysinfo_.blkio_read_iops_device = sysinfo_.blkio_write_iops_device = true;
        sysinfo_.num_cpu = 3;
    }
    void TearDown() override {
        volumes_.reset();
        images_.reset();
        volume_store_.reset();
        image_store_.reset();
        layers_.reset();
        if (!root_.empty()) fs::remove_all(root_);
    }
    System make() {
        return System(options_, {.containers = containers_,
                                 .images = *images_,
                                 .volumes = *volumes_,
                                 .layers = *layers_,
                                 .events = events_,
                                 .sysinfo = sysinfo_,
                                 .count_containers = [] {
                                     return ContainerCounts{2, 1, 4};
                                 }});
    }

    std::string root_;
    Events events_;
    test::FakeContainers containers_;
    runtime::SysInfo sysinfo_;
    SystemOptions options_;
    std::unique_ptr<store::Layers> layers_;
    std::unique_ptr<store::Images> image_store_;
    std::unique_ptr<store::VolumesDb> volume_store_;
    std::unique_ptr<Images> images_;
    std::unique_ptr<Volumes> volumes_;
};

TEST_F(SystemTest, TellsVersionAndFacts) {
    options_.git_commit = "abc";
    options_.insecure_registries = {"http://reg:5000", "10.0.0.0/8"};
    options_.http_proxy = "http://me:pw@proxy:1";
    auto system = make();
    EXPECT_EQ(system.version().version, "28.2.2");
    EXPECT_EQ(system.version().git_commit, "abc");
    EXPECT_EQ(system.version().os, "linux");
    const auto info = system.info();
    EXPECT_EQ(info.id, system.id());
    EXPECT_EQ(info.containers, 7);
    EXPECT_EQ(info.running, 2);
    EXPECT_EQ(info.paused, 1);
    EXPECT_EQ(info.stopped, 4);
    EXPECT_EQ(info.driver, "overlay2");
    EXPECT_EQ(info.cgroup_version, "1");
    EXPECT_EQ(info.ncpu, 3);
    EXPECT_EQ(info.docker_root_dir, root_);
    EXPECT_EQ(info.http_proxy, "http://xxxxx:xxxxx@proxy:1");
    EXPECT_THAT(info.insecure_registries, ElementsAre("reg:5000"));
    EXPECT_THAT(info.insecure_registry_cidrs, ElementsAre("10.0.0.0/8", "::1/128", "127.0.0.0/8"));
    EXPECT_THAT(info.security_options, ElementsAre("name=seccomp,profile=builtin"));
    EXPECT_EQ(info.kernel_version, system.version().kernel_version);
    EXPECT_GT(info.fds, 3);
    EXPECT_FALSE(info.system_time.is_zero());
}

TEST_F(SystemTest, WarnsOfWhatIsMissing) {
    sysinfo_.ipv4_forwarding_disabled = true;
    sysinfo_.blkio_write_iops_device = false;
    options_.tcp_addresses = {{"0.0.0.0:2375", false, false}, {"0.0.0.0:2376", true, true}};
    auto system = make();
    const auto v1 = system.info().warnings;
    ASSERT_EQ(v1.size(), 5U);
    EXPECT_THAT(v1[0], StartsWith("[DEPRECATION NOTICE]: API is accessible on http://0.0.0.0:2375 "
                                  "without encryption.\n         Access to the remote API is "
                                  "equivalent to root access on the host. Refer\n"));
    EXPECT_EQ(v1[1], "WARNING: No kernel memory TCP limit support");
    EXPECT_EQ(v1[2], "WARNING: No oom kill disable support");
    EXPECT_EQ(v1[3], "WARNING: No blkio throttle.write_iops_device support");
    EXPECT_EQ(v1[4], "WARNING: IPv4 forwarding is disabled");
    sysinfo_.cgroup_unified = true;
    options_.tcp_addresses.clear();
    options_.no_new_privileges = true;
    auto unified = make();
    EXPECT_THAT(
        unified.info().warnings,
        ElementsAre("WARNING: No io.weight support", "WARNING: No io.weight (per device) support",
                    "WARNING: No io.max (wiops) support", "WARNING: IPv4 forwarding is disabled"));
    EXPECT_THAT(
        unified.info().security_options,
        ElementsAre("name=seccomp,profile=builtin", "name=cgroupns", "name=no-new-privileges"));
}

TEST_F(SystemTest, MeasuresOnceForSeveralCallers) {
    std::atomic<int> calls{0};
    std::atomic<bool> go{false};
    containers_.on_list = [&](const ListOptions& options) {
        EXPECT_TRUE(options.all && options.size);
        ++calls;
        while (!go) std::this_thread::yield();
        return std::vector<ContainerSummary>();
    };
    model::VolumeCreate request;
    request.name = "data";
    std::ofstream(volumes_->create(request).mountpoint + "/f") << std::string(500, 'x');
    auto system = make();
    std::vector<std::jthread> callers;
    std::atomic<int> good{0};
    for (int i = 0; i < 4; ++i) {
        callers.emplace_back([&] {
            const auto usage = system.disk_usage();
            if (usage.volumes.size() == 1 && usage.volumes[0].size >= 500) ++good;
        });
    }
    while (calls == 0) std::this_thread::yield();
    go = true;
    callers.clear();
    EXPECT_EQ(good, 4);
    EXPECT_GE(calls, 1);
}

}  // namespace
}  // namespace dockerd::engine
