#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/authorization.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::engine {

/// Legacy plugins that implement "authz".
///
/// Source: moby pkg/authorization. Thread: any.
class AuthorizationPlugins final : public AuthorizationService {
public:
    explicit AuthorizationPlugins(plugins::Options options = {}) : registry_(std::move(options)) {}

    /// Uses these from now on; a name that stands there twice counts once. They are looked up first,
    /// over a quarter of a minute when they are not there.
    /// Throws: not_found, `plugin "x" not found`, and kin; the ones in use stay.
    void set(const std::vector<std::string>& names);
    /// The daemon ends: plugins that do not answer are hardly waited for any more.
    void stop() { registry_.stop(); }

    [[nodiscard]] bool active() const override { return !chain()->empty(); }
    void check_request(const AuthorizationCase& asked) override;
    void check_response(const AuthorizationCase& asked) override;

private:
    using Chain = std::vector<plugins::PluginPtr>;
    [[nodiscard]] std::shared_ptr<const Chain> chain() const;
    void ask_all(const AuthorizationCase& asked, std::string_view what,
                 const std::string& method) const;

    plugins::Registry registry_;
    mutable base::Mutex mutex_;
    std::shared_ptr<const Chain> chain_ DOCKERD_GUARDED_BY(mutex_) = std::make_shared<const Chain>();
};

}  // namespace dockerd::engine
