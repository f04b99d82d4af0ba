#include <dockerd/runtime/seccomp.hpp>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <seccomp.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {
namespace {

using Arguments = std::array<std::uint64_t, 6>;

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t unknown = SECCOMP_RET_ERRNO | ENOSYS;

/// Runs the filter as the kernel does. Source: kernel net/core/filter.c, classic BPF.
std::uint32_t run(const SeccompFilter& filter, std::uint32_t arch, std::uint32_t number,
                  const Arguments& arguments = {}) {
    seccomp_data data{};
    data.nr = static_cast<int>(number);
    data.arch = arch;
    for (std::size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
    std::vector<sock_filter> code(filter.instructions());
    std::memcpy(code.data(), filter.program.data(), filter.program.size());

    std::uint32_t a = 0, x = 0;
    std::array<std::uint32_t, 16> memory{};
    for (std::size_t pc = 0; pc < code.size(); ++pc) {
        const sock_filter& op = code[pc];
        const std::uint32_t operand = BPF_SRC(op.code) == BPF_X ? x : op.k;
        switch (BPF_CLASS(op.code)) {
            case BPF_LD:
                if (BPF_MODE(op.code) == BPF_ABS) {
                    std::memcpy(&a, reinterpret_cast<const char*>(&data) + op.k, 4);
                } else {
                    a = BPF_MODE(op.code) == BPF_MEM ? memory.at(op.k) : op.k;
                }
                break;
            case BPF_ST:
                memory.at(op.k) = a;
                break;
            case BPF_LDX:
                x = BPF_MODE(op.code) == BPF_MEM ? memory.at(op.k) : op.k;
                break;
            case BPF_ALU:
                if (BPF_OP(op.code) != BPF_AND) throw std::runtime_error("unexpected ALU");
                a &= operand;
                break;
            case BPF_JMP: {
                if (BPF_OP(op.code) == BPF_JA) {
                    pc += op.k;
                    break;
                }
                bool taken = false;
                switch (BPF_OP(op.code)) {
                    case BPF_JEQ:
                        taken = a == operand;
                        break;
                    case BPF_JGT:
                        taken = a > operand;
                        break;
                    case BPF_JGE:
                        taken = a >= operand;
                        break;
                    case BPF_JSET:
                        taken = (a & operand) != 0;
                        break;
                    default:
                        throw std::runtime_error("unexpected jump");
                }
                pc += taken ? op.jt : op.jf;
                break;
            }
            case BPF_RET:
                return op.k;
            default:
                throw std::runtime_error("unexpected instruction");
        }
    }
    throw std::runtime_error("ran off the end");
}

struct VerdictTable {
    std::vector<std::string> sets;
    std::map<std::string, std::map<std::string, char>> by_set;

    static VerdictTable read() {
        VerdictTable table;
        std::ifstream file(DOCKERD_TEST_DATA "/seccomp_verdicts.txt");
        for (std::string line; std::getline(file, line);) {
            std::istringstream words(line);
            std::string name;
            words >> name;
            if (name == "#") {
                std::string next;
                words >> next;
                if (next == "syscall") {
                    for (std::string set; words >> set;) table.sets.push_back(set);
                }
                continue;
            }
            for (const auto& set : table.sets) {
                std::string verdict;
                words >> verdict;
                table.by_set[set][name] = verdict.at(0);
            }
        }
        return table;
    }
};

CapabilitySet capabilities_of(const std::string& set) {
    if (set == "none") return 0;
    if (set == "all") return (CapabilitySet{1} << 41) - 1;
    CapabilitySet caps = default_capabilities();
    if (set == "sys_admin") caps |= capability_bit("CAP_SYS_ADMIN");
    if (set == "sys_ptrace") caps |= capability_bit("CAP_SYS_PTRACE");
    return caps;
}

struct ArchitectureCase {
    const char* name;
    std::uint32_t token;
    std::uint32_t audit;
    std::uint32_t first;
};
constexpr std::array<ArchitectureCase, 3> architectures{{
    {"x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0},
    {"i386", SCMP_ARCH_X86, AUDIT_ARCH_I386, 0},
    {"x32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0x40000000},
}};

/// Names newer than the library's table that the profile mentions.
const std::map<std::uint32_t, std::string> newer{
    {451, "cachestat"},         {452, "fchmodat2"},        {453, "map_shadow_stack"},
    {454, "futex_wake"},        {455, "futex_wait"},       {456, "futex_requeue"},
    {457, "statmount"},         {458, "listmount"},        {459, "lsm_get_self_attr"},
    {460, "lsm_set_self_attr"}, {461, "lsm_list_modules"}, {462, "mseal"},
    {463, "setxattrat"},        {464, "getxattrat"},       {465, "listxattrat"},
    {466, "removexattrat"}};

std::optional<std::string> name_of(const ArchitectureCase& arch, std::uint32_t number) {
    char* name = ::seccomp_syscall_resolve_num_arch(arch.token, static_cast<int>(number));
    if (name) {
        std::string text(name);
        std::free(name);
        return text;
    }
    const std::uint32_t plain = number - arch.first;
    if (arch.token == SCMP_ARCH_X32 && plain == 453) return std::nullopt;  // 64-bit only
    if (const auto found = newer.find(plain); found != newer.end()) {
        return found->second;
    }
    if (arch.token == SCMP_ARCH_X86_64 && number == 335) return "uretprobe";
    return std::nullopt;
}

class DefaultProfile : public testing::TestWithParam<std::string> {};

TEST_P(DefaultProfile, AnswersEveryNumberAsTheTableSays) {
    const auto table = VerdictTable::read();
    ASSERT_EQ(table.sets.size(), 5u);
    const auto& verdicts = table.by_set.at(GetParam());
    const auto filter = compile_seccomp(default_seccomp_profile(), capabilities_of(GetParam()));
    ASSERT_NE(filter, nullptr);
    int allowed = 0;
    for (const ArchitectureCase& arch : architectures) {
        for (std::uint32_t number = arch.first; number < arch.first + 1024; ++number) {
            const auto name = name_of(arch, number);
            const std::uint32_t verdict = run(*filter, arch.audit, number, {0x1234567});
            const std::uint32_t plain = number - arch.first;
            // x32 has numbers of its own, up to 547, behind the common ones.
            const std::uint32_t last = arch.token == SCMP_ARCH_X32 ? 547 : 466;
            std::uint32_t expected = plain > last ? unknown : refuse;
            if (name) {
                const auto found = verdicts.find(*name);
                const char letter = found == verdicts.end() ? 'E' : found->second;
                if (letter == 'C') continue;  // its own test below
                if (letter == 'A') expected = allow;
                if (letter == 'N') expected = unknown;
            }
            EXPECT_EQ(verdict, expected)
                << arch.name << " " << plain << " " << name.value_or("(no name)");
            allowed += verdict == allow;
        }
    }
    EXPECT_GT(allowed, 900);
}

INSTANTIATE_TEST_SUITE_P(Sets, DefaultProfile,
                         testing::Values("none", "default", "sys_admin", "sys_ptrace", "all"),
                         [](const auto& info) { return info.param; });

const SeccompFilter& default_filter() {
    static const auto filter = compile_seccomp(default_seccomp_profile(), default_capabilities());
    return *filter;
}

std::uint32_t on_x86_64(const char* name, const Arguments& arguments) {
    return run(default_filter(), AUDIT_ARCH_X86_64,
               static_cast<std::uint32_t>(::seccomp_syscall_resolve_name(name)), arguments);
}

TEST(DefaultProfile, RefusesNewNamespacesInClone) {
    for (const std::uint64_t flag : {0x00020000ULL, 0x02000000ULL, 0x04000000ULL, 0x08000000ULL,
                                     0x10000000ULL, 0x20000000ULL, 0x40000000ULL}) {
        EXPECT_EQ(on_x86_64("clone", {flag | 17}), refuse) << std::hex << flag;
        EXPECT_EQ(run(default_filter(), AUDIT_ARCH_I386, 120, {flag | 17}), refuse);
    }
    EXPECT_EQ(on_x86_64("clone", {17}), allow);
    EXPECT_EQ(on_x86_64("clone", {0x003d0f00}), allow) << "a pthread";
    EXPECT_EQ(on_x86_64("clone3", {}), unknown);
}

TEST(DefaultProfile, AllowsFivePersonalities) {
    for (const std::uint64_t persona : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL}) {
        EXPECT_EQ(on_x86_64("personality", {persona}), allow) << persona;
    }
    for (const std::uint64_t persona : {0x1ULL, 0x40000ULL, 0x20009ULL, 0x1ffffffffULL}) {
        EXPECT_EQ(on_x86_64("personality", {persona}), refuse) << persona;
    }
}

TEST(DefaultProfile, RefusesVsockAndCryptoSockets) {
    for (std::uint64_t family = 0; family < 64; ++family) {
        const std::uint32_t expected = family == 38 || family == 40 ? refuse : allow;
        EXPECT_EQ(on_x86_64("socket", {family}), expected) << family;
        EXPECT_EQ(run(default_filter(), AUDIT_ARCH_I386, 359, {family}), expected) << family;
    }
}

TEST(DefaultProfile, KillsUnknownArchitectures) {
    EXPECT_EQ(run(default_filter(), AUDIT_ARCH_AARCH64, 0), SECCOMP_RET_KILL_THREAD);
}

TEST(DefaultProfile, IsKeptAfterTheFirstUse) {
    EXPECT_EQ(compile_seccomp(default_seccomp_profile(), default_capabilities()),
              compile_seccomp(default_seccomp_profile(), default_capabilities()));
    EXPECT_EQ(compile_seccomp(default_seccomp_profile(),
                              default_capabilities() | capability_bit("CAP_NET_ADMIN")),
              compile_seccomp(default_seccomp_profile(), default_capabilities()))
        << "the profile says nothing about that capability";
    EXPECT_NE(compile_seccomp(default_seccomp_profile(),
                              default_capabilities() | capability_bit("CAP_SYSLOG")),
              compile_seccomp(default_seccomp_profile(), default_capabilities()));
    EXPECT_LT(default_filter().instructions(), 4096u);
}

TEST(CustomProfile, TakesOldAndPlainForms) {
    const auto filter = compile_seccomp(
        R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"},
                        {"names":["mkdir","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
                        {"names":["dup"],"action":"SCMP_ACT_ERRNO","args":[
                            {"index":0,"value":5,"op":"SCMP_CMP_EQ"},
                            {"index":0,"value":7,"op":"SCMP_CMP_EQ"}]}]})",
        default_capabilities());
    const auto call = [&](const char* name, const Arguments& arguments = {}) {
        return run(*filter, AUDIT_ARCH_X86_64,
                   static_cast<std::uint32_t>(::seccomp_syscall_resolve_name(name)), arguments);
    };
    EXPECT_EQ(call("chmod"), refuse);
    EXPECT_EQ(call("mkdir"), static_cast<std::uint32_t>(SECCOMP_RET_ERRNO | EACCES));
    EXPECT_EQ(call("dup", {5}), refuse);
    EXPECT_EQ(call("dup", {7}), refuse);
    EXPECT_EQ(call("dup", {6}), allow);
    EXPECT_EQ(run(*filter, AUDIT_ARCH_X86_64, 900), allow) << "no ENOSYS when all is allowed";
}

TEST(CustomProfile, ReadsNamesWithoutCase) {
    const auto filter = compile_seccomp(
        R"({"DefaultAction":"SCMP_ACT_ERRNO","defaulterrnoret":38,
            "Syscalls":[{"Names":["read"],"Action":"SCMP_ACT_ALLOW"}]})",
        0);
    EXPECT_EQ(run(*filter, AUDIT_ARCH_X86_64, 0), allow);
    EXPECT_EQ(run(*filter, AUDIT_ARCH_X86_64, 1), unknown);
}

