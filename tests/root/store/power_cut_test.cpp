#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <dockerd/store/container_files.hpp>
#include <dockerd/store/images.hpp>
#include <dockerd/store/import.hpp>
#include <dockerd/store/run_state.hpp>
#include <dockerd/store/volumes_db.hpp>

#include "store_fixture.hpp"

namespace dockerd::store {
namespace {

/// Source: linux fs/ext4/ext4.h, EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH.
constexpr unsigned long ext4_shutdown = _IOR('X', 125, std::uint32_t);
constexpr std::uint32_t without_log_flush = 2;

/// A data root on an ext4 of its own whose power can be cut.
class PowerCutTest : public StoreFixture {
protected:
    void SetUp() override {
        StoreFixture::SetUp();
        if (root_.empty()) return;
        const std::string command =
            "truncate -s 256M " + root_ + "/disk && mkfs.ext4 -q " + root_ + "/disk";
        DOCKERD_TEST_NEEDS(std::system(command.c_str()) == 0, "needs mkfs.ext4");
        const base::Fd control{::open("/dev/loop-control", O_RDWR | O_CLOEXEC)};
        const int number = control ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
        if (number < 0) GTEST_SKIP() << "needs loop devices";
        device_ = "/dev/loop" + std::to_string(number);
        loop_.reset(::open(device_.c_str(), O_RDWR | O_CLOEXEC));
        const base::Fd disk{::open((root_ + "/disk").c_str(), O_RDWR | O_CLOEXEC)};
        loop_config config{};
        config.fd = static_cast<unsigned>(disk.get());
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
        if (!loop_ || ::ioctl(loop_.get(), LOOP_CONFIGURE, &config) != 0)
            GTEST_SKIP() << "needs loop devices";
        std::filesystem::create_directory(root_ + "/m");
        mount_disk();
    }

    void mount_disk() {
        ASSERT_EQ(::mount(device_.c_str(), (root_ + "/m").c_str(), "ext4", 0, "commit=600"), 0);
        data_ = root_ + "/m/data";
    }

    /// What was not written by now is lost.
    void cut_power() {
        {
            const base::Fd fd{::open((root_ + "/m").c_str(), O_RDONLY | O_CLOEXEC)};
            std::uint32_t flags = without_log_flush;
            ASSERT_EQ(::ioctl(fd.get(), ext4_shutdown, &flags), 0);
        }
        for (const auto& item : mounts_below()) ::umount2(item.c_str(), MNT_DETACH);
    }

    void restore_power() { mount_disk(); }

    std::string device_;
    base::Fd loop_;
    std::string data_;
};

std::string sample_tar() {
    TarBuilder tar;
    tar.dir("etc").file("etc/hosts", "image\n");
    for (int i = 0; i < 200; ++i) tar.file("f" + std::to_string(i), std::string(3000, 'a'));
    tar.file("big", std::string(3 << 20, 'b'));
    return tar.take();
}

TEST_F(PowerCutTest, KeepsAnAcknowledgedImage) {
    std::string id;
    std::string chain;
    {
        Layers layers(data_, testing_unpacker());
        Images images(data_, layers);
        id = import_image(images, archive::memory_source(sample_tar()), {});
        (void)images.tag(model::Reference::parse("kept:1"), id);
        chain = images.find(id)->chain_id;
        cut_power();
    }
    restore_power();
    Layers layers(data_, testing_unpacker());
    Images images(data_, layers);
    EXPECT_EQ(images.get("kept:1")->id, id);
    EXPECT_EQ(drain(layers.open_tar(chain)), sample_tar());
}

TEST_F(PowerCutTest, KeepsAnAcknowledgedContainer) {
    const std::string id(64, 'c');
    {
        Layers layers(data_, testing_unpacker());
        Images images(data_, layers);
        ContainerFiles files(data_);
        const std::string image = import_image(images, archive::memory_source(sample_tar()), {});
        const std::string chain = images.find(image)->chain_id;
        ContainerRecord record;
        record.id = id;
        record.name = "/kept";
        record.image_id = image;
        Batch batch;
        layers.create_rw(id, chain, {}, batch);
        files.create(record, batch);
        cut_power();
    }
    restore_power();
    Layers layers(data_, testing_unpacker());
    ContainerFiles files(data_);
    ASSERT_EQ(files.load_all().size(), 1U);
    EXPECT_EQ(files.load(id).name, "/kept");
    ASSERT_TRUE(layers.has_rw(id));
    const MountedLayer mounted = layers.mount_rw(id);
    EXPECT_EQ(slurp(mounted.path + "/f7"), std::string(3000, 'a'));
    EXPECT_TRUE(std::filesystem::exists(mounted.path + "/.dockerenv"));
    EXPECT_EQ(slurp(mounted.path + "/etc/hosts"), "");
    layers.unmount_rw(id);
}

TEST_F(PowerCutTest, KeepsAcknowledgedStartsAndEnds) {
    ContainerRecord record;
    record.id = std::string(64, 'f');
    record.name = "/a";
    {
        ContainerFiles files(data_);
        Batch batch;
        files.create(record, batch);
        RunState state = run_state_of(record);
        state.state.running = true;
        state.state.started_at = base::WallTime(1'700'000'001, 0);
        state.has_been_started_before = true;
        files.save_state(record.id, state);
        cut_power();
    }
    restore_power();
    {
        ContainerFiles files(data_);
        record = files.load(record.id);
        EXPECT_TRUE(record.state.running);
        EXPECT_TRUE(record.has_been_started_before);
        record.state.running = false;
        record.state.exit_code = 3;
        record.state.finished_at = base::WallTime(1'700'000'002, 0);
        files.save_state(record.id, run_state_of(record));
        files.save_relaxed(record);
        cut_power();
    }
    restore_power();
    ContainerFiles files(data_);
    record = files.load(record.id);
    EXPECT_FALSE(record.state.running);
    EXPECT_EQ(record.state.exit_code, 3);
    EXPECT_EQ(record.state.finished_at, base::WallTime(1'700'000'002, 0));
}

TEST_F(PowerCutTest, KeepsAcknowledgedChangesAndRemovals) {
    const std::string id(64, 'd');
    {
        ContainerFiles files(data_);
        VolumesDb volumes(data_);
        ContainerRecord record;
        record.id = id;
        record.name = "/a";
        Batch batch;
        files.create(record, batch);
        record.name = "/b";
        files.save(record);
        record.id = std::string(64, 'e');
        Batch other;
        files.create(record, other);
        files.remove(record.id);
        model::StringMap options;
        options["type"] = "tmpfs";
        (void)volumes.create("v", "local", {}, options);
        (void)volumes.create("w", "local", {}, {});
        (void)volumes.remove("w");
        cut_power();
    }
    restore_power();
    ContainerFiles files(data_);
    ASSERT_EQ(files.load_all().size(), 1U);
    EXPECT_EQ(files.load(id).name, "/b");
    VolumesDb volumes(data_);
    ASSERT_EQ(volumes.list().size(), 1U);
    EXPECT_EQ(volumes.find("v")->options.at("type"), "tmpfs");
    EXPECT_EQ(slurp(data_ + "/volumes/v/opts.json"),
              R"({"MountType":"tmpfs","MountOpts":"","MountDevice":"","Quota":{"Size":0}})");
}

}  // namespace
}  // namespace dockerd::store
