#include <dockerd/store/layers.hpp>

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>

#include "store_fixture.hpp"

namespace dockerd::store {
namespace {

class TakenLayerTest : public StoreFixture {
protected:
    static struct stat look(const std::string& path) {
        struct stat info {};
        EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
        return info;
    }
    static bool has_attribute(const std::string& path, const char* name) {
        return ::lgetxattr(path.c_str(), name, nullptr, 0) >= 0;
    }
    /// A layer that is not mounted any more, on a base of its own.
    std::string changed(Layers& layers, const std::function<void(const std::string& path)>& change) {
        base_ = layers.apply("", archive::memory_source(TarBuilder()
                                                            .dir("dir")
                                                            .file("dir/a", "aaa")
                                                            .file("owned", "data")
                                                            .link("link", "owned")
                                                            .file("gone", "")
                                                            .dir("again")
                                                            .file("again/old", "")
                                                            .take()));
        const std::string id(64, 'd');
        layers.create_rw(id, base_.chain_id);
        change(layers.mount_rw(id).path);
        layers.unmount_rw(id);
        return id;
    }
    LayerInfo base_;
};

TEST_F(TakenLayerTest, IsTheLayerThatACopyWouldBe) {
    Layers layers(root_, testing_unpacker());
    const std::string id = changed(layers, [](const std::string& path) {
        std::ofstream(path + "/new") << std::string(300'000, 'n');
        std::filesystem::create_hard_link(path + "/new", path + "/new-too");
        std::ofstream(path + "/dir/b") << "bb";
        ASSERT_EQ(::chown((path + "/owned").c_str(), 5, 6), 0);
        ASSERT_EQ(::lchown((path + "/link").c_str(), 5, 6), 0);
        std::filesystem::remove(path + "/gone");
        std::filesystem::remove_all(path + "/again");
        std::filesystem::create_directory(path + "/again");
        std::ofstream(path + "/again/fresh") << "f";
    });
    const std::string upper = layers.rw_metadata(id).at("UpperDir");
    ASSERT_TRUE(has_attribute(upper + "/owned", "trusted.overlay.origin")) << "nothing to take off";
    const struct stat before = look(upper + "/new");
    ASSERT_NE(before.st_mtim.tv_nsec, 0) << "nothing to round";
    StagedLayer taken = layers.take_rw(id);
    const LayerInfo made = layers.commit(std::move(taken), base_.chain_id);
    const std::string diff = layers.layer_metadata(made.chain_id).at("UpperDir");
    EXPECT_EQ(look(diff + "/new").st_ino, before.st_ino) << "the very file, and no copy";
    EXPECT_TRUE(std::filesystem::is_empty(upper));

    // What a worker makes of its tar is the same, and so is what it counts.
    const std::string tar = drain(layers.open_tar(made.chain_id));
    EXPECT_EQ(archive::sha256_digest(tar), made.diff_id);
    EXPECT_EQ(layers.tar_size(made.chain_id), static_cast<std::int64_t>(tar.size()));
    const LayerInfo copy = layers.apply("", archive::memory_source(tar));
    EXPECT_EQ(copy.diff_id, made.diff_id);
    EXPECT_EQ(copy.size, made.size);
    EXPECT_EQ(made.size, 300'000 + 2 + 4 + 5 + 1) << "new, dir/b, owned, link, again/fresh";
    EXPECT_EQ(drain(layers.open_tar(copy.chain_id)), tar);
    const std::string copied = layers.layer_metadata(copy.chain_id).at("UpperDir");
    for (const char* name : {"", "/new", "/new-too", "/dir", "/dir/b", "/owned", "/link", "/again",
                             "/again/fresh", "/gone"}) {
        const struct stat one = look(diff + name);
        const struct stat other = look(copied + name);
        EXPECT_EQ(one.st_mode, other.st_mode) << name;
        EXPECT_EQ(one.st_uid, other.st_uid) << name;
        EXPECT_EQ(one.st_size, other.st_size) << name;
        EXPECT_EQ(one.st_rdev, other.st_rdev) << name;
        // The kernel's whiteouts are links to one that goes with the layer's folder.
        if (*name != '\0' && !S_ISCHR(one.st_mode)) {
            EXPECT_EQ(one.st_nlink, other.st_nlink) << name;
            EXPECT_EQ(one.st_mtim.tv_sec, other.st_mtim.tv_sec) << name;
            EXPECT_EQ(one.st_mtim.tv_nsec, 0) << name;
        }
        if (S_ISLNK(one.st_mode)) continue;
        EXPECT_FALSE(has_attribute(diff + name, "trusted.overlay.origin")) << name;
        EXPECT_FALSE(has_attribute(diff + name, "trusted.overlay.impure")) << name;
        EXPECT_EQ(has_attribute(diff + name, "trusted.overlay.opaque"), name == std::string("/again"));
    }

    // As a container sees it.
    const std::string second(64, 'e');
    layers.create_rw(second, made.chain_id);
    const MountedLayer shown = layers.mount_rw(second);
    EXPECT_EQ(slurp(shown.path + "/dir/a") + slurp(shown.path + "/dir/b"), "aaabb");
    EXPECT_FALSE(std::filesystem::exists(shown.path + "/gone"));
    EXPECT_FALSE(std::filesystem::exists(shown.path + "/again/old"));
    EXPECT_EQ(slurp(shown.path + "/link"), "data");
    EXPECT_TRUE(layers.rw_changes(second).empty());
    layers.unmount_rw(second);
    for (const std::string& one : {id, second}) layers.remove_rw(one);
    for (const LayerInfo& one : {copy, made, base_}) (void)layers.release(one.chain_id);
    layers.settle();
    EXPECT_TRUE(layers.list().empty());
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
}

/// Docker's layers are what comes out of a tar, and not all that is on the disk goes into one.
TEST_F(TakenLayerTest, IsACopyWhereFilesMayNotStayAsTheyAre) {
    struct Case {
        const char* what;
        std::function<void(const std::string& path)> make;
    };
    const std::vector<Case> cases = {
        {"an attribute that tars do not have",
         [](const std::string& path) {
             ASSERT_EQ(::setxattr((path + "/kept").c_str(), "user.note", "x", 1, 0), 0);
         }},
        {"an attribute of a link",
         [](const std::string& path) {
             std::filesystem::create_symlink("kept", path + "/soft");
             ASSERT_EQ(::lsetxattr((path + "/soft").c_str(), "trusted.note", "x", 1, 0), 0);
         }},
        {"a name that is a whiteout in a tar",
         [](const std::string& path) { std::ofstream(path + "/.wh.owned"); }},
        {"what no tar has", [](const std::string& path) {
             ASSERT_EQ(::mknod((path + "/socket").c_str(), S_IFSOCK | 0600, 0), 0);
         }}};
    for (const Case& one : cases) {
        Layers layers(root_, testing_unpacker());
        const std::string id = changed(layers, [&](const std::string& path) {
            std::ofstream(path + "/kept") << "kept";
            one.make(path);
        });
        const ino_t before = look(layers.rw_metadata(id).at("UpperDir") + "/kept").st_ino;
        const std::string copied = layers.stage_rw(id).diff_id();
        const LayerInfo made = layers.commit(layers.take_rw(id), base_.chain_id);
        EXPECT_EQ(made.diff_id, copied) << one.what;
        const std::string diff = layers.layer_metadata(made.chain_id).at("UpperDir");
        EXPECT_NE(look(diff + "/kept").st_ino, before) << one.what;
        EXPECT_FALSE(has_attribute(diff + "/kept", "user.note"));
        EXPECT_FALSE(std::filesystem::exists(diff + "/.wh.owned"));
        EXPECT_FALSE(std::filesystem::exists(diff + "/socket"));
        EXPECT_EQ(slurp(diff + "/kept"), "kept");
        (void)layers.remove_rw(id);
        for (const LayerInfo& layer : {made, base_}) (void)layers.release(layer.chain_id);
        layers.settle();
    }
}

/// What a daemon that was killed had begun of it goes with the next start.
TEST_F(TakenLayerTest, LeavesNothingWhenItIsNotCommitted) {
    {
        Layers layers(root_, testing_unpacker());
        const std::string id = changed(layers, [](const std::string& path) { std::ofstream(path + "/x") << "x"; });
        { const StagedLayer dropped = layers.take_rw(id); }
        (void)layers.remove_rw(id);
        (void)layers.release(base_.chain_id);
        layers.settle();
        EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
        EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
    }
}

}  // namespace
}  // namespace dockerd::store
