#include <dockerd/runtime/seccomp.hpp>

#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

#include "plan/seccomp_profile.hpp"
#include "plan/seccomp_prologue.hpp"

extern "C" {
extern const char dockerd_seccomp_profile_begin[];
extern const char dockerd_seccomp_profile_end[];
}

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;

namespace {

using Filter = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

[[noreturn]] void fail_invalid(std::string_view text, std::string_view what) {
    // Source: runc libcontainer/seccomp/config.go, ConvertStringToAction and its neighbours.
    throw Error(ErrorKind::invalid_argument,
                fmt::format("string {} is not a valid {} for seccomp", text, what));
}

void check(int result, std::string_view what) {
    if (result < 0) base::throw_errno(-result, what);
}

std::uint32_t action_of(std::string_view name, std::optional<std::uint32_t> value) {
    const std::uint32_t data = value.value_or(EPERM) & 0xffff;
    if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
    if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
    if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
    if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(data);
    if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(data);
    if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
    if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
    if (name == "SCMP_ACT_NOTIFY") {
        throw Error(ErrorKind::invalid_argument,
                    "listenerPath is not set, SCMP_ACT_NOTIFY cannot be used");
    }
    fail_invalid(name, "action");
}

scmp_compare operator_of(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, scmp_compare>, 7> operators{{
        {"SCMP_CMP_NE", SCMP_CMP_NE},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_GE", SCMP_CMP_GE},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    }};
    for (const auto& [text, value] : operators) {
        if (text == name) return value;
    }
    fail_invalid(name, "operator");
}

/// "SCMP_ARCH_X86_64" to libseccomp's number.
std::uint32_t architecture_of(const std::string& name) {
    constexpr std::string_view prefix = "SCMP_ARCH_";
    std::string lower;
    if (name.starts_with(prefix)) {
        for (const char c : name.substr(prefix.size())) {
            lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
    }
    const std::uint32_t token = lower.empty() ? 0 : ::seccomp_arch_resolve_name(lower.c_str());
    if (token == 0) fail_invalid(name, "arch");
    return token;
}

scmp_arg_cmp condition_of(const SeccompArgument& argument) {
    if (argument.index > 5) {
        throw Error(ErrorKind::invalid_argument,
                    fmt::format("invalid seccomp argument index: {}", argument.index));
    }
    return {.arg = argument.index,
            .op = operator_of(argument.op),
            .datum_a = argument.value,
            .datum_b = argument.value_two};
}

/// Adds one rule. The same rule twice is no error.
void add_rule(const Filter& filter, int number, std::uint32_t action,
              const std::vector<scmp_arg_cmp>& conditions, const std::string& name) {
    const int result = ::seccomp_rule_add_array(filter.get(), action, number,
                                                static_cast<unsigned>(conditions.size()),
                                                conditions.empty() ? nullptr : conditions.data());
    if (result < 0 && result != -EEXIST) {
        base::throw_errno(-result,
                          fmt::format("error adding seccomp filter rule for syscall {}", name));
    }
}

void add_rule(const Filter& filter, const SeccompRule& rule, std::uint32_t default_action) {
    const std::uint32_t action = action_of(rule.action, rule.errno_return);
    if (action == default_action) return;
    std::vector<scmp_arg_cmp> conditions;
    std::bitset<6> used;
    bool alternatives = false;
    for (const SeccompArgument& argument : rule.arguments) {
        conditions.push_back(condition_of(argument));
        alternatives = alternatives || used.test(argument.index);
        used.set(argument.index);
    }
    for (const std::string& name : rule.names) {
        const int number = ::seccomp_syscall_resolve_name(name.c_str());
        if (number == __NR_SCMP_ERROR) continue;
        if (!alternatives) {
            add_rule(filter, number, action, conditions, name);
            continue;
        }
        // Two conditions on one argument mean either, as runc reads them.
        for (const scmp_arg_cmp& one : conditions) add_rule(filter, number, action, {one}, name);
    }
}

std::uint32_t flags_of(const SeccompRules& rules) {
    std::uint32_t flags = 0;
    for (const std::string& flag : rules.flags) {
        if (flag == "SECCOMP_FILTER_FLAG_TSYNC") continue;  // init has one thread
        if (flag == "SECCOMP_FILTER_FLAG_LOG") {
            flags |= SECCOMP_FILTER_FLAG_LOG;
        } else if (flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
            flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        } else if (flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
            flags |= 1U << 5;  // newer than Debian 12's header
        } else {
            throw Error(ErrorKind::invalid_argument,
                        fmt::format("seccomp flag {} is not known to runc", flag));
        }
    }
    return flags;
}

std::string export_program(const Filter& filter) {
    const base::Fd memory{::memfd_create("seccomp", MFD_CLOEXEC)};
    if (!memory) base::throw_errno(errno, "memfd_create");
    check(::seccomp_export_bpf(filter.get(), memory.get()), "seccomp_export_bpf");
    const off_t size = ::lseek(memory.get(), 0, SEEK_END);
    std::string program(static_cast<std::size_t>(std::max<off_t>(size, 0)), '\0');
    if (::pread(memory.get(), program.data(), program.size(), 0) != size) {
        base::throw_errno(errno, "read seccomp program");
    }
    return program;
}

/// The part in front of libseccomp's filter: syscalls it does not know, and ENOSYS for newer ones.
std::string prologue(const SeccompRules& rules, const std::vector<std::uint32_t>& architectures,
                     std::uint32_t default_action) {
    SeccompPrologue out;
    out.enosys_above_last = (default_action & SECCOMP_RET_ACTION_FULL) != SCMP_ACT_ALLOW &&
                            (default_action & SECCOMP_RET_ACTION_FULL) != SCMP_ACT_LOG &&
                            (default_action & SECCOMP_RET_ACTION_FULL) != SCMP_ACT_TRACE(0) &&
                            default_action != SCMP_ACT_ERRNO(ENOSYS);
    for (const std::uint32_t token : architectures) {
        SeccompPrologue::Architecture architecture{.token = token};
        for (const SeccompRule& rule : rules.rules) {
            const std::uint32_t action = action_of(rule.action, rule.errno_return);
            for (const std::string& name : rule.names) {
                int number = ::seccomp_syscall_resolve_name_arch(token, name.c_str());
                if (number == __NR_SCMP_ERROR) {
                    number = newer_syscall(token, name);
                    if (number >= 0 && rule.arguments.empty() && action != default_action) {
                        architecture.actions.emplace(static_cast<std::uint32_t>(number), action);
                    }
                }
                architecture.last = std::max(architecture.last, number);
            }
        }
        out.architectures.push_back(std::move(architecture));
    }
    return build_prologue(out);
}

SeccompFilterPtr compile(const SeccompRules& rules) {
    const std::uint32_t default_action = action_of(rules.default_action, rules.default_errno);
    const Filter filter(::seccomp_init(default_action), &::seccomp_release);
    if (!filter) throw Error(ErrorKind::internal, "error creating seccomp filter");

    std::vector<std::uint32_t> architectures{::seccomp_arch_native()};
    for (const std::string& name : rules.architectures) {
        const std::uint32_t token = architecture_of(name);
        if (std::ranges::find(architectures, token) != architectures.end()) continue;
        check(::seccomp_arch_add(filter.get(), token),
              "error adding architecture to seccomp filter");
        architectures.push_back(token);
    }
    std::size_t names = 0;
    for (const SeccompRule& rule : rules.rules) names += rule.names.size();
    // libseccomp 2.5 misbehaves with a tree and no rules. Source: runc, InitSeccomp.
    if (names > 32) (void)::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0), "seccomp_attr_set");
    for (const SeccompRule& rule : rules.rules) add_rule(filter, rule, default_action);

    auto compiled = std::make_shared<SeccompFilter>();
    compiled->flags = flags_of(rules);
    compiled->program = prologue(rules, architectures, default_action) + export_program(filter);
    return compiled;
}

/// With Docker it is the runtime that finds these faults.
SeccompFilterPtr compile_as_runtime(const SeccompRules& rules) {
    try {
        return compile(rules);
    } catch (const Error& error) {
        throw Error(ErrorKind::internal,
                    fmt::format("failed to create task for container: failed to create shim task: "
                                "OCI runtime create failed: runc create failed: {}: unknown",
                                error.what()),
                    error.errno_value());
    }
}

/// Filters compiled so far, by profile and by those capabilities the profile mentions. An entry is
/// about 10 KiB; a client that makes up profiles only empties the cache.
class FilterCache {
public:
    SeccompFilterPtr get(std::string_view profile, CapabilitySet capabilities) {
        const bool is_default = profile.data() == default_seccomp_profile().data();
        const std::string key = is_default ? std::string() : std::string(profile);
        {
            const base::Lock lock(mutex_);
            if (const auto known = profiles_.find(key); known != profiles_.end()) {
                const auto& filters = known->second.filters;
                const auto found = filters.find(capabilities & known->second.mentioned);
                if (found != filters.end()) return found->second;
            }
        }
        const auto rules = read_seccomp_profile(profile, capabilities);
        const CapabilitySet mentioned = rules ? rules->mentioned : 0;
        SeccompFilterPtr filter = rules ? compile_as_runtime(*rules) : nullptr;
        const base::Lock lock(mutex_);
        if (profiles_.size() >= most_profiles) profiles_.clear();
        Profile& known = profiles_[key];
        known.mentioned = mentioned;
        if (known.filters.size() >= most_filters) known.filters.clear();
        known.filters.insert_or_assign(capabilities & mentioned, filter);
        return filter;
    }

private:
    struct Profile {
        CapabilitySet mentioned = 0;
        std::map<CapabilitySet, SeccompFilterPtr> filters;
    };
    static constexpr std::size_t most_profiles = 16;
    static constexpr std::size_t most_filters = 32;
    base::Mutex mutex_;
    std::map<std::string, Profile> profiles_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace

std::string_view default_seccomp_profile() {
    return {dockerd_seccomp_profile_begin,
            static_cast<std::size_t>(dockerd_seccomp_profile_end - dockerd_seccomp_profile_begin)};
}

SeccompFilterPtr compile_seccomp(std::string_view profile, CapabilitySet capabilities) {
    static FilterCache cache;
    return cache.get(profile, capabilities);
}

SeccompFilterPtr choose_seccomp(const SeccompChoice& choice, CapabilitySet capabilities) {
    if (choice.option == "unconfined") return nullptr;
    const bool custom = !choice.option.empty() && choice.option != "builtin";
    if (choice.privileged) {
        return custom ? compile_seccomp(choice.option, capabilities) : nullptr;
    }
    if (!choice.kernel_support) {
        if (!custom) return nullptr;
        throw Error(ErrorKind::invalid_argument,
                    "seccomp is not enabled in your kernel, cannot run a custom seccomp profile");
    }
    if (custom) return compile_seccomp(choice.option, capabilities);
    const bool daemon_default = choice.daemon_profile.empty() || choice.daemon_profile == "builtin";
    if (choice.option == "builtin" || daemon_default) {
        return compile_seccomp(default_seccomp_profile(), capabilities);
    }
    if (choice.daemon_profile == "unconfined") return nullptr;
    return compile_seccomp(choice.daemon_profile, capabilities);
}

bool seccomp_supported() {
    // Source: containerd pkg/seccomp, IsEnabled: EFAULT means the mode is there.
    static const bool supported =
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) != 0 && errno != EINVAL;
    return supported;
}

}  // namespace dockerd::runtime
