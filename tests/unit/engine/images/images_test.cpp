#include "engine/images/images.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include <dockerd/archive/tar.hpp>
#include <dockerd/base/error.hpp>

#include "support/unpacker.hpp"

namespace dockerd::engine {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

/// A tar with one file of `size` bytes.
std::string make_tar(const std::string& name, std::size_t size) {
    std::string bytes;
    archive::TarWriter writer([&](std::string_view part) { bytes += part; });
    archive::TarEntry entry;
    entry.name = name;
    entry.mode = 0644;
    entry.uid = static_cast<std::int64_t>(::getuid());
    entry.gid = static_cast<std::int64_t>(::getgid());
    entry.size = static_cast<std::int64_t>(size);
    writer.add(entry, std::string(size, 'x'));
    writer.finish();
    return bytes;
}

ByteReader reader_of(std::string bytes) {
    auto rest = std::make_shared<std::string>(std::move(bytes));
    return [rest](std::span<char> buffer) {
        const std::size_t size = std::min(buffer.size(), rest->size());
        std::copy_n(rest->begin(), size, buffer.begin());
        rest->erase(0, size);
        return size;
    };
}

class ImagesTest : public testing::Test {
protected:
    ImagesTest() {
        if (::geteuid() != 0) return;
        std::string name = (fs::temp_directory_path() / "images-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        layers_ = std::make_unique<store::Layers>(root_, testing_unpacker());
        store_ = std::make_unique<store::Images>(root_, *layers_);
        images_ = std::make_unique<Images>(*store_, events_);
        images_->set_users([this] { return users_; });
        log_ = events_
                   .subscribe({},
                              [this](const EventPtr& event) {
                                  seen_.push_back(event->type + " " + event->action + " " +
                                                  (event->attributes.contains("name")
                                                       ? event->attributes.at("name")
                                                       : std::string("-")));
                              })
                   .second;
    }
    ~ImagesTest() override {
        images_.reset();
        store_.reset();
        if (layers_) layers_->settle();
        layers_.reset();
        if (!root_.empty()) fs::remove_all(root_);
    }
    void SetUp() override {
        if (root_.empty()) GTEST_SKIP() << "layers keep owners: needs root";
    }

    /// Imports an image of one file and returns its id.
    std::string import(const std::string& name, std::size_t size,
                       const std::vector<std::string>& changes = {}) {
        ImportOptions options;
        const auto colon = name.find(':');
        options.repository = name.substr(0, colon);
        options.tag = colon == std::string::npos ? "" : name.substr(colon + 1);
        options.changes = changes;
        std::string id;
        images_->import(reader_of(make_tar("f" + std::to_string(size), size)), options,
                        [&](const Progress& progress) { id = progress.status; });
        return id;
    }
    /// An image on top of the same layers, as a build step that changes only the configuration.
    std::string child_of(const std::string& parent, const std::string& comment) {
        std::string config = store_->raw_config(parent);
        config.insert(1, "\"comment2\":\"" + comment + "\",");
        store::ImageCreateOptions options;
        options.parent = parent;
        return store_->create(config, options);
    }
    static std::string short_of(const std::string& id) { return id.substr(7, 12); }

    template <typename Action>
    std::string error_of(Action&& action, base::ErrorKind kind) {
        try {
            action();
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            return error.what();
        }
        return "no error";
    }
    std::string remove_error(const std::string& name, bool force = false) {
        return error_of([&] { images_->remove(name, {.force = force}); }, base::ErrorKind::conflict);
    }
    static std::vector<std::string> lines(const std::vector<ImageDeleteItem>& items) {
        std::vector<std::string> out;
        for (const auto& item : items) {
            out.push_back(item.untagged.empty() ? "Deleted " + item.deleted
                                                : "Untagged " + item.untagged);
        }
        return out;
    }
    std::vector<std::string> tags(const std::string& key = "", const std::string& value = "") {
        ImageService::ListOptions options;
        if (!key.empty()) options.filters.add(key, value);
        std::vector<std::string> out;
        for (const auto& summary : images_->list(options)) {
            out.push_back(summary.repo_tags.empty() ? "<none>" : summary.repo_tags.front());
        }
        std::ranges::sort(out);
        return out;
    }

    std::string root_;
    Events events_;
    std::unique_ptr<store::Layers> layers_;
    std::unique_ptr<store::Images> store_;
    std::unique_ptr<Images> images_;
    std::vector<ImageUser> users_;
    Subscription log_;
    std::vector<std::string> seen_;
};

TEST_F(ImagesTest, ImportsTagsAndInspects) {
    const auto id = import("a:1", 100, {"CMD [\"x\"]", "LABEL k=v"});
    EXPECT_THAT(id, StartsWith("sha256:"));
    EXPECT_THAT(seen_, ElementsAre("image tag a:1", "image import " + id));
    images_->tag("a:1", "b", "");
    const auto details = images_->inspect(short_of(id), "");
    EXPECT_EQ(details.id, id);
    EXPECT_THAT(details.repo_tags, ElementsAre("a:1", "b:latest"));
    EXPECT_EQ(details.comment, "Imported from -");
    EXPECT_EQ(details.docker_version, "28.2.2");
    EXPECT_EQ(details.size, 100);
    EXPECT_EQ(details.os, "linux");
    EXPECT_EQ(details.config->labels.at("k"), "v");
    EXPECT_EQ(details.diff_ids.size(), 1U);
    EXPECT_FALSE(details.graph_driver.data.empty());
    EXPECT_FALSE(details.last_tag_time.is_zero());
    const auto history = images_->history("b", "");
    ASSERT_EQ(history.size(), 1U);
    EXPECT_EQ(history[0].id, id);
    EXPECT_EQ(history[0].size, 100);
    EXPECT_THAT(history[0].tags, ElementsAre("a:1", "b:latest"));
}

TEST_F(ImagesTest, SaysWhatDockerSaysAboutNames) {
    const auto missing = base::ErrorKind::not_found;
    const auto invalid = base::ErrorKind::invalid_argument;
    EXPECT_EQ(error_of([&] { images_->inspect("nope", ""); }, missing), "No such image: nope:latest");
    EXPECT_EQ(error_of([&] { images_->resolve("x:y", ""); }, missing), "No such image: x:y");
    import("a", 10);
    EXPECT_EQ(error_of([&] { images_->tag("a", "BAD", ""); }, invalid),
              "invalid reference format: repository name (library/BAD) must be lowercase");
    EXPECT_EQ(error_of([&] { images_->tag("a", "x@sha256:" + std::string(64, 'a'), ""); }, invalid),
              "cannot import digest reference");
    EXPECT_EQ(error_of([&] { images_->resolve("a", "linux/s390x"); }, missing),
              "image with reference a was found but its platform (" +
                  std::string("linux/" + images_->inspect("a", "").architecture) +
                  ") does not match the specified platform (linux/s390x)");
}

TEST_F(ImagesTest, ListsByFilters) {
    const auto a = import("repo/a:1", 10, {"LABEL l=1"});
    import("b:2", 20, {"LABEL l=2"});
    import("", 30);
    EXPECT_THAT(tags(), ElementsAre("<none>", "b:2", "repo/a:1"));
    EXPECT_THAT(tags("label", "l"), ElementsAre("b:2", "repo/a:1"));
    EXPECT_THAT(tags("label", "l=2"), ElementsAre("b:2"));
    EXPECT_THAT(tags("dangling", "true"), ElementsAre("<none>"));
    EXPECT_THAT(tags("dangling", "false"), ElementsAre("b:2", "repo/a:1"));
    EXPECT_THAT(tags("reference", "b*"), ElementsAre("b:2"));
    EXPECT_THAT(tags("reference", "*/a"), ElementsAre("repo/a:1"));
    EXPECT_THAT(tags("reference", "repo/a:1"), ElementsAre("repo/a:1"));
    EXPECT_THAT(tags("since", "repo/a:1"), ElementsAre("<none>", "b:2"));
    EXPECT_THAT(tags("before", "b:2"), ElementsAre("repo/a:1"));
    EXPECT_THAT(tags("until", "1h"), IsEmpty());
    EXPECT_EQ(error_of([&] { tags("nope", "x"); }, base::ErrorKind::invalid_argument),
              "invalid filter 'nope'");
    ImageService::ListOptions shared;
    shared.shared_size = true;
    const auto child = child_of(a, "c");
    for (const auto& summary : images_->list(shared)) {
        const bool two = summary.id == a || summary.id == child;
        EXPECT_EQ(summary.shared_size, two ? 10 : 0);
        EXPECT_EQ(summary.containers, -1);
    }
    EXPECT_EQ(images_->layers_size(), 60);
}

TEST_F(ImagesTest, RemovesATagAndThenTheImage) {
    const auto id = import("a:1", 10);
    images_->tag("a:1", "a", "2");
    const auto chain = store_->find(id)->chain_id;
    seen_.clear();
    EXPECT_THAT(lines(images_->remove("a:1", {})), ElementsAre("Untagged a:1"));
    EXPECT_THAT(lines(images_->remove("a:2", {.force = false})),
                ElementsAre("Untagged a:2", "Deleted " + id, "Deleted " + chain));
    EXPECT_THAT(seen_, ElementsAre("image untag " + id, "image untag " + id, "image delete " + id));
    EXPECT_THAT(store_->list(), IsEmpty());
}

TEST_F(ImagesTest, RefusesToRemoveById) {
    const auto id = import("a:1", 10);
    images_->tag("a:1", "b", "1");
    const std::string head = "conflict: unable to delete " + short_of(id);
    EXPECT_EQ(remove_error(short_of(id)),
              head + " (must be forced) - image is referenced in multiple repositories");
    EXPECT_EQ(lines(images_->remove(short_of(id), {.force = true})).size(), 4U);
}

TEST_F(ImagesTest, RefusesToRemoveWhatContainersUse) {
    const auto id = import("a:1", 10);
    users_ = {{"0123456789abcdef", id, false, {}}};
    const std::string head = "conflict: unable to delete " + short_of(id);
    EXPECT_EQ(remove_error("a:1"),
              "conflict: unable to remove repository reference \"a:1\" (must force) - container "
              "0123456789ab is using its referenced image " +
                  short_of(id));
    EXPECT_EQ(remove_error(short_of(id)),
              head + " (must be forced) - image is being used by stopped container 0123456789ab");
    users_[0].running = true;
    EXPECT_EQ(remove_error(short_of(id), true),
              head + " (cannot be forced) - image is being used by running container 0123456789ab");
    // Untagging by force keeps the image that a container runs from.
    EXPECT_THAT(lines(images_->remove("a:1", {.force = true})), ElementsAre("Untagged a:1"));
    EXPECT_TRUE(store_->find(id));
}

TEST_F(ImagesTest, RemovesParentsThatNobodyNeeds) {
    const auto parent = import("", 10);
    const auto child = child_of(parent, "c");
    store_->tag(model::Reference::parse("c:1"), child);
    EXPECT_EQ(remove_error(short_of(parent)),
              "conflict: unable to delete " + short_of(parent) +
                  " (cannot be forced) - image has dependent child images");
    const auto removed = lines(images_->remove("c:1", {.force = false}));
    ASSERT_EQ(removed.size(), 4U);
    EXPECT_EQ(removed[1], "Deleted " + child);
    EXPECT_EQ(removed[2], "Deleted " + parent);
}

TEST_F(ImagesTest, RemovesDigestsWithTheLastTag) {
    const auto id = import("a:1", 10);
    const std::string digest = "a@sha256:" + std::string(64, 'd');
    store_->tag(model::Reference::parse(digest), id);
    const auto removed = lines(images_->remove("a:1", {}));
    ASSERT_EQ(removed.size(), 4U);
    EXPECT_EQ(removed[0], "Untagged a:1");
    EXPECT_EQ(removed[1], "Untagged " + digest);
    EXPECT_EQ(removed[2], "Deleted " + id);
}

TEST_F(ImagesTest, PrunesDanglingOrUnused) {
    import("", 10);
    const auto used = import("used:1", 20);
    import("free:1", 30);
    users_ = {{"0123456789abcdef", used, false, {}}};
    auto result = images_->prune({});
    EXPECT_EQ(result.space_reclaimed, 10);
    EXPECT_THAT(tags(), ElementsAre("free:1", "used:1"));
    model::Filters all;
    all.add("dangling", "false");
    result = images_->prune(all);
    EXPECT_EQ(result.space_reclaimed, 30);
    EXPECT_THAT(tags(), ElementsAre("used:1"));
    EXPECT_EQ(seen_.back(), "image prune -");
}

TEST_F(ImagesTest, SavesAndLoads) {
    const auto id = import("a:1", 5000, {"CMD [\"x\"]"});
    seen_.clear();
    images_->check_save({"a:1"}, "");
    std::string tar;
    images_->save({"a:1"}, [&](std::string_view bytes) { tar += bytes; });
    images_->remove("a:1", {});
    std::string text;
    images_->load(reader_of(tar), {.quiet = true},
                  [&](const Progress& progress) { text += progress.stream + progress.status; });
    EXPECT_EQ(text, "Loaded image: a:1\n");
    EXPECT_EQ(images_->inspect("a:1", "").id, id);
    EXPECT_EQ(seen_.front(), "image save " + id);
    EXPECT_EQ(seen_.back(), "image load " + id);
    EXPECT_EQ(error_of([&] { images_->check_save({"nope"}, ""); }, base::ErrorKind::not_found),
              "No such image: nope");
}

TEST_F(ImagesTest, AnotherPlatformIsNotFound) {
    const std::string own = "linux/" + store::native_architecture();
    const std::string other = "linux/s390x";
    const auto id = import("a:1", 50);
    const std::string text = "image with reference a:1 was found but its platform (" + own +
                             ") does not match the specified platform (linux/s390x)";
    const auto missing = base::ErrorKind::not_found;
    EXPECT_EQ(error_of([&] { images_->inspect("a:1", other); }, missing), text);
    EXPECT_EQ(error_of([&] { images_->history("a:1", other); }, missing), text);
    EXPECT_EQ(error_of([&] { images_->remove("a:1", {.platform = other}); }, missing), text);
    EXPECT_EQ(images_->inspect("a:1", own).id, id);
    EXPECT_EQ(error_of([&] { images_->check_save({"a:1"}, other); }, base::ErrorKind::internal),
              "no suitable export target found for platform linux/s390x");
    images_->check_save({"a:1"}, own);
    std::string tar;
    images_->save({"a:1"}, [&](std::string_view bytes) { tar += bytes; });
    EXPECT_THAT(lines(images_->remove("a:1", {.platform = own})).front(), "Untagged a:1");
    const auto ignore = [](const Progress&) {};
    images_->load(reader_of(tar), {.platform = other}, ignore);
    EXPECT_EQ(images_->count(), 0U) << "an image for another platform is passed over";
    images_->load(reader_of(tar), {.platform = own}, ignore);
    EXPECT_EQ(images_->inspect("a:1", "").id, id);
}

}  // namespace
}  // namespace dockerd::engine
