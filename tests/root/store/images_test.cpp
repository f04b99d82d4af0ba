#include <dockerd/store/images.hpp>

#include <dockerd/archive/compression.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/store/commit.hpp>
#include <dockerd/store/import.hpp>

#include "store_fixture.hpp"

namespace dockerd::store {
namespace {

std::string sample_tar(const std::string& content = "hello\n") {
    return TarBuilder()
        .dir("bin")
        .file("bin/sh", std::string(5000, 'x'), 0755)
        .file("file", content)
        .take();
}

std::string gzip(const std::string& in) {
    std::string out;
    archive::GzipSink sink([&](std::string_view bytes) { out += bytes; });
    sink.write(in);
    sink.finish();
    return out;
}

class ImagesTest : public StoreFixture {
protected:
    struct Store {
        explicit Store(const std::string& root)
            : layers(root, testing_unpacker()), images(root, layers) {}
        Layers layers;
        Images images;
    };

    static std::string import(Store& store, const std::string& tar, const std::string& name) {
        const std::string id = import_image(store.images, archive::memory_source(tar), {});
        (void)store.images.tag(model::Reference::parse(name), id);
        return id;
    }

    static std::string save(Store& store, const std::vector<std::string>& names) {
        std::string out;
        save_images(store.images, names, [&](std::string_view bytes) { out += bytes; });
        return out;
    }

    static std::string load(Store& store, const std::string& archive) {
        std::string lines;
        (void)load_images(store.images, archive::memory_source(archive),
                          [&](const LoadProgress& progress) { lines += progress.stream; });
        return lines;
    }

    template <typename Body>
    static std::string error_of(const Body& body) {
        try {
            body();
        } catch (const base::Error& error) {
            return error.what();
        }
        return "no error";
    }

