#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/body.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// Answers about images, and the transfers of their contents.
class ImageHandlers {
public:
    explicit ImageHandlers(const engine::Services& services)
        : images_(services.images), registries_(services.registries) {}

    http::Response list(const http::Request& request);
    http::Response inspect(const http::Request& request);
    http::Response history(const http::Request& request);
    http::Response tag(const http::Request& request);
    http::Response remove(const http::Request& request);
    http::Response prune(const http::Request& request);

    void create(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);
    void push(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);
    void load(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);
    void save(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);

private:
    void pull(const http::Request& request, http::ResponseWriter& out);
    void import(const http::Request& request, const std::string& source, http::BodyReader& in,
                http::ResponseWriter& out);

    engine::ImageService& images_;
    engine::RegistryService& registries_;
};

}  // namespace dockerd::api
