#include <dockerd/store/layers.hpp>

#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <linux/magic.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <thread>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/store/bolt.hpp>

#include "store_fixture.hpp"

namespace dockerd::store {
namespace {

class LayersTest : public StoreFixture {};

std::string base_tar() {
    return TarBuilder()
        .dir("bin")
        .file("bin/sh", std::string(100'000, 'x'), 04755)
        .hard_link("bin/ash", "bin/sh")
        .dir("etc")
        .file("etc/hosts", "127.0.0.1 image\n")
        .file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
        .link("etc/link", "/etc/passwd")
        .dir("dev")
        .dir("proc")
        .dir("tmp", 01777)
        .take();
}

std::string top_tar() {
    return TarBuilder()
        .dir("etc")
        .file("etc/.wh.passwd", "")
        .file("etc/added", "new\n")
        .dir("tmp", 01777)
        .file("tmp/.wh..wh..opq", "")
        .take();
}

/// Docker's BuildKit finds what it cached, whatever images were removed meanwhile.
TEST_F(LayersTest, LeavesWhatBuildKitHolds) {
    const auto layer_folder = [this](const std::string& chain) {
        return root_ + "/image/overlay2/layerdb/sha256/" + chain.substr(7);
    };
    LayerInfo base;
    LayerInfo cached;
    LayerInfo by_folder;
    LayerInfo top;
    {
        Layers layers(root_, testing_unpacker());
        base = layers.apply("", archive::memory_source(base_tar()));
        cached = layers.apply(base.chain_id, archive::memory_source(top_tar()));
        top = layers.apply(cached.chain_id, archive::memory_source(top_tar()));
        by_folder = layers.apply("", archive::memory_source(top_tar()));
    }
    BoltBucket snapshots;
    snapshots.buckets["hzov374ennackr7xjvzb77chd"].values["chainid"] = cached.chain_id;
    snapshots.buckets["m05z871r1y3j2v21li68me1a7"].values["committed"] =
        slurp(layer_folder(by_folder.chain_id) + "/cache-id");
    std::filesystem::create_directory(root_ + "/buildkit");
    const std::string file = format_bolt(snapshots, 1);
    // A damaged database holds what can be read of it.
    for (const std::string& bytes : {file, std::string(8192, 'x') + file.substr(8192)}) {
        std::ofstream(root_ + "/buildkit/snapshots.db", std::ios::binary) << bytes;
        Layers layers(root_, testing_unpacker());
        for (const LayerInfo& layer : {top, by_folder, cached}) {
            if (layers.find(layer.chain_id)) (void)layers.acquire(layer.chain_id);
        }
        const auto removed = layers.find(top.chain_id) ? layers.release(top.chain_id)
                                                       : std::vector<LayerInfo>();
        EXPECT_EQ(removed.size(), bytes == file ? 1U : 0U);
        EXPECT_TRUE(layers.release(cached.chain_id).empty());
        EXPECT_TRUE(layers.release(by_folder.chain_id).empty());
        EXPECT_TRUE(layers.find(base.chain_id));
        layers.settle();
        EXPECT_TRUE(std::filesystem::exists(layer_folder(cached.chain_id)));
    }
    std::filesystem::remove(root_ + "/buildkit/snapshots.db");
    Layers layers(root_, testing_unpacker());
    (void)layers.acquire(cached.chain_id);
    EXPECT_EQ(layers.release(cached.chain_id).size(), 2U) << "nobody holds it any more";
}

/// A daemon that dies between a layer's commit and its image leaves it to nobody.
TEST_F(LayersTest, SweepsLayersThatNoImageCameToHave) {
    LayerInfo base;
    LayerInfo middle;
    LayerInfo top;
    LayerInfo held;
    LayerInfo cached;
    const auto marked = [this](const LayerInfo& layer) {
        return std::filesystem::exists(root_ + "/image/overlay2/layerdb/sha256/" +
                                       layer.chain_id.substr(7) + "/unclaimed");
    };
    const auto file = [](const std::string& name) {
        return archive::memory_source(TarBuilder().file(name, name).take());
    };
    {
        Layers layers(root_, testing_unpacker());
        base = layers.apply("", archive::memory_source(base_tar()));
        middle = layers.apply(base.chain_id, file("middle"));
        EXPECT_TRUE(marked(base) && marked(middle));
        layers.claim(middle.chain_id);
        EXPECT_FALSE(marked(base) || marked(middle)) << "an image has all layers of its chain";
        (void)layers.release(middle.chain_id);
        middle = layers.apply(base.chain_id, file("middle"));
        top = layers.apply(middle.chain_id, archive::memory_source(top_tar()));
        held = layers.apply(base.chain_id, file("held"));
        layers.create_rw("container", held.chain_id);
        cached = layers.apply(base.chain_id, file("cached"));
    }
    const std::string mounts = root_ + "/image/overlay2/layerdb/mounts/";
    for (const char* name : {"begun", "broken"}) {
        std::filesystem::create_directory(mounts + name);
        std::ofstream(mounts + name + "/mount-id");
    }
    const auto known = [](const std::string& id) { return id == "broken"; };
    BoltBucket snapshots;
    snapshots.buckets["one"].values["chainid"] = cached.chain_id;
    std::filesystem::create_directory(root_ + "/buildkit");
    const std::string database = format_bolt(snapshots, 1);
    std::ofstream(root_ + "/buildkit/snapshots.db", std::ios::binary)
        << std::string(8192, 'x') + database.substr(8192);
    {
        Layers layers(root_, testing_unpacker());
        layers.sweep_unclaimed(known);
        EXPECT_FALSE(std::filesystem::exists(mounts + "begun"));
        EXPECT_TRUE(std::filesystem::exists(mounts + "broken"));
        EXPECT_TRUE(layers.find(top.chain_id)) << "what else BuildKit holds is not known";
    }
    std::ofstream(root_ + "/buildkit/snapshots.db", std::ios::binary) << database;
    Layers layers(root_, testing_unpacker());
    EXPECT_TRUE(layers.find(top.chain_id)) << "who may hold it is not there yet";
    layers.sweep_unclaimed(known);
    EXPECT_FALSE(layers.find(top.chain_id) || layers.find(middle.chain_id));
    for (const LayerInfo& layer : {base, held, cached}) {
        EXPECT_TRUE(layers.find(layer.chain_id));
        EXPECT_FALSE(marked(layer));
    }
    layers.settle();
    std::set<std::string> folders;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/overlay2")) {
        folders.insert(entry.path().filename());
    }
    folders.erase("l");
    EXPECT_EQ(folders.size(), 5U) << "base, held, cached, a container's layer and its init layer";
}

TEST_F(LayersTest, AppliesTarAndReproducesItExactly) {
    Layers layers(root_, testing_unpacker());
    const std::string tar = base_tar();
    const LayerInfo info = layers.apply("", archive::memory_source(tar));
    EXPECT_EQ(info.diff_id, archive::sha256_digest(tar));
    EXPECT_EQ(info.chain_id, info.diff_id);
    EXPECT_EQ(info.size, 100'000 + 16 + 22 + 11);
    EXPECT_EQ(drain(layers.open_tar(info.chain_id)), tar);
    EXPECT_EQ(layers.tar_size(info.chain_id), static_cast<std::int64_t>(tar.size()));
    const std::string folder = root_ + "/image/overlay2/layerdb/sha256/" + info.chain_id.substr(7);
    const std::string cache_id = slurp(folder + "/cache-id");
    EXPECT_TRUE(base::is_full_id(cache_id));
    EXPECT_EQ(slurp(folder + "/diff"), info.diff_id);
    EXPECT_EQ(slurp(folder + "/size"), std::to_string(info.size));
    EXPECT_FALSE(std::filesystem::exists(folder + "/parent"));
    const std::string link = slurp(root_ + "/overlay2/" + cache_id + "/link");
    EXPECT_EQ(link.size(), 26U);
    EXPECT_EQ(std::filesystem::read_symlink(root_ + "/overlay2/l/" + link),
              "../" + cache_id + "/diff");
    EXPECT_FALSE(std::filesystem::exists(root_ + "/overlay2/" + cache_id + "/work"));
}

TEST_F(LayersTest, ChainsLayersAndWritesLower) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    const std::string tar = top_tar();
    const LayerInfo top = layers.apply(base.chain_id, archive::memory_source(tar));
    EXPECT_EQ(top.chain_id, archive::sha256_digest(base.chain_id + " " + top.diff_id));
    EXPECT_EQ(drain(layers.open_tar(top.chain_id)), tar);
    const auto data = layers.layer_metadata(top.chain_id);
    const std::string diff = data.at("UpperDir");
    struct stat info {};
    ASSERT_EQ(::lstat((diff + "/etc/passwd").c_str(), &info), 0);
    EXPECT_TRUE(S_ISCHR(info.st_mode));
    EXPECT_EQ(info.st_rdev, makedev(0, 0));
    char opaque = 0;
    EXPECT_EQ(::getxattr((diff + "/tmp").c_str(), "trusted.overlay.opaque", &opaque, 1), 1);
    EXPECT_EQ(opaque, 'y');
    EXPECT_EQ(data.at("LowerDir"), layers.layer_metadata(base.chain_id).at("UpperDir"));
}

TEST_F(LayersTest, ReusesAnEqualLayerAndDeletesItAfterTheLastRelease) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo first = layers.apply("", archive::memory_source(base_tar()));
    const LayerInfo second = layers.apply("", archive::memory_source(base_tar()));
    EXPECT_EQ(first.chain_id, second.chain_id);
    EXPECT_EQ(layers.list().size(), 1U);
    EXPECT_TRUE(layers.release(first.chain_id).empty());
    const auto removed = layers.release(first.chain_id);
    ASSERT_EQ(removed.size(), 1U);
    EXPECT_EQ(removed[0].chain_id, first.chain_id);
    layers.settle();
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/sha256"));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
}

TEST_F(LayersTest, MountsWritableLayerOverInitLayer) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    const LayerInfo top = layers.apply(base.chain_id, archive::memory_source(top_tar()));
    const std::string id(64, 'c');
    layers.create_rw(id, top.chain_id);
    const MountedLayer mounted = layers.mount_rw(id);
    struct statfs fs {};
    ASSERT_EQ(::fstatfs(mounted.tree.get(), &fs), 0);
    EXPECT_EQ(static_cast<unsigned long>(fs.f_type),
              static_cast<unsigned long>(OVERLAYFS_SUPER_MAGIC));
    EXPECT_EQ(slurp(mounted.path + "/etc/hosts"), "");
    EXPECT_EQ(slurp(mounted.path + "/etc/added"), "new\n");
    EXPECT_FALSE(std::filesystem::exists(mounted.path + "/etc/passwd"));
    EXPECT_EQ(std::filesystem::read_symlink(mounted.path + "/etc/mtab"), "/proc/mounts");
    for (const char* name :
         {"/.dockerenv", "/dev/pts", "/dev/shm", "/dev/console", "/sys", "/proc"}) {
        EXPECT_TRUE(std::filesystem::exists(mounted.path + name)) << name;
    }
    struct stat info {};
    ASSERT_EQ(::stat((mounted.path + "/bin/sh").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 04755U);
    EXPECT_EQ(info.st_nlink, 2U);
    layers.unmount_rw(id);
    layers.remove_rw(id);
    layers.settle();
    EXPECT_FALSE(layers.has_rw(id));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/mounts"));
    EXPECT_TRUE(mounts_below().empty());
}

TEST_F(LayersTest, ListsChangesAsDockerDiffDoes) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    const std::string id(64, 'd');
    layers.create_rw(id, base.chain_id);
    const MountedLayer mounted = layers.mount_rw(id);
    EXPECT_TRUE(layers.rw_changes(id).empty());
    std::ofstream(mounted.path + "/etc/passwd") << "changed\n";
    std::filesystem::remove(mounted.path + "/bin/ash");
    std::filesystem::create_directories(mounted.path + "/new/deep");
    std::ofstream(mounted.path + "/new/deep/file") << "12345";
    std::filesystem::remove_all(mounted.path + "/tmp");
    std::vector<std::string> lines;
    for (const LayerChange& change : layers.rw_changes(id)) {
        lines.push_back(std::to_string(static_cast<int>(change.kind)) + " " + change.path);
    }
    const std::vector<std::string> expected{"0 /bin",           "2 /bin/ash", "0 /etc",
                                            "0 /etc/passwd",    "1 /new",     "1 /new/deep",
                                            "1 /new/deep/file", "2 /tmp"};
    EXPECT_EQ(lines, expected);
    EXPECT_EQ(layers.rw_size(id), 5 + 8);
    layers.unmount_rw(id);
    layers.remove_rw(id);
}

TEST_F(LayersTest, CommitsWhatAContainerChanged) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    const std::string id(64, 'd');
    layers.create_rw(id, base.chain_id);
    EXPECT_EQ(layers.stage_rw(id).diff_id(), empty_diff_id);
    const MountedLayer mounted = layers.mount_rw(id);
    std::ofstream(mounted.path + "/etc/passwd") << "changed\n";
    std::filesystem::remove(mounted.path + "/bin/ash");
    std::filesystem::remove_all(mounted.path + "/tmp");
    std::filesystem::create_directory(mounted.path + "/tmp");
    const LayerInfo made = layers.commit(layers.stage_rw(id), base.chain_id);
    EXPECT_EQ(made.size, 8);
    const std::string tar = drain(layers.open_tar(made.chain_id));
    EXPECT_EQ(archive::sha256_digest(tar), made.diff_id);
    // The new layer shows what the container showed, and is its own.
    std::ofstream(mounted.path + "/etc/passwd") << "later\n";
    const std::string second(64, 'e');
    layers.create_rw(second, made.chain_id);
    const MountedLayer other = layers.mount_rw(second);
    EXPECT_EQ(slurp(other.path + "/etc/passwd"), "changed\n");
    EXPECT_FALSE(std::filesystem::exists(other.path + "/bin/ash"));
    EXPECT_TRUE(std::filesystem::is_empty(other.path + "/tmp"));
    EXPECT_TRUE(layers.rw_changes(second).empty());
    for (const std::string& one : {id, second}) {
        layers.unmount_rw(one);
        layers.remove_rw(one);
    }
    layers.release(made.chain_id);
    layers.release(base.chain_id);
    layers.settle();
    EXPECT_TRUE(layers.list().empty());
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
}

