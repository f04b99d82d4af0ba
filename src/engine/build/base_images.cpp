#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "build/stage_run.hpp"

namespace dockerd::engine::builds {
namespace {

/// "index.docker.io" of "https://index.docker.io/v1/".
// Source: moby registry/auth.go, ConvertToHostname.
std::string host_of(std::string_view url) {
    const auto scheme = url.find("://");
    if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
    return std::string(url.substr(0, url.find('/')));
}

// Source: moby registry/auth.go, ResolveAuthConfig.
RegistryCredentials credentials_for(const std::map<std::string, RegistryCredentials>& all,
                                    const std::string& domain) {
    const std::string key = domain == "docker.io" ? "https://index.docker.io/v1/" : domain;
    if (const auto found = all.find(key); found != all.end()) return found->second;
    for (const auto& [registry, credentials] : all) {
        if (host_of(registry) == host_of(key)) return credentials;
    }
    return {};
}

}  // namespace

store::ImagePtr StageRun::get_image(const std::string& name, const std::string& platform,
                                    bool is_stage) {
    if (is_stage) return parts_.store.get_by_id(name);
    if (!options_.pull) {
        try {
            // One that is there is taken whatever its platform, as Docker does.
            return parts_.images.resolve(name, "");
        } catch (const base::Error& error) {
            if (error.kind() != base::ErrorKind::not_found) throw;
        }
    }
    pull(name, platform);
    // One of another platform was taken with a word of warning.
    return parts_.images.resolve(name, "");
}

// Source: moby daemon/images/image_builder.go, pullForBuilder.
void StageRun::pull(const std::string& name, const std::string& platform) {
    const auto reference = model::Reference::parse(name).with_default_tag();
    RegistryCaller caller = options_.caller;
    caller.credentials = credentials_for(options_.credentials, reference.domain());
    parts_.registries.pull({.image = reference.familiar(), .tag = {}, .platform = platform}, caller,
                           [&](const Progress& progress) {
                               log_.cancellation()->check();
                               log_.pass(progress);
                           });
}

}  // namespace dockerd::engine::builds
