#include "image_config.hpp"

#include <algorithm>
#include <string_view>

namespace dockerd::engine {
namespace {

std::string_view env_key(std::string_view entry) { return entry.substr(0, entry.find('=')); }

void merge_env(model::Strings& env, const model::Strings& image) {
    if (env.empty()) {
        env = image;
        return;
    }
    const auto given = env.size();
    for (const auto& entry : image) {
        const bool overridden =
            std::any_of(env.begin(), env.begin() + static_cast<std::ptrdiff_t>(given),
                        [&](const auto& own) { return env_key(own) == env_key(entry); });
        if (!overridden) env.push_back(entry);
    }
}

void merge_healthcheck(std::optional<model::HealthConfig>& own,
                       const std::optional<model::HealthConfig>& image) {
    if (!image) return;
    if (!own) {
        own = image;
        return;
    }
    if (own->test.empty()) own->test = image->test;
    const auto inherit = [](std::int64_t& value, std::int64_t from) {
        if (value == 0) value = from;
    };
    inherit(own->interval, image->interval);
    inherit(own->timeout, image->timeout);
    inherit(own->start_period, image->start_period);
    inherit(own->start_interval, image->start_interval);
    inherit(own->retries, image->retries);
}

}  // namespace

void merge_image_config(model::ContainerConfig& config, const model::ContainerConfig& image) {
    if (config.user.empty()) config.user = image.user;
    if (config.exposed_ports.empty()) {
        config.exposed_ports = image.exposed_ports;
    } else {
        config.exposed_ports.insert(image.exposed_ports.begin(), image.exposed_ports.end());
    }
    merge_env(config.env, image.env);
    config.labels.given = true;
    config.labels.insert(image.labels.begin(), image.labels.end());
    if (config.entrypoint.empty()) {
        if (config.cmd.empty()) config.cmd = image.cmd;
        if (config.entrypoint.is_null()) config.entrypoint = image.entrypoint;
    }
    merge_healthcheck(config.healthcheck, image.healthcheck);
    if (config.working_dir.empty()) config.working_dir = image.working_dir;
    if (config.volumes.empty()) {
        config.volumes = image.volumes;
    } else {
        config.volumes.insert(image.volumes.begin(), image.volumes.end());
    }
    if (config.stop_signal.empty()) config.stop_signal = image.stop_signal;
}

}  // namespace dockerd::engine