// A kernel whose overlays have redirect_dir renames folders in place.
TEST_F(LayersTest, ReadsRedirectsThroughAMount) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(TarBuilder()
                                                                       .dir("dir")
                                                                       .dir("dir/sub")
                                                                       .file("dir/sub/deep", "deep")
                                                                       .file("dir/a", "aaa")
                                                                       .file("owned", "data")
                                                                       .take()));
    const std::string id(64, 'f');
    layers.create_rw(id, base.chain_id);
    const auto meta = layers.rw_metadata(id);
    const std::string target = root_ + "/by-hand";
    std::filesystem::create_directory(target);
    const std::string options = "redirect_dir=on,lowerdir=" + meta.at("LowerDir") +
                                ",upperdir=" + meta.at("UpperDir") +
                                ",workdir=" + meta.at("WorkDir");
    if (::mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0) {
        GTEST_SKIP() << "no redirect_dir here";
    }
    ASSERT_EQ(::rename((target + "/dir").c_str(), (target + "/moved").c_str()), 0);
    std::ofstream(target + "/moved/b") << "new";
    std::filesystem::remove(target + "/moved/sub/deep");
    ASSERT_EQ(::chown((target + "/owned").c_str(), 5, 6), 0);
    ASSERT_EQ(::umount2(target.c_str(), 0), 0);

    std::vector<std::string> lines;
    for (const LayerChange& change : layers.rw_changes(id)) {
        lines.push_back(std::to_string(static_cast<int>(change.kind)) + " " + change.path);
    }
    const std::vector<std::string> expected{"1 /moved",     "1 /moved/a", "1 /moved/b",
                                            "1 /moved/sub", "0 /owned",   "2 /dir"};
    EXPECT_EQ(lines, expected);
    const LayerInfo made = layers.commit(layers.stage_rw(id), base.chain_id);
    const std::string second(64, 'e');
    layers.create_rw(second, made.chain_id);
    const MountedLayer shown = layers.mount_rw(second);
    EXPECT_EQ(slurp(shown.path + "/moved/a"), "aaa");
    EXPECT_EQ(slurp(shown.path + "/moved/b"), "new");
    EXPECT_TRUE(std::filesystem::is_empty(shown.path + "/moved/sub"));
    EXPECT_FALSE(std::filesystem::exists(shown.path + "/dir"));
    struct stat info {};
    ASSERT_EQ(::stat((shown.path + "/owned").c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 5U);
    EXPECT_EQ(slurp(shown.path + "/owned"), "data");
    layers.unmount_rw(second);
    layers.remove_rw(second);
    layers.remove_rw(id);
    layers.settle();
    EXPECT_TRUE(mounts_below().empty());
}

