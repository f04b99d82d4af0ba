#include <dockerd/archive/extract.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>

namespace dockerd::archive {
namespace {

namespace fs = std::filesystem;

class ExtractTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        std::string pattern = "/var/tmp/extract-test-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        top_ = pattern;
        fs::create_directories(top_ + "/root");
        fs::create_directories(top_ + "/outside");
        std::ofstream(top_ + "/outside/canary") << "canary";
        ::chmod((top_ + "/outside/canary").c_str(), 0600);
        root_ = top_ + "/root";
    }
    void TearDown() override {
        if (top_.empty()) return;
        expect_canary();
        fs::remove_all(top_);
    }

    void expect_canary() {
        struct stat info {};
        ASSERT_EQ(::stat((top_ + "/outside/canary").c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777U, 0600U);
        EXPECT_EQ(info.st_nlink, 1U);
        EXPECT_EQ(slurp(top_ + "/outside/canary"), "canary");
        int entries = 0;
        for ([[maybe_unused]] const auto& item : fs::directory_iterator(top_ + "/outside"))
            ++entries;
        EXPECT_EQ(entries, 1);
        EXPECT_FALSE(fs::exists(top_ + "/evil"));
    }

    static std::string slurp(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        std::ostringstream out;
        out << file.rdbuf();
        return out.str();
    }

    struct Member {
        std::string name;
        char type = '0';
        std::string data;
        std::string link;
        unsigned mode = 0644;
        std::map<std::string, std::string> xattrs;
        unsigned major = 0;
        unsigned minor = 0;
    };

    static std::string tar(const std::vector<Member>& members) {
        std::string out;
        TarWriter writer([&](std::string_view bytes) { out += bytes; });
        for (const Member& member : members) {
            TarEntry entry;
            entry.name = member.name;
            entry.type_flag = member.type;
            entry.mode = member.mode;
            entry.link_name = member.link;
            entry.size = static_cast<std::int64_t>(member.data.size());
            entry.xattrs = member.xattrs;
            entry.device_major = member.major;
            entry.device_minor = member.minor;
            entry.mtime = base::WallTime(1'500'000'000, 0);
            writer.add(entry, member.data);
        }
        writer.finish();
        return out;
    }

    ExtractResult run(const std::vector<Member>& members, ExtractOptions options = {}) {
        const base::Fd fd{::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        return extract(memory_source(tar(members)), fd.get(), options);
    }

    /// Unpacks as a layer; whether it threw. Either way nothing outside may have changed.
    bool hostile(const std::vector<Member>& members) {
        ExtractOptions options;
        options.whiteouts = ExtractOptions::Whiteouts::overlay;
        bool refused = false;
        try {
            (void)run(members, options);
        } catch (const base::Error& error) {
            refused = true;
            EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument) << error.what();
        }
        expect_canary();
        return refused;
    }

    std::string up(int levels = 1) const {
        std::string out;
        for (int i = 0; i < levels; ++i) out += "../";
        return out;
    }

    std::string top_;
    std::string root_;
};

TEST_F(ExtractTest, RestoresModesOwnersTimesAndLinks) {
    const ExtractResult result = run({{"d/", '5', "", "", 02750},
                                      {"d/f", '0', "12345", "", 04711},
                                      {"d/hard", '1', "", "d/f", 04711},
                                      {"d/sym", '2', "", "/absolute/target"},
                                      {"d/fifo", '6', "", "", 0640},
                                      {"d/null", '3', "", "", 0666, {}, 1, 3},
                                      {"implied/dir/f", '0', "x"}});
    EXPECT_EQ(result.size, 5 + 16 + 1);
    struct stat info {};
    ASSERT_EQ(::lstat((root_ + "/d").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 02750U);
    EXPECT_EQ(info.st_mtime, 1'500'000'000);
    ASSERT_EQ(::lstat((root_ + "/d/f").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 04711U);
    EXPECT_EQ(info.st_nlink, 2U);
    EXPECT_EQ(info.st_gid, 0U);
    ASSERT_EQ(::lstat((root_ + "/d/null").c_str(), &info), 0);
    EXPECT_EQ(info.st_rdev, makedev(1, 3));
    EXPECT_EQ(fs::read_symlink(root_ + "/d/sym"), "/absolute/target");
    ASSERT_EQ(::lstat((root_ + "/d/sym").c_str(), &info), 0);
    EXPECT_EQ(info.st_mtime, 1'500'000'000);
    ASSERT_EQ(::lstat((root_ + "/implied").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0755U);
}

TEST_F(ExtractTest, KeepsCapabilitiesAndDropsOverlayAttributes) {
    const std::string capability(
        "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
    (void)run({{"f",
                '0',
                "x",
                "",
                0755,
                {{"security.capability", capability},
                 {"trusted.overlay.redirect", "/etc"},
                 {"user.a", "b"}}}});
    char buffer[64];
    EXPECT_EQ(::getxattr((root_ + "/f").c_str(), "security.capability", buffer, sizeof buffer), 20);
    EXPECT_EQ(::getxattr((root_ + "/f").c_str(), "user.a", buffer, sizeof buffer), 1);
    EXPECT_EQ(::getxattr((root_ + "/f").c_str(), "trusted.overlay.redirect", buffer, sizeof buffer),
              -1);
}

TEST_F(ExtractTest, RefusesNamesThatLeaveTheRoot) {
    EXPECT_TRUE(hostile({{"../evil", '0', "x"}}));
    EXPECT_TRUE(hostile({{"a/../../evil", '0', "x"}}));
    EXPECT_TRUE(hostile({{"..", '5'}}));
    EXPECT_TRUE(hostile({{"../outside/canary", '1', "", "../outside/canary"}}));
    EXPECT_FALSE(hostile({{"/absolute", '0', "x"}, {"/../also", '0', "y"}}));
    EXPECT_EQ(slurp(root_ + "/absolute"), "x");
    EXPECT_EQ(slurp(root_ + "/also"), "y");
}

TEST_F(ExtractTest, ContainsSymlinkTricks) {
    // A link out of the root leads into it: the target is resolved as in a chroot.
    EXPECT_TRUE(hostile({{"l", '2', "", up(3) + "outside"}, {"l/evil", '0', "x"}}));
    EXPECT_TRUE(hostile({{"abs", '2', "", top_ + "/outside"}, {"abs/evil", '0', "x"}}));
    // A file written over a link replaces the link, not its target.
    EXPECT_FALSE(hostile({{"c", '2', "", top_ + "/outside/canary"}, {"c", '0', "x", "", 0777}}));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(root_ + "/c")));
    // Chains, and a directory replaced by a link between two members.
    EXPECT_TRUE(hostile({{"x", '2', "", "."},
                         {"x/y", '2', "", ".."},
                         {"x/y/z/w", '2', "", ".."},
                         {"x/y/z/w/../../../outside/evil", '0', "x"},
                         {"n/../../evil", '0', "x"}}));
    EXPECT_FALSE(hostile(
        {{"dir/", '5'}, {"dir", '2', "", top_ + "/outside"}, {"dir", '5'}, {"dir/f", '0', "x"}}));
    EXPECT_EQ(slurp(root_ + "/dir/f"), "x");
    EXPECT_TRUE(hostile({{"magic", '2', "", "/proc/self/root"}, {"magic/evil", '0', "x"}}));
}

TEST_F(ExtractTest, ContainsHardLinkTricks) {
    // Absolute targets mean the archive's root, which must work.
    EXPECT_FALSE(hostile({{"a", '0', "data"}, {"b", '1', "", "/a"}}));
    EXPECT_EQ(slurp(root_ + "/b"), "data");
    EXPECT_TRUE(hostile({{"h1", '1', "", top_ + "/outside/canary"}}));
    EXPECT_TRUE(hostile({{"h2", '1', "", up(4) + "outside/canary"}}));
    // A hard link to a symlink links the symlink; chmod through it must not happen.
    EXPECT_FALSE(hostile({{"s", '2', "", top_ + "/outside/canary"}, {"hs", '1', "", "s", 04777}}));
    EXPECT_TRUE(fs::is_symlink(root_ + "/hs"));
    EXPECT_TRUE(hostile({{"out", '2', "", top_ + "/outside"}, {"h3", '1', "", "out/canary"}}));
    EXPECT_TRUE(hostile({{"hd/", '5'}, {"h4", '1', "", "hd"}}));
}

TEST_F(ExtractTest, ConvertsAndContainsWhiteouts) {
    EXPECT_FALSE(hostile({{"d/", '5'}, {"d/.wh.gone", '0'}, {"d/.wh..wh..opq", '0'}}));
    struct stat info {};
    ASSERT_EQ(::lstat((root_ + "/d/gone").c_str(), &info), 0);
    EXPECT_TRUE(S_ISCHR(info.st_mode));
    char opaque = 0;
    EXPECT_EQ(::getxattr((root_ + "/d").c_str(), "trusted.overlay.opaque", &opaque, 1), 1);
    EXPECT_TRUE(hostile({{"d/.wh...", '0'}}));
    EXPECT_TRUE(hostile({{"d/.wh..", '0'}}));
    EXPECT_TRUE(hostile({{"d/.wh.", '0'}}));
    EXPECT_TRUE(hostile({{"../outside/.wh.canary", '0'}}));
    EXPECT_TRUE(hostile({{"o", '2', "", top_ + "/outside"}, {"o/.wh.canary", '0'}}));
    EXPECT_TRUE(hostile({{"p", '2', "", top_ + "/outside"}, {"p/.wh..wh..opq", '0'}}));
    // What the layer itself brings is not hidden by its own whiteout.
    EXPECT_FALSE(hostile({{"keep", '0', "k"}, {".wh.keep", '0'}}));
    EXPECT_EQ(slurp(root_ + "/keep"), "k");
}

TEST_F(ExtractTest, AppliesWhiteoutsWhenAsked) {
    ExtractOptions options;
    options.whiteouts = ExtractOptions::Whiteouts::apply;
    (void)run({{"d/", '5'}, {"d/a", '0', "1"}, {"d/b", '0', "2"}}, options);
    (void)run({{"d/.wh.a", '0'}}, options);
    EXPECT_FALSE(fs::exists(root_ + "/d/a"));
    EXPECT_TRUE(fs::exists(root_ + "/d/b"));
}

TEST_F(ExtractTest, RefusesOddMembers) {
    EXPECT_TRUE(hostile({{"cont", '7', ""}}));
    EXPECT_TRUE(hostile({{std::string(5000, 'a'), '0', "x"}}));
    EXPECT_TRUE(hostile({{std::string(300, 'b'), '0', "x"}}));
    EXPECT_TRUE(hostile({{"f", '0', "x"}, {"f/below", '0', "y"}}));
    std::string deep;
    for (int i = 0; i < 3000; ++i) deep += "d/";
    EXPECT_TRUE(hostile({{deep + "f", '0', "x"}}));
}

TEST_F(ExtractTest, StopsAtTheLimit) {
    ExtractOptions options;
    options.max_bytes = 1000;
    EXPECT_THROW((void)run({{"big", '0', std::string(1001, 'x')}}, options), base::Error);
}

TEST_F(ExtractTest, MergesDirectoriesAndReplacesFiles) {
    (void)run({{"d/", '5', "", "", 0700}, {"d/a", '0', "old"}});
    (void)run({{"d/", '5', "", "", 0711}, {"d/a", '0', "new"}, {"d/b", '0', "b"}});
    EXPECT_EQ(slurp(root_ + "/d/a"), "new");
    struct stat info {};
    ASSERT_EQ(::stat((root_ + "/d").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0711U);
    ExtractOptions options;
    options.no_overwrite_dir_non_dir = true;
    try {
        (void)run({{"d", '0', "file"}}, options);
        FAIL() << "replaced a directory";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "cannot overwrite directory \"/d\" with non-directory \"/\"");
    }
}

TEST_F(ExtractTest, PacksWhatItUnpacked) {
    (void)run({{"a/", '5', "", "", 0755},
               {"a/f", '0', "data", "", 04755},
               {"a/g", '1', "", "a/f", 04755},
               {"a/l", '2', "", "f"},
               {"n", '3', "", "", 0600, {}, 1, 5}});
    const base::Fd fd{::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    std::string packed;
    pack(fd.get(), {}, [&](std::string_view bytes) { packed += bytes; });
    TarReader reader(memory_source(packed));
    std::vector<std::string> lines;
    while (const TarEntry* entry = reader.next()) {
        lines.push_back(entry->name + " " + std::string(1, entry->type_flag) + " " +
                        entry->link_name);
    }
    EXPECT_EQ(lines, (std::vector<std::string>{"a/ 5 ", "a/f 0 ", "a/g 1 a/f", "a/l 2 f", "n 3 "}));
    EXPECT_EQ(tree_size(fd.get()), 4 + 1);
}

TEST_F(ExtractTest, PacksUnderAnotherName) {
    (void)run({{"a/", '5', "", "", 0755}, {"a/f", '0', "data"}, {"a/l", '2', "", "f"}});
    const base::Fd fd{::open((root_ + "/a").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const auto names = [](const std::string& packed) {
        TarReader reader(memory_source(packed));
        std::vector<std::string> out;
        while (const TarEntry* entry = reader.next()) out.push_back(entry->name);
        return out;
    };
    std::string packed;
    const ByteSink sink = [&](std::string_view bytes) { packed += bytes; };
    PackOptions options;
    options.start_name = "renamed";
    pack(fd.get(), options, sink);
    EXPECT_EQ(names(packed), (std::vector<std::string>{"renamed/", "renamed/f", "renamed/l"}));
    packed.clear();
    options.start_name = "";
    pack(fd.get(), options, sink);
    EXPECT_EQ(names(packed), (std::vector<std::string>{"/", "/f", "/l"}));
    packed.clear();
    pack_one(fd.get(), "l", "as", sink);
    EXPECT_EQ(names(packed), (std::vector<std::string>{"as"}));
    packed.clear();
    pack_one(fd.get(), "none", "as", sink);
    EXPECT_EQ(packed, std::string(1024, '\0'));
}

TEST_F(ExtractTest, UnpacksBelowADirectoryAndFollowsLinksInTheRoot) {
    fs::create_directories(root_ + "/dest/dir");
    fs::create_directories(root_ + "/else");
    fs::create_symlink("/else", root_ + "/dest/link");
    ExtractOptions options;
    options.below = "dest";
    (void)run({{"f", '0', "1"},
               {"link/g", '0', "2"},
               {"h", '1', "", "f"},
               {"s", '2', "", "/anywhere"},
               {"new/deep/i", '0', "3"}},
              options);
    EXPECT_EQ(slurp(root_ + "/dest/f"), "1");
    EXPECT_EQ(slurp(root_ + "/else/g"), "2");
    EXPECT_EQ(slurp(root_ + "/dest/h"), "1");
    EXPECT_EQ(slurp(root_ + "/dest/new/deep/i"), "3");
    EXPECT_FALSE(fs::exists(root_ + "/f"));
    options.no_overwrite_dir_non_dir = true;
    const auto error_of = [&](const Member& member) -> std::string {
        try {
            (void)run({member}, options);
        } catch (const base::Error& error) {
            return error.what();
        }
        return "";
    };
    // Source: moby/go-archive archive.go: what `docker cp` shows.
    EXPECT_EQ(error_of({"../x", '0', "x"}), "\"../x\" is outside of \"/dest\"");
    EXPECT_EQ(error_of({"dir", '0', "x"}),
              "cannot overwrite directory \"/dest/dir\" with non-directory \"/dest\"");
    EXPECT_EQ(error_of({"f/", '5'}),
              "cannot overwrite non-directory \"/dest/f\" with directory \"/dest\"");
    EXPECT_EQ(error_of({"l", '2', "", "../else"}), "invalid symlink \"/dest/l\" -> \"../else\"");
    EXPECT_EQ(error_of({"l", '1', "", "../else/g"}),
              "invalid hardlink \"/else/g\" -> \"../else/g\"");
    EXPECT_EQ(error_of({"f/x", '0', "x"}), "open /dest/f/x: not a directory");
    EXPECT_EQ(error_of({"l", '1', "", "none"}),
              "link /dest/none /dest/l: no such file or directory");
}

TEST_F(ExtractTest, UnpacksABombInLittleMemory) {
    // 256 MiB of zeros in a quarter megabyte; the limit ends it early.
    std::string packed;
    GzipSink gzip([&](std::string_view bytes) { packed += bytes; });
    TarWriter writer([&](std::string_view bytes) { gzip.write(bytes); });
    TarEntry entry;
    entry.name = "zeros";
    entry.mode = 0644;
    entry.size = 256 << 20;
    writer.begin(entry);
    const std::string block(1 << 20, '\0');
    for (int i = 0; i < 256; ++i) writer.data(block);
    writer.finish();
    gzip.finish();
    ExtractOptions options;
    options.max_bytes = 10 << 20;
    const base::Fd fd{::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    EXPECT_THROW((void)extract(memory_source(packed), fd.get(), options), base::Error);
    EXPECT_LE(fs::file_size(root_ + "/zeros"), 10U << 20U);
}

}  // namespace
}  // namespace dockerd::archive