    static bool is_empty(Store& store, const std::string& root) {
        store.layers.settle();
        return store.layers.list().empty() && store.images.list().empty() &&
               std::filesystem::is_empty(root + "/overlay2/l") &&
               std::filesystem::is_empty(root + "/image/overlay2/layerdb/tmp");
    }
};

TEST_F(ImagesTest, ImportsTagsFindsAndRemoves) {
    Store store(root_);
    const std::string id = import(store, gzip(sample_tar()), "demo:1");
    const ImagePtr image = store.images.get("demo:1");
    EXPECT_EQ(image->id, id);
    EXPECT_EQ(image->size, 5006);
    EXPECT_EQ(image->config->comment, "Imported from -");
    EXPECT_EQ(image->config->architecture, native_architecture());
    EXPECT_EQ(image->references, std::vector<std::string>{"demo:1"});
    EXPECT_EQ(store.images.get(id)->id, id);
    EXPECT_EQ(store.images.get(id.substr(7))->id, id);
    EXPECT_EQ(store.images.get(id.substr(7, 12))->id, id);
    EXPECT_EQ(archive::sha256_digest(store.images.raw_config(id)), id);
    EXPECT_EQ(slurp(root_ + "/image/overlay2/repositories.json"),
              R"({"Repositories":{"demo":{"demo:1":")" + id + R"("}}})");
    EXPECT_EQ(error_of([&] { (void)store.images.get("none"); }), "No such image: none:latest");
    EXPECT_EQ(error_of([&] { (void)store.images.get("a/none:x"); }), "No such image: a/none:x");
    EXPECT_EQ(error_of([&] { (void)store.images.get("BAD"); }),
              "invalid reference format: repository name (library/BAD) must be lowercase");
    EXPECT_TRUE(store.images.untag(model::Reference::parse("demo:1")));
    EXPECT_FALSE(store.images.untag(model::Reference::parse("demo:1")));
    EXPECT_EQ(store.images.remove(id).size(), 1U);
    EXPECT_TRUE(is_empty(store, root_));
}

TEST_F(ImagesTest, FindsEverythingAgainAndSkipsWhatIsBroken) {
    std::string good;
    std::string bad;
    {
        Store store(root_);
        good = import(store, sample_tar("a"), "good");
        bad = import(store, sample_tar("b"), "bad");
        store.images.set_last_updated(good, base::WallTime(1'700'000'000, 5));
    }
    std::ofstream(root_ + "/image/overlay2/imagedb/content/sha256/" + bad.substr(7)) << "{}";
    {
        Store store(root_);
        ASSERT_EQ(store.images.list().size(), 1U);
        EXPECT_EQ(store.images.get("good")->last_updated, base::WallTime(1'700'000'000, 5));
        EXPECT_EQ(error_of([&] { (void)store.images.get("bad"); }), "No such image: bad:latest");
    }
    std::ofstream(root_ + "/image/overlay2/repositories.json") << "";
    Store store(root_);
    EXPECT_EQ(store.images.list().size(), 1U);
    EXPECT_TRUE(store.images.get(good)->references.empty());
}

/// A daemon that dies while it makes an image has written what is said of it, but not the image.
TEST_F(ImagesTest, SweepsWhatIsSaidOfImagesThatAreNotThere) {
    const std::string metadata = root_ + "/image/overlay2/imagedb/metadata/sha256/";
    std::string id;
    {
        Store store(root_);
        id = import(store, sample_tar(), "one");
        store.images.set_last_updated(id, base::WallTime::now());
    }
    const std::string never = std::string(64, 'a');
    std::filesystem::create_directories(metadata + never);
    std::ofstream(metadata + never + "/parent") << id;
    std::filesystem::create_directories(metadata + "something-else");
    const Store store(root_);
    EXPECT_FALSE(std::filesystem::exists(metadata + never));
    EXPECT_TRUE(std::filesystem::exists(metadata + "something-else"));
    EXPECT_TRUE(std::filesystem::exists(metadata + id.substr(7) + "/lastUpdated"));
}

TEST_F(ImagesTest, SavesAndLoadsTheSameImage) {
    std::string archive;
    std::string id;
    {
        Store store(root_ + "/a");
        id = import(store, sample_tar(), "demo:1");
        (void)store.images.tag(model::Reference::parse("reg.example:5000/x/y:v2"), id);
        archive = save(store, {"demo", "reg.example:5000/x/y:v2"});
        EXPECT_EQ(error_of([&] { (void)save(store, {"nothing:1"}); }), "reference does not exist");
        EXPECT_EQ(error_of([&] { check_save(store.images, {"nothing"}); }),
                  "No such image: nothing");
    }
    for (const std::string& packed : {archive, gzip(archive)}) {
        const std::string root = root_ + "/b" + std::to_string(packed.size());
        Store store(root);
        EXPECT_EQ(load(store, packed),
                  "Loaded image: demo:1\nLoaded image: reg.example:5000/x/y:v2\n");
        EXPECT_EQ(store.images.get("demo:1")->id, id);
        EXPECT_EQ(save(store, {"demo", "reg.example:5000/x/y:v2"}), archive);
        // Loading again changes nothing.
        EXPECT_EQ(load(store, packed),
                  "Loaded image: demo:1\nLoaded image: reg.example:5000/x/y:v2\n");
        EXPECT_EQ(store.layers.list().size(), 1U);
        (void)store.images.remove(id);
        EXPECT_TRUE(is_empty(store, root));
    }
}

TEST_F(ImagesTest, NamesAreInTheOrderOfTheFullOnes) {
    Store store(root_);
    const std::string id = import(store, sample_tar(), "demo:1");
    for (const char* name : {"zoo.example/x:1", "a.example/x:1", "demo:0", "user/demo:1"}) {
        (void)store.images.tag(model::Reference::parse(name), id);
    }
    // docker.io/library/demo comes before docker.io/user/demo, and both after a.example/x.
    EXPECT_EQ(store.images.get(id)->references,
              (std::vector<std::string>{"a.example/x:1", "demo:0", "demo:1", "user/demo:1",
                                        "zoo.example/x:1"}));
}

TEST_F(ImagesTest, LoadMovesATagAsDockerDoes) {
    std::string archive;
    {
        Store store(root_ + "/a");
        (void)import(store, sample_tar("new"), "demo:1");
        archive = save(store, {"demo:1"});
    }
    Store store(root_ + "/b");
    const std::string old = import(store, sample_tar("old"), "demo:1");
    EXPECT_EQ(load(store, archive),
              "The image demo:1 already exists, renaming the old one with ID " + old +
                  " to empty string\nLoaded image: demo:1\n");
    EXPECT_NE(store.images.get("demo:1")->id, old);
    EXPECT_TRUE(store.images.get(old)->references.empty());
}

/// An OCI layout with one gzipped layer; `corrupt` changes the config's claim about it.
std::string oci_layout(const std::string& layer, bool corrupt) {
    const std::string packed = gzip(layer);
    const std::string diff_id = archive::sha256_digest(corrupt ? layer + "x" : layer);
    const std::string config =
        R"({"architecture":")" + native_architecture() +
        R"(","os":"linux","config":{"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":[")" +
        diff_id + "\"]}}";
    const std::string config_digest = archive::sha256_digest(config);
    const std::string layer_digest = archive::sha256_digest(packed);
    const std::string manifest = R"({"schemaVersion":2,"config":{"digest":")" + config_digest +
                                 R"(","size":1},"layers":[{"digest":")" + layer_digest +
                                 R"(","size":1}]})";
    const std::string manifest_digest = archive::sha256_digest(manifest);
    const std::string index =
        R"({"schemaVersion":2,"manifests":[{"digest":")" + manifest_digest +
        R"(","annotations":{"io.containerd.image.name":"docker.io/library/oci:1"}}]})";
    return TarBuilder()
        .file("blobs/sha256/" + layer_digest.substr(7), packed)
        .file("blobs/sha256/" + config_digest.substr(7), config)
        .file("blobs/sha256/" + manifest_digest.substr(7), manifest)
        .file("index.json", index)
        .file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})")
        .take();
}

