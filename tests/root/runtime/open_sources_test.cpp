#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/runtime/plan_container.hpp>

#include "support/own_mounts.hpp"

namespace dockerd::runtime {
namespace {

/// A private mount namespace with a tmpfs of its own; the namespace goes with the process.
class OpenSources : public testing::Test {
protected:
    void SetUp() override {
        DOCKERD_TEST_NEEDS(::geteuid() == 0 && test_support::own_mounts(), "needs root");
        std::string name = testing::TempDir() + "sourcesXXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder = name;
        ASSERT_EQ(::mount("tmpfs", folder.c_str(), "tmpfs", 0, nullptr), 0);
        std::filesystem::create_directory(folder + "/dir");
        std::ofstream(folder + "/file") << "x";
    }
    void TearDown() override {
        if (folder.empty()) return;
        EXPECT_EQ(::umount2(folder.c_str(), MNT_DETACH), 0);
        EXPECT_EQ(::rmdir(folder.c_str()), 0);
    }

    PlannedContainer plan(const std::string& source, const std::string& propagation = "") {
        PlanInput input;
        input.config = &config;
        input.host = &host;
        input.facts = &facts;
        input.mounts = {{.destination = "/data", .source = source, .propagation = propagation}};
        return plan_container(std::move(input));
    }
    std::string error_of(PlannedContainer planned) {
        try {
            open_sources(planned);
        } catch (const base::Error& error) {
            return error.what();
        }
        return "no error";
    }

    model::ContainerConfig config;
    model::HostConfig host{.network_mode = "default"};
    HostFacts facts = read_host_facts();
    std::string folder;
};

TEST_F(OpenSources, OpensFoldersAndFiles) {
    PlannedContainer planned = plan(folder + "/dir");
    open_sources(planned);
    EXPECT_TRUE(planned.sources.empty());
    EXPECT_TRUE(planned.plan.mounts.back().tree);
    EXPECT_FALSE(planned.plan.mounts.back().is_file);
    planned = plan(folder + "/file");
    open_sources(planned);
    EXPECT_TRUE(planned.plan.mounts.back().is_file);
}

TEST_F(OpenSources, NamesWhatIsMissing) {
    EXPECT_EQ(error_of(plan(folder + "/none")),
              fmt::format("error mounting \"{}/none\" to rootfs at \"/data\": no such file or "
                          "directory",
                          folder));
}

TEST_F(OpenSources, SubpathsStayInTheVolume) {
    namespace fs = std::filesystem;
    fs::create_directories(folder + "/volume/in");
    fs::create_symlink("in", folder + "/volume/good");
    fs::create_symlink(folder, folder + "/volume/absolute");
    fs::create_symlink("../..", folder + "/volume/up");
    fs::create_symlink("/proc/self/root", folder + "/volume/magic");
    const auto answer = [&](const std::string& subpath) {
        PlannedContainer planned = plan(folder + "/volume");
        planned.sources.back().subpath = subpath;
        return error_of(std::move(planned));
    };
    EXPECT_EQ(answer("in"), "no error");
    EXPECT_EQ(answer("good"), "no error");
    for (const char* leaves : {"absolute", "absolute/file", "up", "magic", "in/../.."}) {
        EXPECT_EQ(answer(leaves),
                  fmt::format("path concatenation escapes the base directory, base: {}/volume, "
                              "subpath: {}",
                              folder, leaves));
    }
    EXPECT_EQ(
        answer("in/none"),
        fmt::format("cannot access path {0}/volume/in/none: lstat {0}/volume/in/none: no such file "
                    "or directory",
                    folder));
}

TEST_F(OpenSources, SharedNeedsASharedMount) {
    EXPECT_EQ(error_of(plan(folder + "/dir", "rshared")),
              fmt::format("path {0}/dir is mounted on {0} but it is not a shared mount", folder));
    EXPECT_EQ(error_of(plan(folder + "/dir", "slave")),
              fmt::format("path {0}/dir is mounted on {0} but it is not a shared or slave mount",
                          folder));
    ASSERT_EQ(::mount(nullptr, folder.c_str(), nullptr, MS_SHARED, nullptr), 0);
    EXPECT_EQ(error_of(plan(folder + "/dir", "rshared")), "no error");
}

TEST_F(OpenSources, FactsOfThisMachine) {
    EXPECT_TRUE(facts.recursive_read_only);
    EXPECT_TRUE(facts.ping_group_range);
    EXPECT_FALSE(facts.in_user_namespace);
}

}  // namespace
}  // namespace dockerd::runtime
