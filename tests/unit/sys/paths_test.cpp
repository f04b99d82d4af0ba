#include <dockerd/sys/paths.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::sys {
namespace {

namespace fs = std::filesystem;

class ResolveInRoot : public testing::Test {
protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "resolveXXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder = name;
        fs::create_directories(folder + "/a/b");
        std::ofstream(folder + "/a/file") << "x";
        link("/a/b", "absolute");
        link("../a", "a/relative");
        link("../../../../a/b", "a/b/above");
        link("/none/further", "dangling");
        link("loop", "loop");
        link("absolute", "twice");
        root = base::Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    void TearDown() override { fs::remove_all(folder); }

    void link(const char* target, const std::string& name) const {
        ASSERT_EQ(::symlink(target, (folder + "/" + name).c_str()), 0);
    }
    std::string strict(const std::string& path) const {
        return resolve_in_root(root.get(), path, Missing::is_error);
    }
    std::string kept(const std::string& path) const {
        return resolve_in_root(root.get(), path, Missing::is_kept);
    }
    static std::pair<std::string, int> error_of(const std::function<void()>& call) {
        try {
            call();
        } catch (const base::Error& error) {
            return {error.what(), error.errno_value()};
        }
        return {"", 0};
    }

    std::string folder;
    base::Fd root;
};

TEST_F(ResolveInRoot, FollowsLinksInsideTheRootOnly) {
    EXPECT_EQ(strict("/"), "/");
    EXPECT_EQ(strict("/.."), "/");
    EXPECT_EQ(strict("a//b/."), "/a/b");
    EXPECT_EQ(strict("/absolute"), "/a/b");
    EXPECT_EQ(strict("/twice/above"), "/a/b");
    EXPECT_EQ(strict("/a/relative/relative/file"), "/a/file");
    EXPECT_EQ(strict("/absolute/.."), "/a");
}

TEST_F(ResolveInRoot, MissingPartsAreAnErrorOrKept) {
    using Error = std::pair<std::string, int>;
    EXPECT_EQ(error_of([&] { strict("/a/none/x"); }),
              (Error{"lstat /a/none: no such file or directory", ENOENT}));
    EXPECT_EQ(error_of([&] { strict("/dangling"); }),
              (Error{"lstat /none: no such file or directory", ENOENT}));
    EXPECT_EQ(kept("/a/none/x"), "/a/none/x");
    EXPECT_EQ(kept("/dangling"), "/none/further");
    EXPECT_EQ(kept("/none/../a"), "/a");
}

TEST_F(ResolveInRoot, FilesAreNoDirectoriesAndLoopsEnd) {
    using Error = std::pair<std::string, int>;
    EXPECT_EQ(error_of([&] { strict("/a/file/x"); }), (Error{"not a directory", ENOTDIR}));
    EXPECT_EQ(error_of([&] { kept("/a/file/x"); }),
              (Error{"lstat /a/file/x: not a directory", ENOTDIR}));
    EXPECT_EQ(error_of([&] { strict("/loop"); }), (Error{"EvalSymlinks: too many links", 0}));
    EXPECT_EQ(error_of([&] { kept("/loop"); }),
              (Error{"evalSymlinksInScope: too many links in /loop", 0}));
}

}  // namespace
}  // namespace dockerd::sys
