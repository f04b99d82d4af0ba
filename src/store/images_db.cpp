#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "images_impl.hpp"
#include "json_read.hpp"

namespace dockerd::store {
namespace {

constexpr const char* repositories_file = "repositories.json";

/// By their full names: Docker Hub's ("docker.io/...") come after those of a registry in "a.example".
/// Source: moby reference/store.go, lexicalRefs.
void sort_references(std::vector<std::string>& references) {
    if (references.size() < 2) return;
    std::vector<std::pair<std::string, std::string>> by_full;
    for (std::string& familiar : references) {
        const auto parsed = model::Reference::try_parse(familiar);
        by_full.emplace_back(parsed ? parsed->full() : familiar, std::move(familiar));
    }
    std::ranges::sort(by_full);
    references.clear();
    for (auto& [full, familiar] : by_full) references.push_back(std::move(familiar));
}

}  // namespace

Images::Impl::Impl(const std::string& data_root, Layers& held_layers, StartWrites* later)
    : layers(held_layers), root(data_root + "/image/overlay2") {
    root_fd = open_or_make_directory(root, 0700);
    content_fd = open_or_make_directory(root + "/imagedb/content/sha256", 0700);
    metadata_fd = open_or_make_directory(root + "/imagedb/metadata/sha256", 0700);
    sweep_temporaries(root_fd.get());
    sweep_temporaries(content_fd.get());
    load_images();
    load_repositories(later);
    const base::Lock lock(mutex);
    publish();
}

void Images::Impl::load_images() {
    const auto contents = archive::sorted_names(content_fd.get());
    for (const std::string& hex : archive::sorted_names(metadata_fd.get())) {
        // Of an image whose creation or removal a crash cut off.
        if (base::is_full_id(hex) && !std::ranges::binary_search(contents, hex) &&
            ::faccessat(content_fd.get(), hex.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) {
            try_remove_metadata("sha256:" + hex);
        }
    }
    for (const std::string& hex : contents) {
        if (!base::is_full_id(hex)) continue;
        try {
            load_image(hex);
        } catch (const base::Error& error) {
            base::log::error("skipping image sha256:{}: {}", hex, error.what());
        }
    }
}

void Images::Impl::load_image(const std::string& hex) {
    const std::string id = "sha256:" + hex;
    const std::string json = read_file(content_fd.get(), hex);
    if (archive::sha256_digest(json) != id) {
        base::fail(base::ErrorKind::internal, "failed to verify: " + id);
    }
    Known known;
    known.config = std::make_shared<const ImageConfig>(parse_image_config(json));
    known.chain_id = chain_id_of(known.config->diff_ids);
    known.parent = read_metadata(id, "parent");
    known.built_locally = read_metadata(id, "builtLocally") == "\x01";
    const auto updated = base::parse_rfc3339(read_metadata(id, "lastUpdated"));
    if (updated) known.last_updated = *updated;
    if (!known.chain_id.empty()) {
        (void)layers.acquire(known.chain_id);
        known.size = layers.chain_size(known.chain_id);
    }
    images.emplace(id, std::move(known));
}

std::string Images::Impl::read_metadata(const std::string& id, const std::string& key) const {
    try {
        return read_file(metadata_fd.get(), model::hex_of(id) + "/" + key, 4096);
    } catch (const base::Error&) {
        return {};  // absent is the usual case, and none of it is vital
    }
}

void Images::Impl::write_metadata(const std::string& id, const std::string& key,
                                  std::string_view value, Batch& batch) {
    const std::string hex = model::hex_of(id);
    if (::mkdirat(metadata_fd.get(), hex.c_str(), 0700) != 0 && errno != EEXIST) {
        base::throw_errno(errno, "mkdir image metadata");
    }
    const base::Fd folder{
        ::openat(metadata_fd.get(), hex.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) base::throw_errno(errno, "open image metadata");
    if (images.contains(id)) {
        batch.replace(folder.get(), key, value);
    } else {
        batch.write_new(folder.get(), key, value, 0600);
    }
}

void Images::Impl::try_remove_metadata(const std::string& id) noexcept {
    try {
        remove_tree(metadata_fd.get(), model::hex_of(id));
    } catch (const std::exception& error) {
        base::log::warn("metadata of image {}, ignoring: {}", id, error.what());
    }
}

void Images::Impl::load_repositories(StartWrites* later) {
    base::Json json;
    try {
        json = parse_json(read_file(root_fd.get(), repositories_file));
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) {
            // Kept for a human: the images are all there, only their names are lost.
            const std::string kept =
                fmt::format("{}.corrupt-{}", repositories_file, base::random_hex(4));
            (void)::renameat(root_fd.get(), repositories_file, root_fd.get(), kept.c_str());
            base::log::error("image names cannot be read, kept as {}: {}", kept, error.what());
        }
        if (later == nullptr) {
            save_repositories();
        } else {
            later->add([this](Batch& batch) { return begin_repositories(batch); });
        }
        return;
    }
    const base::Json* const all = part_of(json, "Repositories");
    if (all == nullptr) return;
    for (const auto& [name, repository] : all->items()) {
        if (!repository.is_object()) continue;
        for (const auto& [reference, id] : repository.items()) {
            if (id.is_string()) repositories[name][reference] = id.get<std::string>();
        }
    }
}

std::string Images::Impl::repositories_text() const {
    base::Json all = base::Json::object();
    for (const auto& [name, repository] : repositories) {
        base::Json& entry = all[name] = base::Json::object();
        for (const auto& [reference, id] : repository) entry[reference] = id;
    }
    base::Json json;
    json["Repositories"] = std::move(all);
    return json.dump();
}

void Images::Impl::save_repositories() {
    write_durable(root_fd.get(), repositories_file, repositories_text());
}

int Images::Impl::begin_repositories(Batch& batch) {
    const base::Lock lock(mutex);
    if (::faccessat(root_fd.get(), repositories_file, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return -1;
    batch.replace(root_fd.get(), repositories_file, repositories_text());
    return root_fd.get();
}

void Images::Impl::publish() {
    auto next = std::make_shared<ImageIndex>();
    std::map<std::string, std::vector<std::string>> names;
    std::map<std::string, std::vector<std::string>> children;
    for (const auto& [repository, references] : repositories) {
        for (const auto& [reference, id] : references) {
            if (!images.contains(id)) continue;
            next->references.emplace(reference, id);
            names[id].push_back(reference);
        }
    }
    for (const auto& [id, known] : images) {
        if (images.contains(known.parent)) children[known.parent].push_back(id);
    }
    const std::shared_ptr<const ImageIndex> before = index();
    for (const auto& [id, known] : images) {
        std::vector<std::string>& own = names[id];
        sort_references(own);
        Image image{id,
                    known.parent,
                    known.config,
                    known.chain_id,
                    known.size,
                    known.last_updated,
                    known.built_locally,
                    std::move(own),
                    std::move(children[id])};
        // An unchanged image keeps its object: most of the index does not move.
        const auto old = before->images.find(id);
        const bool same =
            old != before->images.end() && old->second->references == image.references &&
            old->second->children == image.children && old->second->parent == image.parent &&
            old->second->last_updated == image.last_updated &&
            old->second->built_locally == image.built_locally;
        next->images.emplace(id,
                             same ? old->second : std::make_shared<const Image>(std::move(image)));
    }
    const base::Lock lock(index_mutex);
    current = std::move(next);
}

std::shared_ptr<const ImageIndex> Images::Impl::index() const {
    const base::Lock lock(index_mutex);
    return current;
}

}  // namespace dockerd::store
