#include "events/filter.hpp"

#include <algorithm>
#include <array>

#include <dockerd/model/reference.hpp>

namespace dockerd::engine {

namespace {

using model::Filters;

/// True without values, for a value that equals `text`, or for one that `text` begins with.
bool exact_or_prefix(const Filters& filters, const std::string& key, std::string_view text) {
    const auto& values = filters.get(key);
    return values.empty() || std::ranges::any_of(values, [&](const std::string& value) {
               return text.starts_with(value);
           });
}

std::string attribute(const Event& event, const std::string& key) {
    const auto found = event.attributes.find(key);
    return found == event.attributes.end() ? std::string() : found->second;
}

bool action_matches(const Filters& filters, const Event& event) {
    // These actions carry a text behind a colon, so their bare names match as prefixes; with one
    // of them given, so do the other values.
    const auto& values = filters.get("event");
    const bool prefixes = values.contains("health_status") || values.contains("exec_create") ||
                          values.contains("exec_start");
    return prefixes ? exact_or_prefix(filters, "event", event.action)
                    : filters.exact_match("event", event.action);
}

/// `type=x` for each kind of object: its id or its name, whole or as a prefix.
bool objects_match(const Filters& filters, const Event& event) {
    static const std::array<std::string, 9> kinds = {"daemon",  "container", "plugin",
                                                     "volume",  "network",   "node",
                                                     "service", "secret",    "config"};
    return std::ranges::all_of(kinds, [&](const std::string& kind) {
        return !filters.contains(kind) || exact_or_prefix(filters, kind, event.actor_id) ||
               exact_or_prefix(filters, kind, attribute(event, "name"));
    });
}

std::string without_tag(const std::string& image) {
    const auto reference = model::Reference::try_parse(image);
    return reference ? reference->familiar_name() : image;
}

bool image_matches(const Filters& filters, const Event& event) {
    if (!filters.contains("image")) return true;
    const std::string name = attribute(event, event.type == "image" ? "name" : "image");
    return filters.exact_match("image", event.actor_id) || filters.exact_match("image", name) ||
           filters.exact_match("image", without_tag(event.actor_id)) ||
           filters.exact_match("image", without_tag(name));
}

}  // namespace

bool event_matches(const Filters& filters, const Event& event) {
    return filters.empty() ||
           (action_matches(filters, event) && filters.exact_match("type", event.type) &&
            filters.exact_match("scope", event.scope) && objects_match(filters, event) &&
            image_matches(filters, event) && filters.match_labels("label", event.attributes));
}

}  // namespace dockerd::engine