void expect_error(const std::string& profile, const std::string& message) {
    try {
        (void)compile_seccomp(profile, 0);
        FAIL() << "accepted " << profile;
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), message.starts_with("failed to create")
                                    ? base::ErrorKind::internal
                                    : base::ErrorKind::invalid_argument);
        EXPECT_EQ(std::string(error.what()).substr(0, message.size()), message);
    }
}

TEST(CustomProfile, RefusesWhatDockerRefuses) {
    const std::string created =
        "failed to create task for container: failed to create shim task: OCI runtime create "
        "failed: runc create failed: ";
    expect_error("nonsense",
                 "Decoding seccomp profile failed: invalid character 'o' in literal null "
                 "(expecting 'u')");
    expect_error("{} {}", "Decoding seccomp profile failed: invalid character after top-level value");
    expect_error(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
                     "archMap":[{"architecture":"SCMP_ARCH_X86_64"}],"syscalls":[]})",
                 "both 'architectures' and 'archMap' are specified in the seccomp profile, use "
                 "either 'architectures' or 'archMap'");
    expect_error(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                     {"name":"read","names":["write"],"action":"SCMP_ACT_ERRNO"}]})",
                 "both 'name' and 'names' are specified in the seccomp profile, use either 'name' "
                 "or 'names'");
    expect_error(R"({"defaultAction":"SCMP_ACT_SOME","syscalls":[]})",
                 created + "string SCMP_ACT_SOME is not a valid action for seccomp: unknown");
    expect_error(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]})",
                 created + "string SCMP_ARCH_VAX is not a valid arch for seccomp: unknown");
    expect_error(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],
                     "action":"SCMP_ACT_ERRNO","includes":{"minKernel":"4"}}]})",
                 "Decoding seccomp profile failed: invalid kernel version");
}

TEST(CustomProfile, EmptyOneMeansNoFilter) { EXPECT_EQ(compile_seccomp("{}", 0), nullptr); }

TEST(SeccompChoice, FollowsContainerThenPrivilegeThenDaemon) {
    const CapabilitySet caps = default_capabilities();
    const auto standard = compile_seccomp(default_seccomp_profile(), caps);
    EXPECT_EQ(choose_seccomp({}, caps), standard);
    EXPECT_EQ(choose_seccomp({.option = "unconfined"}, caps), nullptr);
    EXPECT_EQ(choose_seccomp({.privileged = true}, caps), nullptr);
    EXPECT_EQ(choose_seccomp({.daemon_profile = "unconfined"}, caps), nullptr);
    EXPECT_EQ(choose_seccomp({.option = "builtin", .daemon_profile = "unconfined"}, caps),
              standard);
    EXPECT_EQ(choose_seccomp({.kernel_support = false}, caps), nullptr);
}

}  // namespace
}  // namespace dockerd::runtime
