#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <dockerd/engine/events.hpp>

namespace dockerd::engine {

using EventAttributes = std::map<std::string, std::string>;

/// The daemon's event stream: keeps the last 256 events and passes new ones on.
///
/// Subscribers see events in the order they were published, each exactly once. Subscriptions may
/// outlive the object.
/// Thread: any. A subscriber's callback must not publish; it may end its own subscription.
class Events : public EventService {
public:
    Events();
    ~Events() override;

    /// Remembers an event and passes it on. A zero time becomes now.
    void publish(Event event);

    std::pair<std::vector<EventPtr>, Subscription> subscribe(
        const EventQuery& query, std::function<void(EventPtr)> deliver) override;

    /// Subscriptions alive: NEventsListener of `docker info`.
    [[nodiscard]] std::size_t listeners() const;

    /// A container's event: its labels, `image` (as given at create), `name` and `extra`.
    /// `name` may have its leading slash.
    /// Source: moby daemon/events.go, LogContainerEventWithAttributes.
    void container(std::string_view action, const std::string& id, std::string_view name,
                   const std::string& image, const EventAttributes& labels,
                   EventAttributes extra = {});
    /// An image's event: the labels of its configuration, and `name` unless empty.
    /// Source: moby daemon/images/image_events.go.
    void image(std::string_view action, const std::string& id, const std::string& name,
               const EventAttributes& labels = {});
    /// A network's event: `name`, `type` (the driver) and `extra`, such as `container`.
    void network(std::string_view action, const std::string& id, const std::string& name,
                 const std::string& driver, EventAttributes extra = {});
    /// A volume's event; for create and destroy the attribute is `driver`.
    void volume(std::string_view action, const std::string& name, EventAttributes attributes);
    /// Mounting of a volume: driver, container, destination, read/write, propagation.
    void volume_mounted(const std::string& name, const std::string& driver,
                        const std::string& container, const std::string& destination,
                        bool read_write, const std::string& propagation);
    void volume_unmounted(const std::string& name, const std::string& driver,
                          const std::string& container);
    /// The daemon's event: `name` is the host's.
    void daemon(std::string_view action, const std::string& engine_id, EventAttributes attributes);
    /// End of a prune: `type` is what was pruned; the attribute is `reclaimed`, in bytes.
    void pruned(std::string_view type, std::int64_t reclaimed);

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace dockerd::engine
