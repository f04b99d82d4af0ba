#include <dockerd/registry/manifest.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/strings.hpp>
#include <dockerd/model/go_kind.hpp>
#include <dockerd/model/go_syntax.hpp>

namespace dockerd::registry {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& text) {
    base::fail(base::ErrorKind::internal, text);
}

/// Source: Go encoding/json, UnmarshalTypeError.
[[noreturn]] void wrong_type(const Json& json, std::string_view path, std::string_view type) {
    std::string kind(model::go_kind(json));
    if (json.is_number_float() && type == "int64") kind += " " + json.dump();
    fail(fmt::format("json: cannot unmarshal {} into Go struct field {} of type {}", kind, path, type));
}

/// A member by Go's rules: an exact name first, else one that differs in case; null is nothing.
const Json* member(const Json& object, std::string_view name) {
    const Json* found = nullptr;
    for (const auto& [key, value] : object.items()) {
        if (base::iequals(key, name)) found = &value;
    }
    return found != nullptr && found->is_null() ? nullptr : found;
}

std::string text_at(const Json& object, std::string_view name, const std::string& path,
                    std::string_view type = "string") {
    const Json* const json = member(object, name);
    if (json == nullptr) return {};
    if (!json->is_string()) wrong_type(*json, fmt::format("{}.{}", path, name), type);
    return json->get<std::string>();
}

std::int64_t number_at(const Json& object, std::string_view name, const std::string& path) {
    const Json* const json = member(object, name);
    if (json == nullptr) return 0;
    const std::string where = fmt::format("{}.{}", path, name);
    if (!json->is_number_integer()) wrong_type(*json, where, "int64");
    if (json->is_number_unsigned() && json->get<std::uint64_t>() > INT64_MAX) {
        fail(fmt::format("json: cannot unmarshal number {} into Go struct field {} of type int64",
                         json->dump(), where));
    }
    return json->get<std::int64_t>();
}

std::vector<std::string> texts_at(const Json& object, std::string_view name,
                                  const std::string& path) {
    std::vector<std::string> out;
    const Json* const json = member(object, name);
    if (json == nullptr) return out;
    const std::string where = fmt::format("{}.{}", path, name);
    if (!json->is_array()) wrong_type(*json, where, "[]string");
    for (const Json& item : *json) {
        if (!item.is_string()) wrong_type(item, where, "string");
        out.push_back(item.get<std::string>());
    }
    return out;
}

void read_platform(const Json& object, const std::string& path, Descriptor& out) {
    const Json* const json = member(object, "platform");
    if (json == nullptr) return;
    if (!json->is_object()) {
        wrong_type(*json, path + ".platform", "manifestlist.PlatformSpec");
    }
    const std::string where =
        "PlatformSpec" + path.substr(path.find('.')) + ".platform";
    out.architecture = text_at(*json, "architecture", where);
    out.os = text_at(*json, "os", where);
    out.os_version = text_at(*json, "os.version", where);
    out.os_features = texts_at(*json, "os.features", where);
    out.variant = text_at(*json, "variant", where);
    out.has_platform = !out.architecture.empty() || !out.os.empty() || !out.variant.empty() ||
                       !out.os_version.empty() || !out.os_features.empty();
}

/// `type` is Go's: its decoder calls a field by the innermost struct and the whole path to it.
Descriptor read_descriptor(const Json& json, const std::string& where, std::string_view type) {
    if (!json.is_object()) wrong_type(json, where, type);
    const std::string path =
        std::string(type.substr(type.find('.') + 1)) + where.substr(where.find('.'));
    Descriptor out;
    out.media_type = text_at(json, "mediaType", path);
    out.digest = text_at(json, "digest", path, "digest.Digest");
    out.size = number_at(json, "size", path);
    out.urls = texts_at(json, "urls", path);
    read_platform(json, path, out);
    return out;
}

std::vector<Descriptor> read_descriptors(const Json& document, std::string_view name,
                                         std::string_view go_struct, std::string_view type) {
    std::vector<Descriptor> out;
    const Json* const json = member(document, name);
    if (json == nullptr) return out;
    const std::string path = fmt::format("{}.{}", go_struct, name);
    if (!json->is_array()) wrong_type(*json, path, fmt::format("[]{}", type));
    for (const Json& item : *json) out.push_back(read_descriptor(item, path, type));
    return out;
}

ImageManifest read_image(const Json& document, std::string_view expected, bool optional) {
    ImageManifest out;
    out.media_type = text_at(document, "mediaType", "Manifest");
    if (const Json* const config = member(document, "config")) {
        out.config = read_descriptor(*config, "Manifest.config", "distribution.Descriptor");
    }
    out.layers = read_descriptors(document, "layers", "Manifest", "distribution.Descriptor");
    if (out.media_type != expected && !(optional && out.media_type.empty())) {
        fail(fmt::format("{}mediaType in manifest should be '{}' not '{}'",
                         optional ? "if present, " : "", expected, out.media_type));
    }
    out.media_type = expected;
    return out;
}

ManifestList read_list(const Json& document, std::string_view expected, bool optional) {
    ManifestList out;
    out.media_type = text_at(document, "mediaType", "ManifestList");
    out.manifests = read_descriptors(document, "manifests", "ManifestList",
                                     "manifestlist.ManifestDescriptor");
    if (out.media_type != expected && !(optional && out.media_type.empty())) {
        fail(optional ? fmt::format("if present, mediaType in image index should be '{}' not '{}'",
                                    expected, out.media_type)
                      : fmt::format("mediaType in manifest list should be '{}' not '{}'", expected,
                                    out.media_type));
    }
    out.media_type = expected;
    return out;
}

}  // namespace

std::string media_type_of(std::string_view content_type) {
    return base::to_lower(base::trim(content_type.substr(0, content_type.find(';'))));
}

Manifest parse_manifest(std::string_view content_type, std::string_view text) {
    const std::string type = media_type_of(content_type);
    if (const auto syntax = model::scan_go_json(text); !syntax.error.empty()) {
        // Go's Unmarshal has another word than its decoder for what breaks off.
        fail(syntax.error.ends_with("EOF") ? "unexpected end of JSON input" : syntax.error);
    }
    const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (document.is_discarded()) fail("unsupported manifest format");
    const bool image = type == media::docker_manifest || type == media::oci_manifest;
    const bool list = type == media::docker_list || type == media::oci_index;
    if (!image && !list) return Schema1Manifest{};
    if (!document.is_object()) {
        fail(fmt::format("json: cannot unmarshal {} into Go value of type {}", model::go_kind(document),
                         image ? "ocischema.unknownDocument" : "manifestlist.unknownDocument"));
    }
    if (type == media::docker_manifest) return read_image(document, media::docker_manifest, false);
    if (type == media::docker_list) return read_list(document, media::docker_list, false);
    // The same bytes must not be both. Source: OCI image-spec, GHSA-77vh-xpmg-72qh.
    if (image) {
        if (member(document, "manifests") != nullptr) {
            fail("ocimanifest: expected manifest but found index");
        }
        return read_image(document, media::oci_manifest, true);
    }
    if (member(document, "config") != nullptr || member(document, "layers") != nullptr) {
        fail("index: expected index but found manifest");
    }
    return read_list(document, media::oci_index, true);
}

}  // namespace dockerd::registry
