#include "load.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::store {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

void tell(const LoadProgressSink& progress, const std::string& line) {
    if (progress) progress({.stream = line + "\n"});
}

bool same_history(const ImageHistory& a, const ImageHistory& b) {
    return a.created == b.created && a.created_by == b.created_by && a.author == b.author &&
           a.comment == b.comment && a.empty_layer == b.empty_layer;
}

/// Source: moby image/tarexport/load.go, checkValidParent.
bool can_be_parent(const ImageConfig& child, const ImageConfig& parent) {
    if (child.history.empty() && parent.history.empty()) return true;
    if (child.history.size() != parent.history.size() + 1) return false;
    return std::ranges::equal(parent.history.begin(), parent.history.end(), child.history.begin(),
                              child.history.end() - 1, same_history);
}

class Loader {
public:
    using Choice = std::function<bool(const ImageConfig& config)>;
    Loader(Images& images, ArchiveContents& contents, const LoadProgressSink& progress,
           const Choice& wanted)
        : images_(images), contents_(contents), progress_(progress), wanted_(wanted) {}

    std::vector<LoadedImage> run(const std::vector<ArchivedImage>& all) {
        std::vector<ArchivedImage> found;
        std::vector<LoadedImage> out;
        for (const ArchivedImage& image : all) {
            auto loaded = load(image);
            if (!loaded) continue;
            found.push_back(image);
            out.push_back(*std::move(loaded));
        }
        for (std::size_t i = 0; i < found.size(); ++i) link_parent(found, out, i);
        if (!out.empty() && out.back().names.empty()) {
            for (const LoadedImage& image : out) tell(progress_, "Loaded image ID: " + image.id);
        }
        return out;
    }

private:
    std::optional<LoadedImage> load(const ArchivedImage& image);
    void set_tag(const std::string& text, LoadedImage& loaded);
    void link_parent(const std::vector<ArchivedImage>& found,
                     const std::vector<LoadedImage>& loaded, std::size_t at);

    Images& images_;
    ArchiveContents& contents_;
    const LoadProgressSink& progress_;
    const Choice& wanted_;
};

/// Nothing when the image is not wanted.
std::optional<LoadedImage> Loader::load(const ArchivedImage& image) {
    const std::string& json = contents_.document(image.config_path);
    if (!image.config_digest.empty() && archive::sha256_digest(json) != image.config_digest) {
        invalid(fmt::format("failed to verify: {}", image.config_digest));
    }
    const ImageConfig config = parse_image_config(json);
    if (!config.os.empty() && !base::iequals(config.os, "linux")) {
        invalid(fmt::format("cannot load {} image on linux", config.os));
    }
    if (wanted_ && !wanted_(config)) return std::nullopt;
    if (image.layers.size() != config.diff_ids.size()) {
        invalid(fmt::format("invalid manifest, layers length mismatch: expected {}, got {}",
                            image.layers.size(), config.diff_ids.size()));
    }
    const std::vector<LayerHold> holds = contents_.place(image.layers, config.diff_ids);
    LoadedImage loaded;
    loaded.id = images_.create(json);
    for (const std::string& tag : image.tags) set_tag(tag, loaded);
    return loaded;
}

void Loader::set_tag(const std::string& text, LoadedImage& loaded) {
    const model::Reference reference = model::Reference::parse(text);
    if (reference.tag().empty()) invalid(fmt::format("invalid tag {}", base::quote(text)));
    const std::string name = reference.familiar();
    const std::optional<std::string> previous = images_.tag(reference, loaded.id);
    if (previous && *previous != loaded.id) {
        // Source: moby image/tarexport/load.go, setLoadedTag.
        tell(progress_, fmt::format("The image {} already exists, renaming the old one with ID {} "
                                    "to empty string",
                                    name, *previous));
    }
    tell(progress_, "Loaded image: " + name);
    loaded.names.push_back(name);
}

void Loader::link_parent(const std::vector<ArchivedImage>& found,
                         const std::vector<LoadedImage>& loaded, std::size_t at) {
    const std::string& parent_id = found[at].parent;
    const bool is_here = std::ranges::any_of(loaded, [&](const LoadedImage& other) {
        return other.id == parent_id && other.id != loaded[at].id;
    });
    if (parent_id.empty() || !is_here) return;
    const ImagePtr child = images_.find(loaded[at].id);
    const ImagePtr parent = images_.find(parent_id);
    if (!child || !parent) return;
    if (!can_be_parent(*child->config, *parent->config)) {
        invalid(fmt::format("image {} is not a valid parent for {}", parent->id, child->id));
    }
    images_.set_parent(child->id, parent->id);
}

}  // namespace

std::vector<LoadedImage> load_images(Images& images, archive::ByteSource stream,
                                     const LoadProgressSink& progress,
                                     const std::function<bool(const ImageConfig&)>& wanted) {
    ArchiveContents contents(images.layers(), progress);
    contents.read(std::move(stream));
    // Both may be there, as in what Docker 28 saves; manifest.json has the names.
    const bool is_oci = !contents.has_document("manifest.json") &&
                        contents.has_document("index.json") && contents.has_document("oci-layout");
    return Loader(images, contents, progress, wanted)
        .run(is_oci ? read_oci_index(contents) : read_docker_manifest(contents));
}

}  // namespace dockerd::store
