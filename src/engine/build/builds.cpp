#include "build/builds.hpp"

#include <algorithm>
#include <exception>
#include <memory>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/model/reference.hpp>

#include "build/build_log.hpp"
#include "build/build_run.hpp"
#include "build/context.hpp"
#include "build/download.hpp"
#include "images/platform.hpp"
#include "images/progress_board.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;

// Source: moby api/server/backend/build/tag.go, sanitizeRepoAndTags.
std::vector<model::Reference> checked_tags(const std::vector<std::string>& names) {
    std::vector<model::Reference> out;
    for (const std::string& name : names) {
        if (name.empty()) continue;
        const auto reference = [&] {
            try {
                return model::Reference::parse(name);
            } catch (const base::Error& error) {
                throw base::Error(ErrorKind::internal, error.what());
            }
        }();
        if (!reference.digest().empty()) {
            base::fail(ErrorKind::internal, "build tag cannot contain a digest");
        }
        auto tag = reference.with_default_tag();
        if (std::ranges::find(out, tag) == out.end()) out.push_back(std::move(tag));
    }
    return out;
}

std::string work_folder(const BuildParts& parts) { return parts.data_root + "/tmp"; }

}  // namespace

Builds::Builds(BuildParts parts) : parts_(std::move(parts)) {
    builds::WorkFolder::sweep(work_folder(parts_));
}

void Builds::recover() {
    builds::StepNote::settle_all(work_folder(parts_), [this](const std::string& id) {
        try {
            parts_.containers.remove(id, {.volumes = true, .force = true});
        } catch (const base::Error& error) {
            if (error.kind() == ErrorKind::not_found) return;  // not yet made, or removed already
            base::log::warn("container {} of a build: {}", id, error.what());
        }
    });
}

std::string Builds::build(const BuildOptions& options, const ByteReader& context,
                          const ProgressSink& progress) {
    const auto tags = checked_tags(options.tags);
    if (!options.platform.empty()) (void)Platform::parse(options.platform);
    std::unique_ptr<builds::Context> files;
    std::string text;
    std::string name = options.dockerfile;
    if (options.remote.empty()) {
        files = std::make_unique<builds::Context>(work_folder(parts_),
                                                  parts_.store.layers().unpacker(), context);
        text = files->take_dockerfile(name);
    }
    const auto cancellation = std::make_shared<base::Cancellation>();
    std::string id;
    run_watched(options.caller.connection, progress, cancellation, [&](ProgressBoard& board) {
        builds::BuildLog log(board, cancellation);
        if (!options.remote.empty()) {
            auto remote = builds::fetch_context(parts_, options, log);
            files = std::move(remote.files);
            text = files ? files->take_dockerfile(name) : std::move(remote.dockerfile);
        }
        id = builds::BuildRun(parts_, options, board, cancellation, files.get()).run(text, files ? name : "");
        // One wait for the disk for all steps.
        parts_.store.flush();
        log.out(fmt::format("Successfully built {}\n", base::short_id(id)));
        for (const auto& tag : tags) {
            tag_image(parts_.store, parts_.events, id, tag);
            log.out("Successfully tagged " + tag.familiar() + "\n");
        }
    });
    return id;
}

std::vector<BuildCacheEntry> Builds::prune(const BuildPrune& what) {
    auto gone = parts_.caches.prune(what);
    std::int64_t reclaimed = 0;
    for (const auto& entry : gone) reclaimed += entry.size;
    parts_.events.pruned("builder", reclaimed);
    return gone;
}

}  // namespace dockerd::engine
