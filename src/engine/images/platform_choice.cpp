#include <algorithm>
#include <map>
#include <vector>

#include <dockerd/base/strings.hpp>

#include "images/platform.hpp"

namespace dockerd::engine {
namespace {

struct Versions {
    int major;
    int minor;
};

// Source: containerd/platforms compare.go, arm64variantToVersion: v9.n has all of v8.(n+5).
std::vector<Versions> arm64_versions(const std::string& variant) {
    const auto parts = base::split(variant.substr(1), '.');
    const auto major = base::parse_int(parts[0]);
    const auto minor = base::parse_int(parts.size() > 1 ? parts[1] : "0");
    if (!major || !minor || parts.size() > 2 || *minor < 0) return {};
    const int small = static_cast<int>(*minor);
    if (*major == 8 && small <= 9) return {{8, small}};
    if (*major == 9 && small <= 7) return {{9, small}, {8, std::min(small + 5, 9)}};
    return {};
}

void add_lower_variants(std::vector<Platform>& out, const Platform& platform, std::int64_t lowest) {
    if (platform.variant.size() < 2) return;
    const auto version = base::parse_int(platform.variant.substr(1));
    for (std::int64_t v = version.value_or(0) - 1; v >= lowest; --v) {
        out.push_back({platform.os, platform.architecture, "v" + std::to_string(v)});
    }
}

void add_arm64(std::vector<Platform>& out, const Platform& platform) {
    const std::string variant = platform.variant.empty() ? "v8" : platform.variant;
    for (const auto& [major, highest] : arm64_versions(variant)) {
        for (int minor = highest; minor >= 0; --minor) {
            out.push_back({platform.os, "arm64",
                           "v" + std::to_string(major) +
                               (minor == 0 ? "" : "." + std::to_string(minor))});
        }
    }
    // All of them run the code of 32 bits.
    const Platform arm{platform.os, "arm", "v8"};
    out.push_back(arm);
    add_lower_variants(out, arm, 5);
}

}  // namespace

// Source: containerd/platforms compare.go, platformVector.
std::vector<Platform> platform_choices(Platform platform) {
    normalise(platform);
    std::vector<Platform> out;
    if (platform.architecture == "arm64") {
        add_arm64(out, platform);
    } else {
        out.push_back(platform);
        if (platform.architecture == "amd64") {
            add_lower_variants(out, platform, 1);
            out.push_back({platform.os, "386", ""});
        }
        if (platform.architecture == "arm") add_lower_variants(out, platform, 5);
    }
    for (Platform& choice : out) normalise(choice);
    return out;
}

std::size_t choice_rank(const std::vector<Platform>& choices, Platform offered) {
    normalise(offered);
    const auto found = std::ranges::find_if(choices, [&](const Platform& choice) {
        return choice.os == offered.os && choice.architecture == offered.architecture &&
               choice.variant == offered.variant;
    });
    return static_cast<std::size_t>(found - choices.begin());
}

// Source: tonistiigi/go-archvariant.
Platform most_of_host() {
    Platform host = Platform::host();
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) {
        host.variant = "v4";
    } else if (__builtin_cpu_supports("x86-64-v3")) {
        host.variant = "v3";
    } else if (__builtin_cpu_supports("x86-64-v2")) {
        host.variant = "v2";
    }
#endif
    return host;
}

}  // namespace dockerd::engine
