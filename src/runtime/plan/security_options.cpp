#include <array>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/plan_container.hpp>

namespace dockerd::runtime {

namespace {

/// Go's strconv.ParseBool.
std::optional<bool> parse_bool(std::string_view text) {
    for (const std::string_view word : {"1", "t", "T", "TRUE", "true", "True"}) {
        if (text == word) return true;
    }
    for (const std::string_view word : {"0", "f", "F", "FALSE", "false", "False"}) {
        if (text == word) return false;
    }
    return std::nullopt;
}

[[noreturn]] void refuse(int number, const std::string& option) {
    base::fail(base::ErrorKind::internal,
               fmt::format("invalid --security-opt {}: {}", number, base::quote(option)));
}

}  // namespace

SecurityOptions parse_security_options(const std::vector<std::string>& options,
                                       bool daemon_no_new_privileges) {
    SecurityOptions parsed;
    parsed.no_new_privileges = daemon_no_new_privileges;
    for (const std::string& option : options) {
        if (option == "no-new-privileges") {
            parsed.no_new_privileges = true;
            continue;
        }
        if (option == "writable-cgroups") {
            parsed.writable_cgroups = true;
            continue;
        }
        if (option == "disable") {
            parsed.labels.emplace_back("disable");
            continue;
        }
        // ":" is the old separator, looked for only where there is no "=".
        std::size_t separator = option.find('=');
        if (separator == std::string::npos) separator = option.find(':');
        if (separator == std::string::npos) refuse(1, option);
        const std::string key = option.substr(0, separator);
        const std::string value = option.substr(separator + 1);
        if (key == "label") {
            parsed.labels.push_back(value);
        } else if (key == "apparmor") {
            parsed.apparmor = value;
        } else if (key == "seccomp") {
            parsed.seccomp = value;
        } else if (key == "no-new-privileges" || key == "writable-cgroups") {
            const auto flag = parse_bool(value);
            if (!flag) refuse(2, option);
            if (key == "no-new-privileges") {
                parsed.no_new_privileges = *flag;
            } else {
                parsed.writable_cgroups = *flag;
            }
        } else {
            refuse(2, option);
        }
    }
    return parsed;
}

}  // namespace dockerd::runtime
