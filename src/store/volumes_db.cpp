#include <dockerd/store/volumes_db.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/model/json.hpp>
#include <dockerd/store/bolt.hpp>
#include <dockerd/store/durable.hpp>

#include "json_read.hpp"
#include "reaper.hpp"

namespace dockerd::store {
namespace {

constexpr const char* bucket_name = "volumes";
constexpr const char* options_file = "opts.json";
constexpr std::string_view removed_prefix = ".removing-";
constexpr std::chrono::seconds lock_timeout{10};
constexpr std::size_t opened_at_most = 4 << 20;

model::StringMap strings_of(const base::Json& json, const char* key) {
    model::StringMap out;
    if (const base::Json* const part = part_of(json, key); part != nullptr) {
        model::decode(*part, out);
        out.given = true;
    }
    return out;
}

/// What the local driver keeps of a volume's options. Source: moby volume/local, optsConfig.
std::string options_text(const model::StringMap& options) {
    const auto get = [&options](const char* key) {
        const auto found = options.find(key);
        return found == options.end() ? std::string() : found->second;
    };
    const base::Json json{{"MountType", get("type")},
                          {"MountOpts", get("o")},
                          {"MountDevice", get("device")},
                          {"Quota", {{"Size", 0}}}};
    return model::to_html_safe_text(json);
}

/// The options behind an opts.json, for a volume the database lost.
model::StringMap options_from(const base::Json& json) {
    model::StringMap out;
    const auto take = [&](const char* key, const char* name) {
        const std::string value = text_of(json, key);
        if (value.empty()) return;
        out[name] = value;
        out.given = true;
    };
    take("MountType", "type");
    take("MountOpts", "o");
    take("MountDevice", "device");
    return out;
}

std::string record_text(const VolumeRecord& volume) {
    const base::Json json{{"Name", volume.name},
                          {"Driver", volume.driver},
                          {"Labels", model::encode(volume.labels)},
                          {"Options", model::encode(volume.options)}};
    return model::to_html_safe_text(json);
}

}  // namespace

struct VolumesDb::Impl {
    Impl(const std::string& data_root, StartWrites* later)
        : root(data_root + "/volumes"),
          root_fd(open_or_make_directory(root, 0701)),
          file(root + "/metadata.db", lock_timeout, 0600, later) {
        if (later != nullptr) {
            later->add([this](Batch& batch) {
                const base::Lock lock(mutex);
                return file.release(batch);
            });
        }
        load_folders();
        load_records();
    }

    void load_folders();
    void load_folder(const std::string& name);
    void load_records();
    void save();