TEST_F(LayersTest, RemembersASizeOnlyWhileNothingIsMounted) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    const std::string id(64, 'd');
    layers.create_rw(id, base.chain_id);
    EXPECT_EQ(layers.rw_size(id), 0);
    const std::string upper = layers.rw_metadata(id).at("UpperDir");
    // Behind the daemon's back: shows that nothing is measured again.
    std::ofstream(upper + "/unseen") << "12345";
    EXPECT_EQ(layers.rw_size(id), 0);
    const MountedLayer mounted = layers.mount_rw(id);
    EXPECT_EQ(layers.rw_size(id), 5);
    std::ofstream(mounted.path + "/seen") << "123";
    EXPECT_EQ(layers.rw_size(id), 8);
    layers.unmount_rw(id);
    EXPECT_EQ(layers.rw_size(id), 8);
    layers.remove_rw(id);
}

TEST_F(LayersTest, KeepsFilesOfARemovedContainerUntilTheyAreRead) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    const std::string id(64, 'd');
    layers.create_rw(id, base.chain_id);
    const MountedLayer mounted = layers.mount_rw(id);
    for (int i = 0; i < 2000; ++i) {
        std::ofstream(mounted.path + "/file" + std::to_string(i)) << std::string(5000, 'x');
    }
    layers.unmount_rw(id);
    std::optional<StagedLayer> staged;
    std::thread reader([&] {
        try {
            staged.emplace(layers.stage_rw(id));
        } catch (const base::Error& error) {
            EXPECT_STREQ(error.what(), "mount does not exist");
        }
    });
    layers.remove_rw(id);
    reader.join();
    if (staged) {
        EXPECT_EQ(staged->size(), 2000 * 5000);
    }
    staged.reset();
    layers.settle();
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_ + "/overlay2/l"), {}), 1);
}

