#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dockerd/store/run_state.hpp>

namespace dockerd::store {
namespace {

RunState running_since(std::int64_t second) {
    RunState out;
    out.state.running = true;
    out.state.started_at = base::WallTime(second, 7);
    out.has_been_started_before = true;
    return out;
}

RunState ended_at(std::int64_t second, std::int64_t code) {
    RunState out = running_since(second - 1);
    out.state.running = false;
    out.state.exit_code = code;
    out.state.finished_at = base::WallTime(second, 0);
    return out;
}

class RunStateTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = "/tmp/run-state-test-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        dir_ = pattern;
        folder_.reset(::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    void TearDown() override { std::filesystem::remove_all(dir_); }

    [[nodiscard]] std::string file() const { return dir_ + "/last-state"; }
    /// What a power cut in the middle of a write may leave.
    void tear(std::size_t offset) const {
        std::fstream out(file(), std::ios::in | std::ios::out | std::ios::binary);
        out.seekp(static_cast<std::streamoff>(offset));
        out << "torn";
    }
    [[nodiscard]] RunState loaded() const {
        RunState out;
        EXPECT_TRUE(load_run_state(folder_.get(), out));
        return out;
    }

    std::string dir_;
    base::Fd folder_;
};

TEST_F(RunStateTest, KeepsEveryField) {
    RunState state = ended_at(1'700'000'000, 137);
    state.has_been_manually_stopped = true;
    state.restart_count = 4;
    state.state.oom_killed = true;
    state.state.restarting = true;
    state.state.dead = true;
    state.state.error = "no \"such\"\nthing\xff";
    save_run_state(folder_.get(), state);
    const RunState back = loaded();
    EXPECT_TRUE(back.has_been_started_before);
    EXPECT_TRUE(back.has_been_manually_stopped);
    EXPECT_EQ(back.restart_count, 4);
    EXPECT_FALSE(back.state.running);
    EXPECT_TRUE(back.state.oom_killed);
    EXPECT_TRUE(back.state.restarting);
    EXPECT_TRUE(back.state.dead);
    EXPECT_EQ(back.state.exit_code, 137);
    EXPECT_EQ(back.state.started_at, state.state.started_at);
    EXPECT_EQ(back.state.finished_at, state.state.finished_at);
    EXPECT_EQ(back.state.error, "no \"such\"\nthing\xef\xbf\xbd");
}

TEST_F(RunStateTest, OverwritesInPlaceAndNeverTheNewest) {
    save_run_state(folder_.get(), running_since(1));
    const auto inode = [&] {
        struct stat info {};
        EXPECT_EQ(::stat(file().c_str(), &info), 0);
        return info.st_ino;
    };
    const auto first = inode();
    for (int i = 2; i < 9; ++i) {
        save_run_state(folder_.get(), ended_at(i, i));
        EXPECT_EQ(loaded().state.exit_code, i);
        EXPECT_EQ(std::filesystem::file_size(file()), 2 * state_slot_size);
    }
    EXPECT_EQ(inode(), first);
    // The eighth save is in the second slot: torn, the seventh is what remains.
    tear(state_slot_size + 30);
    EXPECT_EQ(loaded().state.exit_code, 7);
    save_run_state(folder_.get(), ended_at(9, 9));
    EXPECT_EQ(loaded().state.exit_code, 9);
}

TEST_F(RunStateTest, IsAbsentWhenNothingIsWhole) {
    RunState out = running_since(5);
    EXPECT_FALSE(load_run_state(folder_.get(), out));
    std::ofstream(file()) << "short";
    EXPECT_FALSE(load_run_state(folder_.get(), out));
    save_run_state(folder_.get(), running_since(1));
    tear(0);
    EXPECT_FALSE(load_run_state(folder_.get(), out));
    EXPECT_EQ(out.state.started_at, running_since(5).state.started_at);
    save_run_state(folder_.get(), running_since(2));
    EXPECT_EQ(loaded().state.started_at, running_since(2).state.started_at);
}

TEST_F(RunStateTest, ShortensAnErrorThatDoesNotFit) {
    RunState state = ended_at(3, 128);
    state.state.error = std::string(10'000, '\x01');
    save_run_state(folder_.get(), state);
    const RunState back = loaded();
    EXPECT_EQ(back.state.exit_code, 128);
    EXPECT_EQ(back.state.error, std::string(600, '\x01'));
}

TEST(ApplyRunState, LosesAgainstLaterTimesOnly) {
    ContainerRecord record;
    record.state.health = HealthRecord{"healthy", 0, {}};
    record.state.pid = 77;
    record.state.started_at = base::WallTime(5, 0);
    apply_run_state(running_since(5), record);
    EXPECT_TRUE(record.state.running);
    EXPECT_EQ(record.state.pid, 77);
    apply_run_state(ended_at(9, 3), record);
    EXPECT_EQ(record.state.exit_code, 3);
    EXPECT_EQ(record.state.pid, 0);
    EXPECT_TRUE(record.has_been_started_before);
    EXPECT_EQ(record.state.health->status, "healthy");
    apply_run_state(ended_at(8, 4), record);
    EXPECT_EQ(record.state.exit_code, 3);
    RunState stopped = ended_at(9, 3);
    stopped.has_been_manually_stopped = true;
    apply_run_state(stopped, record);
    EXPECT_TRUE(record.has_been_manually_stopped);
}

TEST_F(RunStateTest, IsPartOfWhatIsLoaded) {
    ContainerFiles files(dir_);
    ContainerRecord record;
    record.id = std::string(64, 'a');
    Batch batch;
    files.create(record, batch);
    files.save_state(record.id, ended_at(4, 42));
    EXPECT_EQ(files.load(record.id).state.exit_code, 42);
    // Another engine's, or an older version's.
    std::filesystem::remove(files.path(record.id) + "/last-state");
    EXPECT_EQ(files.load(record.id).state.exit_code, 0);
    files.save_state(record.id, ended_at(5, 43));
    EXPECT_EQ(files.load_all().at(0).state.exit_code, 43);
}

}  // namespace
}  // namespace dockerd::store
