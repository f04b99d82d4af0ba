#include <sys/utsname.h>

#include <dockerd/base/error.hpp>
#include <dockerd/model/json.hpp>
#include <dockerd/store/images.hpp>

#include "json_read.hpp"

namespace dockerd::store {
namespace {

std::optional<model::ContainerConfig> config_of(const base::Json& json, const char* key) {
    const base::Json* const part = part_of(json, key);
    if (part == nullptr || !part->is_object()) return std::nullopt;
    model::ContainerConfig out;
    model::decode(*part, out);
    return out;
}

ImageHistory history_of(const base::Json& json) {
    ImageHistory out;
    out.created = time_of(json, "created");
    out.created_by = text_of(json, "created_by");
    out.author = text_of(json, "author");
    out.comment = text_of(json, "comment");
    out.empty_layer = flag_of(json, "empty_layer");
    return out;
}

base::Json encode_history(const ImageHistory& item) {
    base::Json json = base::Json::object();
    if (item.created) json["created"] = base::format_rfc3339_nano(*item.created);
    if (!item.created_by.empty()) json["created_by"] = item.created_by;
    if (!item.author.empty()) json["author"] = item.author;
    if (!item.comment.empty()) json["comment"] = item.comment;
    if (item.empty_layer) json["empty_layer"] = true;
    return json;
}

void put_text(base::Json& json, const char* key, const std::string& text) {
    if (!text.empty()) json[key] = text;
}

}  // namespace

ImageConfig parse_image_config(std::string_view text) {
    const base::Json json = parse_json(text);
    const base::Json* const rootfs = part_of(json, "rootfs");
    if (rootfs == nullptr) {
        // Source: moby image/image.go, NewFromJSON.
        base::fail(base::ErrorKind::invalid_argument, "invalid image JSON, no RootFS key");
    }
    ImageConfig out;
    out.created = time_of(json, "created");
    out.author = text_of(json, "author");
    out.comment = text_of(json, "comment");
    out.architecture = text_of(json, "architecture");
    out.variant = text_of(json, "variant");
    out.os = text_of(json, "os");
    out.os_version = text_of(json, "os.version");
    out.os_features = texts_of(json, "os.features");
    out.docker_version = text_of(json, "docker_version");
    out.container = text_of(json, "container");
    out.config = config_of(json, "config");
    out.container_config = config_of(json, "container_config");
    out.diff_ids = texts_of(*rootfs, "diff_ids");
    for (const std::string& diff_id : out.diff_ids) model::check_digest(diff_id);
    if (const base::Json* const history = part_of(json, "history"); history != nullptr) {
        for (const base::Json& item : *history) out.history.push_back(history_of(item));
    }
    return out;
}

std::string encode_image_config(const ImageConfig& config) {
    base::Json json;
    put_text(json, "architecture", config.architecture);
    put_text(json, "author", config.author);
    put_text(json, "comment", config.comment);
    if (config.config) json["config"] = model::encode(*config.config);
    put_text(json, "container", config.container);
    json["container_config"] =
        model::encode(config.container_config.value_or(model::ContainerConfig{}));
    json["created"] = nullptr;
    if (config.created) json["created"] = base::format_rfc3339_nano(*config.created);
    put_text(json, "docker_version", config.docker_version);
    if (!config.history.empty()) {
        base::Json& history = json["history"] = base::Json::array();
        for (const ImageHistory& item : config.history) history.push_back(encode_history(item));
    }
    put_text(json, "os", config.os);
    if (!config.os_features.empty()) json["os.features"] = config.os_features;
    put_text(json, "os.version", config.os_version);
    json["rootfs"] = {{"type", "layers"}};
    if (!config.diff_ids.empty()) json["rootfs"]["diff_ids"] = config.diff_ids;
    put_text(json, "variant", config.variant);
    return model::to_html_safe_text(json);
}

std::string native_architecture() {
    utsname name{};
    if (::uname(&name) != 0) return "amd64";
    const std::string machine = name.machine;
    if (machine == "x86_64") return "amd64";
    if (machine == "aarch64") return "arm64";
    if (machine.starts_with("arm")) return "arm";
    return machine == "i686" || machine == "i386" ? "386" : machine;
}

}  // namespace dockerd::store
