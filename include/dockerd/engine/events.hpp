#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/time.hpp>
#include <dockerd/engine/types.hpp>
#include <dockerd/model/filters.hpp>

namespace dockerd::engine {

/// One event. Source: API document, EventMessage.
struct Event {
    std::string type;    ///< "container", "image", "network", "volume", "daemon"
    std::string action;  ///< "start", "exec_create: sh"
    std::string actor_id;
    std::map<std::string, std::string> attributes;
    std::string scope = "local";
    base::WallTime time;
};
using EventPtr = std::shared_ptr<const Event>;

/// Which events a client asks for.
struct EventQuery {
    std::optional<base::WallTime> since;
    std::optional<base::WallTime> until;
    model::Filters filters;
};

/// The daemon's event stream: the last 256 events, and everything that comes.
class EventService {
public:
    virtual ~EventService() = default;

    /// The remembered events that match since, until and the filters, oldest first, and a
    /// subscription to the matching ones that follow without gap or double.
    /// `deliver` is called from the publishing thread and must not block.
    virtual std::pair<std::vector<EventPtr>, Subscription> subscribe(
        const EventQuery& query, std::function<void(EventPtr)> deliver) = 0;
};

}  // namespace dockerd::engine
