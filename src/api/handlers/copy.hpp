#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/body.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// `docker cp` and `docker export`: files of containers as tar streams.
class CopyHandlers {
public:
    explicit CopyHandlers(const engine::Services& services) : containers_(services.containers) {}

    http::Response stat(const http::Request& request);
    void archive(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);
    void extract(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);
    void export_files(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);

private:
    engine::ContainerService& containers_;
};

}  // namespace dockerd::api
