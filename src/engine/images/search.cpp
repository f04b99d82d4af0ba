#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "images/images.hpp"
#include "images/progress_board.hpp"
#include "images/registries.hpp"

namespace dockerd::engine {

namespace {

/// A URL without a scheme is one of http.
std::string shown_url(const std::string& url) {
    return url.find("://") == std::string::npos ? "http://" + url : url;
}

}  // namespace

// Source: moby registry/search.go, Search.
std::vector<SearchItem> Registries::search(const SearchOptions& options,
                                           const RegistryCaller& caller) {
    const model::Filters& filters = options.filters;
    filters.validate({"is-automated", "is-official", "stars"});
    if (filters.get_bool("is-automated", false)) return {};
    const bool official = filters.get_bool("is-official", false);
    std::int64_t stars = 0;
    for (const std::string& text : filters.get("stars")) {
        const auto number = base::parse_int(text);
        if (!number) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("invalid filter 'stars={}': strconv.Atoi: parsing {}: invalid "
                                   "syntax",
                                   text, base::quote(text)));
        }
        stars = std::max(stars, *number);
    }
    const auto cancellation = std::make_shared<base::Cancellation>();
    registry::Caller who = registry_caller(caller, cancellation);
    // Nobody shows that the caller is still there: no registry keeps its thread for good.
    who.timeout = std::chrono::seconds(60);
    std::vector<SearchItem> out;
    for (const auto& found : parts_.service.search(options.term, options.limit, who)) {
        if (filters.contains("is-official") && found.official != official) continue;
        if (filters.contains("stars") && found.stars < stars) continue;
        out.push_back({.stars = found.stars,
                       .official = found.official,
                       .name = found.name,
                       .automated = false,
                       .description = found.description});
    }
    return out;
}

void Registries::import(const std::string& url, const ImportOptions& options,
                        const RegistryCaller& caller, const ProgressSink& progress) {
    const auto cancellation = std::make_shared<base::Cancellation>();
    (void)repository_and_tag(options.repository, options.tag);  // refused before anything is fetched
    run_watched(caller.connection, progress, cancellation, [&](ProgressBoard& board) {
        auto answer = parts_.service.get_url(url, registry_caller(caller, cancellation));
        board.message("", "Downloading from " + shown_url(url));
        const std::int64_t total = answer.content_length();
        std::int64_t done = 0;
        const auto source = [&](std::span<char> buffer) {
            const std::size_t n = answer.read(buffer);
            done += static_cast<std::int64_t>(n);
            board.bytes("", "Importing", done, total);
            return n;
        };
        images_.import(source, options,
                       [&](const Progress& step) { board.message(step.id, step.status); });
    });
}

void Registries::fetch(const std::string& url, const RegistryCaller& caller,
                       const base::CancellationPtr& cancellation,
                       const std::function<void(const Fetched&)>& use) {
    auto answer = parts_.service.get_url(url, registry_caller(caller, cancellation));
    const auto& headers = answer.headers();
    use({.content_type = std::string(headers.get("Content-Type")),
         .disposition = std::string(headers.get("Content-Disposition")),
         .last_modified = std::string(headers.get("Last-Modified")),
         .size = answer.content_length(),
         .read = [&](std::span<char> buffer) { return answer.read(buffer); }});
}

}  // namespace dockerd::engine
