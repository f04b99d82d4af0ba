#include <runtime/cgroup/devices.hpp>

#include <linux/bpf.h>

#include <array>
#include <stdexcept>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {
namespace {

/// Runs a device program as the kernel does, for the instructions it uses.
bool allows(const std::vector<bpf_insn>& program, char type, std::uint32_t major,
            std::uint32_t minor, std::uint32_t access) {
    const std::uint32_t kind = type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
    const std::array<std::uint32_t, 3> context{access << 16 | kind, major, minor};
    std::array<std::uint64_t, 11> r{};
    for (std::size_t pc = 0; pc < program.size(); ++pc) {
        const bpf_insn& op = program[pc];
        const std::uint64_t operand =
            BPF_SRC(op.code) == BPF_X ? r[op.src_reg] : static_cast<std::uint64_t>(op.imm);
        auto& target = r[op.dst_reg];
        switch (op.code) {
            case BPF_LDX | BPF_MEM | BPF_W:
                target = context.at(static_cast<std::size_t>(op.off) / 4);
                break;
            case BPF_ALU | BPF_AND | BPF_K:
                target = static_cast<std::uint32_t>(target & operand);
                break;
            case BPF_ALU | BPF_RSH | BPF_K:
                target = static_cast<std::uint32_t>(target) >> op.imm;
                break;
            case BPF_ALU | BPF_MOV | BPF_X:
                target = static_cast<std::uint32_t>(operand);
                break;
            case BPF_ALU64 | BPF_MOV | BPF_K:
                target = operand;
                break;
            case BPF_JMP | BPF_JNE | BPF_K:
            case BPF_JMP | BPF_JNE | BPF_X:
                if (target != operand) pc += static_cast<std::size_t>(op.off);
                break;
            case BPF_JMP | BPF_JEQ | BPF_K:
                if (target == operand) pc += static_cast<std::size_t>(op.off);
                break;
            case BPF_JMP | BPF_EXIT:
                return r[0] != 0;
            default:
                throw std::runtime_error("unexpected instruction");
        }
    }
    throw std::runtime_error("ran off the end");
}

constexpr std::uint32_t m = BPF_DEVCG_ACC_MKNOD, r = BPF_DEVCG_ACC_READ, w = BPF_DEVCG_ACC_WRITE;

TEST(DeviceProgram, DeniesByDefaultAndAllowsWhatRulesSay) {
    const auto program = build_device_program(DeviceTable({
        {.allow = false},
        {.type = 'c', .major = 1, .minor = 3},
        {.type = 'c', .access = "m"},
        {.type = 'b', .major = 8, .access = "r"},
        {.type = 'c', .major = 136},
    }));
    EXPECT_TRUE(allows(program, 'c', 1, 3, r | w));
    EXPECT_FALSE(allows(program, 'b', 1, 3, r));
    EXPECT_FALSE(allows(program, 'c', 1, 4, r));
    EXPECT_TRUE(allows(program, 'c', 99, 99, m));
    EXPECT_FALSE(allows(program, 'c', 99, 99, m | r));
    EXPECT_TRUE(allows(program, 'b', 8, 17, r));
    EXPECT_FALSE(allows(program, 'b', 8, 17, r | w));
    EXPECT_TRUE(allows(program, 'c', 136, 5, r | w | m));
}

TEST(DeviceProgram, DeniedPartOfAnAccessDeniesIt) {
    const auto program = build_device_program(DeviceTable(
        {{.allow = true}, {.allow = false, .type = 'b', .major = 8, .minor = 0, .access = "w"}}));
    EXPECT_TRUE(allows(program, 'c', 1, 1, r | w));
    EXPECT_TRUE(allows(program, 'b', 8, 0, r));
    EXPECT_FALSE(allows(program, 'b', 8, 0, w));
    EXPECT_FALSE(allows(program, 'b', 8, 0, r | w));
}

TEST(DeviceTable, FoldsRulesInOrder) {
    const DeviceTable table({{.allow = false},
                             {.type = 'c', .major = 10, .minor = 229, .access = "rw"},
                             {.allow = false, .type = 'c', .major = 10, .minor = 229},
                             {.type = 'c', .major = 5, .minor = 0, .access = "r"},
                             {.type = 'c', .major = 5, .minor = 0, .access = "m"}});
    EXPECT_FALSE(table.allows_by_default());
    ASSERT_EQ(table.exceptions().size(), 1u);
    EXPECT_EQ(table.exceptions().begin()->second, r | m);
    EXPECT_TRUE(DeviceTable({{.allow = false}, {.allow = true}}).allows_by_default());
}

TEST(DeviceTable, RefusesAHoleInAWildcard) {
    try {
        const DeviceTable table({{.allow = false},
                                 {.type = 'c', .major = 10},
                                 {.allow = false, .type = 'c', .major = 10, .minor = 1}});
        FAIL() << "punched a hole";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(),
                     "requested rule [c 10:1 rwm] not supported by devices cgroupv1 (cannot punch "
                     "hole in existing wildcard rule [c 10:* rwm])");
    }
}

}  // namespace
}  // namespace dockerd::runtime
