#pragma once

#include <mutex>
#include <string>

#include <dockerd/api/api.hpp>
#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// The daemon as a whole.
class SystemHandlers {
public:
    SystemHandlers(const engine::Services& services, const ApiOptions& options)
        : system_(services.system), builds_(services.builds), options_(options) {}

    http::Response ping(const http::Request& request);
    http::Response version(const http::Request& request);
    http::Response info(const http::Request& request);
    http::Response disk_usage(const http::Request& request);

private:
    engine::SystemService& system_;
    engine::BuildService& builds_;
    ApiOptions options_;
    std::once_flag version_made_;
    std::string version_text_;
};

}  // namespace dockerd::api
