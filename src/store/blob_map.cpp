#include <dockerd/store/blob_map.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/json.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/durable.hpp>

#include "json_read.hpp"
#include "notes.hpp"

namespace dockerd::store {
namespace {

/// Source: v2_metadata_service.go, newServ: maxMetadata.
constexpr std::size_t max_sources = 50;
constexpr std::size_t max_file = 1 << 20;

bool same(const BlobSource& a, const BlobSource& b) {
    return a.digest == b.digest && a.repository == b.repository && a.hmac == b.hmac;
}

}  // namespace

BlobMap::BlobMap(const std::string& data_root)
    : root_(data_root + "/image/overlay2/distribution") {
    sweep_temporaries(diff_ids().get());
    sweep_temporaries(sources().get());
}

base::Fd BlobMap::diff_ids() const { return open_notes(root_, "/diffid-by-digest/sha256"); }
base::Fd BlobMap::sources() const { return open_notes(root_, "/v2metadata-by-diffid/sha256"); }

std::optional<std::string> BlobMap::diff_id_of(const std::string& digest) const {
    if (!model::is_sha256_digest(digest)) return std::nullopt;
    try {
        const std::string text(
            base::trim(read_file(diff_ids().get(), model::hex_of(digest), max_file)));
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
        const base::Json json =
            parse_json(read_file(sources().get(), model::hex_of(diff_id), max_file));
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
    write_note(sources().get(), model::hex_of(diff_id), model::to_html_safe_text(json));
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
    write_note(diff_ids().get(), model::hex_of(source.digest), diff_id);
}

void BlobMap::forget(const std::string& digest) {
    if (!model::is_sha256_digest(digest)) return;
    const base::Lock lock(mutex_);
    if (::unlinkat(diff_ids().get(), model::hex_of(digest).c_str(), 0) != 0 && errno != ENOENT) {
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
