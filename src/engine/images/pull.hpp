#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "images/platform.hpp"
#include "images/progress_board.hpp"
#include "images/registries.hpp"

namespace dockerd::engine {

/// Pulls from one endpoint.
///
/// Source: moby distribution/pull_v2.go.
class Puller {
public:
    Puller(RegistryParts& parts, const registry::Endpoint& endpoint,
           const model::Reference& reference, const std::string& platform, ProgressBoard& board,
           registry::Caller caller);

    /// The registry was reached and speaks the protocol we think it does.
    [[nodiscard]] bool is_connected() const { return repository_ != nullptr; }
    /// First contact.
    void connect();
    void pull();

private:
    struct Pulled {
        std::string image_id;
        std::string digest;  ///< of the manifest the name stands for
    };
    bool pull_one(const model::Reference& reference);
    [[nodiscard]] bool has(const std::string& digest, const std::string& content_type);
    [[nodiscard]] std::optional<registry::Manifest> kept(const model::Reference& reference,
                                                         const registry::Descriptor& wanted);
    [[nodiscard]] registry::Manifest get(const model::Reference& reference,
                                         const registry::Descriptor& wanted, std::string& digest);
    [[nodiscard]] Pulled pull_manifest(const registry::Manifest& manifest,
                                       const std::string& digest,
                                       const model::Reference& reference);
    [[nodiscard]] std::string pull_image(const registry::ImageManifest& manifest);
    [[nodiscard]] std::string pull_list(const registry::ManifestList& list,
                                        const model::Reference& reference);
    [[nodiscard]] std::string get_config(const std::string& digest);
    bool name_image(const model::Reference& reference, const Pulled& pulled);

    RegistryParts& parts_;
    const registry::Endpoint endpoint_;
    const model::Reference reference_;
    const std::string platform_;
    ProgressBoard& board_;
    registry::Caller caller_;
    std::shared_ptr<registry::Repository> repository_;
};

/// "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed..."
[[noreturn]] void throw_schema1(const model::Reference& reference);

/// A failure to get an image's configuration.
class ConfigError : public base::Error {
public:
    explicit ConfigError(const base::Error& cause)
        : Error(cause.with_context("error pulling image configuration")) {}
};
/// Something in the registry that is no image.
class UnsupportedMedia : public base::Error {
public:
    using base::Error::Error;
};

}  // namespace dockerd::engine
