#include "daemon.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/thread.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/http/server.hpp>

#include "config_file.hpp"
#include "engine/system/host.hpp"
#include "flags.hpp"
#include "listeners.hpp"
#include "metrics_server.hpp"
#include "option_json.hpp"
#include "pidfile.hpp"
#include "root_report.hpp"
#include "settling.hpp"
#include "shutdown.hpp"
#include "support.hpp"
#include "wiring.hpp"

#ifndef DOCKERD_COMMIT
#define DOCKERD_COMMIT "45873be"
#endif

namespace dockerd::app {
namespace {

constexpr std::chrono::seconds answer_grace{5};
/// For what has been begun, as writes that wait for the disk.
constexpr std::chrono::seconds teardown_grace{10};

base::log::Level level_of(const Config& config) {
    using base::log::Level;
    if (config.debug) return Level::debug;
    const std::string text = base::to_lower(config.log_level);
    if (text == "trace") return Level::trace;
    if (text == "debug") return Level::debug;
    if (text == "warn") return Level::warn;
    if (text == "error") return Level::error;
    if (text == "fatal" || text == "panic") return Level::fatal;
    return Level::info;
}

void configure_log(const Config& config) {
    base::log::configure(level_of(config), config.log_format == "json" ? base::log::Format::json
                                                                       : base::log::Format::text);
}

/// Puts the configured proxies where every client of the process looks for them.
// Source: moby cmd/dockerd/daemon.go, overrideProxyEnv.
void set_proxy_environment(const Config& config) {
    const auto set_one = [](const char* name, const std::string& value) {
        const char* const before = ::getenv(name);
        if (before && *before && before != value) {
            const std::string old_value = engine::mask_credentials(before);
            const std::string new_value = engine::mask_credentials(value);
            base::log::write(base::log::Level::warn,
                             "overriding existing proxy variable with value from configuration",
                             {{"name", name}, {"old-value", old_value}, {"new-value", new_value}});
        }
        (void)::setenv(name, value.c_str(), 1);
    };
    const auto set = [&](const char* upper, const char* lower, const std::string& value) {
        if (value.empty()) return;
        set_one(upper, value);
        set_one(lower, value);
    };
    set("HTTP_PROXY", "http_proxy", config.http_proxy);
    set("HTTPS_PROXY", "https_proxy", config.https_proxy);
    set("NO_PROXY", "no_proxy", config.no_proxy);
}

void make_directory(const std::string& path, mode_t mode) {
    std::error_code failure;
    const auto parent = std::filesystem::path(path).parent_path();
    if (!parent.empty()) std::filesystem::create_directories(parent, failure);
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
        base::throw_errno(errno, "mkdir " + path);
    }
}

/// Two arenas serve all threads: with one for each, an idle daemon would keep what each of them
/// once needed.
void tame_allocator() {
    (void)::mallopt(M_ARENA_MAX, 2);
    (void)::mallopt(M_TRIM_THRESHOLD, 256 << 10);
    (void)::mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

/// Go's runtime raises the limit of open files as well.
void raise_file_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

std::size_t connection_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    return std::clamp<std::size_t>(limit.rlim_cur / 4, 64, 16'384);
}

/// Removes the socket files that were made.
struct SocketFiles {
    std::vector<std::string> paths;
    SocketFiles() = default;
    SocketFiles(const SocketFiles&) = delete;
    SocketFiles& operator=(const SocketFiles&) = delete;
    ~SocketFiles() {
        for (const std::string& path : paths) (void)::unlink(path.c_str());
    }
};

/// DOCKER_MIN_API_VERSION. Source: moby daemon/config/config.go, ValidateMinAPIVersion.
void read_min_version(Config& config) {
    const char* const text = ::getenv("DOCKER_MIN_API_VERSION");
    if (!text || !*text) return;
    const std::string version = text;
    const auto bad = [](const std::string& why) {
        base::fail(base::ErrorKind::invalid_argument, "invalid DOCKER_MIN_API_VERSION: " + why);
    };
    if (version[0] == 'v' || version[0] == 'V') {
        bad("API version must be provided without \"v\" prefix");
    }
    const auto parts = base::split(version, '.');
    const http::ApiVersion wanted{
        static_cast<int>(base::parse_int(parts[0]).value_or(0)),
        parts.size() > 1 ? static_cast<int>(base::parse_int(parts[1]).value_or(0)) : 0};
    if (wanted < http::ApiVersion{1, 24}) {
        bad("minimum supported API version is 1.24: " + version);
    }
    if (wanted > http::ApiVersion{1, 50}) {
        bad("maximum supported API version is 1.50: " + version);
    }
    config.min_api_version = wanted;
}

void reload(Config& running, Wiring& wiring) {
    base::log::write(base::log::Level::info, "Got signal to reload configuration",
                     {{"config-file", running.config_file}});
    Config next;
    try {
        next = reload_config(running);
    } catch (const base::Error& error) {
        base::log::write(base::log::Level::error, "Error reloading configuration",
                         {{"error", error.what()}});
        return;
    }
    try {
        wiring.reload(next);
    } catch (const base::Error& error) {
        base::log::write(base::log::Level::error, "Error reconfiguring the daemon",
                         {{"error", error.what()}});
        return;
    }
    running = next;
    configure_log(running);
    for (const std::string& line : ineffective_options(running)) base::log::warn("{}", line);
    base::log::write(base::log::Level::info, "Reloaded configuration",
                     {{"config", config_json(running)}});
}

/// The service manager is told of a reload, so that it can wait for its end.
/// Source: sd_notify(3), RELOADING=1.
void reload_with_notice(Config& running, Wiring& wiring) {
    timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &now);
    notify_systemd(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                               now.tv_sec * 1'000'000LL + now.tv_nsec / 1'000));
    reload(running, wiring);
    notify_systemd("READY=1");
}

void dump(const Config& config) {
    try {
        base::log::info("goroutine stacks written to {}", dump_threads(config.exec_root));
    } catch (const std::exception& error) {
        base::log::error("failed to dump threads: {}", error.what());
    }
}

/// Returns false when requests are still running: what they use must not be destroyed.
bool serve_until_stopped(Config& config, Signals& signals, Wiring& wiring,
                         std::vector<BoundSocket> sockets,
                         const std::shared_ptr<http::TlsContext>& tls) {
    raise_file_limit();
    http::ServerOptions options;
    options.limits.connections = connection_limit();
    auto server = std::make_unique<http::Server>(wiring.application(), options);
    std::vector<std::string> names;
    for (BoundSocket& socket : sockets) {
        names.push_back(socket.name);
        server->add_listener(std::move(socket.fd), socket.tcp_like ? tls : nullptr);
    }
    // Said before the first answer: who has one can rely on these lines.
    base::log::info("Daemon has completed initialization");
    for (const std::string& name : names) base::log::info("API listen on {}", name);
    wiring.serve();
    server->start();
    auto settling = std::make_unique<Settling>(wiring);
    notify_systemd("READY=1\nSTATUS=Serving the API on " + base::join(names, ", "));

    SignalEvent event = signals.wait();
    for (; event != SignalEvent::stop && event != SignalEvent::leave; event = signals.wait()) {
        if (event == SignalEvent::reload) reload_with_notice(config, wiring);
        if (event == SignalEvent::dump) dump(config);
    }
    server->stop_accepting();
    if (event == SignalEvent::leave) wiring.keep_containers();
    notify_systemd("STOPPING=1\nSTATUS=Ending");
    settling->end();
    wiring.shutdown();
    server->stop(answer_grace);
    const bool settled = base::finish_within(teardown_grace, [&] { settling.reset(); });
    if (!settled) (void)settling.release();
    if (!settled || server->calls().pending() + server->transfers().pending() > 0) {
        // Work that hangs in the kernel must not keep the daemon from ending.
        base::log::warn("requests are still running; ending without them");
        (void)server.release();
        return false;
    }
    return true;
}

/// Returns false when the process has to end without destroying what is left.
bool start(Config config, Signals& signals) {
    set_proxy_environment(config);
    configure_log(config);
    base::log::info("Starting up");
    if (!config.from_defaults.empty()) {
        // A file that another engine's packaging never read may have been forgotten.
        base::log::info("{} sets: --{}", config.defaults_file,
                        fmt::join(config.from_defaults, ", --"));
    }
    if (config.experimental) base::log::warn("Running with experimental features enabled");
    if (::geteuid() != 0) {
        base::fail(base::ErrorKind::permission_denied,
                   "dockerd needs to be started with root privileges. To run dockerd in rootless "
                   "mode as an unprivileged user, see https://docs.docker.com/go/rootless/");
    }
    (void)::umask(022);
    const auto tls = load_tls(config);
    make_directory(config.data_root, 0710);
    make_directory(config.exec_root, 0700);
    const PidFile pidfile(config.pidfile);

    SocketFiles files;
    std::vector<BoundSocket> sockets;
    base::in_context("failed to load listeners", [&] { sockets = bind_listeners(config); });
    for (const BoundSocket& socket : sockets) {
        if (!socket.path.empty()) files.paths.push_back(socket.path);
    }

    std::unique_ptr<Wiring> wiring;
    base::in_context("failed to start daemon", [&] {
        check_combinations(config);
        base::in_context("error initializing graphdriver", [&] { check_storage(config); });
        notify_systemd("STATUS=Loading containers");
        wiring = make_wiring(config);
    });
    wiring->validate();
    std::unique_ptr<MetricsServer> metrics;
    if (!config.metrics_addr.empty()) {
        base::in_context("failed to start metrics server", [&] {
            metrics = std::make_unique<MetricsServer>(config.metrics_addr,
                                                      [&] { return wiring->metrics(); });
        });
    }
    for (const std::string& line : ineffective_options(config)) base::log::warn("{}", line);
    bool all_ended = serve_until_stopped(config, signals, *wiring, std::move(sockets), tls);
    if (!base::finish_within(teardown_grace, [&] { metrics.reset(); })) all_ended = false;
    if (!all_ended) {
        (void)wiring.release();
    } else if (!base::finish_within(teardown_grace, [&] { wiring.reset(); })) {
        // Work that hangs in the kernel must not keep the daemon from ending.
        base::log::warn("parts of the daemon do not end; ending without them");
        all_ended = false;
    }
    base::log::info("Daemon shutdown complete");
    return all_ended;
}

}  // namespace

int run_daemon(std::span<const char* const> arguments) {
    tame_allocator();
    try {
        CommandLine line = read_command_line(arguments);
        (void)std::fputs(line.warnings.c_str(), stderr);
        if (line.command == Command::help) {
            fmt::print("\n{}", usage_text());
            return 0;
        }
        if (line.command == Command::version) {
            fmt::print("Docker version 28.2.2, build {}\n", DOCKERD_COMMIT);
            return 0;
        }
        Config config = load_config(std::move(line.config));
        read_min_version(config);
        if (config.validate) {
            fmt::print(stderr, "configuration OK\n");
            return 0;
        }
        if (config.check_data_root) return report_data_root(config.data_root);
        Signals signals;
        if (!start(std::move(config), signals)) ::_exit(0);
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}

}  // namespace dockerd::app
