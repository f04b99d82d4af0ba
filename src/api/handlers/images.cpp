#include "images.hpp"

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "../codec/images.hpp"
#include "../codec/registries.hpp"
#include "../params.hpp"
#include "progress_writer.hpp"

namespace dockerd::api {

using base::Error;
using base::ErrorKind;
using base::fail;
using http::BodyReader;
using http::Request;
using http::Response;
using http::ResponseWriter;

// GET /images/json
Response ImageHandlers::list(const Request& request) {
    const auto images = images_.list(codec::decode_image_list(request));
    return Response::json(200, codec::encode_images(images, request.version));
}

// GET /images/{name}/json
Response ImageHandlers::inspect(const Request& request) {
    const auto image =
        images_.inspect(request.path_param("name"), codec::decode_image_inspect(request));
    return Response::json(200, codec::encode_image(image, request.version));
}

// GET /images/{name}/history
Response ImageHandlers::history(const Request& request) {
    const std::string platform = codec::decode_platform(request, {1, 48});
    const auto items = images_.history(request.path_param("name"), platform);
    return Response::json(200, codec::encode_history(items));
}

// POST /images/{name}/tag
Response ImageHandlers::tag(const Request& request) {
    const std::string repository = request.param("repo", "");
    // Docker takes a missing name for success without a tag.
    if (repository.empty()) return Response{};
    images_.tag(request.path_param("name"), repository, request.param("tag", ""));
    return Response::empty(201);
}

// DELETE /images/{name}
Response ImageHandlers::remove(const Request& request) {
    const std::string& name = request.path_param("name");
    if (base::trim(name).empty()) fail(ErrorKind::invalid_argument, "image name cannot be blank");
    const auto items = images_.remove(name, {.force = bool_param(request, "force"),
                                             .prune_parents = !bool_param(request, "noprune"),
                                             .platform = codec::decode_removed_platform(request)});
    return Response::json(200, codec::encode_deleted(items));
}

// POST /images/prune
Response ImageHandlers::prune(const Request& request) {
    return Response::json(200, codec::encode_image_prune(images_.prune(filters_param(request))));
}

namespace {

engine::ByteReader reader(BodyReader& in) {
    return [&in](std::span<char> buffer) { return in.read(buffer); };
}

}  // namespace

// POST /images/create
void ImageHandlers::create(Request& request, BodyReader& in, ResponseWriter& out) {
    if (!request.param("fromImage", "").empty()) {
        pull(request, out);
        return;
    }
    const std::string source = request.param("fromSrc", "");
    if (source.empty()) {
        // Source: the error of moby's HTTP client for an empty URL.
        fail(ErrorKind::internal, "Get \"http:\": http: no Host in request URL");
    }
    import(request, source, in, out);
}

void ImageHandlers::pull(const Request& request, ResponseWriter& out) {
    const auto options = codec::decode_pull(request);
    const auto caller = codec::decode_caller(request, out.poll_fd());
    ProgressWriter progress(out);
    try {
        registries_.pull(options, caller, std::ref(progress));
    } catch (const Error& error) {
        progress.fail_with(error);
    }
}

// POST /images/{name}/push
void ImageHandlers::push(Request& request, BodyReader& in, ResponseWriter& out) {
    if (!request.headers.contains("X-Registry-Auth")) request.body = in.read_all(1U << 20U);
    const auto caller = codec::decode_push_caller(request, out.poll_fd());
    const auto options = codec::decode_push(request);
    ProgressWriter progress(out);
    try {
        registries_.push(options, caller, std::ref(progress));
    } catch (const Error& error) {
        progress.fail_with(error);
    }
}

void ImageHandlers::import(const Request& request, const std::string& source, BodyReader& in,
                           ResponseWriter& out) {
    ProgressWriter progress(out);
    try {
        if (source != "-") {
            registries_.import(source, codec::decode_import(request, source),
                               codec::decode_caller(request, out.poll_fd()), std::ref(progress));
            return;
        }
        images_.import(reader(in), codec::decode_import(request, source), std::ref(progress));
    } catch (const Error& error) {
        progress.fail_with(error);
    }
}

// POST /images/load
void ImageHandlers::load(Request& request, BodyReader& in, ResponseWriter& out) {
    const engine::ImageService::LoadOptions options{
        .quiet = bool_param_or(request, "quiet", true),
        .platform = codec::decode_one_platform(request)};
    ProgressWriter progress(out);
    try {
        images_.load(reader(in), options, std::ref(progress));
    } catch (const Error& error) {
        // Always within the stream. Source: moby image_routes.go, postImagesLoad.
        progress.send(codec::encode_stream_error(error.what()));
    }
}

// GET /images/get, /images/{name}/get
void ImageHandlers::save(Request& request, BodyReader& /*in*/, ResponseWriter& out) {
    const std::string platform = codec::decode_one_platform(request);
    std::vector<std::string> names = request.params("names");
    if (const std::string& name = request.path_param("name"); !name.empty()) names = {name};
    images_.check_save(names, platform);
    out.head(200, {{"Content-Type", "application/x-tar"}});
    try {
        images_.save(names, [&](std::string_view bytes) { out.write(bytes); });
    } catch (const Error& error) {
        if (!out.started()) throw;
        out.write(codec::encode_stream_error(error.what()));
    }
}

}  // namespace dockerd::api