TEST_F(LayersTest, FindsEverythingAgainAfterReopening) {
    const std::string id(64, 'e');
    std::string chain;
    {
        Layers layers(root_, testing_unpacker());
        chain = layers.apply("", archive::memory_source(base_tar())).chain_id;
        layers.create_rw(id, chain);
        (void)layers.mount_rw(id);
    }
    Layers layers(root_, testing_unpacker());
    EXPECT_TRUE(layers.has_rw(id));
    EXPECT_EQ(layers.rw_parent(id), chain);
    EXPECT_EQ(layers.list().size(), 1U);
    EXPECT_EQ(mounts_below().size(), 1U);
    (void)layers.mount_rw(id);
    EXPECT_EQ(mounts_below().size(), 1U);
    layers.unmount_rw(id);
    EXPECT_TRUE(mounts_below().empty());
    layers.remove_rw(id);
}

TEST_F(LayersTest, CleansUpAfterACrashInTheMiddleOfALayer) {
    { Layers layers(root_, testing_unpacker()); }
    const std::string cache(64, 'a');
    const std::string transaction = root_ + "/image/overlay2/layerdb/tmp/write-set-123";
    std::filesystem::create_directories(transaction);
    std::ofstream(transaction + "/cache-id") << cache;
    std::filesystem::create_directories(root_ + "/overlay2/" + cache + "/diff/some");
    const std::string link = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::ofstream(root_ + "/overlay2/" + cache + "/link") << link;
    std::filesystem::create_symlink("../x/diff", root_ + "/overlay2/l/" + link);
    Layers layers(root_, testing_unpacker());
    layers.settle();
    EXPECT_FALSE(std::filesystem::exists(transaction));
    EXPECT_FALSE(std::filesystem::exists(root_ + "/overlay2/" + cache));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
}

