#include <dockerd/runtime/file_view.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/sys/paths.hpp>

#include "support/own_mounts.hpp"

namespace dockerd::runtime {
namespace {

namespace fs = std::filesystem;

std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream out;
    out << file.rdbuf();
    return out.str();
}

/// A private mount namespace with a tmpfs: "rootfs" is the container's, the rest the host's.
class FileView : public testing::Test {
protected:
    void SetUp() override {
        DOCKERD_TEST_NEEDS(::geteuid() == 0 && test_support::own_mounts(), "needs root");
        std::string name = testing::TempDir() + "viewXXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder = name;
        ASSERT_EQ(::mount("tmpfs", folder.c_str(), "tmpfs", 0, nullptr), 0);
        fs::create_directories(folder + "/rootfs/etc");
        fs::create_directories(folder + "/volume/sub");
        std::ofstream(folder + "/rootfs/etc/hosts") << "image";
        std::ofstream(folder + "/hosts") << "ours";
        std::ofstream(folder + "/volume/sub/f") << "in a volume";
        std::ofstream(folder + "/secret") << "secret";
        plan.rootfs = base::Fd(::open_tree(AT_FDCWD, (folder + "/rootfs").c_str(),
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        ASSERT_TRUE(plan.rootfs);
    }
    void TearDown() override {
        if (folder.empty()) return;
        EXPECT_EQ(mounts(), mounts_before);
        EXPECT_EQ(::umount2(folder.c_str(), MNT_DETACH), 0);
        EXPECT_EQ(::rmdir(folder.c_str()), 0);
    }

    /// What is mounted below the folder. Elsewhere mounts come and go: a mount point that somebody
    /// removes takes its mounts along in every namespace.
    std::string mounts() const {
        std::istringstream lines(slurp("/proc/self/mountinfo"));
        std::string found;
        for (std::string line; std::getline(lines, line);) {
            if (line.find(folder) != std::string::npos) found += line + "\n";
        }
        return found;
    }

    void add(const std::string& source, const std::string& destination, bool writable = true) {
        plan.mounts.push_back({.source = folder + source,
                               .subpath = {},
                               .destination = destination,
                               .writable = writable});
    }
    void run(const std::function<void(int root)>& work) {
        mounts_before = mounts();
        in_file_view(std::move(plan), work);
    }
    static std::string read(int root, const std::string& path) {
        const base::Fd file = sys::try_open_in_root(root, path, O_RDONLY);
        char buffer[64];
        const ssize_t size = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
        return size < 0 ? "errno " + std::to_string(errno)
                        : std::string(buffer, static_cast<std::size_t>(size));
    }
    static int write_error(int root, const std::string& path) {
        return sys::try_open_in_root(root, path, O_WRONLY | O_CREAT, 0600) ? 0 : errno;
    }

    std::string folder;
    std::string mounts_before;
    ViewPlan plan;
};

TEST_F(FileView, ShowsMountsInDepthOrderAndMakesTheirPlaces) {
    add("/volume/sub", "/data/a/b");
    add("/volume", "/data");
    add("/hosts", "/etc/hosts");
    run([](int root) {
        EXPECT_EQ(read(root, "/data/sub/f"), "in a volume");
        EXPECT_EQ(read(root, "/data/a/b/f"), "in a volume");
        EXPECT_EQ(read(root, "/etc/hosts"), "ours");
    });
    EXPECT_TRUE(fs::is_directory(folder + "/rootfs/data"));
    EXPECT_TRUE(fs::is_directory(folder + "/volume/a/b"));
    EXPECT_TRUE(fs::is_empty(folder + "/rootfs/data"));
    EXPECT_EQ(slurp(folder + "/rootfs/etc/hosts"), "image");
}

TEST_F(FileView, AMountPointCanBeNeitherRemovedNorReplaced) {
    add("/hosts", "/etc/hosts");
    run([](int root) {
        const base::Fd etc = sys::try_open_in_root(root, "/etc", O_PATH | O_DIRECTORY);
        EXPECT_EQ(::unlinkat(etc.get(), "hosts", 0), -1);
        EXPECT_EQ(errno, EBUSY);
        EXPECT_EQ(::renameat(etc.get(), "hosts", etc.get(), "other"), -1);
        EXPECT_EQ(errno, EBUSY);
    });
}

TEST_F(FileView, ReadOnlyIsKeptByTheKernel) {
    add("/volume", "/ro", false);
    add("/hosts", "/new/file");
    plan.read_only_rootfs = true;
    run([](int root) {
        EXPECT_EQ(write_error(root, "/ro/x"), EROFS);
        EXPECT_EQ(write_error(root, "/x"), EROFS);
        EXPECT_EQ(write_error(root, "/new/file"), 0);
        EXPECT_EQ(read(root, "/ro/sub/f"), "in a volume");
    });
}

TEST_F(FileView, NothingOfTheHostIsInReach) {
    ASSERT_EQ(::symlink((folder + "/secret").c_str(), (folder + "/rootfs/link").c_str()), 0);
    ASSERT_EQ(::mknod((folder + "/rootfs/null").c_str(), S_IFCHR | 0666, 0x103), 0);
    const std::string secret = folder + "/secret";
    run([&](int root) {
        EXPECT_EQ(read(root, "/link"), "errno " + std::to_string(ENOENT));
        EXPECT_EQ(read(root, "/null"), "errno " + std::to_string(EACCES));
        EXPECT_FALSE(fs::exists(secret));
        EXPECT_FALSE(fs::exists("/etc"));
        EXPECT_TRUE(fs::exists("/proc/self/fd"));
        const std::string mounts = slurp("/proc/thread-self/mountinfo");
        EXPECT_EQ(std::ranges::count(mounts, '\n'), 3) << mounts;
        EXPECT_EQ(mounts.find("shared:"), std::string::npos) << mounts;
    });
    EXPECT_TRUE(fs::exists("/etc"));
}

TEST_F(FileView, ASubpathStaysInItsSource) {
    ASSERT_EQ(::symlink("sub", (folder + "/volume/inside").c_str()), 0);
    plan.mounts.push_back({.source = folder + "/volume", .subpath = "inside", .destination = "/s"});
    run([](int root) { EXPECT_EQ(read(root, "/s/f"), "in a volume"); });
}

TEST_F(FileView, ASubpathThatLeavesItsSourceIsRefused) {
    ASSERT_EQ(::symlink("..", (folder + "/volume/outside").c_str()), 0);
    plan.mounts.push_back({.source = folder + "/volume", .subpath = "outside", .destination = "/"});
    try {
        run([](int) { FAIL() << "ran"; });
        FAIL() << "left the volume";
    } catch (const base::Error& error) {
        EXPECT_EQ(std::string(error.what()),
                  "stat " + folder + "/volume: invalid cross-device link");
    }
}

TEST_F(FileView, FailuresComeBackAndLeaveNothing) {
    add("/none", "/data");
    try {
        run([](int) { FAIL() << "ran"; });
        FAIL() << "mounted what is not there";
    } catch (const base::Error& error) {
        EXPECT_EQ(std::string(error.what()), "stat " + folder + "/none: no such file or directory");
        EXPECT_EQ(error.errno_value(), ENOENT);
    }
}

TEST_F(FileView, WhatTheWorkThrowsArrives) {
    try {
        run([](int) { base::fail(base::ErrorKind::conflict, "from the work"); });
        FAIL() << "did not throw";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "from the work");
        EXPECT_EQ(error.kind(), base::ErrorKind::conflict);
    }
}

}  // namespace
}  // namespace dockerd::runtime
