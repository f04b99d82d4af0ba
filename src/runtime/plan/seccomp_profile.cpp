#include "seccomp_profile.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/go_syntax.hpp>

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;
using base::Json;

namespace {

#if defined(__x86_64__)
constexpr std::string_view native_name = "amd64";
constexpr std::string_view native_arch = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
constexpr std::string_view native_name = "arm64";
constexpr std::string_view native_arch = "SCMP_ARCH_AARCH64";
#elif defined(__s390x__)
constexpr std::string_view native_name = "s390x";
constexpr std::string_view native_arch = "SCMP_ARCH_S390X";
#elif defined(__powerpc64__)
constexpr std::string_view native_name = "ppc64le";
constexpr std::string_view native_arch = "SCMP_ARCH_PPC64LE";
#elif defined(__riscv)
constexpr std::string_view native_name = "riscv64";
constexpr std::string_view native_arch = "SCMP_ARCH_RISCV64";
#else
#error "no seccomp architecture name for this machine"
#endif

[[noreturn]] void fail_decoding(const std::string& detail) {
    throw Error(ErrorKind::invalid_argument,
                fmt::format("Decoding seccomp profile failed: {}", detail));
}

/// The value of `name`, matched without case as Go does; null when absent.
const Json* find(const Json& object, std::string_view name) {
    if (!object.is_object()) return nullptr;
    const Json* found = nullptr;
    for (const auto& [key, value] : object.items()) {
        if (base::iequals(key, name) && !value.is_null()) found = &value;
    }
    return found;
}

std::string text_field(const Json& object, std::string_view name) {
    const Json* value = find(object, name);
    if (!value) return {};
    if (!value->is_string()) fail_decoding(fmt::format("{} is not a string", name));
    return value->get<std::string>();
}

std::vector<std::string> list_field(const Json& object, std::string_view name) {
    std::vector<std::string> list;
    const Json* value = find(object, name);
    if (!value) return list;
    if (!value->is_array()) fail_decoding(fmt::format("{} is not a list", name));
    for (const Json& item : *value) {
        if (!item.is_string()) fail_decoding(fmt::format("{} is not a list of strings", name));
        list.push_back(item.get<std::string>());
    }
    return list;
}

std::uint64_t number_field(const Json& object, std::string_view name) {
    const Json* value = find(object, name);
    if (!value) return 0;
    if (!value->is_number_unsigned()) fail_decoding(fmt::format("{} is not a number", name));
    return value->get<std::uint64_t>();
}

std::optional<std::uint32_t> errno_field(const Json& object, std::string_view name) {
    if (!find(object, name)) return std::nullopt;
    return static_cast<std::uint32_t>(number_field(object, name));
}

struct KernelVersion {
    std::uint64_t kernel = 0;
    std::uint64_t major = 0;
};

/// Source: moby profiles/seccomp/seccomp.go, KernelVersion.UnmarshalJSON.
KernelVersion parse_min_kernel(const std::string& text) {
    const auto fail = [&]() -> KernelVersion {
        fail_decoding(
            fmt::format("invalid kernel version: \"{}\", expected \"<kernel>.<major>\"", text));
    };
    const auto parts = base::split(text, '.');
    if (parts.size() != 2) return fail();
    const auto kernel = base::parse_int(parts[0]);
    const auto major = base::parse_int(parts[1]);
    const auto fits = [](const auto& n) { return n && *n >= 0 && *n <= 255; };
    if (!fits(kernel) || !fits(major) || (*kernel == 0 && *major == 0)) return fail();
    return {static_cast<std::uint64_t>(*kernel), static_cast<std::uint64_t>(*major)};
}

KernelVersion running_kernel() {
    utsname name{};
    KernelVersion version;
    if (::uname(&name) != 0) return version;
    char* end = nullptr;
    version.kernel = std::strtoull(name.release, &end, 10);
    if (*end == '.') version.major = std::strtoull(end + 1, nullptr, 10);
    return version;
}

bool kernel_at_least(const std::string& text) {
    const KernelVersion wanted = parse_min_kernel(text);
    static const KernelVersion running = running_kernel();
    return running.kernel != wanted.kernel ? running.kernel > wanted.kernel
                                           : running.major >= wanted.major;
}

bool contains(const std::vector<std::string>& list, std::string_view item) {
    return std::ranges::find(list, item) != list.end();
}

bool is_excluded(const Json& filter, CapabilitySet capabilities) {
    if (contains(list_field(filter, "arches"), native_name)) return true;
    for (const std::string& name : list_field(filter, "caps")) {
        if (capabilities & capability_bit(name)) return true;
    }
    const std::string kernel = text_field(filter, "minKernel");
    return !kernel.empty() && kernel_at_least(kernel);
}

bool is_included(const Json& filter, CapabilitySet capabilities) {
    const auto arches = list_field(filter, "arches");
    if (!arches.empty() && !contains(arches, native_name)) return false;
    for (const std::string& name : list_field(filter, "caps")) {
        if ((capabilities & capability_bit(name)) == 0) return false;
    }
    const std::string kernel = text_field(filter, "minKernel");
    return kernel.empty() || kernel_at_least(kernel);
}

CapabilitySet mentioned_capabilities(const Json* filter) {
    CapabilitySet mentioned = 0;
    if (!filter) return mentioned;
    for (const std::string& name : list_field(*filter, "caps")) mentioned |= capability_bit(name);
    return mentioned;
}

SeccompRule read_rule(const Json& call) {
    SeccompRule rule;
    rule.names = list_field(call, "names");
    const std::string name = text_field(call, "name");
    if (!name.empty()) {
        if (!rule.names.empty()) {
            throw Error(ErrorKind::invalid_argument,
                        "both 'name' and 'names' are specified in the seccomp profile, use either "
                        "'name' or 'names'");
        }
        rule.names = {name};
    }
    rule.action = text_field(call, "action");
    rule.errno_return = errno_field(call, "errnoRet");
    if (const Json* arguments = find(call, "args")) {
        if (!arguments->is_array()) fail_decoding("args is not a list");
        for (const Json& argument : *arguments) {
            if (argument.is_null()) continue;
            rule.arguments.push_back(
                {.index = static_cast<unsigned>(number_field(argument, "index")),
                 .value = number_field(argument, "value"),
                 .value_two = number_field(argument, "valueTwo"),
                 .op = text_field(argument, "op")});
        }
    }
    return rule;
}

std::vector<std::string> mapped_architectures(const Json& map) {
    std::vector<std::string> architectures;
    if (!map.is_array()) fail_decoding("archMap is not a list");
    for (const Json& entry : map) {
        if (text_field(entry, "architecture") != native_arch) continue;
        architectures.emplace_back(native_arch);
        for (auto& sub : list_field(entry, "subArchitectures")) {
            architectures.push_back(std::move(sub));
        }
        break;
    }
    return architectures;
}

}  // namespace

