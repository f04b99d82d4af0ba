#include "prune_filter.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {

std::optional<base::WallTime> prune_until(const model::Filters& filters) {
    const auto& values = filters.get("until");
    if (values.empty()) return std::nullopt;
    if (values.size() > 1) {
        base::fail(base::ErrorKind::invalid_argument, "more than one until filter specified");
    }
    const std::string& text = *values.begin();
    if (const auto duration = base::parse_duration(text)) {
        const auto then = base::WallTime::now().unix_nano() - duration->count();
        return base::WallTime(then / 1'000'000'000,
                              static_cast<std::int32_t>(then % 1'000'000'000));
    }
    if (const auto time = base::parse_rfc3339(text)) return time;
    if (const auto seconds = base::parse_int(text.substr(0, text.find('.')))) {
        return base::WallTime(*seconds, 0);
    }
    // "2006-01-02" and "2006-01-02T15:04:05" count in the daemon's zone, which is UTC here.
    const std::string full = text.size() == 10 ? text + "T00:00:00Z" : text + "Z";
    if (const auto time = base::parse_rfc3339(full)) return time;
    base::fail(base::ErrorKind::invalid_argument,
               "failed to parse value as time or duration: " + base::quote(text));
}

}  // namespace dockerd::engine
