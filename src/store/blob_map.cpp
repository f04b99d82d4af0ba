#include <dockerd/store/blob_map.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/model/json.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/durable.hpp>

#include "json_read.hpp"

namespace dockerd::store {
namespace {

/// Source: v2_metadata_service.go, newServ: maxMetadata.
constexpr std::size_t max_sources = 50;
constexpr std::size_t max_file = 1 << 20;

std::string hex_of(const std::string& digest) { return digest.substr(digest.find(':') + 1); }

bool same(const BlobSource& a, const BlobSource& b) {
    return a.digest == b.digest && a.repository == b.repository && a.hmac == b.hmac;
}

/// Atomic, but not durable.
void write_relaxed(int directory, const std::string& name, std::string_view content) {
    const std::string temporary = fmt::format(".tmp-{}{}", name, base::random_hex(5));
    const base::Fd file{
        ::openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
    if (!file) base::throw_errno(errno, fmt::format("write {}", name));
    base::Undo unlink([&]() noexcept { (void)::unlinkat(directory, temporary.c_str(), 0); });
    archive::fd_sink(file.get())(content);
    if (::renameat(directory, temporary.c_str(), directory, name.c_str()) != 0) {
        base::throw_errno(errno, fmt::format("write {}", name));
    }
    unlink.dismiss();
}

/// Made anew where it is missing: users delete distribution/ to have blobs fetched again.
base::Fd open_folder(const std::string& root, const std::string& name) {
    base::Fd there{::open((root + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (there) return there;
    (void)open_or_make_directory(root, 0700);
    return open_or_make_directory(root + name, 0755);
}

}  // namespace

BlobMap::BlobMap(const std::string& data_root)
    : root_(data_root + "/image/overlay2/distribution") {
    sweep_temporaries(diff_ids().get());
    sweep_temporaries(sources().get());
}

base::Fd BlobMap::diff_ids() const { return open_folder(root_, "/diffid-by-digest/sha256"); }
base::Fd BlobMap::sources() const { return open_folder(root_, "/v2metadata-by-diffid/sha256"); }

std::optional<std::string> BlobMap::diff_id_of(const std::string& digest) const {
    if (!model::is_sha256_digest(digest)) return std::nullopt;
    try {
        const std::string text(base::trim(read_file(diff_ids().get(), hex_of(digest), max_file)));
        if (model::is_sha256_digest(text)) return text;
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) base::log::debug("{}", error.what());
    }
    return std::nullopt;
}

std::vector<BlobSource> BlobMap::sources_of(const std::string& diff_id) const {
    const base::Lock lock(mutex_);
    return read_sources(diff_id);
}

std::vector<BlobSource> BlobMap::read_sources(const std::string& diff_id) const {
    std::vector<BlobSource> out;
    if (!model::is_sha256_digest(diff_id)) return out;
    try {
        const base::Json json = parse_json(read_file(sources().get(), hex_of(diff_id), max_file));
        if (!json.is_array()) return out;
        for (const base::Json& item : json) {
            out.push_back({text_of(item, "Digest"), text_of(item, "SourceRepository"),
                           text_of(item, "HMAC")});
        }
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) base::log::debug("{}", error.what());
    }
    return out;
}

void BlobMap::write_sources(const std::string& diff_id,
                            const std::vector<BlobSource>& all) const {
    base::Json json = base::Json::array();
    for (const BlobSource& source : all) {
        json.push_back({{"Digest", source.digest},
                        {"SourceRepository", source.repository},
                        {"HMAC", source.hmac}});
    }
    write_relaxed(sources().get(), hex_of(diff_id), model::to_html_safe_text(json));
}

void BlobMap::add(const std::string& diff_id, const BlobSource& source) {
    if (!model::is_sha256_digest(diff_id) || !model::is_sha256_digest(source.digest)) return;
    const base::Lock lock(mutex_);
    std::vector<BlobSource> all = read_sources(diff_id);
    std::erase_if(all, [&](const BlobSource& old) { return same(old, source); });
    all.push_back(source);
    if (all.size() > max_sources) {
        all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(max_sources));
    }
    write_sources(diff_id, all);
    write_relaxed(diff_ids().get(), hex_of(source.digest), diff_id);
}

void BlobMap::forget(const std::string& digest) {
    if (!model::is_sha256_digest(digest)) return;
    const base::Lock lock(mutex_);
    if (::unlinkat(diff_ids().get(), hex_of(digest).c_str(), 0) != 0 && errno != ENOENT) {
        base::throw_errno(errno, fmt::format("forget {}", digest));
    }
}

void BlobMap::remove(const std::string& diff_id, const BlobSource& source) {
    const base::Lock lock(mutex_);
    std::vector<BlobSource> all = read_sources(diff_id);
    if (std::erase_if(all, [&](const BlobSource& old) { return same(old, source); }) > 0) {
        write_sources(diff_id, all);
    }
}

}  // namespace dockerd::store
