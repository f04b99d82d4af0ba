#include <dockerd/store/check.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/bolt.hpp>
#include <dockerd/store/container_files.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/store/images.hpp>
#include <dockerd/store/layers.hpp>
#include <dockerd/sys/paths.hpp>

#include "json_read.hpp"
#include "overlay.hpp"
#include "tar_split.hpp"

namespace dockerd::store {
namespace {

constexpr std::size_t small_file = 4096;
constexpr std::size_t database_limit = 1U << 30U;
/// Ten times what a layer of a million files has.
constexpr off_t tar_split_limit = off_t{1} << 30U;
/// The counter before every value of local-kv.db.
constexpr std::size_t counter_size = 8;

struct LayerFound {
    std::string parent;
    std::string cache_id;
};

class RootCheck {
public:
    explicit RootCheck(const std::string& data_root)
        : root_(data_root), fd_(::open(data_root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        if (!fd_) {
            base::fail(base::ErrorKind::not_found,
                       fmt::format("open {}: {}", data_root, base::errno_text(errno)));
        }
        // Overlay would make it.
        if (sys::is_directory(data_root + "/overlay2/l")) overlay_.emplace(data_root);
    }

    RootReport run() {
        check_layers();
        check_images();
        check_names();
        check_networks();
        check_volumes();
        check_containers();
        return std::move(report_);
    }

private:
    /// Notes what `look` throws as a problem of `what`.
    template <typename Look>
    bool attempt(const std::string& what, Look look) {
        try {
            look();
            return true;
        } catch (const std::exception& error) {
            report_.problems.push_back(fmt::format("{}: {}", what, error.what()));
            return false;
        }
    }

    [[noreturn]] static void wrong(const std::string& text) {
        base::fail(base::ErrorKind::internal, text);
    }

    /// Names in a folder of the root; none where it is missing.
    [[nodiscard]] std::vector<std::string> names(const std::string& path) const {
        std::vector<std::string> out;
        base::Fd folder{::openat(fd_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        DIR* const stream = folder ? ::fdopendir(folder.get()) : nullptr;
        if (stream == nullptr) return out;
        (void)folder.release();
        while (const dirent* item = ::readdir(stream)) {
            if (item->d_name[0] != '.') out.emplace_back(item->d_name);
        }
        ::closedir(stream);
        std::ranges::sort(out);
        return out;
    }

    [[nodiscard]] std::string text(const std::string& path) const {
        return std::string(base::trim(read_file(fd_.get(), path, small_file)));
    }

    [[nodiscard]] std::string optional_text(const std::string& path) const {
        try {
            return text(path);
        } catch (const base::Error& error) {
            if (error.kind() != base::ErrorKind::not_found) throw;
            return {};
        }
    }

    [[nodiscard]] bool exists(const std::string& path) const {
        struct stat info {};
        return ::fstatat(fd_.get(), path.c_str(), &info, 0) == 0;
    }

    void check_layers();
    void check_layer(const std::string& hex);
    void check_folder(const std::string& cache_id, const std::vector<std::string>& below) const;
    void check_content(const std::string& hex, const std::string& diff_id,
                       const std::string& cache_id);
    [[nodiscard]] std::vector<std::string> folders_below(std::string chain) const;
    void check_images();
    void check_names();
    void check_volumes();
    void check_networks();
    void check_containers();
    void check_container(const ContainerFiles& files, const std::string& id);
    std::optional<BoltBucket> database(const std::string& path, const char* bucket);

    std::string root_;
    base::Fd fd_;
    std::optional<Overlay> overlay_;
    std::map<std::string, LayerFound> layers_;  ///< by chain id
    std::set<std::string> images_;
    std::set<std::string> volumes_;
    std::set<std::string> networks_;  ///< ids
    std::map<std::string, std::string> container_names_;
    RootReport report_;
};

void RootCheck::check_layers() {
    const std::string folder = "image/overlay2/layerdb/sha256/";
    for (const std::string& hex : names(folder)) {
        if (!base::is_full_id(hex)) {
            report_.notes.push_back("layer " + hex + " is half deleted");
            continue;
        }
        LayerFound found;
        if (attempt("layer sha256:" + hex, [&] {
                found.parent = optional_text(folder + hex + "/parent");
                found.cache_id = text(folder + hex + "/cache-id");
            })) {
            layers_.emplace("sha256:" + hex, std::move(found));
        }
    }
    report_.layers = layers_.size();
    for (const auto& [chain, layer] : layers_) {
        attempt("layer " + chain, [&] { check_layer(chain.substr(chain.find(':') + 1)); });
    }
}

/// Folders of overlay2/ that a layer stands on, the nearest first.
std::vector<std::string> RootCheck::folders_below(std::string chain) const {
    std::vector<std::string> out;
    while (!chain.empty()) {
        const auto found = layers_.find(chain);
        if (found == layers_.end()) wrong("layer " + chain + " below it is missing");
        if (out.size() > layers_.size()) wrong("layers stand on each other in a circle");
        out.push_back(found->second.cache_id);
        chain = found->second.parent;
    }
    return out;
}

void RootCheck::check_layer(const std::string& hex) {
    const std::string folder = "image/overlay2/layerdb/sha256/" + hex;
    const LayerFound& layer = layers_.at("sha256:" + hex);
    const std::string diff_id = text(folder + "/diff");
    if (!model::is_sha256_digest(diff_id)) wrong("its digest is none: " + diff_id);
    if (!base::parse_int(text(folder + "/size"))) wrong("its size is no number");
    if (chain_id_of(layer.parent, diff_id) != "sha256:" + hex) {
        wrong("its name does not follow from its digest and its parent");
    }
    check_folder(layer.cache_id, folders_below(layer.parent));
    check_content(hex, diff_id, layer.cache_id);
}

void RootCheck::check_folder(const std::string& cache_id,
                             const std::vector<std::string>& below) const {
    if (!overlay_) wrong("there is no overlay2");
    const OverlayDir dir = overlay_->open(cache_id);
    (void)overlay_->open_diff(cache_id);
    OverlayDir self;
    self.lower = "l/" + dir.link;
    if (overlay_->lower_ids(self) != std::vector<std::string>{cache_id}) {
        wrong(fmt::format("overlay2/l/{} does not lead to it", dir.link));
    }
    if (overlay_->lower_ids(dir) != below) {
        wrong(fmt::format("overlay2/{}/lower does not name the layers below it", cache_id));
    }
}

/// Puts the layer's tar together as a push does, and hashes it.
void RootCheck::check_content(const std::string& hex, const std::string& diff_id,
                              const std::string& cache_id) {
    const std::string name = "image/overlay2/layerdb/sha256/" + hex + "/tar-split.json.gz";
    if (!exists(name)) {
        report_.notes.push_back(fmt::format(
            "layer sha256:{} has no tar-split: it runs, but can be neither saved nor pushed", hex));
        return;
    }
    base::Fd split = open_regular(fd_.get(), name, O_RDONLY);
    struct stat info {};
    if (::fstat(split.get(), &info) != 0 || info.st_size > tar_split_limit) {
        wrong("its tar-split is too large");
    }
    const auto tar =
        assemble_tar(archive::fd_source(std::move(split)), overlay_->open_diff(cache_id));
    archive::Sha256 hash;
    std::vector<char> buffer(1U << 18U);
    while (const std::size_t n = tar(buffer)) hash.update({buffer.data(), n});
    if (hash.digest() != diff_id) {
        wrong(fmt::format("its files are not what they were: {} instead of {}", hash.digest(),
                          diff_id));
    }
}

void RootCheck::check_images() {
    const std::string folder = "image/overlay2/imagedb/content/sha256/";
    for (const std::string& hex : names(folder)) {
        if (!base::is_full_id(hex)) continue;
        ++report_.images;
        attempt("image sha256:" + hex, [&] {
            const std::string json = read_file(fd_.get(), folder + hex);
            if (archive::sha256_digest(json) != "sha256:" + hex) {
                wrong("its configuration is not what it was");
            }
            const std::string chain = chain_id_of(parse_image_config(json).diff_ids);
            if (!chain.empty() && !layers_.contains(chain)) {
                wrong("its layer " + chain + " is missing");
            }
            images_.insert("sha256:" + hex);
        });
    }
    for (const std::string& id : images_) {
        attempt("image " + id, [&, id = id] {
            const std::string parent =
                optional_text("image/overlay2/imagedb/metadata/sha256/" + id.substr(7) + "/parent");
            if (!parent.empty() && !images_.contains(parent)) {
                report_.notes.push_back(fmt::format("image {}: its parent {} is gone", id, parent));
            }
        });
    }
}

void RootCheck::check_names() {
    const std::string path = "image/overlay2/repositories.json";
    if (!exists(path)) return;
    attempt(path, [&] {
        const base::Json json = parse_json(read_file(fd_.get(), path));
        const base::Json* const all = part_of(json, "Repositories");
        if (all == nullptr) return;
        for (const auto& [name, repository] : all->items()) {
            for (const auto& [reference, id] : repository.items()) {
                if (!id.is_string() || !images_.contains(id.get<std::string>())) {
                    report_.problems.push_back(
                        fmt::format("{} names an image that is missing", reference));
                }
            }
        }
    });
}

/// One of the bolt databases: the bucket's contents, nothing where there is no file.
std::optional<BoltBucket> RootCheck::database(const std::string& path, const char* bucket) {
    if (!exists(path)) return std::nullopt;
    std::optional<BoltBucket> out;
    attempt(path, [&] {
        const base::Fd file = open_regular(fd_.get(), path, O_RDONLY);
        if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0) report_.in_use = true;
        BoltBucket root = parse_bolt(read_file(fd_.get(), path, database_limit));
        out = std::move(root.buckets[bucket]);
    });
    return out;
}

void RootCheck::check_volumes() {
    for (const std::string& name : names("volumes")) {
        if (!sys::is_directory(root_ + "/volumes/" + name)) continue;
        if (exists("volumes/" + name + "/_data")) {
            volumes_.insert(name);
        } else {
            report_.problems.push_back(fmt::format("volume {}: its data are missing", name));
        }
        const std::string options = "volumes/" + name + "/opts.json";
        if (exists(options)) {
            attempt("volume " + name, [&] { (void)parse_json(read_file(fd_.get(), options)); });
        }
    }
    const auto records = database("volumes/metadata.db", "volumes");
    if (records) {
        for (const auto& [name, record] : records->values) {
            attempt("volume " + name, [&] {
                const std::string driver = text_of(parse_json(record), "Driver");
                if (!driver.empty() && driver != "local") {
                    volumes_.insert(name);
                } else if (!volumes_.contains(name)) {
                    report_.notes.push_back(
                        fmt::format("volume {} is on record, but has no folder", name));
                }
            });
        }
    }
    report_.volumes = volumes_.size();
}

void RootCheck::check_networks() {
    const auto records = database("network/files/local-kv.db", "libnetwork");
    if (!records) return;
    for (const auto& [key, value] : records->values) {
        // "docker/network/v1.0/<kind>/<id>/..."; the folders on the way are keys without a value.
        if (value.size() <= counter_size) continue;
        attempt("record " + key, [&, key = key] {
            const base::Json json = parse_json(std::string_view(value).substr(counter_size));
            const std::vector<std::string> parts = base::split(key, '/');
            if (parts.size() > 4 && parts[3] == "network") {
                networks_.insert(text_of(json, "id"));
                ++report_.networks;
            }
        });
    }
}

void RootCheck::check_containers() {
    if (!sys::is_directory(root_ + "/containers")) return;
    const ContainerFiles files(root_);
    for (const std::string& id : names("containers")) {
        if (!base::is_full_id(id)) continue;
        ++report_.containers;
        attempt("container " + id, [&] { check_container(files, id); });
    }
    for (const std::string& name : names("image/overlay2/layerdb/mounts")) {
        // Images mounted into a container have layers of its own: "<container>-<image>".
        const std::string owner = name.substr(0, name.find('-'));
        if (base::is_full_id(owner) && !exists("containers/" + owner)) {
            report_.notes.push_back(fmt::format("layer of container {}, which is gone", owner));
        }
    }
}

void RootCheck::check_container(const ContainerFiles& files, const std::string& id) {
    const ContainerRecord record = files.load(id);
    if (record.driver != "overlay2") {
        wrong("its storage driver is " + record.driver + ": no other engine's than that sees it");
    }
    const auto [other, is_new] = container_names_.emplace(record.name, id);
    if (!is_new) wrong(fmt::format("its name {} is also that of {}", record.name, other->second));
    const std::string mount = "image/overlay2/layerdb/mounts/" + id;
    const std::string parent = optional_text(mount + "/parent");
    std::vector<std::string> below = folders_below(parent);
    const std::string init = optional_text(mount + "/init-id");
    if (!init.empty()) {
        check_folder(init, below);
        below.insert(below.begin(), init);
    }
    check_folder(text(mount + "/mount-id"), below);
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type == "volume" && !volumes_.contains(point.name)) {
            report_.problems.push_back(
                fmt::format("container {}: its volume {} is missing", id, point.name));
        }
    }
    if (!images_.contains(record.image_id)) {
        report_.notes.push_back(fmt::format("container {}: its image was removed", id));
    }
    for (const auto& [name, endpoint] : record.network.networks) {
        const bool predefined = name == "bridge" || name == "host" || name == "none";
        const std::string& network = endpoint.settings.network_id;
        if (!predefined && !network.empty() && !networks_.contains(network)) {
            report_.notes.push_back(
                fmt::format("container {}: its network {} was removed", id, name));
        }
    }
}

}  // namespace

RootReport check_data_root(const std::string& data_root) { return RootCheck(data_root).run(); }

}  // namespace dockerd::store
