#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/http/server.hpp>

#include "support/raw_http.hpp"

namespace dockerd::test {

/// A gate that tests and handlers meet at.
class Gate {
public:
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    bool wait() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return open_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

/// Serves endpoints by their exact path.
class TestApplication : public http::Application {
public:
    const http::Endpoint& route(http::Request& request) noexcept override {
        request.path = request.target.substr(0, request.target.find('?'));
        const auto found = endpoints.find(request.path);
        return found == endpoints.end() ? missing_ : found->second;
    }
    http::Response error(const http::Request&, std::exception_ptr failure) noexcept override {
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            http::Response response = http::Response::text(500, error.what());
            response.error_text = error.what();
            return response;
        }
    }
    std::map<std::string, http::Endpoint> endpoints;

private:
    http::Endpoint missing_{
        http::InlineCall{[](const http::Request&) { return http::Response::text(404, "none"); }},
        {}};
};

/// A server on a Unix socket of its own.
class ServerTest : public ::testing::Test {
protected:
    void serve(http::ServerOptions options = {}) {
        server.emplace(app, options);
        server->add_listener(listen_unix(path));
        server->start();
    }
    void on_inline(const std::string& at, std::function<http::Response(const http::Request&)> run) {
        app.endpoints[at] = {http::InlineCall{std::move(run)}, {}};
    }
    void on_call(const std::string& at, std::function<http::Response(const http::Request&)> run) {
        app.endpoints[at] = {http::Call{std::move(run)}, {}};
    }
    void on_transfer(
        const std::string& at,
        std::function<void(http::Request&, http::BodyReader&, http::ResponseWriter&)> run) {
        app.endpoints[at] = {http::Transfer{std::move(run)}, {}};
    }
    void on_session(const std::string& at,
                    std::function<http::Task<void>(http::Request, http::Stream&)> run,
                    bool bare = false) {
        app.endpoints[at] = {http::Session{std::move(run), bare}, "Api: yes\r\n"};
    }

    TempDir dir;
    std::string path = dir.path() + "/sock";
    TestApplication app;
    std::optional<http::Server> server;
};

}  // namespace dockerd::test
