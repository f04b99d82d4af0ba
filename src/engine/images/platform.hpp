#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <dockerd/store/images.hpp>

namespace dockerd::engine {

/// "linux/arm64/v8" taken apart, in Go's words for architectures.
struct Platform {
    std::string os;
    std::string architecture;
    std::string variant;

    /// This machine's.
    static Platform host();
    /// Throws: invalid_argument, ""x": unknown operating system or architecture: invalid
    /// argument". Source: containerd/platforms, Parse.
    static Platform parse(std::string_view text);
    [[nodiscard]] std::string text() const;
    /// Whether an image for `other` may be taken where this one was asked for.
    /// Source: moby daemon/images/image.go, OnlyPlatformWithFallback.
    [[nodiscard]] bool accepts(const Platform& other) const;
};

/// Brings other names and forms to the usual ones: "aarch64" to "arm64", "amd64/v1" to "amd64".
/// Source: containerd/platforms, Normalize.
void normalise(Platform& platform);

/// What a machine of this platform runs, best first: its own variant, lower ones, 32 bits.
std::vector<Platform> platform_choices(Platform platform);
/// Where `offered` stands among them; their number when it is none of them.
std::size_t choice_rank(const std::vector<Platform>& choices, Platform offered);
/// This machine's platform with the highest variant its processor knows.
Platform most_of_host();

/// Refuses an image that is not for `platform`; empty asks for nothing. `name` is how the client
/// called the image.
/// Throws: not_found, "image with reference x was found but its platform (linux/amd64) does not
///         match the specified platform (linux/arm64)".
void require_platform(const store::Image& image, std::string_view name,
                      const std::string& platform);

/// Whether an image is for this platform and no other one, the variant included; empty asks for
/// nothing. Source: containerd/platforms, OnlyStrict.
bool is_exactly_for(const store::ImageConfig& config, const std::string& platform);

}  // namespace dockerd::engine
