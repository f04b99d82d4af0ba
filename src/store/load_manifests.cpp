#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "json_read.hpp"
#include "load.hpp"

namespace dockerd::store {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

std::string blob_path(const std::string& digest) {
    model::check_digest(digest);
    std::string path = "blobs/" + digest;
    path[path.find(':')] = '/';
    return path;
}

/// A document named by digest, with the digest checked.
base::Json verified(const ArchiveContents& contents, const std::string& digest) {
    const std::string& text = contents.document(blob_path(digest));
    if (digest.starts_with("sha256:") && archive::sha256_digest(text) != digest) {
        invalid(fmt::format("failed to verify: {}", digest));
    }
    base::Json json = parse_json(text);
    // The same bytes must not be a manifest to one reader and an index to another.
    if (part_of(json, "manifests") != nullptr && part_of(json, "layers") != nullptr) {
        invalid(fmt::format("{} is both a manifest and an index", digest));
    }
    return json;
}

std::string annotation(const base::Json& descriptor, const char* key) {
    const base::Json* const all = part_of(descriptor, "annotations");
    return all == nullptr ? std::string() : text_of(*all, key);
}

bool is_for_this_machine(const base::Json& descriptor) {
    if (!annotation(descriptor, "vnd.docker.reference.type").empty()) return false;
    const base::Json* const platform = part_of(descriptor, "platform");
    if (platform == nullptr) return true;
    return text_of(*platform, "os") == "linux" &&
           text_of(*platform, "architecture") == native_architecture();
}

/// The full name an index gives an image, or empty.
std::string name_of(const base::Json& descriptor) {
    const std::string name = annotation(descriptor, "io.containerd.image.name");
    if (!name.empty()) return name;
    const std::string reference = annotation(descriptor, "org.opencontainers.image.ref.name");
    // A bare tag says nothing about the repository.
    return reference.find_first_of("/:") == std::string::npos ? std::string() : reference;
}

ArchivedImage oci_image(const base::Json& manifest) {
    ArchivedImage out;
    const base::Json* const config = part_of(manifest, "config");
    const base::Json* const layers = part_of(manifest, "layers");
    if (config == nullptr || layers == nullptr) invalid("invalid manifest");
    out.config_digest = text_of(*config, "digest");
    out.config_path = blob_path(out.config_digest);
    for (const base::Json& layer : *layers) {
        const std::string digest = text_of(layer, "digest");
        out.layers.push_back({blob_path(digest), digest});
    }
    return out;
}

void read_index(const ArchiveContents& contents, const base::Json& index, const std::string& name,
                int depth, std::vector<ArchivedImage>& out) {
    const base::Json* const manifests = part_of(index, "manifests");
    if (manifests == nullptr || depth > 4) invalid("invalid index");
    for (const base::Json& descriptor : *manifests) {
        if (!is_for_this_machine(descriptor)) continue;
        const std::string own = name_of(descriptor);
        const std::string& tag = own.empty() ? name : own;
        const base::Json json = verified(contents, text_of(descriptor, "digest"));
        if (part_of(json, "manifests") != nullptr) {
            read_index(contents, json, tag, depth + 1, out);
            continue;
        }
        ArchivedImage image = oci_image(json);
        if (!tag.empty()) image.tags.push_back(tag);
        out.push_back(std::move(image));
    }
}

}  // namespace

std::vector<ArchivedImage> read_docker_manifest(const ArchiveContents& contents) {
    const base::Json json = parse_json(contents.document("manifest.json"));
    if (json.is_null()) {
        // Source: moby image/tarexport/load.go, validateManifest.
        invalid("invalid manifest, manifest cannot be null (but can be [])");
    }
    if (!json.is_array()) invalid("invalid manifest");
    std::vector<ArchivedImage> out;
    for (const base::Json& item : json) {
        ArchivedImage image;
        image.config_path = text_of(item, "Config");
        image.tags = texts_of(item, "RepoTags");
        image.parent = text_of(item, "Parent");
        for (std::string& path : texts_of(item, "Layers"))
            image.layers.push_back({std::move(path), {}});
        out.push_back(std::move(image));
    }
    return out;
}

std::vector<ArchivedImage> read_oci_index(const ArchiveContents& contents) {
    std::vector<ArchivedImage> out;
    read_index(contents, parse_json(contents.document("index.json")), "", 0, out);
    return out;
}

}  // namespace dockerd::store
