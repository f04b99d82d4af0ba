#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace dockerd::store {

class StartWrites;

/// network/files/local-kv.db: what networks leave on disk, keyed
/// "docker/network/v1.0/<kind>/<id>/" with JSON values.
///
/// Source: moby libnetwork/internal/kvstore/boltdb.
/// Thread: every function may be called from any thread.
class KvFile {
public:
    /// With `later`, changes are in memory alone until that settles.
    /// Throws: unavailable when another daemon holds the file.
    explicit KvFile(const std::string& data_root, StartWrites* later = nullptr);
    ~KvFile();

    /// JSON text; nullopt when absent.
    [[nodiscard]] std::optional<std::string> find(const std::string& key) const;
    /// All pairs whose keys begin with `prefix`.
    [[nodiscard]] std::map<std::string, std::string> list(std::string_view prefix) const;

    /// Changes several keys at once, durably. nullopt removes a key.
    void update(const std::map<std::string, std::optional<std::string>>& changes);
    void put(const std::string& key, const std::string& json) { update({{key, json}}); }
    void remove(const std::string& key) { update({{key, std::nullopt}}); }

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::store
