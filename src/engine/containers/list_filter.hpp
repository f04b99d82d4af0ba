#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/engine/containers.hpp>

namespace dockerd::engine {

/// Decides which containers `docker ps` shows.
///
/// Source: moby daemon/list.go, foldFilter, filterByNameIDMatches and includeContainerInList.
class ListFilter {
public:
    /// What names in filters stand for.
    struct Lookups {
        /// The id of the container called so. Throws: not_found, "No such container: x".
        std::function<std::string(const std::string& name)> container_id;
        /// The ids of the image called so and of all images built on it; none if there is none.
        std::function<std::vector<std::string>(const std::string& name)> image_ids;
    };

    /// Throws: invalid_argument for values that mean nothing; what `lookups` throw.
    ListFilter(const ListOptions& options, const Lookups& lookups);

    /// What of `all`, which is sorted newest first, is shown; in that order.
    [[nodiscard]] std::vector<ContainerPtr> select(const std::vector<ContainerPtr>& all) const;

private:
    /// Numbers and protocol as a port is written: 80 and "tcp".
    using Port = std::pair<std::int64_t, std::string>;

    static void add_ports(const std::string& key, const std::string& text, std::set<Port>& ports);
    void read_states();
    [[nodiscard]] std::vector<ContainerPtr> by_id(const std::vector<ContainerPtr>& all) const;
    [[nodiscard]] bool matches_identity(const ContainerSnapshot& c) const;
    [[nodiscard]] bool matches_state(const ContainerSnapshot& c) const;
    [[nodiscard]] bool matches_mount(const ContainerSnapshot& c) const;
    [[nodiscard]] bool matches_network(const ContainerSnapshot& c) const;
    [[nodiscard]] bool matches_port(const ContainerSnapshot& c) const;

    const model::Filters& filters_;
    std::int64_t limit_ = 0;
    bool all_ = false;
    std::optional<bool> is_task_;
    std::string before_;  ///< id, or empty
    std::string since_;   ///< id, or empty
    std::set<std::int64_t> exit_codes_;
    std::optional<std::set<std::string>> images_;
    std::set<Port> published_;
    std::set<Port> exposed_;
};

}  // namespace dockerd::engine
