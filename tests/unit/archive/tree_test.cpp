#include <dockerd/archive/tree.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace dockerd::archive {
namespace {

namespace fs = std::filesystem;

/// Deeper than any path can name (PATH_MAX is 4096), and than there are descriptors.
class DeepTree : public ::testing::Test {
protected:
    static constexpr int depth = 6000;

    void SetUp() override {
        // In memory where there is such a place: thousands of directories are slow on a busy disk.
        const bool in_memory = ::access("/dev/shm", W_OK) == 0;
        std::string pattern =
            (in_memory ? "/dev/shm/" : ::testing::TempDir()) + std::string("tree-test-XXXXXX");
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        top_path = pattern;
        top.reset(::open(pattern.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ::getrlimit(RLIMIT_NOFILE, &limit_before);
        const rlimit few{64, limit_before.rlim_max};
        ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    }
    void TearDown() override {
        ::setrlimit(RLIMIT_NOFILE, &limit_before);
        (void)::rmdir(top_path.c_str());
        EXPECT_FALSE(fs::exists(top_path)) << "something is left";
    }

    /// d/d/d/..., with files of one byte before and behind the way down in each.
    void make(const char* name) const {
        ASSERT_EQ(::mkdirat(top.get(), name, 0700), 0);
        base::Fd at{::openat(top.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        for (int i = 0; i < depth; ++i) {
            if (i % 100 == 0) {
                for (const char* file : {"a", "z"}) {
                    const base::Fd made{
                        ::openat(at.get(), file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
                    ASSERT_EQ(::write(made.get(), "x", 1), 1);
                }
            }
            ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
            at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            ASSERT_TRUE(at);
        }
    }

    std::string top_path;
    base::Fd top;
    rlimit limit_before{};
};

TEST_F(DeepTree, IsMeasuredAndRemoved) {
    make("t");
    EXPECT_EQ(tree_size(top.get()), 2 * depth / 100);
    EXPECT_EQ(remove_all(top.get(), "t"), 0);
}

TEST_F(DeepTree, RemovalStopsWhenItIsTold) {
    fs::create_directories(top_path + "/t/x");
    std::ofstream(top_path + "/t/x/f") << "12";
    const std::atomic<bool> stop = true;
    EXPECT_EQ(remove_all(top.get(), "t", &stop), ECANCELED);
    EXPECT_TRUE(fs::exists(top_path + "/t/x/f"));
    EXPECT_EQ(remove_all(top.get(), "t"), 0);
}

TEST_F(DeepTree, LinksAreNotFollowedAndWideTreesGo) {
    const std::string t = top_path + "/t";
    fs::create_directories(top_path + "/keep");
    std::ofstream(top_path + "/keep/f") << "12345";
    for (int i = 0; i < 300; ++i) {
        const std::string folder = t + "/" + std::to_string(i);
        fs::create_directories(folder + "/x/y");
        fs::create_symlink("../../keep", folder + "/link");
        std::ofstream(folder + "/x/y/f") << "12";
    }
    // 5 of the file that stays, 2 of each file, 10 of each link's text.
    EXPECT_EQ(tree_size(top.get()), 5 + 300 * (2 + 10));
    EXPECT_EQ(remove_all(top.get(), "t"), 0);
    EXPECT_EQ(remove_all(top.get(), "t"), 0) << "missing is success";
    EXPECT_EQ(fs::file_size(top_path + "/keep/f"), 5U);
    EXPECT_EQ(remove_all(top.get(), "keep"), 0);
}

}  // namespace
}  // namespace dockerd::archive
