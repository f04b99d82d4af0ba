#include "containers/copy_paths.hpp"

#include <gtest/gtest.h>

namespace dockerd::engine {
namespace {

TEST(CopyPaths, KeepsWhatAPathEndsWith) {
    EXPECT_EQ(keep_trailing("/a", "a"), "/a");
    EXPECT_EQ(keep_trailing("/a", "a/"), "/a/");
    EXPECT_EQ(keep_trailing("/a", "a/."), "/a/.");
    EXPECT_EQ(keep_trailing("/a", "a/b/.."), "/a");
    EXPECT_EQ(keep_trailing("/", "/"), "/");
    EXPECT_EQ(keep_trailing("/", "."), "/.");
    EXPECT_EQ(keep_trailing("/", "/."), "/.");
    EXPECT_EQ(keep_trailing("/a", "/a/./"), "/a/./");
}

TEST(CopyPaths, LastPartsAreGos) {
    EXPECT_EQ(base_name(""), ".");
    EXPECT_EQ(base_name("/"), "/");
    EXPECT_EQ(base_name("//"), "/");
    EXPECT_EQ(base_name("a"), "a");
    EXPECT_EQ(base_name("/a/b//"), "b");
    EXPECT_EQ(base_name("/a/."), ".");
    EXPECT_EQ(directory_part("/a/b"), "/a/");
    EXPECT_EQ(directory_part("/a"), "/");
    EXPECT_EQ(directory_part("a"), "");
}

TEST(CopyPaths, LiesInComparesWholeParts) {
    EXPECT_TRUE(lies_in("/a/b", "/a"));
    EXPECT_TRUE(lies_in("/a", "/a"));
    EXPECT_TRUE(lies_in("/a", "/a/"));
    EXPECT_TRUE(lies_in("/a", "/"));
    EXPECT_FALSE(lies_in("/ab", "/a"));
    EXPECT_FALSE(lies_in("/a", "/a/b"));
}

}  // namespace
}  // namespace dockerd::engine
