#include "devices.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;

namespace {

constexpr DeviceTable::Access all_access =
    BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;

DeviceTable::Access parse_access(const std::string& text) {
    DeviceTable::Access access = 0;
    for (const char letter : text) {
        switch (letter) {
            case 'r':
                access |= BPF_DEVCG_ACC_READ;
                break;
            case 'w':
                access |= BPF_DEVCG_ACC_WRITE;
                break;
            case 'm':
                access |= BPF_DEVCG_ACC_MKNOD;
                break;
            default:
                throw Error(ErrorKind::internal, fmt::format("unknown device access {}", letter));
        }
    }
    return access;
}

std::string access_text(DeviceTable::Access access) {
    std::string text;
    if (access & BPF_DEVCG_ACC_READ) text += 'r';
    if (access & BPF_DEVCG_ACC_WRITE) text += 'w';
    if (access & BPF_DEVCG_ACC_MKNOD) text += 'm';
    return text;
}

std::string number_text(std::int64_t number) { return number < 0 ? "*" : std::to_string(number); }

}  // namespace

DeviceTable::DeviceTable(const std::vector<DeviceRule>& rules) {
    for (const DeviceRule& rule : rules) {
        if (rule.type == 'a') {
            default_allow_ = rule.allow;
            exceptions_.clear();
            continue;
        }
        const Key key{rule.type, rule.major < 0 ? -1 : rule.major,
                      rule.minor < 0 ? -1 : rule.minor};
        if (rule.allow != default_allow_) {
            exceptions_[key] |= parse_access(rule.access);
        } else {
            remove(key, parse_access(rule.access));
        }
    }
}

void DeviceTable::remove(const Key& key, Access access) {
    // The kernel ignores the removal of a part of a wildcard; saying nothing would leave open
    // what was meant to be closed.
    for (const Key& wider :
         {Key{key.type, -1, key.minor}, Key{key.type, key.major, -1}, Key{key.type, -1, -1}}) {
        const bool same = !(wider < key) && !(key < wider);
        const auto found = exceptions_.find(wider);
        if (!same && found != exceptions_.end() && (found->second & access) != 0) {
            throw Error(
                ErrorKind::internal,
                fmt::format(
                    "requested rule [{} {}:{} {}] not supported by devices cgroupv1 (cannot "
                    "punch hole in existing wildcard rule [{} {}:{} {}])",
                    key.type, number_text(key.major), number_text(key.minor), access_text(access),
                    wider.type, number_text(wider.major), number_text(wider.minor),
                    access_text(found->second)));
        }
    }
    if (const auto found = exceptions_.find(key); found != exceptions_.end()) {
        found->second &= ~access;
        if (found->second == 0) exceptions_.erase(found);
    }
}

void apply_devices_v1(const CgroupDirectory& directory, const std::vector<DeviceRule>& rules) {
    const DeviceTable table(rules);
    const bool allow = table.allows_by_default();
    directory.write(allow ? "devices.allow" : "devices.deny", "a *:* rwm");
    if (table.exceptions().empty()) return;
    // One file for all of them: a start writes about twenty.
    const std::string_view name = allow ? "devices.deny" : "devices.allow";
    const base::Fd file{
        ::openat(directory.root(), directory.file(name).c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file) directory.fail_write(errno, name, "");
    for (const auto& [key, access] : table.exceptions()) {
        const std::string line = fmt::format("{} {}:{} {}", key.type, number_text(key.major),
                                             number_text(key.minor), access_text(access));
        if (::write(file.get(), line.data(), line.size()) < 0) {
            directory.fail_write(errno, name, line);
        }
    }
}

namespace {

bpf_insn instruction(int code, int dst, int src, int off, std::int32_t imm) {
    bpf_insn one{};
    one.code = static_cast<std::uint8_t>(code);
    one.dst_reg = static_cast<std::uint8_t>(dst & 0xf);
    one.src_reg = static_cast<std::uint8_t>(src & 0xf);
    one.off = static_cast<std::int16_t>(off);
    one.imm = imm;
    return one;
}

bpf_insn load_word(int dst, int src, int off) {
    return instruction(BPF_LDX | BPF_MEM | BPF_W, dst, src, off, 0);
}
bpf_insn jump_unless_equal(int reg, std::int64_t value, int off) {
    return instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, off, static_cast<std::int32_t>(value));
}

}  // namespace

