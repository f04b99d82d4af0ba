#include <dockerd/store/bolt.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/store/kv.hpp>
#include <dockerd/store/volumes_db.hpp>

namespace dockerd::store {
namespace {

class BoltTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = "/tmp/bolt-test-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        dir_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(dir_); }
    std::string dir_;
};

std::string with(std::string file, std::string_view bytes, std::uint64_t at) {
    return file.replace(at, bytes.size(), bytes);
}

BoltBucket sample(int keys) {
    BoltBucket root;
    for (int i = 0; i < keys; ++i) {
        root.buckets["main"].values["key" + std::to_string(i)] =
            std::string(static_cast<std::size_t>(i % 900), 'v');
    }
    root.buckets["small"].values["a"] = "b";
    root.buckets["outer"].buckets["inner"].values["k"] = "v";
    root.buckets["outer"].sequence = 7;
    root.buckets["large"].values["x"] = std::string(100'000, 'y');
    root.buckets["none"];
    return root;
}

TEST_F(BoltTest, ReadsBackWhatItFormats) {
    for (const int keys : {0, 1, 2, 100, 5000, 50'000}) {
        const BoltBucket root = sample(keys);
        std::uint64_t transaction = 0;
        const BoltBucket back = parse_bolt(format_bolt(root, 9), &transaction);
        EXPECT_EQ(transaction, 10U);
        EXPECT_EQ(back.buckets.size(), keys == 0 ? 4U : 5U);
        if (keys > 0) {
            EXPECT_EQ(back.buckets.at("main").values, root.buckets.at("main").values);
        }
        EXPECT_EQ(back.buckets.at("outer").buckets.at("inner").values.at("k"), "v");
        EXPECT_EQ(back.buckets.at("outer").sequence, 7U);
        EXPECT_EQ(back.buckets.at("large").values.at("x").size(), 100'000U);
    }
}

TEST_F(BoltTest, FallsBackToTheOlderMetaPage) {
    std::string file = format_bolt(sample(3), 4);
    const std::size_t newer = file.find("\x05\0\0\0\0\0\0\0") < 4096 ? 0 : 4096;
    file[newer + 20] = static_cast<char>(file[newer + 20] ^ 1);
    EXPECT_EQ(parse_bolt(file).buckets.at("small").values.at("a"), "b");
    file[(4096 - newer) + 20] = static_cast<char>(file[(4096 - newer) + 20] ^ 1);
    EXPECT_THROW((void)parse_bolt(file), base::Error);
}

TEST_F(BoltTest, SurvivesBrokenFiles) {
    const std::string good = format_bolt(sample(200), 1);
    // The root is the last page of the tree; the room behind it may be missing.
    const std::size_t tree_end = good.rfind("small");
    for (std::size_t cut = 0; cut < tree_end; cut += 997) {
        EXPECT_THROW((void)parse_bolt(good.substr(0, cut)), base::Error) << cut;
    }
    unsigned seed = 1;
    for (int round = 0; round < 2000; ++round) {
        std::string bad = good;
        for (int i = 0; i < 4; ++i) {
            seed = seed * 1'103'515'245 + 12'345;
            bad[8192 + seed % (bad.size() - 8192)] = static_cast<char>(seed >> 16U);
        }
        try {
            (void)parse_bolt(bad);
        } catch (const base::Error&) {
        }
        (void)salvage_bolt(bad);
    }
}

TEST_F(BoltTest, KeepsTheElementsBesideADamagedOne) {
    BoltBucket root;
    for (int i = 0; i < 10; ++i) root.buckets["b"].values["key" + std::to_string(i)] = "value";
    for (int i = 0; i < 300; ++i) root.buckets["b"].values["other" + std::to_string(i)] = "x";
    std::string bad = format_bolt(root, 4);
    // The third element of the leaf that begins with "key0" claims to be larger than its page.
    const std::size_t leaf = bad.find("key0value") / 4096 * 4096;
    bad[leaf + 16 + 2 * 16 + 14] = 1;
    EXPECT_THROW((void)parse_bolt(bad), base::Error);
    const BoltBucket kept = salvage_bolt(bad);
    BoltBucket expected = root;
    expected.buckets["b"].values.erase("key2");
    EXPECT_EQ(kept.buckets.at("b").values, expected.buckets.at("b").values);
}

/// The last but one transaction is whole; a page of the last one is not.
TEST_F(BoltTest, GoesBackToTheLastButOneTransaction) {
    const BoltBucket before = sample(100);
    std::string file = format_bolt(before, 4);
    BoltBucket after = before;
    after.buckets["new"].values["k"] = "v";
    const auto change = format_bolt_change(after, 6, file.size() / 4096, true, 4096);
    ASSERT_TRUE(change);
    file = with(with(std::move(file), change->pages, change->pages_at), change->meta, change->meta_at);
    EXPECT_EQ(parse_bolt(file).buckets.size(), 6U);
    // Page by page of the newer tree.
    for (std::size_t at = 0; at < change->pages.size(); at += 4096) {
        const BoltBucket kept = salvage_bolt(with(file, std::string(4096, '\xff'), change->pages_at + at));
        EXPECT_EQ(kept.buckets.at("main").values, before.buckets.at("main").values) << at;
        EXPECT_EQ(kept.buckets.at("outer").buckets.at("inner").values.at("k"), "v") << at;
    }
}

TEST_F(BoltTest, FindsBucketsWithoutMetaPages) {
    std::string bad = format_bolt(sample(3), 4);
    bad.replace(0, 8192, 8192, '\0');
    EXPECT_EQ(salvage_bolt(bad).buckets.at("small").values.at("a"), "b");
    EXPECT_TRUE(salvage_bolt("").buckets.empty());
}

TEST_F(BoltTest, SetsADamagedFileAside) {
    const std::string path = dir_ + "/a.db";
    const auto kept = [&] {
        std::vector<std::string> names;
        for (const auto& item : std::filesystem::directory_iterator(dir_)) {
            const std::string name = item.path().filename();
            if (name.starts_with("a.db.damaged-")) names.push_back(name);
        }
        return names;
    };
    const std::string noise(10'000, 'x');
    std::ofstream(path) << noise;
    {
        BoltFile file(path, std::chrono::milliseconds(0));
        EXPECT_TRUE(file.root().buckets.empty());
        ASSERT_EQ(kept().size(), 1U);
        EXPECT_EQ(read_file(AT_FDCWD, dir_ + "/" + kept()[0]), noise);
        file.save(sample(2));
    }
    EXPECT_EQ(BoltFile(path, std::chrono::milliseconds(0)).root().buckets.at("small").values.at("a"),
              "b");
    for (const char* kind : {"directory", "fifo", "symlink", "huge"}) {
        std::filesystem::remove(path);
        const std::string target = dir_ + "/target";
        if (kind == std::string("directory")) std::filesystem::create_directory(path);
        if (kind == std::string("fifo")) {
            ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
        }
        if (kind == std::string("symlink")) std::filesystem::create_symlink(target, path);
        if (kind == std::string("huge")) {
            std::ofstream(path) << "x";
            std::filesystem::resize_file(path, std::uintmax_t{8} << 30U);
        }
        const std::size_t before = kept().size();
        EXPECT_TRUE(BoltFile(path, std::chrono::milliseconds(0)).root().buckets.empty()) << kind;
        EXPECT_EQ(kept().size(), before + 1) << kind;
        EXPECT_FALSE(std::filesystem::exists(target));
    }
}

/// Random edits of two buckets, each time written in place, or anew where there is no room, and read again, against
/// plain maps. DOCKERD_BBOLT names bbolt's own tool, which then checks each file as well.
TEST_F(BoltTest, AgreesWithAModelOverRandomEdits) {
    const char* const tool = std::getenv("DOCKERD_BBOLT");
    const std::string path = dir_ + "/checked.db";
    BoltBucket model;
    std::string file = format_bolt(model, 0);
    std::uint64_t written = 1;
    bool second_half = false;
    int in_place = 0;
    std::mt19937 dice(1);
    const auto number = [&](unsigned below) { return dice() % below; };
    for (int edit = 0; edit < 10'000; ++edit) {
        BoltBucket& bucket = model.buckets[number(2) == 0 ? "one" : "two"];
        const std::string key = "docker/" + std::to_string(number(150)) + "/";
        if (number(3) == 0) {
            bucket.values.erase(key);
        } else {
            // Some do not fit a page; some are empty.
            bucket.values[key] = std::string(number(40) == 0 ? number(9000) : number(200),
                                             static_cast<char>('a' + number(26)));
        }
        second_half = !second_half;
        if (const auto change =
                format_bolt_change(model, ++written, file.size() / 4096, second_half, 4096)) {
            file = with(with(std::move(file), change->pages, change->pages_at), change->meta,
                        change->meta_at);
            ++in_place;
        } else {
            file = format_bolt(model, written++);
            second_half = false;
        }
        std::uint64_t transaction = 0;
        const BoltBucket read = parse_bolt(file, &transaction);
        ASSERT_EQ(transaction, written) << edit;
        ASSERT_EQ(read.buckets.size(), model.buckets.size()) << edit;
        for (const auto& [name, expected] : model.buckets) {
            ASSERT_EQ(read.buckets.at(name).values, expected.values) << edit;
        }
        if (tool == nullptr) continue;
        std::ofstream(path, std::ios::trunc | std::ios::binary) << file;
        ASSERT_EQ(std::system((std::string(tool) + " check " + path + " >/dev/null").c_str()), 0) << edit;
    }
    EXPECT_GT(in_place, 9000);
}

/// A daemon or machine that dies within a save leaves the contents of before, whatever of it is on the
/// disk; only the whole meta page makes the new ones count.
TEST_F(BoltTest, AChangeThatIsCutOffChangesNothing) {
    std::string file = format_bolt(sample(20), 4);
    const std::uint64_t total = file.size() / 4096;
    for (std::uint64_t edit = 0; edit < 6; ++edit) {
        const BoltBucket before = parse_bolt(file);
        BoltBucket after = before;
        after.buckets["main"].values["edit"] = std::to_string(edit);
        after.buckets["main"].values.erase("key" + std::to_string(edit));
        const auto change = format_bolt_change(after, 6 + edit, total, edit % 2 == 0, 4096);
        ASSERT_TRUE(change);
        for (std::size_t cut = 0; cut < change->pages.size(); cut += 1000) {
            const std::string torn =
                with(file, std::string_view(change->pages).substr(0, cut), change->pages_at);
            ASSERT_EQ(parse_bolt(torn).buckets.at("main").values, before.buckets.at("main").values);
        }
        file = with(file, change->pages, change->pages_at);
        // Its first 80 bytes hold all it says; a sector is the least a disk writes at once.
        const std::string torn = with(file, std::string_view(change->meta).substr(0, 60), change->meta_at);
        ASSERT_EQ(parse_bolt(torn).buckets.at("main").values, before.buckets.at("main").values);
        file = with(file, change->meta, change->meta_at);
        std::uint64_t transaction = 0;
        const BoltBucket read = parse_bolt(file, &transaction);
        ASSERT_EQ(transaction, 6 + edit);
        ASSERT_EQ(read.buckets.at("main").values, after.buckets.at("main").values);
    }
}

TEST_F(BoltTest, ChangesInPlaceUntilTheRoomIsUsedUp) {
    const std::string path = dir_ + "/a.db";
    const auto inode = [&] {
        struct stat info {};
        EXPECT_EQ(::stat(path.c_str(), &info), 0);
        return info.st_ino;
    };
    BoltFile file(path, std::chrono::milliseconds(0));
    const ino_t first = inode();
    BoltBucket root = sample(0);
    root.buckets.erase("large");
    for (int edit = 0; edit < 40; ++edit) {
        root.buckets["main"].values["key" + std::to_string(edit)] = std::string(100, 'v');
        file.save(root);
        std::uint64_t transaction = 0;
        const BoltBucket read = parse_bolt(read_file(AT_FDCWD, path), &transaction);
        ASSERT_EQ(read.buckets.at("main").values, root.buckets.at("main").values) << edit;
        ASSERT_EQ(transaction, static_cast<std::uint64_t>(edit) + 3) << edit;
    }
    EXPECT_EQ(inode(), first);
    file.save(sample(1000));
    EXPECT_NE(inode(), first);
    const ino_t second = inode();
    file.save(root);
    EXPECT_EQ(inode(), second);
    EXPECT_EQ(parse_bolt(read_file(AT_FDCWD, path)).buckets.at("main").values,
              root.buckets.at("main").values);
}

TEST_F(BoltTest, HoldsTheLockOnTheFileThatBearsTheName) {
    const std::string path = dir_ + "/a.db";
    BoltFile file(path, std::chrono::milliseconds(0));
    const auto locked = [&] {
        const base::Fd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
        return ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
    };
    EXPECT_TRUE(locked());
    file.save(sample(2));
    EXPECT_TRUE(locked());
    try {
        BoltFile second(path, std::chrono::milliseconds(0));
        FAIL() << "opened twice";
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::unavailable);
        EXPECT_EQ(error.what(),
                  path + " is locked: another engine is running on this data root");
    }
}

TEST_F(BoltTest, KeepsNetworkKeysAcrossReopening) {
    {
        KvFile kv(dir_);
        kv.update({{"docker/network/v1.0/network/a/", R"({"id":"a"})"},
                   {"docker/network/v1.0/network/b/", "{}"}});
        kv.remove("docker/network/v1.0/network/b/");
    }
    KvFile kv(dir_);
    EXPECT_EQ(kv.find("docker/network/v1.0/network/a/"), R"({"id":"a"})");
    EXPECT_EQ(kv.list("docker/network/v1.0/network/").size(), 1U);
    EXPECT_EQ(kv.find("x"), std::nullopt);
}

TEST_F(BoltTest, KeepsVolumesAcrossReopening) {
    model::StringMap labels;
    labels["a"] = "b";
    labels.given = true;
    {
        VolumesDb volumes(dir_);
        const VolumeRecord made = volumes.create("v1", "local", labels, {});
        EXPECT_EQ(made.mountpoint, dir_ + "/volumes/v1/_data");
        std::ofstream(made.mountpoint + "/file") << "12345";
        (void)volumes.create("v2", "local", {}, {});
        EXPECT_TRUE(volumes.remove("v2"));
        EXPECT_FALSE(volumes.remove("v2"));
        EXPECT_EQ(volumes.size("v1"), 5);
    }
    // A folder the database does not know is a volume as well.
    std::filesystem::create_directories(dir_ + "/volumes/found/_data");
    VolumesDb volumes(dir_);
    ASSERT_EQ(volumes.list().size(), 2U);
    EXPECT_EQ(volumes.find("v1")->labels.at("a"), "b");
    EXPECT_EQ(volumes.find("found")->driver, "local");
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/volumes/v2"));
}

// What a start changes comes to the disk behind the first answer; until then there is an empty, locked file.
TEST_F(BoltTest, ChangesOfAStartAreWrittenWhenItSettles) {
    const std::string path = dir_ + "/network/files/local-kv.db";
    StartWrites later;
    KvFile file(dir_, &later);
    file.put("a", "1");
    EXPECT_EQ(file.find("a"), "1");
    EXPECT_EQ(std::filesystem::file_size(path), 0U);
    EXPECT_THROW(BoltFile(path, std::chrono::milliseconds(0)), base::Error);
    later.serve();
    later.settle();
    EXPECT_GT(std::filesystem::file_size(path), 0U);
    EXPECT_THROW(BoltFile(path, std::chrono::milliseconds(0)), base::Error);  // the new one as well
    const auto bucket = [&] { return parse_bolt(read_file(AT_FDCWD, path)).buckets.at("libnetwork").values; };
    EXPECT_EQ(bucket().at("a").substr(8), "1");
    file.put("b", "2");  // from here on at once
    EXPECT_EQ(bucket().at("b").substr(8), "2");
    later.settle();  // nothing is left to do
    EXPECT_EQ(bucket().size(), 2U);
    for (const auto& entry : std::filesystem::directory_iterator(dir_ + "/network/files")) {
        EXPECT_EQ(entry.path().filename(), "local-kv.db");
    }
}

// A client may be there before the start has settled: what it is told is on the disk.
TEST_F(BoltTest, ChangesOfRequestsAreWrittenAtOnce) {
    const std::string path = dir_ + "/network/files/local-kv.db";
    StartWrites later;
    KvFile file(dir_, &later);
    file.put("a", "1");
    later.serve();
    file.put("b", "2");
    const auto values = [&] { return parse_bolt(read_file(AT_FDCWD, path)).buckets.at("libnetwork").values; };
    EXPECT_EQ(values().size(), 2U);
    struct stat before {};
    struct stat after {};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    later.settle();
    ASSERT_EQ(::stat(path.c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before.st_ino) << "nothing is left to write";
}

TEST_F(BoltTest, AStartWithoutChangesWritesNothing) {
    { const KvFile made(dir_); }
    const std::string path = dir_ + "/network/files/local-kv.db";
    struct stat before {};
    struct stat after {};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    StartWrites later;
    const KvFile file(dir_, &later);
    later.settle();
    ASSERT_EQ(::stat(path.c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before.st_ino);
}

// The name of a damaged file is free at once, so its place is taken at once, too.
TEST_F(BoltTest, ADamagedFileIsReplacedBeforeTheStartSettles) {
    std::filesystem::create_directories(dir_ + "/network/files");
    const std::string path = dir_ + "/network/files/local-kv.db";
    std::ofstream(path) << std::string(20'000, 'x');
    StartWrites later;
    const KvFile file(dir_, &later);
    EXPECT_NO_THROW((void)parse_bolt(read_file(AT_FDCWD, path)));
    EXPECT_THROW(BoltFile(path, std::chrono::milliseconds(0)), base::Error);
}

}  // namespace
}  // namespace dockerd::store
