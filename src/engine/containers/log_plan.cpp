#include <fcntl.h>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/logging/drivers.hpp>
#include <dockerd/sys/paths.hpp>
#include <dockerd/sys/sealed_program.hpp>

#include "containers.hpp"

namespace dockerd::engine {
namespace {

logging::ContainerInfo info_of(const store::ContainerRecord& record) {
    logging::ContainerInfo info;
    info.id = record.id;
    info.name = record.name;
    info.entrypoint = record.path;
    info.args = record.args;
    info.image_id = record.image_id;
    info.image_name = record.config.image;
    info.created = record.created;
    info.env = record.config.env;
    info.labels = record.config.labels;
    return info;
}

/// `{"k":"v"}` as Go's encoder writes it, which keeps angle brackets out; empty for none.
std::string attributes_text(const std::map<std::string, std::string>& attributes) {
    if (attributes.empty()) return {};
    const std::string plain =
        nlohmann::json(attributes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::string out;
    for (const char c : plain) {
        if (c == '<') {
            out += "\\u003c";
        } else if (c == '>') {
            out += "\\u003e";
        } else if (c == '&') {
            out += "\\u0026";
        } else {
            out += c;
        }
    }
    return out;
}

void set_files(runtime::LogTarget& target, const logging::FileSettings& settings) {
    target.max_size = settings.max_size;
    target.max_files = static_cast<std::uint32_t>(settings.max_files);
    target.compress = settings.compress;
}

}  // namespace

/// Where what the container prints goes. Throws: what the driver says of its options.
// Source: moby container/container.go, StartLogger.
runtime::LogTarget Containers::plan_log(const store::ContainerRecord& record) const {
    const auto& config = record.host_config.log_config;
    runtime::LogTarget target;
    if (config.type == "none") return target;
    const auto info = info_of(record);
    const bool json = config.type == "json-file";
    target.ring_size = logging::ring_size(config.config);
    target.path = log_path_of(record.id, config.type);
    if (!logging::is_remote(config.type)) {
        target.kind = json ? runtime::LogKind::json_file : runtime::LogKind::local;
        set_files(target, logging::file_settings(config.type, config.config));
        if (json) {
            auto attributes = logging::extra_attributes(config.config, info);
            const auto tag = logging::render_tag(config.config, info, "");
            if (!tag.empty()) attributes["tag"] = tag;
            target.attributes_json = attributes_text(attributes);
        } else {
            sys::make_directories(target.path.substr(0, target.path.rfind('/')), 0700);
        }
        return target;
    }
    // Bad values are found here rather than by the forwarder: nothing has been made yet.
    (void)logging::extra_attributes(config.config, info);
    (void)logging::render_tag(config.config, info, "");
    target.forwarder_config = logging::encode_forwarder(config.type, config.config, info);
    target.forwarder = sys::own_program();
    if (logging::uses_cache(config.config)) {
        target.kind = runtime::LogKind::local;
        set_files(target, logging::cache_settings(config.config));
    }
    return target;
}

/// Of the newest file that can be read back; empty where there is none.
std::string Containers::log_path_of(const std::string& id, const std::string& driver) const {
    const std::string directory = parts_.files.path(id);
    if (driver == "json-file") return directory + "/" + id + "-json.log";
    if (driver == "local") return directory + "/local-logs/container.log";
    return logging::is_remote(driver) ? directory + "/container-cached.log" : std::string();
}

}  // namespace dockerd::engine
