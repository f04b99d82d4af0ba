#include "images/platform.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {

// Source: containerd/platforms, normalizeArch.
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

namespace {

// Source: containerd/platforms, database.go.
bool is_known_architecture(std::string_view text) {
    static constexpr auto known = std::to_array<std::string_view>(
        {"386",   "amd64",  "amd64p32", "arm",      "armbe",     "arm64",       "arm64be", "ppc64",
         "ppc64le", "loong64", "mips",  "mipsle",   "mips64",    "mips64le",    "mips64p32",
         "mips64p32le", "ppc", "riscv", "riscv64",  "s390",      "s390x",       "sparc",
         "sparc64", "wasm"});
    return std::ranges::find(known, text) != known.end();
}

bool is_known_os(std::string_view text) {
    static constexpr auto known = std::to_array<std::string_view>(
        {"aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js",
         "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris", "windows", "zos"});
    return std::ranges::find(known, text) != known.end();
}

bool is_word(std::string_view text, std::string_view more) {
    return std::ranges::all_of(text, [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               more.find(c) != std::string_view::npos;
    });
}

/// The first part without its version, `windows(10.0.17763)`; empty when it is none.
std::string os_of(const std::string& part) {
    const auto open = part.find('(');
    const std::string name = part.substr(0, open);
    if (name.empty() || !is_word(name, "_-")) return {};
    if (open != std::string::npos) {
        const std::string version = part.substr(open + 1);
        if (!version.ends_with(')')) return {};
        if (!is_word(std::string_view(version).substr(0, version.size() - 1), "_.-")) return {};
    }
    const std::string os = base::to_lower(name);
    return os == "macos" ? "darwin" : os;
}

/// Throws when a part could not be one of a platform. Source: containerd/platforms, Parse.
void check_parts(std::string_view text, const std::vector<std::string>& parts) {
    for (const auto& part : parts) {
        const bool first = &part == &parts.front();
        if (first ? !os_of(part).empty() : !part.empty() && is_word(part, "_.-")) continue;
        // Go quotes the pattern as well.
        const std::string_view pattern = first ? R"(^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$)"
                                               : R"(^[A-Za-z0-9_.-]+$)";
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("{} is an invalid {} of {}: {} specifier component must match {}: "
                               "invalid argument",
                               base::quote(part), first ? "OS component" : "component",
                               base::quote(text), first ? "OSAndVersion" : "platform",
                               base::quote(pattern)));
    }
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
    if (text.find('*') != std::string_view::npos) unknown("wildcards not yet supported");
    check_parts(text, parts);
    if (parts.size() > 3) unknown("cannot parse platform specifier");
    if (parts.size() == 1) {
        platform = host();
        if (is_known_os(os_of(parts[0]))) {
            platform.os = os_of(parts[0]);
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
    platform.os = os_of(parts[0]);
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
