#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dockerd/base/error.hpp>

#include "engine/volumes/options.hpp"
#include "engine/volumes/volumes.hpp"
#include "support/own_mounts.hpp"

namespace dockerd::engine {
namespace {

namespace fs = std::filesystem;

/// Volumes in a mount namespace of the test's own.
class VolumeMountTest : public testing::Test {
protected:
    void SetUp() override {
        DOCKERD_TEST_NEEDS(::geteuid() == 0 && test_support::own_mounts(),
                           "needs root and a mount namespace");
        std::string name = (fs::temp_directory_path() / "mounts-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        store_ = std::make_unique<store::VolumesDb>(root_);
        volumes_ = std::make_unique<Volumes>(*store_, events_);
    }
    void TearDown() override {
        volumes_.reset();
        store_.reset();
        if (root_.empty()) return;
        for (const auto& entry : fs::directory_iterator(root_ + "/volumes")) {
            while (::umount2((entry.path() / "_data").c_str(), MNT_DETACH) == 0) {
            }
        }
        fs::remove_all(root_);
    }
    void create(const std::string& name, const model::StringMap& options) {
        model::VolumeCreate request;
        request.name = name;
        request.driver_opts = options;
        volumes_->create(request);
    }
    std::string mount_error(const std::string& name) {
        try {
            volumes_->mount(name, "local", "");
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), base::ErrorKind::internal);
            return error.what();
        }
        return "no error";
    }

    std::string root_;
    Events events_;
    std::unique_ptr<store::VolumesDb> store_;
    std::unique_ptr<Volumes> volumes_;
};

TEST_F(VolumeMountTest, IsThereWhileSomebodyUsesIt) {
    create("mem", {{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=64k,mode=0711"}});
    const auto path = volumes_->mount("mem", "local", "");
    EXPECT_EQ(path, root_ + "/volumes/mem/_data");
    EXPECT_TRUE(is_mount_point(path));
    EXPECT_EQ(static_cast<unsigned>(fs::status(path).permissions()), 0711U);
    EXPECT_EQ(volumes_->mount("mem", "local", ""), path);
    try {
        volumes_->remove("mem", false);
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "remove mem: volume has active mounts");
    }
    volumes_->unmount("mem", "local", "");
    EXPECT_TRUE(is_mount_point(path));
    volumes_->unmount("mem", "local", "");
    EXPECT_FALSE(is_mount_point(path));
    volumes_->unmount("mem", "local", "");
    volumes_->remove("mem", false);
}

TEST_F(VolumeMountTest, BindsReadOnly) {
    fs::create_directory(root_ + "/source");
    std::ofstream(root_ + "/source/f") << "x";
    create("bound", {{"type", "none"}, {"device", root_ + "/source"}, {"o", "bind,ro"}});
    const auto path = volumes_->mount("bound", "local", "");
    EXPECT_TRUE(fs::exists(path + "/f"));
    EXPECT_FALSE(std::ofstream(path + "/g").is_open());
    volumes_->unmount("bound", "local", "");
    EXPECT_FALSE(fs::exists(path + "/f"));
}

TEST_F(VolumeMountTest, KeepsTheSourceWhenItIsRemovedMounted) {
    fs::create_directory(root_ + "/source");
    std::ofstream(root_ + "/source/f") << "x";
    create("bound", {{"type", "none"}, {"device", root_ + "/source"}, {"o", "bind"}});
    volumes_->mount("bound", "local", "");
    // As an earlier daemon would have left it.
    volumes_ = std::make_unique<Volumes>(*store_, events_);
    volumes_->remove("bound", false);
    EXPECT_TRUE(fs::exists(root_ + "/source/f"));
    EXPECT_FALSE(fs::exists(root_ + "/volumes/bound"));
}

TEST_F(VolumeMountTest, SaysWhatFailed) {
    create("bad", {{"type", "none"}, {"device", "/nope"}, {"o", "bind"}});
    const auto target = root_ + "/volumes/bad/_data";
    EXPECT_EQ(mount_error("bad"), "failed to mount local volume: mount /nope:" + target +
                                      ", flags: 0x1000: no such file or directory");
    create("fs", {{"type", "nofs"}, {"device", "x"}, {"o", "password=secret,user=me"}});
    EXPECT_EQ(mount_error("fs"), "failed to mount local volume: mount x:" + root_ +
                                     "/volumes/fs/_data, data: password=********,user=me: no such "
                                     "device");
    volumes_->remove("bad", false);
}

}  // namespace
}  // namespace dockerd::engine
