#include "images/platform.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {

namespace {

/// Source: containerd/platforms, normalizeArch.
void normalise(Platform& platform) {
    auto& arch = platform.architecture;
    auto& variant = platform.variant;
    arch = base::to_lower(arch);
    variant = base::to_lower(variant);
    if (arch == "i386") arch = "386", variant.clear();
    if (arch == "x86_64" || arch == "x86-64") arch = "amd64";
    if (arch == "amd64" && variant == "v1") variant.clear();
    if (arch == "aarch64") arch = "arm64";
    if (arch == "arm64" && (variant == "8" || variant == "v8")) variant.clear();
    if (arch == "armhf") arch = "arm", variant = "v7";
    if (arch == "armel") arch = "arm", variant = "v6";
    if (arch == "arm" && (variant.empty() || variant == "7")) variant = "v7";
    if (variant.size() == 1 && variant[0] >= '5' && variant[0] <= '8') variant = "v" + variant;
}

bool is_known_architecture(std::string_view text) {
    static constexpr std::array<std::string_view, 12> known = {
        "386",   "amd64",   "arm",  "arm64",    "ppc64",   "ppc64le",
        "s390x", "riscv64", "mips", "mips64le", "loong64", "wasm"};
    return std::ranges::find(known, text) != known.end();
}

bool is_known_os(std::string_view text) {
    static constexpr std::array<std::string_view, 5> known = {"linux", "windows", "darwin",
                                                              "freebsd", "wasip1"};
    return std::ranges::find(known, text) != known.end();
}

}  // namespace

Platform Platform::host() {
    utsname names{};
    (void)::uname(&names);  // cannot fail with a valid pointer
    Platform platform{"linux", names.machine, ""};
    if (platform.architecture == "armv7l") platform.architecture = "armhf";
    if (platform.architecture == "armv6l") platform.architecture = "armel";
    if (platform.architecture == "i686") platform.architecture = "i386";
    normalise(platform);
    return platform;
}

Platform Platform::parse(std::string_view text) {
    const auto parts = base::split(text, '/');
    Platform platform;
    const auto unknown = [&](const std::string& what) {
        base::fail(base::ErrorKind::invalid_argument,
                   base::quote(text) + ": " + what + ": invalid argument");
    };
    if (parts.size() > 3 && std::ranges::find(parts, std::string()) == parts.end()) {
        unknown("cannot parse platform specifier");
    }
    if (std::ranges::find(parts, std::string()) != parts.end()) {
        base::fail(base::ErrorKind::invalid_argument,
                   base::quote(text) + " is an invalid component of " + base::quote(text) +
                       ": platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid "
                       "argument");
    }
    if (parts.size() == 1) {
        platform = host();
        if (is_known_os(base::to_lower(parts[0]))) {
            platform.os = base::to_lower(parts[0]);
            return platform;
        }
        platform.architecture = parts[0];
        platform.variant.clear();
        normalise(platform);
        if (!is_known_architecture(platform.architecture)) {
            unknown("unknown operating system or architecture");
        }
        return platform;
    }
    platform.os = base::to_lower(parts[0]);
    platform.architecture = parts[1];
    if (parts.size() == 3) platform.variant = parts[2];
    normalise(platform);
    return platform;
}

std::string Platform::text() const {
    return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

bool Platform::accepts(const Platform& other) const {
    Platform own = *this;
    Platform theirs = other;
    if (theirs.os.empty()) theirs.os = "linux";
    const bool no_variant = theirs.variant.empty();
    normalise(own);
    normalise(theirs);
    if (own.os != theirs.os || own.architecture != theirs.architecture) return false;
    // An older variant of the same architecture runs here too.
    return no_variant || own.variant == theirs.variant || theirs.variant < own.variant;
}

namespace {

Platform platform_of(const store::ImageConfig& config) {
    return {config.os.empty() ? "linux" : config.os, config.architecture, config.variant};
}

}  // namespace

bool is_exactly_for(const store::ImageConfig& config, const std::string& platform) {
    if (platform.empty()) return true;
    const Platform wanted = Platform::parse(platform);
    Platform own = platform_of(config);
    normalise(own);
    return own.os == wanted.os && own.architecture == wanted.architecture &&
           own.variant == wanted.variant;
}

void require_platform(const store::Image& image, std::string_view name,
                      const std::string& platform) {
    if (platform.empty()) return;
    const Platform wanted = Platform::parse(platform);
    const Platform own = platform_of(*image.config);
    if (wanted.accepts(own)) return;
    base::fail(base::ErrorKind::not_found,
               "image with reference " + std::string(name) + " was found but its platform (" +
                   own.text() + ") does not match the specified platform (" + wanted.text() + ")");
}

}  // namespace dockerd::engine