std::vector<bpf_insn> build_device_program(const DeviceTable& table) {
    // r1: struct bpf_cgroup_dev_ctx; r2: type, r3: access, r4: major, r5: minor.
    std::vector<bpf_insn> program{
        load_word(2, 1, 0), instruction(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff),
        load_word(3, 1, 0), instruction(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16),
        load_word(4, 1, 4), load_word(5, 1, 8),
    };
    const auto answer = [&](bool allow) {
        program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, allow ? 1 : 0));
        program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
    };
    for (const auto& [key, access] : table.exceptions()) {
        std::vector<bpf_insn> tests{
            jump_unless_equal(2, key.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0)};
        // Allowing needs every requested access to be in the rule; denying needs one of them.
        // (runc uses the first test for both and so misses "rw" against a denied "w".)
        if (access != all_access) {
            tests.push_back(instruction(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0));
            tests.push_back(
                instruction(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, static_cast<std::int32_t>(access)));
            if (table.allows_by_default()) {
                tests.push_back(instruction(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0, 0));
            } else {
                tests.push_back(instruction(BPF_JMP | BPF_JNE | BPF_X, 1, 3, 0, 0));
            }
        }
        if (key.major >= 0) tests.push_back(jump_unless_equal(4, key.major, 0));
        if (key.minor >= 0) tests.push_back(jump_unless_equal(5, key.minor, 0));
        // Every jump goes behind the two instructions of the answer.
        for (std::size_t at = 0; at < tests.size(); ++at) {
            if (BPF_CLASS(tests[at].code) == BPF_JMP) {
                tests[at].off = static_cast<std::int16_t>(tests.size() - at + 1);
            }
        }
        program.insert(program.end(), tests.begin(), tests.end());
        answer(!table.allows_by_default());
    }
    answer(table.allows_by_default());
    return program;
}

namespace {

int bpf(int command, bpf_attr& attributes) {
    return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

/// Device programs attached to `directory` now.
std::vector<std::uint32_t> attached_programs(int directory) {
    std::array<std::uint32_t, 64> ids{};
    bpf_attr attributes{};
    attributes.query.target_fd = static_cast<std::uint32_t>(directory);
    attributes.query.attach_type = BPF_CGROUP_DEVICE;
    attributes.query.prog_ids = reinterpret_cast<std::uint64_t>(ids.data());
    attributes.query.prog_cnt = static_cast<std::uint32_t>(ids.size());
    if (bpf(BPF_PROG_QUERY, attributes) != 0) return {};
    return {ids.begin(), ids.begin() + attributes.query.prog_cnt};
}

}  // namespace

void apply_devices_v2(const CgroupDirectory& directory, const std::vector<DeviceRule>& rules) {
    static constexpr char license[] = "Apache";
    const std::vector<bpf_insn> program = build_device_program(DeviceTable(rules));

    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = reinterpret_cast<std::uint64_t>(program.data());
    load.insn_cnt = static_cast<std::uint32_t>(program.size());
    load.license = reinterpret_cast<std::uint64_t>(license);
    const base::Fd loaded{bpf(BPF_PROG_LOAD, load)};
    if (!loaded) base::throw_errno(errno, "bpf_prog_load");

    const base::Fd folder{
        ::openat(directory.root(), directory.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) base::throw_errno(errno, "open " + directory.host_path());
    const auto older = attached_programs(folder.get());

    bpf_attr attach{};
    attach.target_fd = static_cast<std::uint32_t>(folder.get());
    attach.attach_bpf_fd = static_cast<std::uint32_t>(loaded.get());
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    if (bpf(BPF_PROG_ATTACH, attach) != 0) base::throw_errno(errno, "bpf_prog_attach");

    // The new one first, so that at no time everything is allowed.
    for (const std::uint32_t id : older) {
        bpf_attr get{};
        get.prog_id = id;
        const base::Fd old{bpf(BPF_PROG_GET_FD_BY_ID, get)};
        if (!old) continue;
        bpf_attr detach{};
        detach.target_fd = static_cast<std::uint32_t>(folder.get());
        detach.attach_bpf_fd = static_cast<std::uint32_t>(old.get());
        detach.attach_type = BPF_CGROUP_DEVICE;
        (void)bpf(BPF_PROG_DETACH, detach);  // gone already is as good
    }
}

}  // namespace dockerd::runtime