void mount_deep_chain(const std::string& root) {
    Layers layers(root, testing_unpacker());
    std::string chain;
    for (int i = 0; i < 125; ++i) {
        const std::string number = std::to_string(i);
        chain = layers
                    .apply(chain,
                           archive::memory_source(TarBuilder().file("f" + number, number).take()))
                    .chain_id;
    }
    try {
        (void)layers.apply(chain, archive::memory_source(TarBuilder().file("x", "").take()));
        FAIL() << "accepted layer 126";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "max depth exceeded");
    }
    const std::string id(64, 'f');
    layers.create_rw(id, chain);
    const MountedLayer mounted = layers.mount_rw(id);
    EXPECT_TRUE(std::filesystem::exists(mounted.path + "/f0"));
    EXPECT_TRUE(std::filesystem::exists(mounted.path + "/f124"));
    layers.unmount_rw(id);
    layers.remove_rw(id);
}

TEST_F(LayersTest, MountsAsManyLayersAsDockerAllows) { mount_deep_chain(root_); }

TEST_F(LayersTest, MountsFromARootTooLongForTheNewInterface) {
    mount_deep_chain(root_ + "/" + std::string(200, 'l') + "/" + std::string(100, 'm'));
}

TEST_F(LayersTest, ServesManyThreadsAtOnce) {
    Layers layers(root_, testing_unpacker());
    const LayerInfo base = layers.apply("", archive::memory_source(base_tar()));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 8; ++i) {
                const std::string id = base::random_id();
                layers.create_rw(id, base.chain_id);
                (void)layers.mount_rw(id);
                (void)layers.rw_changes(id);
                layers.unmount_rw(id);
                layers.remove_rw(id);
                // The same layer from several threads, now and then the last hold of it.
                const LayerInfo top =
                    layers.apply(base.chain_id, archive::memory_source(top_tar()));
                EXPECT_EQ(drain(layers.open_tar(top.chain_id)), top_tar()) << t;
                (void)layers.release(top.chain_id);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(layers.list().size(), 1U);
    EXPECT_TRUE(layers.list_rw().empty());
    EXPECT_EQ(layers.release(base.chain_id).size(), 1U);
    layers.settle();
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
}

TEST_F(LayersTest, DropsAFailedLayerCompletely) {
    Layers layers(root_, testing_unpacker());
    const std::string twice = TarBuilder().file("a", "1").file("./a", "2").take();
    try {
        (void)layers.apply("", archive::memory_source(twice));
        FAIL() << "accepted a name twice";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "duplicates of file paths not supported");
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
    }
    layers.settle();
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/overlay2/l"));
}

}  // namespace
}  // namespace dockerd::store
