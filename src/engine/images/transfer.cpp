#include <dockerd/base/error.hpp>
#include <dockerd/store/import.hpp>

#include "images/changes.hpp"
#include "images/images.hpp"
#include "images/platform.hpp"

namespace dockerd::engine {

void Images::import(const ByteReader& source, const ImportOptions& options,
                    const ProgressSink& progress) {
    const auto reference = repository_and_tag(options.repository, options.tag);
    const Platform platform =
        options.platform.empty() ? Platform::host() : Platform::parse(options.platform);
    if (platform.os != "linux") {
        base::fail(base::ErrorKind::invalid_argument, "operating system is not supported");
    }
    store::ImportRequest request;
    request.comment = options.message.empty() ? "Imported from -" : options.message;
    request.architecture = platform.architecture;
    request.variant = platform.variant;
    request.docker_version = docker_version;
    apply_changes(request.config, options.changes);
    std::string id;
    try {
        id = store::import_image(store_, source, request);
    } catch (const base::Error& error) {
        // What is wrong with the archive is Docker's failure, not the request's.
        if (error.kind() != base::ErrorKind::invalid_argument) throw;
        base::fail(base::ErrorKind::internal, error.what());
    }
    if (reference) tag_image(store_, events_, id, *reference);
    log_event("import", id, id);
    Progress done;
    done.status = id;
    progress(done);
}

void Images::load(const ByteReader& source, const LoadOptions& options,
                  const ProgressSink& progress) {
    const auto show = [&](const store::LoadProgress& step) {
        if (options.quiet && step.stream.empty()) return;
        Progress shown;
        shown.stream = step.stream;
        shown.status = step.status;
        shown.id = step.id;
        shown.current = step.current;
        shown.total = step.total;
        progress(shown);
    };
    const auto wanted = [&](const store::ImageConfig& config) {
        return is_exactly_for(config, options.platform);
    };
    const auto loaded = store::load_images(store_, source, show, wanted);
    for (const auto& image : loaded) log_event("load", image.id, image.id);
}

// Source: moby image/tarexport/save.go, takeLayerReference.
void Images::check_save(const std::vector<std::string>& names, const std::string& platform) {
    for (const auto& image : store::check_save(store_, names)) {
        if (is_exactly_for(*image->config, platform)) continue;
        base::fail(base::ErrorKind::internal, "no suitable export target found for platform " +
                                                  Platform::parse(platform).text());
    }
}

void Images::save(const std::vector<std::string>& names, const ByteWriter& sink) {
    store::save_images(store_, names, sink,
                       [&](const std::string& id) { log_event("save", id, id); });
}

}  // namespace dockerd::engine
