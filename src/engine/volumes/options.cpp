#include "volumes/options.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/stat.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {

using base::ErrorKind;

namespace {

struct FlagName {
    std::string_view name;
    unsigned long flag;
    bool clear;
};

// Source: moby/sys/mount, flags_unix.go.
constexpr std::array<FlagName, 32> flag_names = {{
    {"ro", MS_RDONLY, false},
    {"rw", MS_RDONLY, true},
    {"suid", MS_NOSUID, true},
    {"nosuid", MS_NOSUID, false},
    {"dev", MS_NODEV, true},
    {"nodev", MS_NODEV, false},
    {"exec", MS_NOEXEC, true},
    {"noexec", MS_NOEXEC, false},
    {"sync", MS_SYNCHRONOUS, false},
    {"async", MS_SYNCHRONOUS, true},
    {"dirsync", MS_DIRSYNC, false},
    {"remount", MS_REMOUNT, false},
    {"mand", MS_MANDLOCK, false},
    {"nomand", MS_MANDLOCK, true},
    {"atime", MS_NOATIME, true},
    {"noatime", MS_NOATIME, false},
    {"diratime", MS_NODIRATIME, true},
    {"nodiratime", MS_NODIRATIME, false},
    {"bind", MS_BIND, false},
    {"rbind", MS_BIND | MS_REC, false},
    {"unbindable", MS_UNBINDABLE, false},
    {"runbindable", MS_UNBINDABLE | MS_REC, false},
    {"private", MS_PRIVATE, false},
    {"rprivate", MS_PRIVATE | MS_REC, false},
    {"shared", MS_SHARED, false},
    {"rshared", MS_SHARED | MS_REC, false},
    {"slave", MS_SLAVE, false},
    {"rslave", MS_SLAVE | MS_REC, false},
    {"relatime", MS_RELATIME, false},
    {"norelatime", MS_RELATIME, true},
    {"strictatime", MS_STRICTATIME, false},
    {"nostrictatime", MS_STRICTATIME, true},
}};

constexpr unsigned long propagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
constexpr unsigned long read_only_bind = MS_BIND | MS_RDONLY;

std::string option(const model::StringMap& options, const std::string& key) {
    const auto found = options.find(key);
    return found == options.end() ? std::string() : found->second;
}

/// The value of `key` in "a=b,c=d"; empty when it is not there.
std::string value_in(std::string_view list, std::string_view key) {
    for (const auto& part : base::split(list, ',')) {
        if (part.starts_with(key) && part.size() > key.size() && part[key.size()] == '=') {
            return part.substr(key.size() + 1);
        }
    }
    return {};
}

void replace_first(std::string& text, const std::string& from, const std::string& to) {
    if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

bool is_ipv4(const std::string& text) {
    in_addr address{};
    return ::inet_pton(AF_INET, text.c_str(), &address) == 1;
}

/// The address of a file server's name, as text.
std::string resolve(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* raw = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &raw);
    if (code != 0 || raw == nullptr) {
        base::fail(ErrorKind::internal,
                   fmt::format("error resolving passed in network volume address: lookup {}: {}",
                               host, code == 0 ? "no such host" : ::gai_strerror(code)));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(raw, ::freeaddrinfo);
    std::array<char, NI_MAXHOST> text{};
    (void)::getnameinfo(found->ai_addr, found->ai_addrlen, text.data(), text.size(), nullptr, 0,
                        NI_NUMERICHOST);
    return text.data();
}

/// The kernel wants addresses where network volumes may have names.
/// Source: moby volume/local/local_unix.go, getMountOptions.
void resolve_addresses(const std::string& type, std::string& device, std::string& data) {
    if (type != "nfs" && type != "cifs") return;
    if (const auto host = value_in(data, "addr"); !host.empty() && !is_ipv4(host)) {
        replace_first(data, "addr=" + host, "addr=" + resolve(host));
        return;
    }
    if (type != "cifs" || !device.starts_with("//")) return;
    const auto host = device.substr(2, device.find('/', 2) - 2);
    if (!host.empty() && !is_ipv4(host)) replace_first(device, host, resolve(host));
}

[[noreturn]] void fail_mount(int error, std::string_view operation, const std::string& device,
                             const std::string& target, unsigned long flags,
                             const std::string& data, const std::string& password) {
    // Source: moby/sys/mount, mountError.Error.
    std::string text = fmt::format("failed to mount local volume: {} ", operation);
    text += device.empty() ? target : device + ":" + target;
    if (flags != 0) text += fmt::format(", flags: {:#x}", flags);
    if (!data.empty()) text += ", data: " + data;
    text += ": " + base::errno_text(error);
    if (!password.empty()) replace_first(text, "password=" + password, "password=********");
    throw base::Error(ErrorKind::internal, text, error);
}

}  // namespace

MountFlags parse_mount_options(std::string_view options) {
    MountFlags parsed;
    std::vector<std::string> data;
    for (const auto& name : base::split(options, ',')) {
        const auto* const known = std::ranges::find(flag_names, name, &FlagName::name);
        if (known == flag_names.end()) {
            data.push_back(name);
        } else if (known->clear) {
            parsed.flags &= ~known->flag;
        } else {
            parsed.flags |= known->flag;
        }
    }
    parsed.data = base::join(data, ",");
    return parsed;
}

void check_volume_options(const model::StringMap& options) {
    const auto invalid = [](const std::string& text) {
        base::fail(ErrorKind::invalid_argument, text);
    };
    for (const auto& [key, value] : options) {
        if (key != "type" && key != "o" && key != "device" && key != "size") {
            invalid("invalid option: " + base::quote(key));
        }
    }
    // Project quotas are not used: a size is refused as Docker does where there are none.
    if (const auto size = option(options, "size"); options.contains("size") && size != "0") {
        const bool number = !size.empty() && size.front() >= '0' && size.front() <= '9';
        invalid(number ? "quota size requested but no quota support"
                       : "invalid size: '" + size + "'");
    }
    const auto require = [&](const char* given, const char* needed) {
        if (options.contains(given) && !options.contains(needed)) {
            invalid("missing required option: " + base::quote(needed));
        }
    };
    require("device", "type");
    require("type", "device");
    require("o", "device");
    require("o", "type");
}

void check_volume_name(const std::string& name) {
    if (name.size() == 1) {
        base::fail(
            ErrorKind::invalid_argument,
            "volume name is too short, names should be at least two alphanumeric characters");
    }
    const auto alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    const bool valid =
        !name.empty() && alphanumeric(name.front()) && std::ranges::all_of(name, [&](char c) {
            return alphanumeric(c) || c == '_' || c == '.' || c == '-';
        });
    if (!valid) {
        base::fail(ErrorKind::invalid_argument,
                   base::quote(name) +
                       " includes invalid characters for a local volume name, only "
                       "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
                       "directory, use absolute path");
    }
}

bool needs_mount(const model::StringMap& options) {
    return !option(options, "device").empty() || !option(options, "type").empty();
}

void mount_volume(const model::StringMap& options, const std::string& target) {
    const std::string type = option(options, "type");
    std::string device = option(options, "device");
    std::string list = option(options, "o");
    if (device.empty()) base::fail(ErrorKind::internal, "missing device in volume options");
    const std::string password = value_in(list, "password");
    resolve_addresses(type, device, list);
    const auto [flags, data] = parse_mount_options(list);
    const char* const fs_data = data.empty() ? nullptr : data.c_str();
    const unsigned long first = flags & ~propagation;
    // Without data, "none" stands for a change of flags only.
    if (((flags & MS_REMOUNT) == 0 && device != "none") || fs_data != nullptr) {
        if (::mount(device.c_str(), target.c_str(), type.c_str(), first, fs_data) != 0) {
            fail_mount(errno, "mount", device, target, first, data, password);
        }
    }
    if ((flags & propagation) != 0) {
        const unsigned long change = flags & (propagation | MS_REC | MS_SILENT);
        if (::mount("", target.c_str(), "", change, nullptr) != 0) {
            fail_mount(errno, "remount", "", target, change, "", password);
        }
    }
    // A bind mount takes its read-only flag only afterwards.
    if ((first & read_only_bind) == read_only_bind) {
        const unsigned long change = first | MS_REMOUNT;
        if (::mount("", target.c_str(), "", change, nullptr) != 0) {
            fail_mount(errno, "remount-ro", "", target, change, "", password);
        }
    }
}

bool is_mount_point(const std::string& path) {
    struct statx found;
    const long result = ::syscall(SYS_statx, AT_FDCWD, path.c_str(),
                                  AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0U, &found);
    return result == 0 && (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

}  // namespace dockerd::engine
