#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <dockerd/archive/tar.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/import.hpp>

#include "json_read.hpp"

namespace dockerd::store {
namespace {

constexpr const char* manifest_type = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* config_type = "application/vnd.oci.image.config.v1+json";
constexpr const char* layer_type = "application/vnd.oci.image.layer.v1.tar";
constexpr const char* index_type = "application/vnd.oci.image.index.v1+json";

struct Wanted {
    ImagePtr image;
    std::vector<model::Reference> tags;
};

/// Which images `names` mean, each once, in the order asked for.
/// Source: moby image/tarexport/save.go, parseNames.
class Selection {
public:
    explicit Selection(const Images& images) : images_(images) {}

    std::vector<Wanted> select(const std::vector<std::string>& names) {
        for (const std::string& name : names) one(name);
        return std::move(wanted_);
    }

private:
    void one(const std::string& name) {
        const model::AnyReference any = model::AnyReference::parse(name);
        if (!any.named) {
            add(images_.find(any.digest), nullptr, any.digest);
            return;
        }
        const model::Reference& named = *any.named;
        if (named.familiar_name() == "sha256") {
            add(images_.find_by_prefix(name), nullptr, name);
            return;
        }
        if (!named.is_name_only()) {
            const ImagePtr image = images_.find_reference(named);
            if (!image) {
                // Source: moby reference/store.go, ErrDoesNotExist.
                base::fail(base::ErrorKind::not_found, "reference does not exist");
            }
            add(image, &named, name);
            return;
        }
        const auto all = images_.references_of_repository(named);
        for (const auto& [reference, id] : all) {
            const model::Reference parsed = model::Reference::parse(reference);
            add(images_.find(id), &parsed, name);
        }
        if (all.empty()) add(images_.find_by_prefix(name), nullptr, name);
    }

    void add(const ImagePtr& image, const model::Reference* reference, const std::string& name) {
        if (!image) base::fail(base::ErrorKind::not_found, "No such image: " + name);
        auto found = std::ranges::find_if(
            wanted_, [&](const Wanted& item) { return item.image->id == image->id; });
        if (found == wanted_.end()) {
            wanted_.push_back({image, {}});
            found = wanted_.end() - 1;
        }
        if (reference == nullptr || !reference->digest().empty()) return;
        const model::Reference tagged = reference->with_default_tag();
        if (std::ranges::find(found->tags, tagged) == found->tags.end()) {
            found->tags.push_back(tagged);
        }
    }

    const Images& images_;
    std::vector<Wanted> wanted_;
};

/// One member of the archive: bytes, a layer's tar, or a folder.
struct Member {
    std::string bytes;
    std::string chain_id;  ///< set: the tar of this layer
    std::string diff_id;
    std::int64_t size = 0;
    base::WallTime time{0, 0};
    bool is_directory = false;
};

std::string blob_path(const std::string& digest) {
    return "blobs/sha256/" + model::hex_of(digest);
}

class Saver {
public:
    explicit Saver(const Images& images) : images_(images) {}

    void plan(const std::vector<Wanted>& wanted);
    void write(const archive::ByteSink& sink);

private:
    void plan_image(const Wanted& item, const std::string& parent);
    base::Json plan_layer(const std::string& chain_id, const std::string& diff_id,
                          base::WallTime created);
    void put(const std::string& path, std::string bytes, base::WallTime time = {0, 0});
    void write_layer(const Member& member, archive::TarWriter& tar) const;

