#pragma once

#include <functional>
#include <memory>
#include <string>

namespace dockerd::app {

/// Serves /metrics on an address of its own, for --metrics-addr.
class MetricsServer {
public:
    /// Binds and serves at once; `text` makes the page, on a thread that may block.
    /// Throws: what stands behind "failed to start metrics server: ".
    MetricsServer(const std::string& address, std::function<std::string()> text);
    MetricsServer(const MetricsServer&) = delete;
    MetricsServer& operator=(const MetricsServer&) = delete;
    ~MetricsServer();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::app
