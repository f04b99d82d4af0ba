#include <gtest/gtest.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dockerd/base/error.hpp>
#include <dockerd/store/container_files.hpp>

namespace dockerd::store {
namespace {

ContainerRecord sample() {
    ContainerRecord out;
    out.id = std::string(64, 'a');
    out.name = "/web";
    out.created = base::WallTime(1'700'000'000, 5);
    out.path = "sh";
    out.args = {"-c", "a<b&&c"};
    out.image_id = "sha256:" + std::string(64, 'b');
    out.state.exit_code = 137;
    out.state.health =
        HealthRecord{"healthy", 0, {{base::WallTime(1, 0), base::WallTime(2, 0), 0, "ok"}}};
    out.config.labels["x"] = "y";
    out.mount_points["/data"] = {.source = "/var/lib/v",
                                 .destination = "/data",
                                 .rw = true,
                                 .name = "v",
                                 .driver = "local",
                                 .type = "volume"};
    out.network.networks["bridge"].settings.network_id = "n1";
    out.network.networks["bridge"].desired_mac_address = "02:42:ac:11:00:02";
    out.host_config.network_mode = "bridge";
    out.host_config.restart_policy.name = "no";
    return out;
}

TEST(ContainerRecord, RoundTripsThroughItsFiles) {
    const ContainerRecord record = sample();
    const ContainerRecord back =
        decode_container_record(encode_container_record(record), encode_host_config(record));
    EXPECT_EQ(encode_container_record(back), encode_container_record(record));
    EXPECT_EQ(encode_host_config(back), encode_host_config(record));
    EXPECT_EQ(back.state.exit_code, 137);
    EXPECT_EQ(back.args, record.args);
    EXPECT_EQ(back.mount_points.at("/data").name, "v");
    EXPECT_EQ(back.unknown_json, "");
}

TEST(ContainerRecord, WritesGoZeroTimesAndEscapes) {
    const std::string text = encode_container_record(sample());
    EXPECT_NE(text.find(R"("StartedAt":"0001-01-01T00:00:00Z")"), std::string::npos);
    EXPECT_NE(text.find(R"(a\u003cb\u0026\u0026c)"), std::string::npos);
    EXPECT_EQ(text.back(), '\n');
}

TEST(ContainerRecord, KeepsFieldsItDoesNotKnow) {
    auto json = nlohmann::ordered_json::parse(encode_container_record(sample()));
    json["FutureField"] = {{"a", 1}};
    json["SecretReferences"] = {{{"SecretID", "s"}}};
    const ContainerRecord record = decode_container_record(json.dump(), "");
    const auto again = nlohmann::ordered_json::parse(encode_container_record(record));
    EXPECT_EQ(again["FutureField"], json["FutureField"]);
    EXPECT_EQ(again["SecretReferences"], json["SecretReferences"]);
}

class ContainerFilesTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = "/tmp/containers-test-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        dir_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(dir_); }
    std::string dir_;
};

TEST_F(ContainerFilesTest, CreatesSavesLoadsAndRemoves) {
    ContainerFiles files(dir_);
    ContainerRecord record = sample();
    Batch batch;
    files.create(record, batch);
    Batch other;
    EXPECT_THROW(files.create(record, other), base::Error);
    record.name = "/renamed";
    files.save(record);
    record.state.running = true;
    record.state.started_at = base::WallTime(1'700'000'001, 0);
    files.save_relaxed(record);
    record.host_config.network_mode = "none";
    files.save_with_host_config(record);
    ASSERT_EQ(files.load_all().size(), 1U);
    const ContainerRecord back = files.load(record.id);
    EXPECT_EQ(back.name, "/renamed");
    EXPECT_TRUE(back.state.running);
    EXPECT_EQ(back.host_config.network_mode, "none");
    files.remove(record.id);
    EXPECT_TRUE(files.load_all().empty());
    EXPECT_THROW((void)files.load(record.id), base::Error);
}

TEST_F(ContainerFilesTest, SkipsBrokenOnesAndForeignDrivers) {
    {
        ContainerFiles files(dir_);
        for (int i = 0; i < 40; ++i) {
            ContainerRecord record = sample();
            record.id = std::string(62, '0') + std::to_string(i + 10);
            if (i == 5) record.driver = "btrfs";
            Batch batch;
            files.create(record, batch);
            if (i == 7) std::ofstream(files.path(record.id) + "/config.v2.json") << "{";
            if (i == 9) std::ofstream(files.path(record.id) + "/config.v2.json") << "";
        }
        std::filesystem::create_directories(dir_ + "/containers/.creating-x/checkpoints");
        EXPECT_EQ(files.load_all().size(), 37U);
    }
    // Removed in the background; the end waits for it.
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/containers/.creating-x"));
}

TEST_F(ContainerFilesTest, AFolderThatCannotBeReadIsNotAnEmptyOne) {
    const ContainerFiles files(dir_);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    std::string said;
    try {
        (void)files.load_all();
    } catch (const base::Error& error) {
        said = error.what();
    }
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(said, "open: too many open files");
}

}  // namespace
}  // namespace dockerd::store
