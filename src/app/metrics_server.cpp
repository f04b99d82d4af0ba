#include "metrics_server.hpp"

#include <fmt/format.h>

#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/http/server.hpp>

#include "hosts.hpp"
#include "listeners.hpp"

namespace dockerd::app {
namespace {

/// One page, and 404 in Go's words for everything else.
class MetricsApplication final : public http::Application {
public:
    explicit MetricsApplication(std::function<std::string()> text) {
        page_.kind = http::Call{[text = std::move(text)](const http::Request&) {
            http::Response response;
            response.headers.add("Content-Type",
                                 "text/plain; version=0.0.4; charset=utf-8; escaping=values");
            response.body = text();
            return response;
        }};
        // Source: Go net/http server.go, NotFound.
        not_found_.kind = http::InlineCall{[](const http::Request&) {
            http::Response response = http::Response::text(404, "404 page not found\n");
            response.headers.add("X-Content-Type-Options", "nosniff");
            return response;
        }};
    }

    const http::Endpoint& route(http::Request& request) noexcept override {
        const std::string_view target = request.target;
        return target.substr(0, target.find('?')) == "/metrics" ? page_ : not_found_;
    }

    http::Response error(const http::Request& /*request*/,
                         std::exception_ptr /*failure*/) noexcept override {
        return http::Response::text(500, "the metrics cannot be gathered\n");
    }

private:
    http::Endpoint page_;
    http::Endpoint not_found_;
};

// Source: moby cmd/dockerd/daemon_unix.go, allocateDaemonPort: host and port are both needed.
void check_address(const std::string& address) {
    const auto colon = address.rfind(':');
    if (colon == std::string::npos) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("error parsing tcp address: address {}: missing port in address",
                               address));
    }
    const std::string port = address.substr(colon + 1);
    const auto number = base::parse_int(port);
    if (!number) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("error parsing tcp address: strconv.Atoi: parsing {}: invalid syntax",
                               base::quote(port)));
    }
    // Nothing in front of the colon is no host, so that the page is not for everybody by accident.
    if (const std::string host = split_host_port(address).host; !can_listen_on(host)) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("failed to lookup {} address in host specification", host));
    }
}

}  // namespace

struct MetricsServer::Impl {
    Impl(const std::string& address, std::function<std::string()> text)
        : application(std::move(text)),
          server(application, {.limits = {.header_bytes = 64u << 10,
                                          .body_bytes = 64u << 10,
                                          .connections = 256},
                               .call_threads = 2,
                               .transfer_threads = 1}) {
        BoundSocket socket = bind_tcp(address);
        name = socket.name;
        server.add_listener(std::move(socket.fd));
    }

    MetricsApplication application;
    http::Server server;
    std::string name;
};

MetricsServer::MetricsServer(const std::string& address, std::function<std::string()> text) {
    check_address(address);
    impl_ = std::make_unique<Impl>(address, std::move(text));
    impl_->server.start();
    base::log::info("metrics API listening on {}", impl_->name);
}

MetricsServer::~MetricsServer() = default;

}  // namespace dockerd::app
