#include "build/builds.hpp"

#include <algorithm>
#include <exception>
#include <optional>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/model/reference.hpp>

#include "build/build_log.hpp"
#include "build/build_run.hpp"
#include "build/context.hpp"
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

std::string Builds::build(const BuildOptions& options, const ByteReader& context,
                          const ProgressSink& progress) {
    const auto tags = checked_tags(options.tags);
    if (!options.platform.empty()) (void)Platform::parse(options.platform);
    if (!options.remote.empty()) {
        base::fail(ErrorKind::not_implemented,
                   "building from a remote context is not supported by this daemon yet");
    }
    builds::Context files(work_folder(parts_), parts_.store.layers().unpacker(), context);
    std::string name = options.dockerfile;
    const std::string dockerfile = files.take_dockerfile(name);
    const auto cancellation = std::make_shared<base::Cancellation>();
    std::string id;
    run_watched(options.caller.connection, progress, cancellation, [&](ProgressBoard& board) {
        builds::BuildLog log(board, cancellation);
        id = builds::BuildRun(parts_, options, log, &files).run(dockerfile, name);
        log.out(fmt::format("Successfully built {}\n", base::short_id(id)));
        for (const auto& tag : tags) {
            tag_image(parts_.store, parts_.events, id, tag);
            log.out("Successfully tagged " + tag.familiar() + "\n");
        }
    });
    return id;
}

}  // namespace dockerd::engine
