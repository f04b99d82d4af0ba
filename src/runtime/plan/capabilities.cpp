#include <dockerd/runtime/capabilities.hpp>

#include <linux/capability.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;

namespace {

// By number, as in <linux/capability.h>.
constexpr std::array<std::string_view, 41> names{"CAP_CHOWN",
                                                 "CAP_DAC_OVERRIDE",
                                                 "CAP_DAC_READ_SEARCH",
                                                 "CAP_FOWNER",
                                                 "CAP_FSETID",
                                                 "CAP_KILL",
                                                 "CAP_SETGID",
                                                 "CAP_SETUID",
                                                 "CAP_SETPCAP",
                                                 "CAP_LINUX_IMMUTABLE",
                                                 "CAP_NET_BIND_SERVICE",
                                                 "CAP_NET_BROADCAST",
                                                 "CAP_NET_ADMIN",
                                                 "CAP_NET_RAW",
                                                 "CAP_IPC_LOCK",
                                                 "CAP_IPC_OWNER",
                                                 "CAP_SYS_MODULE",
                                                 "CAP_SYS_RAWIO",
                                                 "CAP_SYS_CHROOT",
                                                 "CAP_SYS_PTRACE",
                                                 "CAP_SYS_PACCT",
                                                 "CAP_SYS_ADMIN",
                                                 "CAP_SYS_BOOT",
                                                 "CAP_SYS_NICE",
                                                 "CAP_SYS_RESOURCE",
                                                 "CAP_SYS_TIME",
                                                 "CAP_SYS_TTY_CONFIG",
                                                 "CAP_MKNOD",
                                                 "CAP_LEASE",
                                                 "CAP_AUDIT_WRITE",
                                                 "CAP_AUDIT_CONTROL",
                                                 "CAP_SETFCAP",
                                                 "CAP_MAC_OVERRIDE",
                                                 "CAP_MAC_ADMIN",
                                                 "CAP_SYSLOG",
                                                 "CAP_WAKE_ALARM",
                                                 "CAP_BLOCK_SUSPEND",
                                                 "CAP_AUDIT_READ",
                                                 "CAP_PERFMON",
                                                 "CAP_BPF",
                                                 "CAP_CHECKPOINT_RESTORE"};
static_assert(names.size() == CAP_CHECKPOINT_RESTORE + 1);

constexpr CapabilitySet bit(unsigned number) { return CapabilitySet{1} << number; }

CapabilitySet set_of(const std::vector<std::string>& list) {
    CapabilitySet set = 0;
    for (const std::string& name : list) set |= capability_bit(name);
    return set;
}

bool has_all(const std::vector<std::string>& list) {
    return std::ranges::find(list, "ALL") != list.end();
}

}  // namespace

CapabilitySet default_capabilities() {
    constexpr CapabilitySet set = bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FSETID) |
                                  bit(CAP_FOWNER) | bit(CAP_MKNOD) | bit(CAP_NET_RAW) |
                                  bit(CAP_SETGID) | bit(CAP_SETUID) | bit(CAP_SETFCAP) |
                                  bit(CAP_SETPCAP) | bit(CAP_NET_BIND_SERVICE) |
                                  bit(CAP_SYS_CHROOT) | bit(CAP_KILL) | bit(CAP_AUDIT_WRITE);
    return set;
}

std::string_view capability_name(unsigned number) {
    return number < names.size() ? names[number] : std::string_view();
}

CapabilitySet capability_bit(std::string_view name) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) return 0;
    return bit(static_cast<unsigned>(found - names.begin()));
}

std::vector<std::string> capability_names(CapabilitySet set) {
    std::vector<std::string> list;
    for (unsigned number = 0; number < names.size(); ++number) {
        if (set & bit(number)) list.emplace_back(names[number]);
    }
    return list;
}

std::vector<std::string> normalize_capabilities(const std::vector<std::string>& list,
                                                const CapabilityScope& scope) {
    std::vector<std::string> normalized;
    for (std::string name : list) {
        std::ranges::transform(name, name.begin(), [](char c) {
            return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        });
        if (name == "ALL") {
            normalized.push_back(std::move(name));
            continue;
        }
        if (!name.starts_with("CAP_")) name.insert(0, "CAP_");
        const CapabilitySet one = capability_bit(name);
        if (one == 0 || (scope.known & one) == 0) {
            throw Error(ErrorKind::invalid_argument,
                        fmt::format("unknown capability: \"{}\"", name));
        }
        if ((scope.available & one) == 0) {
            throw Error(ErrorKind::invalid_argument,
                        fmt::format("capability not supported by your kernel or not available in "
                                    "the current environment: \"{}\"",
                                    name));
        }
        normalized.push_back(std::move(name));
    }
    return normalized;
}

CapabilityLists validate_capabilities(const std::vector<std::string>& add,
                                      const std::vector<std::string>& drop,
                                      const CapabilityScope& scope) {
    CapabilityLists lists;
    base::in_context("invalid CapAdd", [&] { lists.add = normalize_capabilities(add, scope); });
    base::in_context("invalid CapDrop", [&] { lists.drop = normalize_capabilities(drop, scope); });
    return lists;
}

CapabilitySet container_capabilities(const std::vector<std::string>& add,
                                     const std::vector<std::string>& drop, bool privileged,
                                     const CapabilityScope& scope) {
    if (privileged) return scope.available;
    const auto dropped = normalize_capabilities(drop, scope);
    const auto added = normalize_capabilities(add, scope);
    if (has_all(added)) return scope.available & ~set_of(dropped);
    if (has_all(dropped)) return set_of(added);
    return ((default_capabilities() & ~set_of(dropped)) | set_of(added)) & scope.available;
}

}  // namespace dockerd::runtime