TEST_F(ImagesTest, LoadsPureOciLayouts) {
    Store store(root_);
    EXPECT_EQ(load(store, oci_layout(sample_tar(), false)), "Loaded image: oci:1\n");
    const ImagePtr image = store.images.get("oci:1");
    EXPECT_EQ(drain(store.layers.open_tar(image->chain_id)), sample_tar());
    EXPECT_EQ(image->config->config->cmd, std::vector<std::string>{"/bin/sh"});
}

TEST_F(ImagesTest, LeavesNothingBehindAfterAFailedLoad) {
    Store store(root_);
    const std::string layer = sample_tar();
    const std::string expected = archive::sha256_digest(layer + "x");
    EXPECT_EQ(error_of([&] { (void)load(store, oci_layout(layer, true)); }),
              "invalid diffID for layer 0: expected \"" + expected + "\", got \"" +
                  archive::sha256_digest(layer) + "\"");
    EXPECT_TRUE(is_empty(store, root_));
    EXPECT_EQ(error_of([&] { (void)load(store, std::string(2000, 'r')); }),
              "archive/tar: invalid tar header");
    const std::string good = oci_layout(layer, false);
    for (std::size_t cut = 600; cut + 2048 < good.size(); cut += 1500) {
        EXPECT_NE(error_of([&] { (void)load(store, good.substr(0, cut)); }), "no error") << cut;
    }
    EXPECT_TRUE(is_empty(store, root_));
    const std::string large = TarBuilder().file("manifest.json", std::string(5 << 20, '[')).take();
    EXPECT_EQ(error_of([&] { (void)load(store, large); }),
              "manifest.json is larger than 4194304 bytes");
    const std::string missing =
        TarBuilder().file("manifest.json", R"([{"Config":"../../etc/passwd","Layers":[]}])").take();
    EXPECT_EQ(error_of([&] { (void)load(store, missing); }),
              "open ../../etc/passwd: no such file or directory");
}

TEST_F(ImagesTest, RefusesBadConfigurations) {
    Store store(root_);
    EXPECT_EQ(error_of([&] { (void)store.images.create("{}"); }),
              "invalid image JSON, no RootFS key");
    EXPECT_EQ(error_of([&] {
                  (void)store.images.create(
                      R"({"rootfs":{"diff_ids":[]},"history":[{"created_by":"x"}]})");
              }),
              "too many non-empty layers in History section");
    const std::string digest = "sha256:" + std::string(64, '1');
    EXPECT_EQ(error_of([&] {
                  (void)store.images.create(R"({"rootfs":{"diff_ids":[")" + digest + "\"]}}");
              }),
              "failed to get layer " + digest + ": layer does not exist");
}

TEST_F(ImagesTest, KnowsParentsAndChildren) {
    Store store(root_);
    const std::string parent = import(store, sample_tar(), "p");
    ImageConfig config = *store.images.get("p")->config;
    config.history.push_back({.created_by = "CMD x", .empty_layer = true});
    const std::string child =
        store.images.create(encode_image_config(config), {.parent = parent, .built_locally = true});
    EXPECT_EQ(store.images.find(parent)->children, std::vector<std::string>{child});
    EXPECT_EQ(store.images.find(child)->parent, parent);
    EXPECT_TRUE(store.images.find(child)->built_locally);
    (void)store.images.remove(parent);
    EXPECT_EQ(store.images.find(child)->parent, "");
    EXPECT_EQ(store.layers.list().size(), 1U);
}

