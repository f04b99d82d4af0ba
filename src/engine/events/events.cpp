#include "events/events.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <list>
#include <thread>

#include <dockerd/base/log.hpp>
#include <dockerd/base/mutex.hpp>

#include "events/filter.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {

namespace {

constexpr std::size_t remembered = 256;  // Source: moby daemon/events/events.go, eventsLimit

struct Listener {
    EventQuery query;
    std::function<void(EventPtr)> deliver;
    bool ended = false;
};

bool wants(const EventQuery& query, const Event& event) {
    return (!query.until || event.time <= *query.until) && event_matches(query.filters, event);
}

}  // namespace

struct Events::State {
    mutable base::Mutex mutex;
    std::vector<EventPtr> ring;  ///< oldest at `first` once it is full
    std::size_t first = 0;
    std::list<Listener> listeners;
    /// The thread that runs callbacks now: one that ends its own subscription cannot wait for them.
    std::atomic<std::thread::id> delivering;

    void remember(const EventPtr& event) {
        if (ring.size() < remembered) {
            ring.push_back(event);
        } else {
            ring[first] = event;
            first = (first + 1) % remembered;
        }
    }

    std::vector<EventPtr> replay(const EventQuery& query) const {
        std::vector<EventPtr> found;
        if (!query.since && !query.until) return found;
        for (std::size_t i = ring.size(); i-- > 0;) {
            const EventPtr& event = ring[(first + i) % ring.size()];
            if (query.since && event->time < *query.since) break;
            if (wants(query, *event)) found.push_back(event);
        }
        std::ranges::reverse(found);
        return found;
    }

    void deliver(const EventPtr& event) {
        delivering = std::this_thread::get_id();
        for (auto& listener : listeners) {
            if (listener.ended || !wants(listener.query, *event)) continue;
            try {
                listener.deliver(event);
            } catch (const std::exception& error) {
                base::log::warn("event not delivered: {}", error.what());
            }
        }
        delivering = std::thread::id();
        listeners.remove_if([](const Listener& listener) { return listener.ended; });
    }

    void end(std::list<Listener>::iterator listener) {
        if (delivering == std::this_thread::get_id()) {
            listener->ended = true;
            return;
        }
        const base::Lock lock(mutex);
        listeners.erase(listener);
    }
};

Events::Events() : state_(std::make_shared<State>()) {}
Events::~Events() = default;

void Events::publish(Event event) {
    metrics().events.add();
    const base::Lock lock(state_->mutex);
    // Stamped under the lock: the order of times is the order of delivery.
    if (event.time.is_zero()) event.time = base::WallTime::now();
    const auto shared = std::make_shared<const Event>(std::move(event));
    state_->remember(shared);
    state_->deliver(shared);
}

std::pair<std::vector<EventPtr>, Subscription> Events::subscribe(
    const EventQuery& query, std::function<void(EventPtr)> deliver) {
    const base::Lock lock(state_->mutex);
    auto replayed = state_->replay(query);
    state_->listeners.push_back({query, std::move(deliver)});
    const auto listener = std::prev(state_->listeners.end());
    return {std::move(replayed),
            Subscription([state = state_, listener] { state->end(listener); })};
}

std::size_t Events::listeners() const {
    const base::Lock lock(state_->mutex);
    return state_->listeners.size();
}

void Events::container(std::string_view action, const std::string& id, std::string_view name,
                       const std::string& image, const EventAttributes& labels,
                       EventAttributes extra) {
    // Labels win over the extras, image and name over both, as Docker's order of writing has it.
    for (const auto& [key, value] : labels) extra[key] = value;
    if (!image.empty()) extra["image"] = image;
    name.remove_prefix(std::min(name.find_first_not_of('/'), name.size()));
    extra["name"] = name;
    publish({"container", std::string(action), id, std::move(extra), "local", {}});
}

void Events::image(std::string_view action, const std::string& id, const std::string& name,
                   const EventAttributes& labels) {
    EventAttributes attributes = labels;
    if (!name.empty()) attributes["name"] = name;
    publish({"image", std::string(action), id, std::move(attributes), "local", {}});
}

void Events::network(std::string_view action, const std::string& id, const std::string& name,
                     const std::string& driver, EventAttributes extra) {
    extra["name"] = name;
    extra["type"] = driver;
    publish({"network", std::string(action), id, std::move(extra), "local", {}});
}

void Events::volume(std::string_view action, const std::string& name, EventAttributes attributes) {
    publish({"volume", std::string(action), name, std::move(attributes), "local", {}});
}

void Events::volume_mounted(const std::string& name, const std::string& driver,
                            const std::string& container, const std::string& destination,
                            bool read_write, const std::string& propagation) {
    volume("mount", name,
           {{"driver", driver},
            {"container", container},
            {"destination", destination},
            {"read/write", read_write ? "true" : "false"},
            {"propagation", propagation}});
}

void Events::volume_unmounted(const std::string& name, const std::string& driver,
                              const std::string& container) {
    volume("unmount", name, {{"driver", driver}, {"container", container}});
}

void Events::daemon(std::string_view action, const std::string& engine_id,
                    EventAttributes attributes) {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) == 0) attributes["name"] = host.data();
    publish({"daemon", std::string(action), engine_id, std::move(attributes), "local", {}});
}

void Events::pruned(std::string_view type, std::int64_t reclaimed) {
    publish(
        {std::string(type), "prune", "", {{"reclaimed", std::to_string(reclaimed)}}, "local", {}});
}

}  // namespace dockerd::engine