std::optional<SeccompRules> read_seccomp_profile(std::string_view text,
                                                 CapabilitySet capabilities) {
    const Json profile = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (profile.is_discarded()) {
        const auto scanned = model::scan_go_json(text);
        fail_decoding(scanned.error.empty() ? "invalid character after top-level value"
                                            : scanned.error);
    }
    if (!profile.is_object() && !profile.is_null()) fail_decoding("the profile is not an object");

    SeccompRules out;
    out.default_action = text_field(profile, "defaultAction");
    const Json* calls = find(profile, "syscalls");
    const Json empty_list = Json::array();
    if (!calls) calls = &empty_list;
    if (!calls->is_array()) fail_decoding("syscalls is not a list");
    if (out.default_action.empty() && calls->empty()) return std::nullopt;

    out.default_errno = errno_field(profile, "defaultErrnoRet");
    out.architectures = list_field(profile, "architectures");
    out.flags = list_field(profile, "flags");
    const Json* map = find(profile, "archMap");
    if (!out.architectures.empty() && map && !map->empty()) {
        throw Error(ErrorKind::invalid_argument,
                    "both 'architectures' and 'archMap' are specified in the seccomp profile, use "
                    "either 'architectures' or 'archMap'");
    }
    if (map) out.architectures = mapped_architectures(*map);

    for (const Json& call : *calls) {
        SeccompRule rule = read_rule(call);
        const Json* excludes = find(call, "excludes");
        const Json* includes = find(call, "includes");
        out.mentioned |= mentioned_capabilities(excludes) | mentioned_capabilities(includes);
        if (excludes && is_excluded(*excludes, capabilities)) continue;
        if (includes && !is_included(*includes, capabilities)) continue;
        out.rules.push_back(std::move(rule));
    }
    return out;
}

}  // namespace dockerd::runtime