template <typename Store>
CommitRequest commit_request(Store& store, const std::string& container,
                             const std::string& parent) {
    CommitRequest request;
    request.container_id = container;
    request.parent = parent;
    request.author = "me";
    request.comment = "why";
    request.os = "linux";
    request.docker_version = "28.2.2";
    request.container_config.cmd = {"sh", "-c", "x"};
    request.config.cmd = {"other"};
    store.layers.create_rw(container, store.images.get_by_id(parent)->chain_id);
    return request;
}

TEST_F(ImagesTest, CommitsAContainerOnTopOfItsImage) {
    const std::string container(64, 'c');
    std::string id;
    std::string parent;
    {
        Store store(root_);
        parent = import(store, sample_tar(), "demo:1");
        const CommitRequest request = commit_request(store, container, parent);
        // Without changes there is no layer, but an image all the same.
        const ImagePtr same = store.images.get_by_id(commit_image(store.images, request));
        EXPECT_EQ(same->config->diff_ids, store.images.get_by_id(parent)->config->diff_ids);
        EXPECT_TRUE(same->config->history.back().empty_layer);
        EXPECT_EQ(store.layers.list().size(), 1U);
        (void)store.images.remove(same->id);

        const MountedLayer mounted = store.layers.mount_rw(container);
        std::ofstream(mounted.path + "/added") << "12345";
        store.layers.unmount_rw(container);
        id = commit_image(store.images, request);
    }
    Store store(root_);
    const ImagePtr image = store.images.get_by_id(id);
    EXPECT_EQ(image->parent, parent);
    EXPECT_TRUE(image->built_locally);
    EXPECT_EQ(image->size, 5006 + 5);
    EXPECT_EQ(image->config->container, container);
    EXPECT_EQ(image->config->author, "me");
    EXPECT_EQ(image->config->comment, "");
    EXPECT_EQ(image->config->config->cmd.at(0), "other");
    EXPECT_EQ(image->config->container_config->cmd.at(0), "sh");
    ASSERT_EQ(image->config->history.size(), 2U);
    EXPECT_EQ(image->config->history[1].created_by, "sh -c x");
    EXPECT_EQ(image->config->history[1].comment, "why");
    EXPECT_EQ(store.images.get_by_id(parent)->children, std::vector<std::string>{id});
    store.layers.remove_rw(container);
    (void)store.images.untag(model::Reference::parse("demo:1"));
    EXPECT_EQ(store.images.remove(id).size(), 1U);
    (void)store.images.remove(parent);
    EXPECT_TRUE(is_empty(store, root_));
}

TEST_F(ImagesTest, LeavesNothingBehindAfterAFailedCommit) {
    const std::string container(64, 'c');
    Store store(root_);
    const std::string parent = import(store, sample_tar(), "demo:1");
    const CommitRequest request = commit_request(store, container, parent);
    const MountedLayer mounted = store.layers.mount_rw(container);
    std::ofstream(mounted.path + "/added") << "12345";
    store.layers.unmount_rw(container);
    // The configuration cannot be written: its folder is gone.
    std::filesystem::remove_all(root_ + "/image/overlay2/imagedb/content/sha256");
    EXPECT_NE(error_of([&] { (void)commit_image(store.images, request); }), "no error");
    store.layers.settle();
    EXPECT_EQ(store.layers.list().size(), 1U);
    EXPECT_EQ(store.images.list().size(), 1U);
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/layerdb/tmp"));
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/image/overlay2/imagedb/metadata/sha256"));

    CommitRequest orphan = request;
    orphan.parent = "sha256:" + std::string(64, '0');
    EXPECT_EQ(error_of([&] { (void)commit_image(store.images, orphan); }),
              "failed to get digest " + orphan.parent + ": open " + root_ +
                  "/image/overlay2/imagedb/content/sha256/" + std::string(64, '0') +
                  ": no such file or directory");
    store.layers.remove_rw(container);
}

}  // namespace
}  // namespace dockerd::store
