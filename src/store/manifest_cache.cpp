#include <dockerd/store/manifest_cache.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/durable.hpp>

#include "json_read.hpp"
#include "notes.hpp"

namespace dockerd::store {
namespace {

constexpr std::size_t max_files = 1000;
constexpr std::int64_t max_bytes = 64LL << 20;
constexpr std::size_t max_file = 5U << 20U;
constexpr std::size_t max_repositories = 50;

/// A file is a line of JSON about the manifest, and then its bytes.
struct Entry {
    std::string content_type;
    std::vector<std::string> repositories;
    std::string text;
};

std::optional<Entry> read_entry(int directory, const std::string& digest) {
    try {
        const std::string all = read_file(directory, model::hex_of(digest), max_file);
        const std::size_t line = all.find('\n');
        if (line == std::string::npos) return std::nullopt;
        const base::Json json = parse_json(std::string_view(all).substr(0, line));
        Entry out{.content_type = text_of(json, "contentType"),
                  .repositories = texts_of(json, "repositories"),
                  .text = all.substr(line + 1)};
        if (archive::sha256_digest(out.text) == digest) return out;
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) base::log::debug("{}", error.what());
    }
    return std::nullopt;
}

}  // namespace

ManifestCache::ManifestCache(const std::string& data_root)
    : root_(data_root + "/image/overlay2/distribution") {
    sweep_temporaries(folder().get());
}

base::Fd ManifestCache::folder() const { return open_notes(root_, "/manifests/sha256"); }

std::optional<ManifestCache::Kept> ManifestCache::find(const std::string& digest,
                                                       const std::string& repository) const {
    if (!model::is_sha256_digest(digest)) return std::nullopt;
    const base::Lock lock(mutex_);
    auto entry = read_entry(folder().get(), digest);
    if (!entry) return std::nullopt;
    return Kept{.content_type = std::move(entry->content_type),
                .text = std::move(entry->text),
                .seen_here = std::ranges::find(entry->repositories, repository) !=
                             entry->repositories.end()};
}

void ManifestCache::add(const std::string& digest, const std::string& content_type,
                        const std::string& text, const std::string& repository) noexcept {
    if (!model::is_sha256_digest(digest)) return;
    try {
        const base::Lock lock(mutex_);
        const base::Fd directory = folder();
        Entry entry{.content_type = content_type, .repositories = {}, .text = {}};
        if (const auto old = read_entry(directory.get(), digest)) {
            if (old->content_type == content_type) entry.repositories = old->repositories;
            std::erase(entry.repositories, repository);
        } else {
            make_room(directory.get());
        }
        entry.repositories.push_back(repository);
        if (entry.repositories.size() > max_repositories) {
            entry.repositories.erase(entry.repositories.begin());
        }
        const base::Json about{{"contentType", entry.content_type},
                               {"repositories", entry.repositories}};
        write_note(directory.get(), model::hex_of(digest), about.dump() + "\n" + text);
    } catch (const std::exception& error) {
        base::log::debug("manifest {} is not kept: {}", digest, error.what());
    }
}

/// Room for one more: the oldest go.
void ManifestCache::make_room(int directory) const {
    struct File {
        std::string name;
        timespec time;
        std::int64_t size;
    };
    std::vector<File> files;
    std::int64_t bytes = 0;
    for (const std::string& name : archive::sorted_names(directory)) {
        struct stat info {};
        if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        files.push_back({name, info.st_mtim, info.st_size});
        bytes += info.st_size;
    }
    std::ranges::sort(files, [](const File& a, const File& b) {
        return std::pair(a.time.tv_sec, a.time.tv_nsec) < std::pair(b.time.tv_sec, b.time.tv_nsec);
    });
    std::size_t left = files.size();
    for (const File& file : files) {
        if (left < max_files && bytes < max_bytes) return;
        if (::unlinkat(directory, file.name.c_str(), 0) != 0) continue;
        --left;
        bytes -= file.size;
    }
}

}  // namespace dockerd::store
