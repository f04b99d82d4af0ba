#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/time.hpp>
#include <dockerd/model/collections.hpp>
#include <dockerd/model/filters.hpp>
#include <dockerd/model/requests.hpp>

namespace dockerd::engine {

/// Source: API document, Volume.
struct Volume {
    std::string name;
    std::string driver;
    std::string mountpoint;
    base::WallTime created_at;
    model::StringMap labels;
    std::string scope = "local";
    model::StringMap options;
    std::optional<std::int64_t> size;  ///< bytes, in `system df` only
    std::int64_t reference_count = 0;
    std::string status;  ///< what a plugin says of it: a JSON object, or empty
};

/// What a list of volumes answers.
struct VolumeList {
    std::vector<Volume> volumes;
    std::vector<std::string> warnings;  ///< of drivers that could not be asked
};

/// Everything the API asks about volumes.
class VolumeService {
public:
    virtual ~VolumeService() = default;

    struct PruneResult {
        std::vector<std::string> deleted;
        std::int64_t space_reclaimed = 0;  ///< bytes
    };
    /// Each as the API operation of its name.
    virtual VolumeList list(const model::Filters& filters) = 0;
    virtual Volume inspect(std::string_view name) = 0;
    virtual Volume create(const model::VolumeCreate& request) = 0;
    virtual void remove(std::string_view name, bool force) = 0;
    virtual PruneResult prune(const model::Filters& filters) = 0;
};

}  // namespace dockerd::engine
