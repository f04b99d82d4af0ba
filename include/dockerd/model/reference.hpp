#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dockerd::model {

/// Name of an image in a registry: "docker.io/library/busybox:1.36@sha256:...".
///
/// Source: github.com/distribution/reference, normalize.go and reference.go.
class Reference {
public:
    /// Parses what a user writes; domain and "library/" are filled in.
    ///
    /// Throws: invalid_argument, "invalid reference format", "invalid reference format: repository
    /// name (library/X) must be lowercase", "invalid repository name (<64 hex>), cannot specify
    /// 64-byte hexadecimal strings", "invalid checksum digest length" and kin.
    static Reference parse(std::string_view text);

    /// The same, nullopt instead of an error.
    static std::optional<Reference> try_parse(std::string_view text);

    /// "docker.io" or what stood before the first slash; empty when that has a dot and is a part
    /// of a path all the same ("a_b.c/x"): nobody can be asked for such a name.
    [[nodiscard]] const std::string& domain() const { return domain_; }
    /// "library/busybox".
    [[nodiscard]] const std::string& path() const { return path_; }
    /// Empty when none was given.
    [[nodiscard]] const std::string& tag() const { return tag_; }
    /// "sha256:..." or empty.
    [[nodiscard]] const std::string& digest() const { return digest_; }
    [[nodiscard]] bool is_name_only() const { return tag_.empty() && digest_.empty(); }

    /// "docker.io/library/busybox".
    [[nodiscard]] std::string name() const;
    /// "busybox".
    [[nodiscard]] std::string familiar_name() const;
    /// "busybox:latest".
    [[nodiscard]] std::string familiar() const;
    /// "docker.io/library/busybox:latest".
    [[nodiscard]] std::string full() const;

    /// With ":latest" if neither tag nor digest is there.
    [[nodiscard]] Reference with_default_tag() const;
    /// Throws: invalid_argument, "invalid tag format".
    [[nodiscard]] Reference with_tag(std::string_view tag) const;
    /// With this digest and without a tag. Throws: invalid_argument, "invalid digest format".
    [[nodiscard]] Reference with_digest(std::string_view digest) const;
    /// Without tag and digest.
    [[nodiscard]] Reference name_only() const;

    friend bool operator==(const Reference&, const Reference&) = default;

private:
    std::string domain_;
    std::string path_;
    std::string tag_;
    std::string digest_;
};

/// What names an image: a bare digest ("sha256:<64 hex>" or 64 hex digits), or a reference.
/// Source: distribution/reference, ParseAnyReference.
struct AnyReference {
    std::string digest;  ///< set: it is an id
    std::optional<Reference> named;

    /// Throws as Reference::parse.
    static AnyReference parse(std::string_view text);
};

/// Throws: invalid_argument, "invalid checksum digest format", "invalid checksum digest length",
/// "unsupported digest algorithm". Source: opencontainers/go-digest, Digest.Validate.
void check_digest(std::string_view digest);

/// True for "sha256:" and 64 lower-case hex digits.
bool is_sha256_digest(std::string_view text);

/// A digest without its algorithm: the name of what it stands for in a folder. A text without a
/// colon as it is.
std::string hex_of(std::string_view digest);

}  // namespace dockerd::model
