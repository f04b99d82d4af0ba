// Archives of Docker before 1.10: a folder for each image, named by its old id, with the image's
// configuration of then (`json`) and its one layer.

#include <map>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/json.hpp>
#include <dockerd/store/layers.hpp>

#include "json_read.hpp"
#include "load.hpp"

namespace dockerd::store {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

/// An image and its ancestors have a layer each. Source: moby layer/layer.go, ErrMaxDepthExceeded.
void check_depth(std::size_t layers) {
    if (std::cmp_greater(layers, max_layers)) {
        base::fail(base::ErrorKind::internal, "max depth exceeded");
    }
}

/// Source: moby image/v1/imagev1.go, HistoryFromConfig.
base::Json history_of(const base::Json& old) {
    base::Json out = base::Json::object();
    const auto keep = [&](const char* name, const std::string& value) {
        if (!value.empty()) out[name] = value;
    };
    keep("created", text_of(old, "created"));
    keep("author", text_of(old, "author"));
    if (const base::Json* const container = part_of(old, "container_config")) {
        keep("created_by", base::join(texts_of(*container, "Cmd"), " "));
    }
    keep("comment", text_of(old, "comment"));
    return out;
}

class LegacyReader {
public:
    explicit LegacyReader(ArchiveContents& contents) : contents_(contents) {}

    std::vector<ArchivedImage> run() {
        for (const std::string& path : contents_.documents()) {
            const std::size_t slash = path.find('/');
            if (slash != std::string::npos && path.substr(slash) == "/json") {
                (void)image(path.substr(0, slash), 1);
            }
        }
        read_names();
        std::vector<ArchivedImage> out;
        for (const std::string& id : order_) out.push_back(std::move(images_.at(id).image));
        return out;
    }

private:
    struct Made {
        ArchivedImage image;
        std::string id;  ///< digest of the configuration
        const Made* below = nullptr;
        std::string diff_id;
        base::Json step;  ///< its entry in the history
    };
    static base::Json config_of(const base::Json& old, const Made& top);
    /// `depth`: it and those above it that wait for it.
    const Made& image(const std::string& old_id, std::size_t depth);
    void read_names();

    ArchiveContents& contents_;
    std::map<std::string, Made> images_;
    std::vector<std::string> order_;  ///< parents first
};

/// Source: moby image/tarexport/load.go, legacyLoadImage; image/v1/imagev1.go,
/// MakeConfigFromV1Config. Entries of a map stay where they are when others come.
const LegacyReader::Made& LegacyReader::image(const std::string& old_id, std::size_t depth) {
    if (const auto found = images_.find(old_id); found != images_.end()) return found->second;
    check_depth(depth);
    const base::Json old = parse_json(contents_.document(old_id + "/json"));
    if (!old.is_object()) invalid("invalid image configuration of " + old_id);
    const std::string os = text_of(old, "os");
    if (!os.empty() && !base::iequals(os, "linux")) {
        invalid(fmt::format("cannot load {} image on linux", os));
    }
    Made made;
    if (const std::string parent = text_of(old, "parent"); !parent.empty()) {
        made.below = &image(parent, depth + 1);
        made.image.parent = made.below->id;
        made.image.layers = made.below->image.layers;
    }
    const std::string layer = old_id + "/layer.tar";
    made.image.layers.push_back({layer, {}});
    check_depth(made.image.layers.size());  // ancestors that were made before go not so deep here
    made.diff_id = contents_.diff_id(layer);
    made.step = history_of(old);
    const std::string text = model::to_html_safe_text(config_of(old, made));
    made.id = archive::sha256_digest(text);
    made.image.config_path = old_id + "/config of this engine";
    contents_.add_document(made.image.config_path, text);
    order_.push_back(old_id);
    return images_.emplace(old_id, std::move(made)).first->second;
}

base::Json LegacyReader::config_of(const base::Json& old, const Made& top) {
    std::vector<const Made*> chain;
    for (const Made* at = &top; at != nullptr; at = at->below) chain.push_back(at);
    base::Json diff_ids = base::Json::array();
    base::Json history = base::Json::array();
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
        diff_ids.push_back((*at)->diff_id);
        history.push_back((*at)->step);
    }
    // As Go's encoder writes a map: by name.
    std::map<std::string, base::Json> fields;
    for (const auto& [name, value] : old.items()) fields[name] = value;
    for (const char* name : {"id", "parent", "Size", "parent_id", "layer_id", "throwaway"}) {
        fields.erase(name);
    }
    fields["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
    fields["history"] = std::move(history);
    base::Json config = base::Json::object();
    for (auto& [name, value] : fields) config[name] = std::move(value);
    return config;
}

void LegacyReader::read_names() {
    const base::Json all = parse_json(contents_.document("repositories"));
    if (!all.is_object()) invalid("invalid repositories");
    for (const auto& [name, tags] : all.items()) {
        if (!tags.is_object()) invalid("invalid repositories");
        for (const auto& [tag, id] : tags.items()) {
            const auto found = id.is_string() ? images_.find(id.get<std::string>()) : images_.end();
            if (found == images_.end()) {
                invalid(fmt::format("invalid target ID: {}",
                                    id.is_string() ? id.get<std::string>() : id.dump()));
            }
            found->second.image.tags.push_back(fmt::format("{}:{}", name, tag));
        }
    }
}

}  // namespace

std::vector<ArchivedImage> read_legacy_folders(ArchiveContents& contents) {
    return LegacyReader(contents).run();
}

}  // namespace dockerd::store