    const Images& images_;
    std::map<std::string, Member> members_;
    std::vector<LayerHold> holds_;
    base::Json manifest_ = base::Json::array();
    base::Json index_ = base::Json::array();
    std::map<std::string, std::map<std::string, std::string>> repositories_;
};

void Saver::put(const std::string& path, std::string bytes, base::WallTime time) {
    Member member;
    member.size = static_cast<std::int64_t>(bytes.size());
    member.bytes = std::move(bytes);
    member.time = time;
    members_.insert_or_assign(path, std::move(member));
}

base::Json Saver::plan_layer(const std::string& chain_id, const std::string& diff_id,
                             base::WallTime created) {
    const std::string path = blob_path(diff_id);
    auto found = members_.find(path);
    if (found == members_.end()) {
        Member member;
        member.chain_id = chain_id;
        member.diff_id = diff_id;
        member.size = images_.layers().tar_size(chain_id);
        member.time = created;
        found = members_.emplace(path, std::move(member)).first;
    }
    return {{"mediaType", layer_type}, {"size", found->second.size}, {"digest", diff_id}};
}

void Saver::plan_image(const Wanted& item, const std::string& parent) {
    const Image& image = *item.image;
    const ImageConfig& config = *image.config;
    if (config.diff_ids.empty()) {
        // Source: moby image/tarexport/save.go, saveImage.
        base::fail(base::ErrorKind::internal, "empty export - not implemented");
    }
    (void)images_.layers().acquire(image.chain_id);
    holds_.emplace_back(images_.layers(), image.chain_id);
    const base::WallTime created = config.created.value_or(base::WallTime{0, 0});
    base::Json layers = base::Json::array();
    base::Json paths = base::Json::array();
    std::map<std::string, base::Json> sources;
    std::string chain_id;
    for (const std::string& diff_id : config.diff_ids) {
        chain_id = chain_id_of(chain_id, diff_id);
        const base::Json source = plan_layer(chain_id, diff_id, created);
        layers.push_back(
            {{"mediaType", layer_type}, {"digest", diff_id}, {"size", source["size"]}});
        paths.push_back(blob_path(diff_id));
        sources[diff_id] = source;
    }
    std::string json = images_.raw_config(image.id);
    const base::Json document{
        {"schemaVersion", 2},
        {"mediaType", manifest_type},
        {"config", {{"mediaType", config_type}, {"digest", image.id}, {"size", json.size()}}},
        {"layers", layers}};
    std::string text = document.dump();
    const base::Json descriptor{{"mediaType", manifest_type},
                                {"digest", archive::sha256_digest(text)},
                                {"size", text.size()}};
    put(blob_path(image.id), std::move(json), created);
    put(blob_path(descriptor["digest"].get<std::string>()), std::move(text));

    base::Json tags = item.tags.empty() ? base::Json(nullptr) : base::Json::array();
    for (const model::Reference& tag : item.tags) {
        tags.push_back(tag.familiar());
        const std::string& top = config.diff_ids.back();
        repositories_[tag.familiar_name()][tag.tag()] = top.substr(top.find(':') + 1);
        base::Json tagged = descriptor;
        tagged["annotations"] = {{"io.containerd.image.name", tag.full()},
                                 {"org.opencontainers.image.ref.name", tag.tag()}};
        index_.push_back(std::move(tagged));
    }
    if (item.tags.empty()) index_.push_back(descriptor);
    base::Json entry{{"Config", blob_path(image.id)}, {"RepoTags", tags}, {"Layers", paths}};
    if (!parent.empty()) entry["Parent"] = parent;
    entry["LayerSources"] = sources;
    manifest_.push_back(std::move(entry));
}

void Saver::plan(const std::vector<Wanted>& wanted) {
    holds_.reserve(wanted.size());
    for (const Wanted& item : wanted) {
        // Source: moby image/tarexport/load.go, validatedParentLinks.
        const bool saved = std::ranges::any_of(
            wanted, [&](const Wanted& other) { return other.image->id == item.image->parent; });
        plan_image(item, saved ? item.image->parent : std::string());
    }
    Member folder;
    folder.is_directory = true;
    members_.emplace("blobs/", folder);
    members_.emplace("blobs/sha256/", folder);
    const base::Json index{{"schemaVersion", 2}, {"mediaType", index_type}, {"manifests", index_}};
    put("index.json", index.dump());
    put("manifest.json", manifest_.dump() + "\n");
    put("oci-layout", R"({"imageLayoutVersion": "1.0.0"})");
    if (!repositories_.empty()) put("repositories", base::Json(repositories_).dump() + "\n");
}

void Saver::write(const archive::ByteSink& sink) {
    archive::TarWriter tar(sink);
    for (const auto& [path, member] : members_) {
        archive::TarEntry entry;
        entry.name = path;
        entry.type_flag = member.is_directory ? '5' : '0';
        entry.mode = member.is_directory ? 0755 : 0644;
        entry.size = member.size;
        entry.mtime = base::WallTime(member.time.seconds(), 0);
        tar.begin(entry);
        if (!member.chain_id.empty()) {
            write_layer(member, tar);
        } else if (!member.bytes.empty()) {
            tar.data(member.bytes);
        }
    }
    tar.finish();
}

/// Reading and checking the files runs on one thread, sending on this one.
///
/// The layer's digest is not made again: every file is checked against the sum that tar-split
/// has of it, and tar-split's own bytes against gzip's. Whoever reads the archive checks the
/// digest in any case, and hashing would take as long as all the rest.
void Saver::write_layer(const Member& member, archive::TarWriter& tar) const {
    const std::int64_t sent =
        archive::copy_ahead(images_.layers().open_tar(member.chain_id),
                            [&](std::string_view bytes) { tar.data(bytes); });
    if (sent == member.size) return;
    // Source: moby layer/ro_layer.go, verifiedReadCloser.Read.
    base::fail(base::ErrorKind::internal,
               fmt::format("could not verify layer data for: {}. This may be because internal "
                           "files in the layer store were modified. Re-pulling or rebuilding this "
                           "image may resolve the issue",
                           member.diff_id));
}

}  // namespace

std::vector<ImagePtr> check_save(const Images& images, const std::vector<std::string>& names) {
    std::vector<ImagePtr> out;
    for (const Wanted& item : Selection(images).select(names)) out.push_back(item.image);
    return out;
}

void save_images(const Images& images, const std::vector<std::string>& names,
                 const archive::ByteSink& sink,
                 const std::function<void(const std::string& id)>& saved) {
    const std::vector<Wanted> wanted = Selection(images).select(names);
    Saver saver(images);
    saver.plan(wanted);
    saver.write(sink);
    if (!saved) return;
    for (const Wanted& item : wanted) saved(item.image->id);
}

}  // namespace dockerd::store
