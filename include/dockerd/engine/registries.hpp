#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/engine/images.hpp>
#include <dockerd/model/filters.hpp>

namespace dockerd::engine {

/// Who a client is to a registry. Source: API document, AuthConfig.
struct RegistryCredentials {
    std::string username;
    std::string password;
    std::string server_address;
    std::string identity_token;
    std::string registry_token;
};

/// On whose behalf a registry is asked.
struct RegistryCaller {
    RegistryCredentials credentials;
    std::string user_agent;
    std::vector<std::pair<std::string, std::string>> meta;  ///< X-Meta- headers
    /// The client's connection; its end ends the work. -1: nobody looks.
    int connection = -1;
};

/// What is to be pulled.
struct PullOptions {
    std::string image;
    std::string tag;       ///< a tag or a digest; with neither here nor in `image`, all tags
    std::string platform;  ///< "linux/arm64", or empty
};

/// What is to be pushed.
struct PushOptions {
    std::string image;
    std::string tag;       ///< empty: all tags, unless `image` has one
    std::string platform;  ///< "linux/arm64", or empty
};

/// Source: API document, SystemAuth.
struct LoginResult {
    std::string status;
    std::string identity_token;
};

/// Source: API document, DistributionInspect.
struct DistributionInfo {
    struct Platform {
        std::string architecture;
        std::string os;
        std::string os_version;
        std::vector<std::string> os_features;
        std::string variant;
    };
    std::string media_type;
    std::string digest;
    std::int64_t size = 0;
    std::vector<Platform> platforms;
};

/// What is to be searched for.
struct SearchOptions {
    std::string term;
    std::int64_t limit = 0;  ///< 0: the registry's own
    model::Filters filters;
};

/// Source: API document, ImageSearch.
struct SearchItem {
    std::int64_t stars = 0;
    bool official = false;
    std::string name;
    bool automated = false;
    std::string description;
};

/// Everything the API asks of registries.
///
/// Throws: not_found, "manifest for r/x:y not found: manifest unknown: manifest unknown", "pull
///         access denied for x, repository does not exist or may require 'docker login': ..."; and
///         what else Docker says of failures. An error may come after progress was told.
class RegistryService {
public:
    virtual ~RegistryService() = default;

    /// Each as the API operation of its name.
    virtual void pull(const PullOptions& options, const RegistryCaller& caller,
                      const ProgressSink& progress) = 0;
    virtual void push(const PushOptions& options, const RegistryCaller& caller,
                      const ProgressSink& progress) = 0;
    virtual LoginResult login(const RegistryCaller& caller) = 0;
    virtual DistributionInfo distribution(std::string_view name, const RegistryCaller& caller) = 0;
    virtual std::vector<SearchItem> search(const SearchOptions& options,
                                           const RegistryCaller& caller) = 0;
    /// Imports what is behind a URL.
    virtual void import(const std::string& url, const ImportOptions& options,
                        const RegistryCaller& caller, const ProgressSink& progress) = 0;
};

}  // namespace dockerd::engine
