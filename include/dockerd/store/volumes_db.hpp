#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/time.hpp>
#include <dockerd/model/collections.hpp>

namespace dockerd::store {

class StartWrites;

/// What volumes/metadata.db and volumes/<name>/opts.json say of a volume.
struct VolumeRecord {
    std::string name;
    std::string driver = "local";
    model::StringMap labels;
    /// Options as the client gave them: type, device, o, size.
    model::StringMap options;
    std::string mountpoint;  ///< "<data_root>/volumes/<name>/_data"
    base::WallTime created;  ///< change time of the volume's folder
};

/// The folder volumes/ of a data root with the local driver's volumes.
///
/// Source: moby volume/local/local.go, volume/service/db.go.
/// Thread: every function may be called from any thread.
class VolumesDb {
public:
    /// Opens the folder, reads all volumes, and takes the database's lock. A folder with _data
    /// that the database does not know is a volume too.
    /// A new database is written when `later` settles.
    /// Throws: unavailable when another daemon holds the file.
    explicit VolumesDb(const std::string& data_root, StartWrites* later = nullptr);
    ~VolumesDb();

    /// From memory.
    [[nodiscard]] std::optional<VolumeRecord> find(const std::string& name) const;
    [[nodiscard]] std::vector<VolumeRecord> list() const;

    /// Makes the volume's folder and records it; durable on return.
    VolumeRecord create(const std::string& name, const std::string& driver,
                        const model::StringMap& labels, const model::StringMap& options);
    /// Takes the volume's folder away, renamed first, and forgets it. False when unknown.
    bool remove(const std::string& name);

    /// Bytes of the files in a volume.
    [[nodiscard]] std::int64_t size(const std::string& name) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::store
