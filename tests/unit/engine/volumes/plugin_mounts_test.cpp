#include "volumes/plugin_mounts.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

namespace dockerd::engine {
namespace {

namespace fs = std::filesystem;

class PluginMountsTest : public testing::Test {
protected:
    PluginMountsTest() {
        std::string name = (fs::temp_directory_path() / "mounts-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        path_ = folder_ + "/mounts.json";
    }
    ~PluginMountsTest() override { fs::remove_all(folder_); }

    /// What a next daemon would give back.
    std::vector<std::string> lost_ids() {
        PluginMounts next(path_);
        std::vector<std::string> ids;
        next.give_back_all([&](const PluginMount& mount) {
            ids.push_back(mount.id);
            return false;
        });
        return ids;
    }

    std::string folder_;
    std::string path_;
    const PluginMount one_{"driver", "data", "1"};
    const PluginMount two_{"driver", "data", "2"};
};

using Ids = std::vector<std::string>;

TEST_F(PluginMountsTest, AreLostWithTheDaemonUntilClaimed) {
    {
        PluginMounts mounts(path_);
        mounts.add(one_);
        mounts.add(two_);
        mounts.add(two_);  // a copy beside a run
        EXPECT_FALSE(mounts.has_lost());
        mounts.forget(two_);
    }
    EXPECT_EQ(lost_ids(), (Ids{"1", "2"}));
    PluginMounts next(path_);
    next.claim(two_);
    Ids given;
    next.give_back_all([&](const PluginMount& mount) {
        given.push_back(mount.id);
        return true;
    });
    EXPECT_EQ(given, Ids{"1"});
    EXPECT_EQ(lost_ids(), Ids{"2"}) << "what was given back is not given back once more";
}

TEST_F(PluginMountsTest, OfAPluginThatIsNotThereStayLost) {
    PluginMounts mounts(path_);
    mounts.add(one_);
    mounts.lose(one_);
    int asked = 0;
    const auto fail = [&](const PluginMount&) -> bool {
        ++asked;
        throw std::runtime_error("not there");
    };
    mounts.give_back("2", fail);
    EXPECT_EQ(asked, 0);
    mounts.give_back("1", fail);
    EXPECT_EQ(asked, 1);
    EXPECT_TRUE(mounts.has_lost());
    mounts.give_back("1", [](const PluginMount&) { return true; });
    EXPECT_FALSE(mounts.has_lost());
    EXPECT_EQ(lost_ids(), Ids{});
}

TEST_F(PluginMountsTest, OneThreadGivesBackAndAnotherWaits) {
    PluginMounts mounts(path_);
    mounts.add(one_);
    mounts.lose(one_);
    std::promise<void> asked;
    std::promise<void> answer;
    bool over = false;
    std::thread returner([&] {
        mounts.give_back_all([&](const PluginMount&) {
            asked.set_value();
            answer.get_future().wait();
            return over = true;
        });
    });
    asked.get_future().wait();
    std::thread starter([&] {
        mounts.give_back("1", [](const PluginMount&) {
            ADD_FAILURE() << "asked twice";
            return true;
        });
        EXPECT_TRUE(over);
    });
    answer.set_value();
    starter.join();
    returner.join();
}

TEST_F(PluginMountsTest, DamagedFilesAreLeftAlone) {
    FILE* const file = std::fopen(path_.c_str(), "w");
    ASSERT_NE(file, nullptr);
    (void)std::fputs("[{\"driver\": 3", file);
    (void)std::fclose(file);
    EXPECT_FALSE(PluginMounts(path_).has_lost());
}

}  // namespace
}  // namespace dockerd::engine