    std::string root;
    base::Fd root_fd;
    mutable base::Mutex mutex;
    BoltFile file;
    std::map<std::string, VolumeRecord> volumes;
    Reaper reaper;
};

void VolumesDb::Impl::load_folders() {
    const int copy = ::openat(root_fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const stream = copy < 0 ? nullptr : ::fdopendir(copy);
    if (stream == nullptr) base::throw_errno(errno, fmt::format("open {}", root));
    while (const dirent* item = ::readdir(stream)) {
        const std::string name(item->d_name);
        if (name.starts_with(removed_prefix)) {
            reaper.post([this, name] { remove_tree(root_fd.get(), name, reaper.stop()); });
        } else if (name[0] != '.' && (item->d_type == DT_DIR || item->d_type == DT_UNKNOWN)) {
            load_folder(name);
        }
    }
    ::closedir(stream);
}

void VolumesDb::Impl::load_folder(const std::string& name) {
    struct stat info {};
    if (::fstatat(root_fd.get(), (name + "/_data").c_str(), &info, 0) != 0) return;
    if (::fstatat(root_fd.get(), name.c_str(), &info, 0) != 0) return;
    VolumeRecord volume;
    volume.name = name;
    volume.mountpoint = fmt::format("{}/{}/_data", root, name);
    volume.created =
        base::WallTime(info.st_ctim.tv_sec, static_cast<std::int32_t>(info.st_ctim.tv_nsec));
    try {
        volume.options = options_from(
            parse_json(read_file(root_fd.get(), name + "/" + options_file, opened_at_most)));
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) {
            base::log::error("volume {}: {}", name, error.what());
        }
    }
    volumes.emplace(name, std::move(volume));
}

void VolumesDb::Impl::load_records() {
    const auto bucket = file.root().buckets.find(bucket_name);
    if (bucket == file.root().buckets.end()) return;
    for (const auto& [name, text] : bucket->second.values) {
        if (text.empty()) continue;
        try {
            const base::Json json = parse_json(text);
            const std::string driver = text_of(json, "Driver");
            const auto known = volumes.find(name);
            // A local volume without its folder is none; another driver's has none here.
            if (known == volumes.end() && (driver.empty() || driver == "local")) continue;
            VolumeRecord& volume = volumes[name];
            volume.name = name;
            volume.driver = driver.empty() ? "local" : driver;
            volume.labels = strings_of(json, "Labels");
            const model::StringMap options = strings_of(json, "Options");
            if (options.given) volume.options = options;
            if (volume.driver != "local") volume.mountpoint.clear();
        } catch (const base::Error& error) {
            base::log::error("Error while reading volume metadata for volume \"{}\": {}", name,
                             error.what());
        }
    }
}

void VolumesDb::Impl::save() {
    BoltBucket top = file.root();
    BoltBucket& bucket = top.buckets[bucket_name];
    bucket.values.clear();
    for (const auto& [name, volume] : volumes) bucket.values[name] = record_text(volume);
    file.save(std::move(top));
}

VolumesDb::VolumesDb(const std::string& data_root, StartWrites* later)
    : impl_(std::make_unique<Impl>(data_root, later)) {}
VolumesDb::~VolumesDb() = default;

std::optional<VolumeRecord> VolumesDb::find(const std::string& name) const {
    const base::Lock lock(impl_->mutex);
    const auto found = impl_->volumes.find(name);
    if (found == impl_->volumes.end()) return std::nullopt;
    return found->second;
}

std::vector<VolumeRecord> VolumesDb::list() const {
    const base::Lock lock(impl_->mutex);
    std::vector<VolumeRecord> out;
    for (const auto& [name, volume] : impl_->volumes) out.push_back(volume);
    return out;
}

VolumeRecord VolumesDb::create(const std::string& name, const std::string& driver,
                               const model::StringMap& labels, const model::StringMap& options) {
    Impl& self = *impl_;
    const base::Lock lock(self.mutex);
    if (const auto found = self.volumes.find(name); found != self.volumes.end()) {
        return found->second;
    }
    VolumeRecord volume;
    volume.name = name;
    volume.driver = driver.empty() ? "local" : driver;
    volume.labels = labels;
    volume.options = options;
    bool made = false;
    base::Undo remove_folder([&]() noexcept {
        if (made) (void)archive::remove_all(self.root_fd.get(), name.c_str());
    });
    if (volume.driver == "local") {
        made = ::mkdirat(self.root_fd.get(), name.c_str(), 0701) == 0;
        const base::Fd folder = open_or_make_directory(fmt::format("{}/{}", self.root, name), 0701);
        (void)open_or_make_directory(fmt::format("{}/{}/_data", self.root, name), 0755);
        if (!options.empty()) {
            Batch batch;
            batch.write_new(folder.get(), options_file, options_text(options), 0600);
            batch.commit(folder.get());
        }
        // The database's flush is for its own pages alone.
        if (::fsync(folder.get()) != 0 || ::fsync(self.root_fd.get()) != 0) {
            base::throw_errno(errno, fmt::format("sync volume {}", name));
        }
        struct stat info {};
        if (::fstat(folder.get(), &info) != 0) base::throw_errno(errno, "stat");
        volume.created =
            base::WallTime(info.st_ctim.tv_sec, static_cast<std::int32_t>(info.st_ctim.tv_nsec));
        volume.mountpoint = fmt::format("{}/{}/_data", self.root, name);
    }
    self.volumes.emplace(name, volume);
    try {
        self.save();
    } catch (...) {
        self.volumes.erase(name);
        throw;
    }
    remove_folder.dismiss();
    return volume;
}

bool VolumesDb::remove(const std::string& name) {
    Impl& self = *impl_;
    const base::Lock lock(self.mutex);
    const auto found = self.volumes.find(name);
    if (found == self.volumes.end()) return false;
    if (found->second.driver != "local") {
        self.volumes.erase(found);
        self.save();
        return true;
    }
    const std::string renamed = fmt::format("{}{}", removed_prefix, base::random_hex(16));
    if (::renameat(self.root_fd.get(), name.c_str(), self.root_fd.get(), renamed.c_str()) != 0 &&
        errno != ENOENT) {
        base::throw_errno(errno, fmt::format("remove volume {}", name));
    }
    self.volumes.erase(found);
    self.reaper.post([&self, renamed] { remove_tree(self.root_fd.get(), renamed, self.reaper.stop()); });
    self.save();
    // The folder's new name has to last as well: a folder without a record is a volume.
    if (::fsync(self.root_fd.get()) != 0) {
        base::throw_errno(errno, fmt::format("remove volume {}", name));
    }
    return true;
}

std::int64_t VolumesDb::size(const std::string& name) const {
    const std::optional<VolumeRecord> volume = find(name);
    if (!volume || volume->mountpoint.empty()) return -1;
    const base::Fd data{::open(volume->mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return data ? archive::tree_size(data.get()) : -1;
}

}  // namespace dockerd::store
