#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "images/pull.hpp"
#include "images/registries.hpp"

namespace dockerd::engine {
namespace {

using registry::ImageManifest;
using registry::ManifestList;

constexpr std::size_t max_config = 4U << 20U;
/// Nobody shows that the caller is still there: no registry keeps its thread for good.
constexpr std::chrono::seconds request_timeout{60};

void add_config_platform(const registry::Repository& repository, const ImageManifest& image,
                         DistributionInfo& out) {
    // Only of Docker's own format, and what cannot be had is left out.
    if (image.media_type != registry::media::docker_manifest) return;
    try {
        const auto json = nlohmann::json::parse(
            repository.get_blob(image.config.digest, max_config), nullptr, false);
        DistributionInfo::Platform platform;
        platform.architecture = json.value("architecture", "");
        platform.os = json.value("os", "");
        platform.os_version = json.value("os.version", "");
        platform.variant = json.value("variant", "");
        if (!platform.os.empty() || !platform.architecture.empty()) out.platforms.push_back(platform);
    } catch (const nlohmann::json::exception&) {
    } catch (const base::Error& error) {
        base::log::debug("distribution: {}", error.what());
    }
}

/// Source: moby api/server/router/distribution/distribution_routes.go, fetchManifest.
DistributionInfo inspect(const registry::Repository& repository, const model::Reference& reference) {
    DistributionInfo out;
    if (reference.digest().empty()) {
        const auto found = repository.resolve_tag(reference.with_default_tag().tag());
        out.digest = found.digest;
        out.size = found.size;
    } else {
        out.digest = reference.digest();
    }
    const auto document = repository.get_manifest(
        out.digest.empty() ? reference.with_default_tag().tag() : out.digest);
    if (out.digest.empty()) out.digest = archive::sha256_digest(document.text);
    const auto manifest = registry::parse_manifest(document.content_type, document.text);
    if (out.size <= 0) out.size = static_cast<std::int64_t>(document.text.size());
    if (const auto* const list = std::get_if<ManifestList>(&manifest)) {
        out.media_type = list->media_type;
        for (const auto& entry : list->manifests) {
            out.platforms.push_back({.architecture = entry.architecture,
                                     .os = entry.os,
                                     .os_version = entry.os_version,
                                     .os_features = entry.os_features,
                                     .variant = entry.variant});
        }
    } else if (const auto* const image = std::get_if<ImageManifest>(&manifest)) {
        out.media_type = image->media_type;
        add_config_platform(repository, *image, out);
    } else {
        throw_schema1(reference);
    }
    return out;
}

}  // namespace

DistributionInfo Registries::distribution(std::string_view name, const RegistryCaller& caller) {
    const auto any = model::AnyReference::parse(name);
    if (!any.named) {
        base::fail(base::ErrorKind::internal, "no manifest found for full image ID");
    }
    const auto cancellation = std::make_shared<base::Cancellation>();
    registry::Caller who = registry_caller(caller, cancellation);
    who.timeout = request_timeout;
    std::optional<base::Error> last;
    for (const auto& endpoint : parts_.service.pull_endpoints(any.named->domain(), *cancellation)) {
        try {
            const registry::Repository repository(parts_.service, endpoint, any.named->path(),
                                                  registry::Repository::Access::pull, who);
            return inspect(repository, *any.named);
        } catch (const registry::Failure& failure) {
            last.emplace(distribution_kind(failure), failure.what());
        } catch (const base::Error& error) {
            last.emplace(error);
        }
    }
    throw base::Error(*last);
}

// Source: moby api/server/httpstatus/status.go, statusCodeFromDistributionError; the statuses
// are those of docker/distribution registry/api/errcode/register.go, registry/api/v2/errors.go.
base::ErrorKind distribution_kind(const registry::Failure& failure) {
    using base::ErrorKind;
    static const std::map<std::string_view, ErrorKind> kinds{
        {"UNSUPPORTED", ErrorKind::not_allowed},
        {"UNAUTHORIZED", ErrorKind::unauthenticated},
        {"DENIED", ErrorKind::permission_denied},
        {"UNAVAILABLE", ErrorKind::unavailable},
        {"TOOMANYREQUESTS", ErrorKind::too_many_requests},
        {"DIGEST_INVALID", ErrorKind::invalid_argument},
        {"SIZE_INVALID", ErrorKind::invalid_argument},
        {"NAME_INVALID", ErrorKind::invalid_argument},
        {"TAG_INVALID", ErrorKind::invalid_argument},
        {"NAME_UNKNOWN", ErrorKind::not_found},
        {"MANIFEST_UNKNOWN", ErrorKind::not_found},
        {"MANIFEST_INVALID", ErrorKind::invalid_argument},
        {"MANIFEST_UNVERIFIED", ErrorKind::invalid_argument},
        {"MANIFEST_BLOB_UNKNOWN", ErrorKind::invalid_argument},
        {"BLOB_UNKNOWN", ErrorKind::not_found},
        {"BLOB_UPLOAD_UNKNOWN", ErrorKind::not_found},
        {"BLOB_UPLOAD_INVALID", ErrorKind::not_found},
        {"PAGINATION_NUMBER_INVALID", ErrorKind::invalid_argument},
    };
    const auto found = kinds.find(failure.code());
    return found == kinds.end() ? ErrorKind::internal : found->second;
}

}  // namespace dockerd::engine
