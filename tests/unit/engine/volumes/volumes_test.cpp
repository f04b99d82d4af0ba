#include "engine/volumes/volumes.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>

#include "engine/volumes/options.hpp"

namespace dockerd::engine {
namespace {

namespace fs = std::filesystem;
using base::ErrorKind;
using testing::ElementsAre;
using testing::IsEmpty;

class VolumesTest : public testing::Test {
protected:
    VolumesTest() {
        std::string name = (fs::temp_directory_path() / "volumes-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        store_ = std::make_unique<store::VolumesDb>(root_);
        // No plugins, and no patience with those that are not there.
        volumes_ = std::make_unique<Volumes>(
            *store_, events_, root_ + "/plugin-mounts.json",
            plugins::Options{.sockets = root_ + "/plugins", .specs = {}, .patience = {}});
        log_ = events_
                   .subscribe({},
                              [this](const EventPtr& event) {
                                  std::string line = event->action + " " + event->actor_id;
                                  for (const auto& [key, value] : event->attributes)
                                      line += " " + key + "=" + value;
                                  seen_.push_back(line);
                              })
                   .second;
    }
    ~VolumesTest() override {
        volumes_.reset();
        store_.reset();
        fs::remove_all(root_);
    }

    Volume create(const std::string& name, const model::StringMap& labels = {},
                  const model::StringMap& options = {}) {
        model::VolumeCreate request;
        request.name = name;
        request.labels = labels;
        request.driver_opts = options;
        return volumes_->create(request);
    }
    template <typename Action>
    static std::string error_of(Action&& action, ErrorKind kind) {
        try {
            action();
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            return error.what();
        }
        return "no error";
    }
    std::vector<std::string> names(const std::string& key = "", const std::string& value = "") {
        model::Filters filters;
        if (!key.empty()) filters.add(key, value);
        std::vector<std::string> out;
        for (const auto& volume : volumes_->list(filters).volumes) out.push_back(volume.name);
        return out;
    }

    std::string root_;
    Events events_;
    std::unique_ptr<store::VolumesDb> store_;
    std::unique_ptr<Volumes> volumes_;
    Subscription log_;
    std::vector<std::string> seen_;
};

TEST_F(VolumesTest, CreatesOnceAndShowsIt) {
    const auto made = create("data", {{"k", "v"}});
    EXPECT_EQ(made.name, "data");
    EXPECT_EQ(made.driver, "local");
    EXPECT_EQ(made.scope, "local");
    EXPECT_EQ(made.mountpoint, root_ + "/volumes/data/_data");
    EXPECT_EQ(made.created_at.nanoseconds(), 0);
    EXPECT_TRUE(fs::is_directory(made.mountpoint));
    EXPECT_EQ(create("data", {{"k", "other"}}).labels.at("k"), "v");
    EXPECT_EQ(volumes_->inspect("data").labels.at("k"), "v");
    EXPECT_THAT(seen_, ElementsAre("create data driver=local"));
}

TEST_F(VolumesTest, NamesAnonymousOnes) {
    const auto made = create("");
    EXPECT_EQ(made.name.size(), 64U);
    EXPECT_EQ(made.labels.at("com.docker.volume.anonymous"), "");
}

TEST_F(VolumesTest, SaysWhatDockerSays) {
    const auto invalid = ErrorKind::invalid_argument;
    EXPECT_EQ(error_of([&] { create("a b"); }, invalid),
              "create a b: \"a b\" includes invalid characters for a local volume name, only "
              "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
              "directory, use absolute path");
    EXPECT_EQ(error_of([&] { create("a"); }, invalid),
              "create a: volume name is too short, names should be at least two alphanumeric "
              "characters");
    EXPECT_EQ(error_of(
                  [&] {
                      create("xx", {}, {{"bad", "1"}});
                  },
                  invalid),
              "create xx: invalid option: \"bad\"");
    EXPECT_EQ(error_of(
                  [&] {
                      create("xx", {}, {{"device", "/x"}});
                  },
                  invalid),
              "create xx: missing required option: \"type\"");
    EXPECT_EQ(error_of(
                  [&] {
                      create("xx", {}, {{"size", "1g"}});
                  },
                  invalid),
              "create xx: quota size requested but no quota support");
    model::VolumeCreate other;
    other.name = "xx";
    other.driver = "nope";
    EXPECT_EQ(error_of([&] { volumes_->create(other); }, ErrorKind::not_found),
              "create xx: error looking up volume plugin nope: plugin \"nope\" not found");
    EXPECT_EQ(error_of([&] { volumes_->inspect("xx"); }, ErrorKind::not_found),
              "get xx: no such volume");
    EXPECT_EQ(error_of([&] { volumes_->remove("xx", false); }, ErrorKind::not_found),
              "get xx: no such volume");
    volumes_->remove("xx", /*force=*/true);
    EXPECT_EQ(error_of([&] { names("status", "x"); }, invalid), "invalid filter 'status'");
}

TEST_F(VolumesTest, KeepsWhatContainersHold) {
    model::VolumeCreate request;
    request.name = "held";
    volumes_->hold(request, "c2");
    volumes_->hold(request, "c1");
    EXPECT_EQ(error_of([&] { volumes_->remove("held", false); }, ErrorKind::conflict),
              "remove held: volume is in use - [c1, c2]");
    EXPECT_EQ(volumes_->disk_usage().at(0).reference_count, 2);
    volumes_->release("held", "c1");
    volumes_->release("held", "c2");
    volumes_->remove("held", false);
    EXPECT_FALSE(fs::exists(root_ + "/volumes/held"));
    EXPECT_THAT(seen_, ElementsAre("create held driver=local", "destroy held driver=local"));
}

TEST_F(VolumesTest, CountsTheSizeOfThoseThatLieHere) {
    create("here");
    create("there", {}, {{"type", "tmpfs"}, {"device", "tmpfs"}});
    const auto usage = volumes_->disk_usage();
    ASSERT_EQ(usage.size(), 1U);
    EXPECT_EQ(usage[0].name, "here");
    EXPECT_EQ(usage[0].size, 0);
}

TEST_F(VolumesTest, RemovesAnonymousOnesWithTheirContainer) {
    const auto anonymous = volumes_->hold({}, "c1").name;
    model::VolumeCreate named;
    named.name = "named";
    volumes_->hold(named, "c1");
    EXPECT_EQ(volumes_->restore_hold(anonymous, "c2"), volumes_->inspect(anonymous).mountpoint);
    EXPECT_EQ(volumes_->restore_hold("unknown", "c2"), "");
    volumes_->release_and_remove(anonymous, "c1");
    EXPECT_THAT(names(), testing::SizeIs(2));
    volumes_->release_and_remove(anonymous, "c2");
    EXPECT_THAT(names(), ElementsAre("named"));
    // Older engines give volumes that nobody named no label.
    volumes_->release_and_remove("named", "c1");
    EXPECT_THAT(names(), testing::IsEmpty());
}

TEST_F(VolumesTest, ListsByFilters) {
    create("aa", {{"k", "1"}});
    create("ab", {{"k", "2"}});
    model::VolumeCreate request;
    request.name = "bb";
    volumes_->hold(request, "c1");
    EXPECT_THAT(names("name", "a"), ElementsAre("aa", "ab"));
    EXPECT_THAT(names("label", "k=2"), ElementsAre("ab"));
    EXPECT_THAT(names("dangling", "true"), ElementsAre("aa", "ab"));
    EXPECT_THAT(names("dangling", "false"), ElementsAre("bb"));
    EXPECT_THAT(names("driver", "nfs"), IsEmpty());
    EXPECT_THAT(names("driver", "local"), ElementsAre("aa", "ab", "bb"));
}

TEST_F(VolumesTest, PrunesAnonymousOnesUnlessAskedForAll) {
    const auto anonymous = create("");
    std::ofstream(anonymous.mountpoint + "/f") << std::string(1000, 'x');
    create("named", {{"keep", ""}});
    create("other");
    volumes_->hold({}, "c1");
    auto result = volumes_->prune({});
    EXPECT_THAT(result.deleted, ElementsAre(anonymous.name));
    EXPECT_GE(result.space_reclaimed, 1000);
    EXPECT_EQ(seen_.back(), "prune  reclaimed=" + std::to_string(result.space_reclaimed));
    model::Filters all;
    all.add("all", "true");
    all.add("label!", "keep");
    EXPECT_THAT(volumes_->prune(all).deleted, ElementsAre("other"));
    model::Filters bad;
    bad.add("all", "maybe");
    EXPECT_EQ(error_of([&] { volumes_->prune(bad); }, ErrorKind::invalid_argument),
              "invalid filter 'all': strconv.ParseBool: parsing \"maybe\": invalid syntax");
    bad = {};
    bad.add("until", "1h");
    EXPECT_EQ(error_of([&] { volumes_->prune(bad); }, ErrorKind::invalid_argument),
              "invalid filter 'until'");
}

TEST(VolumeOptions, BecomeMountFlags) {
    auto parsed = parse_mount_options("ro,size=10m,nosuid,uid=3,rbind");
    EXPECT_EQ(parsed.flags, static_cast<unsigned long>(MS_RDONLY | MS_NOSUID | MS_BIND | MS_REC));
    EXPECT_EQ(parsed.data, "size=10m,uid=3");
    parsed = parse_mount_options("ro,rw");
    EXPECT_EQ(parsed.flags, 0UL);
    EXPECT_FALSE(needs_mount({}));
    EXPECT_TRUE(needs_mount({{"type", "tmpfs"}, {"device", "tmpfs"}}));
}

class CopyUpTest : public testing::Test {
protected:
    CopyUpTest() {
        std::string name = (fs::temp_directory_path() / "copy-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        fs::create_directories(from_ = root_ + "/from");
        fs::create_directories(to_ = root_ + "/to");
    }
    ~CopyUpTest() override { fs::remove_all(root_); }
    void copy() {
        const base::Fd source(::open(from_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const base::Fd target(::open(to_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        copy_up(source.get(), target.get());
    }
    static struct stat stat_of(const std::string& path) {
        struct stat found;
        EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
        return found;
    }
    static std::string text_of(const std::string& path) {
        std::ifstream in(path);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::string root_, from_, to_;
};

TEST_F(CopyUpTest, KeepsModesTimesLinksAndAttributes) {
    fs::create_directories(from_ + "/d/e");
    std::ofstream(from_ + "/d/f") << "content";
    ::chmod((from_ + "/d/f").c_str(), 04711);
    ::chmod((from_ + "/d").c_str(), 01770);
    ::chmod(from_.c_str(), 0750);
    fs::create_hard_link(from_ + "/d/f", from_ + "/d/e/g");
    fs::create_symlink("/etc/passwd", from_ + "/link");
    ::mkfifo((from_ + "/pipe").c_str(), 0640);
    const timespec times[2] = {{5, 6}, {7, 8}};
    ::utimensat(AT_FDCWD, (from_ + "/d").c_str(), times, 0);
    ::utimensat(AT_FDCWD, (from_ + "/link").c_str(), times, AT_SYMLINK_NOFOLLOW);
    ::setxattr((from_ + "/d/f").c_str(), "user.x", "y", 1, 0);
    copy();
    EXPECT_EQ(text_of(to_ + "/d/f"), "content");
    EXPECT_EQ(stat_of(to_ + "/d/f").st_mode & 07777, 04711U);
    EXPECT_EQ(stat_of(to_ + "/d/f").st_nlink, 2U);
    EXPECT_EQ(stat_of(to_ + "/d/f").st_ino, stat_of(to_ + "/d/e/g").st_ino);
    EXPECT_EQ(stat_of(to_ + "/d").st_mode & 07777, 01770U);
    EXPECT_EQ(stat_of(to_ + "/d").st_mtim.tv_sec, 7);
    EXPECT_EQ(stat_of(to_ + "/link").st_mtim.tv_nsec, 8);
    EXPECT_EQ(stat_of(to_).st_mode & 07777, 0750U);
    EXPECT_EQ(fs::read_symlink(to_ + "/link"), "/etc/passwd");
    EXPECT_TRUE(S_ISFIFO(stat_of(to_ + "/pipe").st_mode));
    char value = 0;
    if (::getxattr((from_ + "/d/f").c_str(), "user.x", &value, 1) == 1) {
        EXPECT_EQ(::getxattr((to_ + "/d/f").c_str(), "user.x", &value, 1), 1);
        EXPECT_EQ(value, 'y');
    }
    if (::geteuid() != 0) return;
    fs::remove_all(to_);
    fs::create_directory(to_);
    EXPECT_EQ(::lchown((from_ + "/d/f").c_str(), 12, 34), 0);
    ::chmod((from_ + "/d/f").c_str(), 04711);
    copy();
    EXPECT_EQ(stat_of(to_ + "/d/f").st_uid, 12U);
    EXPECT_EQ(stat_of(to_ + "/d/f").st_mode & 07777, 04711U);
}

TEST_F(CopyUpTest, LeavesAVolumeWithContentAlone) {
    std::ofstream(from_ + "/f") << "x";
    std::ofstream(to_ + "/own") << "y";
    copy();
    EXPECT_FALSE(fs::exists(to_ + "/f"));
}

}  // namespace
}  // namespace dockerd::engine
