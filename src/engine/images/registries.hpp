#pragma once

#include <functional>
#include <memory>
#include <string>

#include <dockerd/engine/registries.hpp>
#include <dockerd/registry/repository.hpp>
#include <dockerd/store/blob_map.hpp>
#include <dockerd/store/manifest_cache.hpp>
#include <dockerd/store/images.hpp>

#include "events/events.hpp"
#include "images/chain_builds.hpp"
#include "images/downloads.hpp"
#include "images/slots.hpp"

namespace dockerd::engine {

class Images;

/// How registries are reached, by flags.
struct RegistrySettings {
    registry::Options registry;
    std::int64_t max_concurrent_downloads = 3;
    std::int64_t max_concurrent_uploads = 5;
    std::int64_t max_download_attempts = 5;
};

/// What pulls and pushes of one daemon share.
struct RegistryParts {
    store::Images& images;
    Events& events;
    registry::Service service;
    store::BlobMap blobs;
    store::ManifestCache manifests;
    ChainBuilds builds;
    Downloads downloads;
    Slots uploads;
};

/// What lies behind a URL, read as it comes.
struct Fetched {
    std::string content_type;
    std::string disposition;    ///< the header Content-Disposition
    std::string last_modified;  ///< the header of that name
    std::int64_t size = -1;     ///< -1: the server does not say
    ByteReader read;
};

/// Images between the daemon and registries.
///
/// Source: moby distribution/, registry/.
/// Thread: any.
class Registries : public RegistryService {
public:
    Registries(const std::string& data_root, store::Images& store, Images& images, Events& events,
               const RegistrySettings& settings);

    /// Takes what a reload brings.
    void set_settings(const RegistrySettings& settings);

    void pull(const PullOptions& options, const RegistryCaller& caller,
              const ProgressSink& progress) override;
    void push(const PushOptions& options, const RegistryCaller& caller,
              const ProgressSink& progress) override;
    LoginResult login(const RegistryCaller& caller) override;
    DistributionInfo distribution(std::string_view name, const RegistryCaller& caller) override;
    std::vector<SearchItem> search(const SearchOptions& options,
                                   const RegistryCaller& caller) override;
    void import(const std::string& url, const ImportOptions& options, const RegistryCaller& caller,
                const ProgressSink& progress) override;

    /// Asks for any URL; `use` reads the answer. Throws: as registry::Service::get_url.
    void fetch(const std::string& url, const RegistryCaller& caller,
               const base::CancellationPtr& cancellation,
               const std::function<void(const Fetched&)>& use);

private:
    Images& images_;
    RegistryParts parts_;
};

/// Which kind of failure a registry's code stands for where it is answered as it is.
base::ErrorKind distribution_kind(const registry::Failure& failure);

/// What a registry is told about a caller.
registry::Caller registry_caller(const RegistryCaller& caller,
                                 base::CancellationPtr cancellation);

}  // namespace dockerd::engine
