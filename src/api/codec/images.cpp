#include "images.hpp"

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/model/go_syntax.hpp>

#include "../params.hpp"
#include "documents.hpp"

namespace dockerd::api::codec {

using base::ErrorKind;
using base::fail;

static void put(Text& out, const engine::ImageHistoryItem& item) {
    Object{out}("Comment", item.comment)("Created", item.created)("CreatedBy", item.created_by)(
        "Id", item.id)("Size", item.size)("Tags", NullWhenEmpty{item.tags});
}

static void put(Text& out, const engine::ImageDeleteItem& item) {
    Object{out}.some("Deleted", item.deleted).some("Untagged", item.untagged);
}

namespace {

constexpr ApiVersion no_none_tags{1, 43};
constexpr ApiVersion no_virtual_size{1, 44};
constexpr ApiVersion no_container_config{1, 45};
constexpr ApiVersion oci_config{1, 50};

/// `nil_lists`: an empty list is null.
void put_image(Text& out, const engine::ImageSummary& image, ApiVersion version, bool nil_lists) {
    static const std::vector<std::string> none_tag{"<none>:<none>"};
    static const std::vector<std::string> none_digest{"<none>@<none>"};
    const bool none = nil_lists && version < no_none_tags && image.repo_tags.empty() &&
                      image.repo_digests.empty();
    Object object(out);
    object("Containers", image.containers);
    object("Created", image.created.seconds());
    object("Id", image.id);
    object("Labels", image.labels);
    object("ParentId", image.parent_id);
    if (nil_lists) {
        object("RepoDigests", NullWhenEmpty{none ? none_digest : image.repo_digests});
        object("RepoTags", NullWhenEmpty{none ? none_tag : image.repo_tags});
    } else {
        object("RepoDigests", image.repo_digests);
        object("RepoTags", image.repo_tags);
    }
    object("SharedSize", image.shared_size);
    object("Size", image.size);
    if (version < no_virtual_size) object.some("VirtualSize", image.size);
}

/// The part of an image's configuration that is the image's, in the container's form.
/// Source: moby api/server/router/image, dockerOCIImageConfigToContainerConfig.
model::ContainerConfig legacy_config(const model::ContainerConfig& config) {
    model::ContainerConfig out = config;
    out.hostname.clear();
    out.domainname.clear();
    out.image.clear();
    out.mac_address.clear();
    out.stop_timeout.reset();
    out.attach_stdin = out.attach_stdout = out.attach_stderr = false;
    out.tty = out.open_stdin = out.stdin_once = out.network_disabled = false;
    return out;
}

void put_created(Object& object, const engine::ImageDetails& image, ApiVersion version) {
    if (image.created) {
        object("Created", *image.created);
    } else if (version < no_virtual_size) {
        object("Created", base::WallTime{});
    }
}

void put_graph_driver(Text& out, const engine::GraphDriver& driver) {
    Object object(out);
    Text& data = object.key("Data");
    if (driver.data.empty()) {
        put(data, nullptr);
    } else {
        put_map(data, driver.data);
    }
    object("Name", driver.name);
}

void put_platform_fields(Object& object, const engine::ImageDetails& image, ApiVersion version) {
    object("Architecture", image.architecture);
    object.some("Variant", image.variant);
    object("Os", image.os);
    object.some("OsVersion", image.os_version);
    object("Size", image.size);
    if (version < no_virtual_size) object.some("VirtualSize", image.size);
    put_graph_driver(object.key("GraphDriver"), image.graph_driver);
    Object{object.key("RootFS")}("Type", "layers").some("Layers", image.diff_ids);
    Object{object.key("Metadata")}("LastTagTime", image.last_tag_time);
}

}  // namespace

static void put_images(Text& out, const std::vector<engine::ImageSummary>& images,
                       ApiVersion version, bool nil_lists) {
    out.raw('[');
    bool first = true;
    for (const auto& image : images) {
        if (!first) out.raw(',');
        first = false;
        put_image(out, image, version, nil_lists);
    }
    out.raw(']');
}

void put_image_usage(Text& out, const std::vector<engine::ImageSummary>& images,
                     ApiVersion version) {
    // Untagged images have no <none> names here, whatever the version.
    put_images(out, images, std::max(version, ApiVersion{1, 43}), /*nil_lists=*/true);
}

std::string encode_images(const std::vector<engine::ImageSummary>& images, ApiVersion version) {
    Text out;
    out.reserve(16 + images.size() * 512);
    put_images(out, images, version, /*nil_lists=*/version < no_none_tags);
    return out.take_line();
}

std::string encode_image(const engine::ImageDetails& image, ApiVersion version) {
    const model::ContainerConfig config = image.config.value_or(model::ContainerConfig{});
    Text out;
    {
        Object object(out);
        object("Id", image.id);
        object("RepoTags", image.repo_tags);
        object("RepoDigests", image.repo_digests);
        object("Parent", image.parent);
        object("Comment", image.comment);
        put_created(object, image, version);
        if (version < no_container_config) {
            object.some("Container", image.container);
            object("ContainerConfig", image.container_config.value_or(model::ContainerConfig{}));
        }
        object("DockerVersion", image.docker_version);
        object("Author", image.author);
        if (version >= oci_config) put_oci_config(object.key("Config"), config);
        put_platform_fields(object, image, version);
        // The older form stands last: Go's shadowing field comes after the embedded struct.
        if (version < oci_config) object("Config", legacy_config(config));
    }
    return out.take_line();
}

std::string encode_history(const std::vector<engine::ImageHistoryItem>& history) {
    Text out;
    put(out, history);
    return out.take_line();
}

std::string encode_deleted(const std::vector<engine::ImageDeleteItem>& items) {
    Text out;
    put(out, items);
    return out.take_line();
}

std::string encode_image_prune(const engine::ImagePruneResult& result) {
    Text out;
    Object{out}("ImagesDeleted", NullWhenEmpty{result.deleted})("SpaceReclaimed",
                                                                result.space_reclaimed);
    return out.take_line();
}

engine::ImageService::ListOptions decode_image_list(const http::Request& request) {
    engine::ImageService::ListOptions options;
    options.filters = filters_param(request);
    if (request.version < ApiVersion{1, 41}) {
        const std::string pattern = request.param("filter", "");
        if (!pattern.empty()) options.filters.add("reference", pattern);
    }
    options.all = bool_param(request, "all");
    options.shared_size =
        request.version >= ApiVersion{1, 42} && bool_param(request, "shared-size");
    return options;
}

namespace {

std::string text_member(const base::Json& json, const char* name) {
    if (!json.is_object()) return "";
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

/// Source: moby api/server/httputils/form.go, DecodePlatform.
std::string read_platform(const std::string& text) {
    if (const auto error = model::scan_go_json(text).error; !error.empty()) {
        fail(ErrorKind::invalid_argument, "failed to parse platform: " + error);
    }
    const base::Json json = base::Json::parse(text, nullptr, /*allow_exceptions=*/false);
    const std::string os = text_member(json, "os");
    const std::string architecture = text_member(json, "architecture");
    const bool optional = !text_member(json, "variant").empty() ||
                          !text_member(json, "os.version").empty() || json.contains("os.features");
    if (os.empty() && architecture.empty() && optional) {
        fail(ErrorKind::invalid_argument,
             "optional platform fields provided, but OS and Architecture are missing");
    }
    if (os.empty() || architecture.empty()) {
        fail(ErrorKind::invalid_argument, "both OS and Architecture must be provided");
    }
    const std::string variant = text_member(json, "variant");
    return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

}  // namespace

std::string decode_platform(const http::Request& request, ApiVersion since) {
    const std::string text = request.param("platform", "");
    return request.version < since || text.empty() ? "" : read_platform(text);
}

std::string decode_image_inspect(const http::Request& request) {
    const bool manifests = request.version >= ApiVersion{1, 48} && bool_param(request, "manifests");
    std::string platform = decode_platform(request, {1, 49});
    if (manifests && !platform.empty()) {
        fail(ErrorKind::invalid_argument,
             "conflicting options: manifests and platform options cannot both be set");
    }
    return platform;
}

std::string decode_one_platform(const http::Request& request) {
    if (request.version >= ApiVersion{1, 48} && request.params("platform").size() > 1) {
        fail(ErrorKind::invalid_argument, "multiple platform parameters not supported");
    }
    return decode_platform(request, {1, 48});
}

std::string decode_removed_platform(const http::Request& request) {
    if (request.version < ApiVersion{1, 50}) return {};
    std::string platform;
    const auto texts = request.params("platforms");
    for (const auto& text : texts) platform = read_platform(text);
    if (texts.size() > 1) {
        fail(ErrorKind::invalid_argument, "multiple platforms are not supported");
    }
    return platform;
}

engine::ImportOptions decode_import(const http::Request& request, const std::string& source) {
    engine::ImportOptions options;
    options.repository = request.param("repo", "");
    options.tag = request.param("tag", "");
    options.message = request.param("message", "");
    if (options.message.empty()) options.message = "Imported from " + source;
    options.changes = request.params("changes");
    if (request.version >= ApiVersion{1, 32}) options.platform = request.param("platform", "");
    return options;
}

}  // namespace dockerd::api::codec
