#include "engine/system/system.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dockerd/base/error.hpp>

#include "engine/system/host.hpp"

namespace dockerd::engine {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::MatchesRegex;

class TempDir {
public:
    TempDir() {
        std::string name = (fs::temp_directory_path() / "system-XXXXXX").string();
        path = ::mkdtemp(name.data());
    }
    ~TempDir() { fs::remove_all(path); }
    std::string path;
};

TEST(HostFacts, ReadOsRelease) {
    const std::string text =
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME='Debian'\nVERSION_ID=\"12\"\n"
        "XVERSION_ID=13\n";
    EXPECT_EQ(os_release_value(text, "PRETTY_NAME"), "Debian GNU/Linux 12 (bookworm)");
    EXPECT_EQ(os_release_value(text, "NAME"), "Debian");
    EXPECT_EQ(os_release_value(text, "VERSION_ID"), "12");
    EXPECT_EQ(os_release_value(text, "NONE"), "");
}

TEST(HostFacts, AreReadBelowARoot) {
    const TempDir root;
    fs::create_directories(root.path + "/usr/lib");
    fs::create_directories(root.path + "/proc/1");
    EXPECT_EQ(read_host_facts(root.path + "/").operating_system, "Linux");
    std::ofstream(root.path + "/usr/lib/os-release") << "PRETTY_NAME=\"Tiny OS\"\n";
    std::ofstream(root.path + "/proc/1/cgroup") << "1:name=systemd:/docker/0123\n";
    EXPECT_EQ(read_host_facts(root.path + "/").operating_system, "Tiny OS (containerized)");
}

TEST(HostFacts, TellContainers) {
    EXPECT_FALSE(is_containerized("12:cpu:/\n1:name=systemd:/init.scope\n0::/\n"));
    EXPECT_TRUE(is_containerized("0::/user.slice\n"));
}

TEST(HostFacts, GiveKernelVersionsThreeNumbers) {
    EXPECT_EQ(kernel_version_text("6.18.44-fc"), "6.18.44-fc");
    EXPECT_EQ(kernel_version_text("5.10-rc1"), "5.10.0-rc1");
    EXPECT_EQ(kernel_version_text("6.1.0-18-amd64"), "6.1.0-18-amd64");
    EXPECT_EQ(kernel_version_text("6.5.11.4-x"), "6.5.11.4-x");
    EXPECT_EQ(go_architecture("x86_64"), "amd64");
    EXPECT_EQ(go_architecture("aarch64"), "arm64");
    EXPECT_EQ(go_architecture("riscv64"), "riscv64");
}

TEST(HostFacts, HideCredentials) {
    EXPECT_EQ(mask_credentials("http://me:secret@proxy:3128/x"), "http://xxxxx:xxxxx@proxy:3128/x");
    EXPECT_EQ(mask_credentials("http://proxy:3128/@x"), "http://proxy:3128/@x");
    EXPECT_EQ(mask_credentials("proxy"), "proxy");
}

TEST(HostFacts, CountThemselves) {
    const auto before = open_descriptors();
    const std::ifstream one("/dev/null");
    EXPECT_EQ(open_descriptors(), before + 1);
    EXPECT_EQ(thread_count(), 1);
    EXPECT_GT(total_memory(), 1 << 20);
}

TEST(EngineId, IsMadeOnceAndKept) {
    const TempDir root;
    const auto id = load_or_create_id(root.path);
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]+-[0-9a-f]+-4[0-9a-f]+-[89ab][0-9a-f]+-[0-9a-f]+"));
    EXPECT_EQ(id.size(), 36U);
    EXPECT_EQ(load_or_create_id(root.path), id);
    struct stat found;
    ASSERT_EQ(::stat((root.path + "/engine-id").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
    EXPECT_EQ(found.st_size, 36);
}

}  // namespace
}  // namespace dockerd::engine
