#include <dockerd/store/manifest_cache.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dockerd/archive/stream.hpp>

namespace dockerd::store {
namespace {

namespace fs = std::filesystem;

class ManifestCacheTest : public ::testing::Test {
protected:
    ManifestCacheTest() {
        EXPECT_NE(::mkdtemp(dir_.data()), nullptr);
        folder_ = dir_ + "/image/overlay2/distribution/manifests/sha256";
    }
    ~ManifestCacheTest() override { fs::remove_all(dir_); }

    [[nodiscard]] std::string path(const std::string& digest) const {
        return folder_ + "/" + digest.substr(7);
    }
    [[nodiscard]] std::size_t files() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
    }

    std::string dir_ = "/tmp/manifest-cache-XXXXXX";
    std::string folder_;
};

TEST_F(ManifestCacheTest, KeepsBytesTypeAndWhereTheyWereSeen) {
    const std::string text = "{\n \"schemaVersion\": 2\n}";
    const std::string digest = archive::sha256_digest(text);
    {
        ManifestCache cache(dir_);
        EXPECT_FALSE(cache.find(digest, "a/b"));
        cache.add(digest, "type/x", text, "a/b");
        cache.add(digest, "type/x", text, "c/d");
        cache.add(digest, "type/x", text, "a/b");
    }
    const ManifestCache cache(dir_);
    const auto kept = cache.find(digest, "c/d");
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->content_type, "type/x");
    EXPECT_EQ(kept->text, text);
    EXPECT_TRUE(kept->seen_here);
    EXPECT_TRUE(cache.find(digest, "a/b")->seen_here);
    EXPECT_FALSE(cache.find(digest, "e/f")->seen_here);
    EXPECT_FALSE(cache.find("sha256:../../x", "a/b"));
}

TEST_F(ManifestCacheTest, OneRepositorysTypeIsNotAnothers) {
    ManifestCache cache(dir_);
    const std::string digest = archive::sha256_digest("{}");
    cache.add(digest, "type/x", "{}", "a/b");
    cache.add(digest, "type/y", "{}", "c/d");
    EXPECT_EQ(cache.find(digest, "c/d")->content_type, "type/y");
    EXPECT_TRUE(cache.find(digest, "c/d")->seen_here);
    EXPECT_FALSE(cache.find(digest, "a/b")->seen_here);
}

TEST_F(ManifestCacheTest, GivesNothingButWhatHasTheDigest) {
    ManifestCache cache(dir_);
    const std::string text(100, 'x');
    const std::string digest = archive::sha256_digest(text);
    for (const char* content : {"", "no line", "{}\n", "[1]\nxx", "{\"contentType\":5}\nxx",
                                "{\"contentType\":\"t\",\"repositories\":[\"a\"]}\nother"}) {
        cache.add(digest, "t", text, "a");
        ASSERT_TRUE(cache.find(digest, "a"));
        std::ofstream(path(digest)) << content;
        EXPECT_FALSE(cache.find(digest, "a")) << content;
    }
    // Users delete the folder while the daemon runs.
    fs::remove_all(dir_ + "/image/overlay2/distribution");
    EXPECT_FALSE(cache.find(digest, "a"));
    cache.add(digest, "t", text, "a");
    EXPECT_TRUE(cache.find(digest, "a"));
}

TEST_F(ManifestCacheTest, OldOnesMakeRoomForNewOnes) {
    ManifestCache cache(dir_);
    for (int i = 0; i < 999; ++i) std::ofstream(folder_ + "/old-" + std::to_string(i)) << "x";
    fs::last_write_time(folder_ + "/old-500", fs::file_time_type::clock::now() - std::chrono::hours(1));
    const auto put = [&](const std::string& text) {
        cache.add(archive::sha256_digest(text), "t", text, "a");
    };
    put("one");
    EXPECT_EQ(files(), 1000U);
    EXPECT_TRUE(fs::exists(folder_ + "/old-500"));
    put("one");  // is there
    EXPECT_EQ(files(), 1000U);
    put("two");
    EXPECT_EQ(files(), 1000U);
    EXPECT_FALSE(fs::exists(folder_ + "/old-500"));
    EXPECT_TRUE(cache.find(archive::sha256_digest("two"), "a"));
}

}  // namespace
}  // namespace dockerd::store
