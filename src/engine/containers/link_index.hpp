#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/model/container.hpp>

namespace dockerd::engine {

/// What "child:alias" of `--link` says. Docker's own form "/child:/parent/alias" is read too.
/// Throws: internal, "empty string specified for links", "bad format for links: x".
/// Source: moby opts, ParseLink.
std::pair<std::string, std::string> parse_link(const std::string& text);

/// The variables a linked container is known by: WEB_PORT_80_TCP_ADDR and its kin.
/// `name` is the link's, "/parent/alias". Source: moby daemon/links/links.go, ToEnv.
std::vector<std::string> link_environment(const std::string& name, const std::string& child_address,
                                          const model::ContainerConfig& child);

/// /etc/hosts with another address in the lines of `alias`.
/// Source: moby libnetwork/etchosts, Update.
std::string replace_address(std::string_view hosts, std::string_view alias,
                            std::string_view address);

/// Legacy links: by which names containers on the default bridge know others.
///
/// A link is called "parent/alias", which is one of the child's names.
/// Thread: safe.
class LinkIndex {
public:
    struct Link {
        std::string name;  ///< "/parent/alias"
        std::string parent;
        std::string child;  ///< ids
    };

    void add(const Link& link);
    /// Takes one link away.
    void remove(const std::string& name);
    /// Takes the links of a container to others away; returns them.
    std::vector<Link> remove_parent(const std::string& id);
    [[nodiscard]] std::optional<Link> find(const std::string& name) const;
    /// Links of a container to others, and of others to it; sorted by name.
    [[nodiscard]] std::vector<Link> children(const std::string& parent) const;
    [[nodiscard]] std::vector<Link> parents(const std::string& child) const;

private:
    /// The links with this id there.
    [[nodiscard]] std::vector<Link> with(std::string Link::*member, const std::string& id) const;

    mutable base::Mutex mutex_;
    std::map<std::string, Link> links_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine
