#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/dial/connection.hpp>

/// Legacy plugins: programs that listen on a socket, found by files, spoken to in JSON over HTTP.
namespace dockerd::plugins {

/// Where a plugin listens.
struct Endpoint {
    std::string network;  ///< "unix" or "tcp"
    std::string path;     ///< of a unix socket
    std::string host;     ///< of tcp, with `port`; empty is this machine
    std::string port;
    bool port_given = false;
    bool tls = false;
    bool skip_verify = true;
    std::string ca_file, cert_file, key_file;
};

/// What is wrong is the way to the plugin, not what it said: nobody answers, not in time, or not
/// in HTTP.
class Unreachable : public base::Error {
public:
    Unreachable(const std::string& text, bool asked)
        : base::Error(base::ErrorKind::internal, text), asked_(asked) {}
    /// The plugin may have heard the request, and may have done what it says.
    [[nodiscard]] bool asked() const { return asked_; }

private:
    bool asked_;
};

/// The plugin's answer is an HTTP error.
class Refused : public base::Error {
public:
    Refused(const std::string& text, int status)
        : base::Error(base::ErrorKind::internal, text), status_(status) {}
    [[nodiscard]] int status() const { return status_; }

private:
    int status_;
};

/// Folders in which plugins are looked for, and how patient this is.
struct Options {
    std::string sockets = "/run/docker/plugins";
    std::vector<std::string> specs = {"/etc/docker/plugins", "/usr/lib/docker/plugins"};
    /// Source: moby pkg/plugins/client.go, defaultTimeOut: no pause that would end after it.
    std::chrono::milliseconds patience{30'000};
    std::chrono::milliseconds first_pause{1'000};
    /// What a plugin that does not answer may still take when the daemon ends.
    std::chrono::milliseconds last_grace{1'000};
};

/// How long plugins are waited for. When the daemon ends, every pause between two attempts is over,
/// and a plugin that does not answer at once is not asked again.
class Patience {
public:
    explicit Patience(const Options& options) : options_(options), hurry_(options.last_grace) {}

    /// Waits before the next attempt, ever longer; false when it is no use to go on.
    bool pause(std::chrono::steady_clock::time_point begin, unsigned attempts);
    void stop();
    [[nodiscard]] const dial::Hurry& hurry() const { return hurry_; }

private:
    Options options_;
    dial::Hurry hurry_;
    base::Mutex mutex_;
    std::condition_variable_any stopped_changed_;
    bool stopped_ DOCKERD_GUARDED_BY(mutex_) = false;
};

/// How hard to try: as Docker does, or once, for those who can do without.
enum class Effort { patient, brief };

/// One plugin that has said what it implements. Thread: any; calls do not wait for each other.
class Plugin {
public:
    Plugin(std::string name, Endpoint endpoint, std::shared_ptr<Patience> patience)
        : name_(std::move(name)), endpoint_(std::move(endpoint)), patience_(std::move(patience)) {}

    [[nodiscard]] const std::string& name() const { return name_; }
    /// Whether it said so when it was activated.
    [[nodiscard]] bool implements(std::string_view kind) const;

    /// Asks for what it implements.
    void activate(Effort effort);
    /// One request, "VolumeDriver.Mount" with a JSON text; the answer's JSON text. With patience, what
    /// fails before there is an answer is tried again for half a minute.
    /// Throws: Unreachable, `Post "http://plugin.moby.localhost/VolumeDriver.Mount": dial unix ...`;
    /// Refused, "VolumeDriver.Mount: <what the plugin says>".
    std::string call(const std::string& method, const std::string& json,
                     std::chrono::milliseconds timeout, Effort effort = Effort::patient) const;

private:
    std::string name_;
    Endpoint endpoint_;
    std::shared_ptr<Patience> patience_;
    std::vector<std::string> implements_;
    mutable std::atomic<bool> hung_ = false;  ///< did not answer when there was no more time
};
using PluginPtr = std::shared_ptr<Plugin>;

/// Finds plugins where Docker looks for them, and remembers those that answered once.
///
/// Source: moby pkg/plugins, discovery.go and plugins.go.
/// Thread: any. Waiting for one plugin keeps nobody from another.
class Registry {
public:
    explicit Registry(Options options = {});
    ~Registry();

    /// The plugin of that name, if it implements `kind`. One that is not there may be about to
    /// come: it is looked for over a quarter of a minute.
    /// Throws: not_found, `plugin "x" not found`; internal, "legacy plugin: ...".
    PluginPtr get(const std::string& name, std::string_view kind, Effort effort = Effort::patient);
    /// All that can be found, answer soon and implement `kind`; trouble with one is logged.
    std::vector<PluginPtr> all(std::string_view kind);
    /// The daemon ends: nobody waits any more for plugins that are not there, and hardly for those
    /// that do not answer. Calls are still possible.
    void stop();

private:
    struct Activation;
    PluginPtr activated(const std::string& name, const Endpoint& endpoint, Effort effort);

    Options options_;
    std::shared_ptr<Patience> patience_;
    base::Mutex mutex_;
    std::map<std::string, std::shared_ptr<Activation>> known_ DOCKERD_GUARDED_BY(mutex_);
};

/// Names of all plugins there are files of.
std::vector<std::string> scan(const Options& options);
/// Where the plugin listens, as its file says; nullopt without a file.
/// Throws: internal, "Unknown protocol" and kin.
std::optional<Endpoint> find_endpoint(const Options& options, const std::string& name);
/// "unix:///run/x.sock", "tcp://127.0.0.1:80", "https://plugin". Throws: internal.
Endpoint parse_endpoint(const std::string& address);

/// The host in the URLs of requests.
std::string url_host(const Endpoint& endpoint);

/// What came back.
struct Answer {
    int status = 0;
    std::string body;
};
/// One POST of a JSON text. Throws: Unreachable, without the context of method and address.
Answer post(const Endpoint& endpoint, const std::string& path, const std::string& body,
            std::chrono::milliseconds timeout, const dial::Hurry* hurry = nullptr);

}  // namespace dockerd::plugins
