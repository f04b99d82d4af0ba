#pragma once

#include <string>
#include <string_view>

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

}  // namespace dockerd::engine
