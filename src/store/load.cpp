#include "load.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>

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

    /// All images of an archive come into being, or none: one that is wrong is found before the
    /// first of them has a name.
    // Differs from Docker: there the images before the wrong one stay.
    std::vector<LoadedImage> run(const std::vector<ArchivedImage>& all) {
        std::vector<Ready> ready;
        for (const ArchivedImage& image : all) {
            if (auto one = prepare(image)) ready.push_back(*std::move(one));
        }
        for (Ready& child : ready) find_parent(ready, child);
        create(ready);
        std::vector<LoadedImage> out;
        for (const Ready& image : ready) {
            if (!image.parent.empty()) images_.set_parent(image.id, image.parent);
            out.push_back({.id = image.id, .names = {}});
            for (const model::Reference& tag : image.tags) set_tag(tag, out.back());
        }
        if (!out.empty() && out.back().names.empty()) {
            for (const LoadedImage& image : out) tell(progress_, "Loaded image ID: " + image.id);
        }
        return out;
    }

private:
    /// An image that only has to be written down.
    struct Ready {
        std::string id;
        const std::string* json = nullptr;  ///< the archive's
        ImageConfig config;
        std::vector<model::Reference> tags;
        std::string parent;
        std::vector<LayerHold> holds;
    };
    std::optional<Ready> prepare(const ArchivedImage& image);
    static void find_parent(const std::vector<Ready>& all, Ready& child);
    void create(const std::vector<Ready>& all);
    void set_tag(const model::Reference& reference, LoadedImage& loaded);

    Images& images_;
    ArchiveContents& contents_;
    const LoadProgressSink& progress_;
    const Choice& wanted_;
};

/// Nothing when the image is not wanted.
std::optional<Loader::Ready> Loader::prepare(const ArchivedImage& image) {
    const std::string& json = contents_.document(image.config_path);
    Ready out{.id = archive::sha256_digest(json),
              .json = &json,
              .config = parse_image_config(json),
              .tags = {},
              .parent = image.parent,
              .holds = {}};
    if (!image.config_digest.empty() && out.id != image.config_digest) {
        invalid(fmt::format("failed to verify: {}", image.config_digest));
    }
    const ImageConfig& config = out.config;
    if (!config.os.empty() && !base::iequals(config.os, "linux")) {
        invalid(fmt::format("cannot load {} image on linux", config.os));
    }
    if (wanted_ && !wanted_(config)) return std::nullopt;
    if (image.layers.size() != config.diff_ids.size()) {
        invalid(fmt::format("invalid manifest, layers length mismatch: expected {}, got {}",
                            image.layers.size(), config.diff_ids.size()));
    }
    for (const std::string& text : image.tags) {
        out.tags.push_back(model::Reference::parse(text));
        if (out.tags.back().tag().empty()) {
            invalid(fmt::format("invalid tag {}", base::quote(text)));
        }
    }
    out.holds = contents_.place(image.layers, config.diff_ids);
    return out;
}

/// Leaves the parent that is among the archive's images, and must be able to be one.
void Loader::find_parent(const std::vector<Ready>& all, Ready& child) {
    const auto parent = std::ranges::find_if(all, [&](const Ready& other) {
        return other.id == child.parent && other.id != child.id;
    });
    if (parent == all.end()) {
        child.parent.clear();
    } else if (!can_be_parent(child.config, parent->config)) {
        invalid(fmt::format("image {} is not a valid parent for {}", parent->id, child.id));
    }
}

void Loader::create(const std::vector<Ready>& all) {
    std::vector<std::string> made;
    made.reserve(all.size());
    base::Undo remove([&]() noexcept {
        for (const std::string& id : made) {
            try {
                (void)images_.remove(id);
            } catch (const base::Error& error) {
                base::log::warn("remove image {}, ignoring: {}", id, error.what());
            }
        }
    });
    for (const Ready& image : all) {
        const bool known = images_.find(image.id) != nullptr;
        (void)images_.create(*image.json);
        if (!known) made.push_back(image.id);
    }
    remove.dismiss();
}

void Loader::set_tag(const model::Reference& reference, LoadedImage& loaded) {
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

}  // namespace

std::vector<LoadedImage> load_images(Images& images, archive::ByteSource stream,
                                     const LoadProgressSink& progress,
                                     const std::function<bool(const ImageConfig&)>& wanted) {
    ArchiveContents contents(images.layers(), progress);
    contents.read(std::move(stream));
    // Several may be there, as in what Docker 28 saves; manifest.json has the names.
    const auto read = [&] {
        if (contents.has_document("manifest.json")) return read_docker_manifest(contents);
        if (contents.has_document("index.json") && contents.has_document("oci-layout")) {
            return read_oci_index(contents);
        }
        return read_legacy_folders(contents);
    };
    return Loader(images, contents, progress, wanted).run(read());
}

}  // namespace dockerd::store
