#include "logs/logs.hpp"

#include <dockerd/base/strings.hpp>

#include "containers.hpp"

namespace dockerd::engine {

// Source: moby daemon/logs.go, ContainerLogs.
std::unique_ptr<LogStream> Containers::logs(std::string_view reference, const LogOptions& options) {
    const auto container = index_.get(reference);
    const auto snapshot = container->snapshot();
    if (!options.stdout_stream && !options.stderr_stream) {
        base::fail(base::ErrorKind::invalid_argument, "You must choose at least one stream");
    }
    const auto& config = snapshot->host_config.log_config;
    if (snapshot->state.dead || snapshot->state.removing) {
        base::fail(base::ErrorKind::conflict,
                   "can not get logs from container which is dead or marked for removal");
    }
    if (config.type == "none") {
        base::fail(base::ErrorKind::not_implemented,
                   "configured logging driver does not support reading");
    }
    logs::LogSource source;
    source.format = config.type == "local" ? logs::Format::local : logs::Format::json_file;
    source.path = log_path_of(container->id, config.type);
    source.tty = snapshot->config.tty;
    source.max_files = config.type == "local" ? 5 : 1;
    if (const auto files = config.config.find("max-file"); files != config.config.end()) {
        source.max_files = static_cast<int>(base::parse_int(files->second).value_or(1));
    }
    if (snapshot->state.running) {
        const base::Lock lock(container->waiters_mutex);
        source.run = container->log_run;
    }
    return logs::open_log_stream(source, options, log_watcher_);
}

std::string Containers::log_path_of(const std::string& id, const std::string& driver) const {
    const std::string directory = parts_.files.path(id);
    if (driver == "json-file") return directory + "/" + id + "-json.log";
    if (driver == "local") return directory + "/local-logs/container.log";
    return {};
}

}  // namespace dockerd::engine
