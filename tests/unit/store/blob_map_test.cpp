#include <dockerd/store/blob_map.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace dockerd::store {
namespace {

TEST(BlobMap, RemembersBlobsInDockersForm) {
    std::string dir = "/tmp/blob-map-XXXXXX";
    ASSERT_NE(::mkdtemp(dir.data()), nullptr);
    const std::string diff = "sha256:" + std::string(64, 'd');
    const std::string blob = "sha256:" + std::string(64, 'b');
    {
        BlobMap map(dir);
        EXPECT_EQ(map.diff_id_of(blob), std::nullopt);
        map.add(diff, {blob, "docker.io/library/x", ""});
        map.add(diff, {blob, "docker.io/library/x", ""});
        for (int i = 0; i < 60; ++i) map.add(diff, {blob, "r" + std::to_string(i), ""});
        map.remove(diff, {blob, "r59", ""});
    }
    BlobMap map(dir);
    EXPECT_EQ(map.diff_id_of(blob), diff);
    const auto sources = map.sources_of(diff);
    ASSERT_EQ(sources.size(), 49U);
    EXPECT_EQ(sources.front().repository, "r10");
    EXPECT_EQ(sources.back().repository, "r58");
    EXPECT_EQ(map.diff_id_of("sha256:../../etc/passwd"), std::nullopt);
    std::ifstream file(dir + "/image/overlay2/distribution/diffid-by-digest/sha256/" +
                       std::string(64, 'b'));
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str(), diff);
    map.forget(blob);
    map.forget(blob);
    EXPECT_EQ(map.diff_id_of(blob), std::nullopt);
    EXPECT_EQ(map.sources_of(diff).size(), 49U);
    // Users delete the folder while the daemon runs.
    std::filesystem::remove_all(dir + "/image/overlay2/distribution");
    EXPECT_EQ(map.sources_of(diff).size(), 0U);
    map.add(diff, {blob, "r", ""});
    EXPECT_EQ(map.diff_id_of(blob), diff);
    EXPECT_EQ(map.sources_of(diff).size(), 1U);
    std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace dockerd::store
