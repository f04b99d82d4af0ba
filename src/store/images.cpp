#include <dockerd/store/images.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/model/reference.hpp>

#include "images_impl.hpp"

namespace dockerd::store {
namespace {

using base::ErrorKind;

/// A reference with a tag and a digest is kept under its digest alone.
/// Source: moby reference/store.go, favorDigest.
model::Reference stored_form(const model::Reference& reference) {
    if (!reference.digest().empty()) return reference.with_digest(reference.digest());
    return reference.with_default_tag();
}

void check_config(const ImageConfig& config) {
    std::size_t layers = 0;
    for (const ImageHistory& item : config.history) layers += item.empty_layer ? 0 : 1;
    // Source: moby image/store.go, Create.
    if (layers > config.diff_ids.size()) {
        base::fail(ErrorKind::invalid_argument, "too many non-empty layers in History section");
    }
    if (!config.diff_ids.empty() && !config.os.empty() && !base::iequals(config.os, "linux")) {
        base::fail(ErrorKind::invalid_argument, "operating system is not supported");
    }
}

[[noreturn]] void no_such_image(std::string_view name) {
    // Source: moby daemon/images/image.go, ErrImageDoesNotExist.
    base::fail(ErrorKind::not_found, fmt::format("No such image: {}", name));
}

}  // namespace

Images::Images(const std::string& data_root, Layers& layers, StartWrites* later)
    : impl_(std::make_unique<Impl>(data_root, layers, later)) {}
Images::~Images() = default;

Layers& Images::layers() const { return impl_->layers; }

std::string Images::create(std::string_view config_json, const ImageCreateOptions& options) {
    Impl& self = *impl_;
    auto config = std::make_shared<const ImageConfig>(parse_image_config(config_json));
    check_config(*config);
    const std::string id = archive::sha256_digest(config_json);
    const std::string chain_id = chain_id_of(config->diff_ids);
    const base::Lock lock(self.mutex);
    if (self.images.contains(id)) return id;
    Impl::Known known;
    known.config = std::move(config);
    known.chain_id = chain_id;
    known.parent = options.parent;
    known.built_locally = options.built_locally;
    std::optional<LayerHold> hold;
    if (!chain_id.empty()) {
        try {
            (void)self.layers.acquire(chain_id);
        } catch (const base::Error& error) {
            base::fail(ErrorKind::invalid_argument,
                       fmt::format("failed to get layer {}: {}", chain_id, error.what()));
        }
        hold.emplace(self.layers, chain_id);
        known.size = self.layers.chain_size(chain_id);
    }
    // The metadata first: with the content the image comes into being.
    base::Undo remove_metadata([&]() noexcept { self.try_remove_metadata(id); });
    Batch batch;
    if (!options.parent.empty()) self.write_metadata(id, "parent", options.parent, batch);
    if (options.built_locally) self.write_metadata(id, "builtLocally", "\x01", batch);
    batch.flush_data();
    batch.replace(self.content_fd.get(), model::hex_of(id), config_json);
    if (options.flush == Flush::later) self.unflushed = true;
    batch.finish(self.content_fd.get(), options.flush);
    remove_metadata.dismiss();
    if (hold) {
        self.layers.claim(chain_id);
        hold->keep();
    }
    self.images.emplace(id, std::move(known));
    self.publish();
    return id;
}

ImagePtr Images::find(const std::string& id) const {
    const auto index = impl_->index();
    const auto found = index->images.find(id);
    return found == index->images.end() ? nullptr : found->second;
}

ImagePtr Images::get_by_id(const std::string& id) const {
    if (ImagePtr image = find(id)) return image;
    base::fail(ErrorKind::not_found,
               fmt::format("failed to get digest {}: open {}/imagedb/content/sha256/{}: {}", id,
                           impl_->root, model::hex_of(id), base::errno_text(ENOENT)));
}

ImagePtr Images::find_reference(const model::Reference& reference) const {
    const auto index = impl_->index();
    const auto found = index->references.find(stored_form(reference).familiar());
    if (found == index->references.end()) return nullptr;
    const auto image = index->images.find(found->second);
    return image == index->images.end() ? nullptr : image->second;
}

ImagePtr Images::get(std::string_view name) const {
    const model::AnyReference reference = model::AnyReference::parse(name);
    if (!reference.named) {
        if (ImagePtr image = find(reference.digest)) return image;
        no_such_image(reference.digest);
    }
    if (ImagePtr image = find_reference(*reference.named)) return image;
    try {
        return find_by_prefix(name);
    } catch (const base::Error&) {
        // Ambiguous or absent: to the user the name they gave does not exist.
        no_such_image(reference.named->with_default_tag().familiar());
    }
}

ImagePtr Images::find_by_prefix(std::string_view prefix) const {
    const std::string whole =
        prefix.starts_with("sha256:") ? std::string(prefix) : fmt::format("sha256:{}", prefix);
    const auto index = impl_->index();
    const auto first = index->images.lower_bound(whole);
    if (prefix.empty() || first == index->images.end() || !first->first.starts_with(whole)) {
        no_such_image(prefix);
    }
    const auto second = std::next(first);
    if (first->first != whole && second != index->images.end() &&
        second->first.starts_with(whole)) {
        // Source: opencontainers/go-digest digestset, ErrDigestAmbiguous.
        base::fail(ErrorKind::invalid_argument, "ambiguous digest string");
    }
    return first->second;
}

std::vector<ImagePtr> Images::list() const {
    const auto index = impl_->index();
    std::vector<ImagePtr> out;
    out.reserve(index->images.size());
    for (const auto& [id, image] : index->images) out.push_back(image);
    return out;
}

std::optional<std::string> Images::tag(const model::Reference& reference, const std::string& id) {
    Impl& self = *impl_;
    const model::Reference stored = stored_form(reference);
    const std::string repository = stored.familiar_name();
    const std::string name = stored.familiar();
    if (repository == "sha256") {
        // Source: moby reference/store.go, addReference.
        base::fail(ErrorKind::invalid_argument,
                   "refusing to create an ambiguous tag using digest algorithm as name");
    }
    const base::Lock lock(self.mutex);
    if (!self.images.contains(id)) no_such_image(id);
    std::optional<std::string> previous;
    Impl::Repository& names = self.repositories[repository];
    if (const auto found = names.find(name); found != names.end()) previous = found->second;
    if (previous == id) return previous;
    if (previous && !stored.digest().empty() && self.images.contains(*previous)) {
        base::fail(ErrorKind::conflict, "cannot overwrite digest " + stored.digest());
    }
    names[name] = id;
    try {
        self.save_repositories();
    } catch (...) {
        if (previous) {
            names[name] = *previous;
        } else {
            names.erase(name);
        }
        throw;
    }
    self.publish();
    return previous;
}

bool Images::untag(const model::Reference& reference) {
    Impl& self = *impl_;
    const model::Reference stored = stored_form(reference);
    const base::Lock lock(self.mutex);
    const auto repository = self.repositories.find(stored.familiar_name());
    if (repository == self.repositories.end()) return false;
    const auto found = repository->second.find(stored.familiar());
    if (found == repository->second.end()) return false;
    const std::string id = found->second;
    repository->second.erase(found);
    const bool was_last = repository->second.empty();
    if (was_last) self.repositories.erase(repository);
    try {
        self.save_repositories();
    } catch (...) {
        self.repositories[stored.familiar_name()][stored.familiar()] = id;
        throw;
    }
    self.publish();
    return true;
}

std::vector<std::pair<std::string, std::string>> Images::references_of_repository(
    const model::Reference& repository) const {
    const auto index = impl_->index();
    const std::string name = repository.familiar_name();
    std::vector<std::pair<std::string, std::string>> out;
    for (auto at = index->references.lower_bound(name);
         at != index->references.end() && at->first.starts_with(name); ++at) {
        const char separator = at->first.size() > name.size() ? at->first[name.size()] : '\0';
        if (separator == ':' || separator == '@') out.emplace_back(*at);
    }
    return out;
}

void Images::set_parent(const std::string& id, const std::string& parent) {
    Impl& self = *impl_;
    const base::Lock lock(self.mutex);
    const auto found = self.images.find(id);
    if (found == self.images.end()) no_such_image(id);
    if (!self.images.contains(parent)) {
        // Source: moby image/store.go, SetParent.
        base::fail(ErrorKind::not_found, "unknown parent image ID " + parent);
    }
    Batch batch;
    self.write_metadata(id, "parent", parent, batch);
    batch.commit(self.metadata_fd.get());
    found->second.parent = parent;
    self.publish();
}

void Images::flush() {
    Impl& self = *impl_;
    // Held meanwhile: who finds nothing to do may rely on it.
    const base::Lock lock(self.flush_mutex);
    if (!self.unflushed.exchange(false)) return;
    try {
        Batch().commit(self.content_fd.get());
    } catch (...) {
        self.unflushed = true;
        throw;
    }
}

void Images::set_last_updated(const std::string& id, base::WallTime time) {
    Impl& self = *impl_;
    const base::Lock lock(self.mutex);
    const auto found = self.images.find(id);
    if (found == self.images.end()) no_such_image(id);
    Batch batch;
    self.write_metadata(id, "lastUpdated", base::format_rfc3339_nano(time), batch);
    batch.order(self.metadata_fd.get());
    found->second.last_updated = time;
    self.publish();
}

std::vector<LayerInfo> Images::remove(const std::string& id) {
    Impl& self = *impl_;
    std::string chain_id;
    {
        const base::Lock lock(self.mutex);
        const auto found = self.images.find(id);
        if (found == self.images.end()) {
            // Source: moby image/store.go, Delete.
            base::fail(ErrorKind::not_found, "unrecognized image ID " + id);
        }
        for (auto& [child, known] : self.images) {
            if (known.parent != id) continue;
            (void)::unlinkat(self.metadata_fd.get(), (model::hex_of(child) + "/parent").c_str(), 0);
            known.parent.clear();
        }
        if (::unlinkat(self.content_fd.get(), model::hex_of(id).c_str(), 0) != 0 &&
            errno != ENOENT) {
            base::throw_errno(errno, fmt::format("remove image {}", id));
        }
        if (::fsync(self.content_fd.get()) != 0) base::throw_errno(errno, "fsync imagedb");
        remove_tree(self.metadata_fd.get(), model::hex_of(id));
        chain_id = found->second.chain_id;
        self.images.erase(found);
        self.publish();
    }
    return chain_id.empty() ? std::vector<LayerInfo>{} : self.layers.release(chain_id);
}

std::string Images::raw_config(const std::string& id) const {
    if (find(id) == nullptr) no_such_image(id);
    return read_file(impl_->content_fd.get(), model::hex_of(id));
}

}  // namespace dockerd::store
