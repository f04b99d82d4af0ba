#include "seccomp_prologue.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <seccomp.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

namespace dockerd::runtime {

namespace {

constexpr std::uint32_t x32_bit = 0x40000000;

using Code = std::vector<sock_filter>;

sock_filter load(std::size_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
sock_filter answer(std::uint32_t value) { return BPF_STMT(BPF_RET | BPF_K, value); }
sock_filter jump(std::size_t count) {
    return BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(count));
}
sock_filter test(int condition, std::uint32_t value, unsigned if_true, unsigned if_false) {
    return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | condition | BPF_K), value,
                    static_cast<std::uint8_t>(if_true), static_cast<std::uint8_t>(if_false));
}

/// Tests of one set of numbers, with the number loaded. Falls out at its end when none applies.
Code number_tests(const SeccompPrologue::Architecture& architecture, bool enosys) {
    Code code;
    if (!architecture.actions.empty()) {
        // Nearly all calls are older than these: one test takes them past the list.
        const auto first = architecture.actions.begin()->first;
        const std::size_t list = architecture.actions.size() * 2;
        code.push_back(test(BPF_JGE, first, 1, 0));
        code.push_back(jump(list));
        for (const auto& [number, action] : architecture.actions) {
            code.push_back(test(BPF_JEQ, number, 0, 1));
            code.push_back(answer(action));
        }
    }
    if (enosys && architecture.last >= 0) {
        code.push_back(test(BPF_JGT, static_cast<std::uint32_t>(architecture.last), 0, 1));
        code.push_back(answer(SECCOMP_RET_ERRNO | ENOSYS));
    }
    return code;
}

void append(Code& code, const Code& more) { code.insert(code.end(), more.begin(), more.end()); }

}  // namespace

std::string build_prologue(const SeccompPrologue& prologue) {
    // Sections by the kernel's number for the architecture; x86_64 and x32 share one.
    std::map<std::uint32_t, std::pair<Code, Code>> sections;
    for (const auto& architecture : prologue.architectures) {
        const bool x32 = architecture.token == SCMP_ARCH_X32;
        const std::uint32_t audit = x32 ? AUDIT_ARCH_X86_64 : architecture.token;
        Code tests = number_tests(architecture, prologue.enosys_above_last);
        (x32 ? sections[audit].second : sections[audit].first) = std::move(tests);
    }

    // Built from the end, so that every distance to the end is known.
    Code program;
    for (const auto& [audit, parts] : sections) {
        const auto& [plain, x32] = parts;
        Code section{load(offsetof(seccomp_data, nr))};
        if (audit == AUDIT_ARCH_X86_64 && !x32.empty()) {
            section.push_back(test(BPF_JSET, x32_bit, 0, 1));
            section.push_back(jump(plain.size() + 1));
            append(section, plain);
            section.push_back(jump(x32.size() + 1 + program.size()));
            append(section, x32);
        } else {
            append(section, plain);
        }
        section.push_back(jump(program.size()));
        // Another architecture: on to the next section.
        Code guarded{test(BPF_JEQ, audit, 1, 0), jump(section.size())};
        append(guarded, section);
        append(guarded, program);
        program = std::move(guarded);
    }
    if (program.empty()) return {};
    program.insert(program.begin(), load(offsetof(seccomp_data, arch)));
    return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

int newer_syscall(std::uint32_t token, std::string_view name) {
    if (token == SCMP_ARCH_X86_64 && name == "uretprobe") return 335;
    // One number on every architecture. Source: kernel scripts/syscall.tbl.
    static constexpr std::array<std::pair<std::string_view, int>, 22> numbers{{
        {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
        {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
        {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
        {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
        {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
        {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
        {"file_setattr", 469},      {"listns", 470},           {"rseq_slice_yield", 471},
        {"process_mrelease", 448},
    }};
    for (const auto& [known, number] : numbers) {
        if (known != name) continue;
        if (token == SCMP_ARCH_X32) return static_cast<int>(x32_bit) + number;
        const bool shifted = token == SCMP_ARCH_MIPS || token == SCMP_ARCH_MIPSEL;
        const bool mips64 = token == SCMP_ARCH_MIPS64 || token == SCMP_ARCH_MIPSEL64;
        const bool n32 = token == SCMP_ARCH_MIPS64N32 || token == SCMP_ARCH_MIPSEL64N32;
        return number + (shifted ? 4000 : mips64 ? 5000 : n32 ? 6000 : 0);
    }
    return -1;
}

}  // namespace dockerd::runtime
