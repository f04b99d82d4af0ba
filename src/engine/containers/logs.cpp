#include "logs/logs.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/logging/drivers.hpp>

#include "containers.hpp"

namespace dockerd::engine {

namespace {

/// How many files there may be. A container with settings nobody understands never wrote any.
int count_files(const model::LogConfig& config) {
    try {
        return logging::is_remote(config.type)
                   ? logging::cache_settings(config.config).max_files
                   : logging::file_settings(config.type, config.config).max_files;
    } catch (const base::Error&) {
        return 1;
    }
}

}  // namespace

// Source: moby daemon/logs.go, ContainerLogs.
std::unique_ptr<LogStream> Containers::logs(std::string_view reference, const LogOptions& options) {
    return open_log(index_.get(reference), options, std::nullopt);
}

std::unique_ptr<LogStream> Containers::open_log(const ContainerRef& container,
                                                const LogOptions& options,
                                                std::optional<runtime::LogPosition> end) {
    const auto snapshot = container->snapshot();
    if (!options.stdout_stream && !options.stderr_stream) {
        base::fail(base::ErrorKind::invalid_argument, "You must choose at least one stream");
    }
    const auto& config = snapshot->host_config->log_config;
    if (snapshot->state.dead || snapshot->state.removing) {
        base::fail(base::ErrorKind::conflict,
                   "can not get logs from container which is dead or marked for removal");
    }
    const bool remote = logging::is_remote(config.type);
    logs::LogSource source;
    source.path = log_path_of(container->id, config.type);
    if (source.path.empty() || (remote && !logging::uses_cache(config.config))) {
        base::fail(base::ErrorKind::not_implemented,
                   "configured logging driver does not support reading");
    }
    source.format = config.type == "json-file" ? logs::Format::json_file : logs::Format::local;
    source.tty = snapshot->config->tty;
    source.max_files = count_files(config);
    source.end = end;
    if (snapshot->state.running) {
        const base::Lock lock(container->waiters_mutex);
        source.run = container->log_run;
    }
    return logs::open_log_stream(source, options, log_watcher_);
}

}  // namespace dockerd::engine
