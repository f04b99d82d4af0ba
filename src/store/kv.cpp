#include <dockerd/store/kv.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <dockerd/base/mutex.hpp>
#include <dockerd/store/bolt.hpp>
#include <dockerd/store/durable.hpp>

namespace dockerd::store {
namespace {

constexpr const char* bucket_name = "libnetwork";
/// Every value begins with a counter of this many bytes, little-endian.
constexpr std::size_t counter_size = 8;
constexpr std::chrono::seconds lock_timeout{10};

std::uint64_t counter_of(const std::string& value) {
    std::uint64_t out = 0;
    if (value.size() >= counter_size) std::memcpy(&out, value.data(), counter_size);
    return out;
}

std::string with_counter(std::uint64_t counter, const std::string& json) {
    std::string out(counter_size, '\0');
    std::memcpy(out.data(), &counter, counter_size);
    return out + json;
}

std::string make_folder(const std::string& data_root) {
    // Modes: moby daemon/network, libnetwork/datastore.
    (void)open_or_make_directory(data_root + "/network", 0750);
    (void)open_or_make_directory(data_root + "/network/files", 0750);
    return data_root + "/network/files/local-kv.db";
}

}  // namespace

struct KvFile::Impl {
    Impl(const std::string& data_root, StartWrites* later)
        : file(make_folder(data_root), lock_timeout, 0644, later) {
        if (later != nullptr) {
            later->add([this](Batch& batch) {
                const base::Lock lock(mutex);
                return file.release(batch);
            });
        }
        for (const auto& [key, value] : bucket().values) {
            counter = std::max(counter, counter_of(value));
        }
    }

    [[nodiscard]] const BoltBucket& bucket() const {
        static const BoltBucket none;
        const auto found = file.root().buckets.find(bucket_name);
        return found == file.root().buckets.end() ? none : found->second;
    }

    mutable base::Mutex mutex;
    BoltFile file;
    std::uint64_t counter = 0;
};

KvFile::KvFile(const std::string& data_root, StartWrites* later)
    : impl_(std::make_unique<Impl>(data_root, later)) {}
KvFile::~KvFile() = default;

std::optional<std::string> KvFile::find(const std::string& key) const {
    const base::Lock lock(impl_->mutex);
    const auto& values = impl_->bucket().values;
    const auto found = values.find(key);
    if (found == values.end() || found->second.size() < counter_size) return std::nullopt;
    return found->second.substr(counter_size);
}

std::map<std::string, std::string> KvFile::list(std::string_view prefix) const {
    const base::Lock lock(impl_->mutex);
    std::map<std::string, std::string> out;
    const auto& values = impl_->bucket().values;
    for (auto at = values.lower_bound(std::string(prefix));
         at != values.end() && at->first.starts_with(prefix); ++at) {
        if (at->second.size() > counter_size) {
            out.emplace(at->first, at->second.substr(counter_size));
        }
    }
    return out;
}

void KvFile::update(const std::map<std::string, std::optional<std::string>>& changes) {
    const base::Lock lock(impl_->mutex);
    BoltBucket root = impl_->file.root();
    BoltBucket& bucket = root.buckets[bucket_name];
    bool changed = false;
    for (const auto& [key, json] : changes) {
        if (json) {
            bucket.values[key] = with_counter(++impl_->counter, *json);
            changed = true;
        } else {
            changed = bucket.values.erase(key) > 0 || changed;
        }
    }
    if (changed) impl_->file.save(std::move(root));
}

}  // namespace dockerd::store
