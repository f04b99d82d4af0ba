#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <dockerd/base/error.hpp>

namespace dockerd::registry {

/// Names of media types. Source: OCI image-spec media-types.md, docker/distribution manifest/.
namespace media {
inline constexpr std::string_view docker_manifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_list =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_config =
    "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_layer =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view schema1 = "application/vnd.docker.distribution.manifest.v1+json";
inline constexpr std::string_view signed_schema1 =
    "application/vnd.docker.distribution.manifest.v1+prettyjws";
}  // namespace media

/// What a manifest says of a blob or of another manifest.
struct Descriptor {
    std::string media_type;
    std::string digest;
    std::int64_t size = 0;
    std::vector<std::string> urls;
    /// Of an entry of a list.
    std::string os;
    std::string architecture;
    std::string variant;
    std::string os_version;
    std::vector<std::string> os_features;
    bool has_platform = false;
};

/// An image: its configuration, and its layers from the bottom up.
struct ImageManifest {
    std::string media_type;
    Descriptor config;
    std::vector<Descriptor> layers;
};

/// One image for each of several platforms.
struct ManifestList {
    std::string media_type;
    std::vector<Descriptor> manifests;
};

/// The old format, which is not supported any more.
struct Schema1Manifest {};

using Manifest = std::variant<ImageManifest, ManifestList, Schema1Manifest>;

/// Largest manifest that is read. Source: containerd remotes/docker, MaxManifestSize.
inline constexpr std::size_t max_manifest = 4U * 1048U * 1048U;

/// Reads a manifest of the type its server calls it.
/// Throws: internal, "mediaType in manifest should be 'x' not 'y'", "ocimanifest: expected manifest
/// but found index", and what Go's JSON decoder says of wrong types.
/// Source: docker/distribution manifests.go, UnmarshalManifest.
Manifest parse_manifest(std::string_view content_type, std::string_view text);

/// "application/json" of "application/json; charset=utf-8", in lower case.
std::string media_type_of(std::string_view content_type);

}  // namespace dockerd::registry
