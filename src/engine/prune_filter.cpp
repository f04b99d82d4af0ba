#include "prune_filter.hpp"

#include <dockerd/base/error.hpp>

#include "images/moment.hpp"

namespace dockerd::engine {

std::optional<base::WallTime> prune_until(const model::Filters& filters) {
    const auto& values = filters.get("until");
    if (values.empty()) return std::nullopt;
    if (values.size() > 1) {
        base::fail(base::ErrorKind::invalid_argument, "more than one until filter specified");
    }
    try {
        return parse_moment(*values.begin());
    } catch (const base::Error& error) {
        throw base::Error(base::ErrorKind::invalid_argument, error.what());
    }
}

}  // namespace dockerd::engine
