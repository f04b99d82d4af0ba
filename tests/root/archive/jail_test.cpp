// What a worker can and cannot do, from inside by a program that stands in its place, and from
// outside by what the kernel says of it.

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <zstd.h>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "hostile.hpp"
#include "support/unpacker.hpp"

namespace dockerd::archive {
namespace {

namespace fs = std::filesystem;
using testing::archive_of;
using testing::Arena;

std::string slurp(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

/// The value of `key` in /proc/<pid>/status.
std::string status_of(pid_t pid, const std::string& key) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(key + ":")) {
            return std::string(base::trim(std::string_view(line).substr(key.size() + 1)));
        }
    }
    return "none";
}

class Jail : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        (void)std::signal(SIGPIPE, SIG_IGN);
    }

    /// Starts workers, and remembers the last one's pid.
    Unpacker watched() {
        return Unpacker([this](int program, std::span<const int> fds) {
            base::Fd pidfd = start_directly(program, fds);
            std::ifstream info("/proc/self/fdinfo/" + std::to_string(pidfd.get()));
            for (std::string key; info >> key;) {
                if (key == "Pid:") info >> pid_;
            }
            return pidfd;
        });
    }

    /// What the probe could do with this task.
    template <typename Work>
    static std::map<std::string, int> attempts(const Work& work) {
        const Unpacker unpacker(start_directly,
                                base::Fd{::open(DOCKERD_JAIL_PROBE, O_RDONLY | O_CLOEXEC)});
        std::map<std::string, int> out;
        try {
            work(unpacker);
        } catch (const base::Error& error) {
            for (const std::string& item : base::split(error.what(), ' ')) {
                const auto parts = base::split(item, '=');
                if (parts.size() == 2) out[parts[0]] = std::stoi(parts[1]);
            }
        }
        return out;
    }

    pid_t pid_ = 0;
};

/// What is refused whatever the task is.
const std::vector<std::string> never = {"ptrace",
                                        "kill",
                                        "pidfd_open",
                                        "fork",
                                        "clone3",
                                        "execve",
                                        "process_vm_readv",
                                        "socket-inet",
                                        "socket-unix",
                                        "socket-netlink",
                                        "mount",
                                        "umount",
                                        "fsopen",
                                        "open_tree",
                                        "move_mount",
                                        "pivot_root",
                                        "chroot",
                                        "setns",
                                        "unshare",
                                        "bpf",
                                        "keyctl",
                                        "io_uring",
                                        "userfaultfd",
                                        "perf_event",
                                        "by_handle",
                                        "ioctl",
                                        "prctl",
                                        "capset",
                                        "setuid",
                                        "setrlimit",
                                        "memfd",
                                        "init_module",
                                        "sethostname",
                                        "fcntl-setown",
                                        "fcntl-async",
                                        "madvise-poison",
                                        "sendmsg",
                                        "mmap-exec",
                                        "mprotect-exec"};

TEST_F(Jail, AWorkerThatWritesFilesReachesOnlyThose) {
    const Arena arena;
    const base::Fd root = arena.open_root();
    auto found = attempts([&](const Unpacker& unpacker) {
        const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
        (void)unpacker.unpack_layer(memory_source(""), root.get(), split.get());
    });
    for (const std::string& name : never) EXPECT_EQ(found[name], EPERM) << name;
    EXPECT_EQ(found["open-passwd"], ENOENT);
    EXPECT_EQ(found["open-dots"], ENOENT);
    EXPECT_EQ(found["open-dots-of-root"], ENOENT);
    EXPECT_EQ(found["open-proc"], ENOENT);
    EXPECT_EQ(found["mknod"], 0);
    EXPECT_EQ(found["open-device"], EACCES);
    EXPECT_EQ(found["mmap"], 0);
    EXPECT_EQ(found["mmap-2g"], ENOMEM);
    EXPECT_EQ(found.size(), never.size() + 8);
    EXPECT_EQ(arena.state(), arena.before);
}

TEST_F(Jail, AWorkerThatDecompressesReachesNoFile) {
    auto found = attempts([&](const Unpacker& unpacker) {
        const ByteSource out = unpacker.decompress(memory_source("\x1f\x8b\x08 not really"));
        char byte = 0;
        (void)out({&byte, 1});
    });
    for (const std::string& name : never) EXPECT_EQ(found[name], EPERM) << name;
    for (const char* name :
         {"open-passwd", "open-dots", "open-dots-of-root", "open-proc", "mknod", "open-device"}) {
        EXPECT_EQ(found[name], EPERM) << name;
    }
    EXPECT_EQ(found["mmap"], 0);
    EXPECT_EQ(found["mmap-2g"], ENOMEM);
    EXPECT_EQ(found.size(), never.size() + 8);
}

/// Calls `look` once, when the worker has taken in what came before and waits for more.
ByteSource looked_at(std::string bytes, const pid_t& pid, std::function<void()> look) {
    return [rest = memory_source(std::move(bytes)), &pid, look](std::span<char> buffer) mutable {
        const std::size_t n = rest(buffer);
        if (n > 0 || !look) return n;
        // The bytes went off; it sleeps in read again when they are worked through.
        while (status_of(pid, "State").front() != 'S') std::this_thread::yield();
        std::exchange(look, nullptr)();
        return n;
    };
}

/// Whole blocks are passed on at once; so this much is with the worker when the source is asked
/// for more.
constexpr std::size_t block = 256 * 1024;

TEST_F(Jail, TheKernelSaysWhatAWorkerHas) {
    const Arena arena;
    const base::Fd root = arena.open_root();
    const Unpacker unpacker = watched();
    const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
    std::string tar = archive_of({{.name = "f", .data = std::string(2 * block, 'x')}});
    tar.resize(block);
    std::string error;
    try {
        (void)unpacker.unpack_layer(
            looked_at(tar, pid_,
                      [&] {
                          // CHOWN DAC_OVERRIDE FOWNER FSETID SYS_ADMIN MKNOD SETFCAP, as far as we
                          // have them.
                          std::uint64_t all = 0;
                          for (const int one : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                                                CAP_SYS_ADMIN, CAP_MKNOD, CAP_SETFCAP}) {
                              all |= 1ULL << static_cast<unsigned>(one);
                          }
                          all &= std::stoull(status_of(::getpid(), "CapPrm"), nullptr, 16);
                          EXPECT_EQ(status_of(pid_, "CapEff"), fmt::format("{:016x}", all));
                          EXPECT_EQ(status_of(pid_, "CapPrm"), fmt::format("{:016x}", all));
                          EXPECT_EQ(status_of(pid_, "CapInh"), fmt::format("{:016x}", 0));
                          EXPECT_EQ(status_of(pid_, "CapBnd"), fmt::format("{:016x}", 0));
                          EXPECT_EQ(status_of(pid_, "CapAmb"), fmt::format("{:016x}", 0));
                          EXPECT_EQ(status_of(pid_, "NoNewPrivs"), "1");
                          EXPECT_EQ(status_of(pid_, "Seccomp"), "2");
                          EXPECT_EQ(status_of(pid_, "Threads"), "1");
                          const std::string proc = "/proc/" + std::to_string(pid_);
                          // The name of a root that is in no mount table.
                          EXPECT_EQ(fs::read_symlink(proc + "/root"), "/");
                          EXPECT_TRUE(fs::exists(proc + "/root/dest"));
                          EXPECT_FALSE(fs::exists(proc + "/root/outside"));
                          EXPECT_EQ(fs::read_symlink(proc + "/exe"),
                                    "/memfd:docker-unpack (deleted)");
                          std::set<std::string> fds;
                          for (const auto& item : fs::directory_iterator(proc + "/fd")) {
                              fds.insert(item.path().filename());
                          }
                          // The member's file beside its own.
                          EXPECT_EQ(fds.size(), 3U + 6U + 2U) << "parent directory and file";
                          EXPECT_EQ(slurp(proc + "/environ"), "");
                          EXPECT_NE(slurp(proc + "/limits").find("Max core file size        0"),
                                    std::string::npos);
                      }),
            root.get(), split.get());
    } catch (const base::Error& cut) {
        error = cut.what();
    }
    EXPECT_EQ(error, "unexpected EOF");
}

TEST_F(Jail, AKilledWorkerIsAClearError) {
    const Arena arena;
    const base::Fd root = arena.open_root();
    const Unpacker unpacker = watched();
    const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
    const auto error_of = [](const auto& work) -> std::string {
        try {
            work();
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), base::ErrorKind::internal);
            return error.what();
        }
        return "none";
    };
    std::string tar = archive_of({{.name = "f", .data = std::string(8 * block, 'x')}});
    const auto killing = [&](std::string bytes, int signal) {
        bytes.resize(block);
        return looked_at(std::move(bytes), pid_, [&, signal] { ::kill(pid_, signal); });
    };
    EXPECT_EQ(error_of([&] {
                  (void)unpacker.unpack_layer(killing(tar, SIGKILL), root.get(), split.get());
              }),
              "unpack: killed by signal 9");
    EXPECT_EQ(
        error_of([&] { (void)unpacker.unpack_archive(killing(tar, SIGSEGV), root.get(), {}); }),
        "unpack: killed by signal 11");
    // Nobody is left behind, dead or alive.
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST_F(Jail, AFailingOriginIsTheErrorAndEndsTheWorker) {
    const Arena arena;
    const base::Fd root = arena.open_root();
    const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
    const ByteSource failing = [](std::span<char>) -> std::size_t {
        base::fail(base::ErrorKind::unavailable, "the client went away");
    };
    std::string packed;
    GzipSink gzip([&](std::string_view bytes) { packed += bytes; });
    gzip.write(std::string(100'000, 'x'));
    gzip.finish();
    const auto error_of = [](const auto& work) -> std::string {
        try {
            work();
        } catch (const base::Error& error) {
            return error.what();
        }
        return "none";
    };
    EXPECT_EQ(
        error_of([&] { (void)testing_unpacker().unpack_layer(failing, root.get(), split.get()); }),
        "the client went away");
    EXPECT_EQ(error_of([&] {
                  auto head = memory_source(packed.substr(0, 50));
                  const ByteSource source = [&](std::span<char> buffer) {
                      const std::size_t n = head(buffer);
                      return n > 0 ? n : failing(buffer);
                  };
                  const ByteSource out = testing_unpacker().decompress(source);
                  char buffer[4096];
                  while (out(buffer) > 0) {
                  }
              }),
              "the client went away");
    // A reader that has enough ends it too.
    {
        const ByteSource out = testing_unpacker().decompress(memory_source(packed));
        char byte = 0;
        EXPECT_EQ(out({&byte, 1}), 1U);
        EXPECT_EQ(byte, 'x');
    }
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

/// One part again and again: a bomb without the trouble of making one. `look` is called between.
ByteSource repeated(const std::string& part, int times, const std::function<void()>& look) {
    return [part, left = times, at = std::size_t{0}, look](std::span<char> buffer) mutable {
        if (at == part.size()) {
            at = 0;
            --left;
            look();
        }
        if (left == 0) return std::size_t{0};
        const std::size_t n = std::min(buffer.size(), part.size() - at);
        part.copy(buffer.data(), n, at);
        at += n;
        return n;
    };
}

/// The most memory a process ever had, in MiB.
int peak_of(pid_t pid) { return std::stoi(status_of(pid, "VmHWM")) / 1024; }

TEST_F(Jail, ABombCostsTimeButNoMemory) {
    const std::string zeros(64U << 20U, '\0');
    std::string gzip_part;
    GzipSink gzip([&](std::string_view bytes) { gzip_part += bytes; });
    gzip.write(zeros);
    gzip.finish();
    std::string zstd_part(ZSTD_compressBound(zeros.size()), '\0');
    zstd_part.resize(
        ZSTD_compress(zstd_part.data(), zstd_part.size(), zeros.data(), zeros.size(), 1));
    const Unpacker unpacker = watched();
    for (const std::string& part : {gzip_part, zstd_part}) {
        int peak = 0;
        const ByteSource out = unpacker.decompress(repeated(part, 128, [] {}));
        const int own_before = peak_of(::getpid());
        std::vector<char> buffer(block);
        std::uint64_t total = 0;
        while (const std::size_t n = out(buffer)) {
            // Looked at until shortly before the end: it holds back no more than its pipe does.
            const std::uint64_t before = total >> 28U;
            total += n;
            if (total >> 28U != before && total < 8ULL << 30U) {
                peak = std::max(peak, peak_of(pid_));
            }
        }
        EXPECT_EQ(total, 8ULL << 30U);
        EXPECT_GT(peak, 0);
        EXPECT_LT(peak, 16);
#ifndef __SANITIZE_THREAD__  // whose notes about this process's memory grow with what it does
        EXPECT_LE(peak_of(::getpid()), own_before + 8);
#else
        (void)own_before;
#endif
    }
}

TEST_F(Jail, ABombBehindTheArchivesEndCostsNoMemory) {
    // Padding is part of the layer's digest and of tar-split (CVE-2017-14992).
    const Arena arena;
    const base::Fd root = arena.open_root();
    const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
    const std::string end = archive_of({{.name = "f", .data = "x"}});
    int peak = 0;
    const ByteSource zeros =
        repeated(std::string(1U << 20U, '\0'), 512, [&] { peak = std::max(peak, peak_of(pid_)); });
    const ByteSource source = [head = memory_source(end), zeros](std::span<char> buffer) {
        const std::size_t n = head(buffer);
        return n > 0 ? n : zeros(buffer);
    };
    EXPECT_EQ(watched().unpack_layer(source, root.get(), split.get()).entries, 1);
    EXPECT_GT(peak, 0);
    EXPECT_LT(peak, 24);
}

TEST_F(Jail, AWindowOfGigabytesIsRefused) {
    // A frame whose header asks for a window of 2 GiB.
    const std::string frame("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);
    const ByteSource out = testing_unpacker().decompress(memory_source(frame));
    char byte = 0;
    try {
        (void)out({&byte, 1});
        FAIL() << "took it";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "zstd: invalid input");
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
    }
}

TEST_F(Jail, WhatTheWorkerUnpacksIsWhatThisProcessWould) {
    // All kinds of members once, through both, compared by what pack() makes of them.
    const std::vector<testing::Raw> members = {
        {.name = "d/", .type = '5', .mode = 02750},
        {.name = "d/f", .data = "12345", .mode = 04711},
        {.name = "d/h", .type = '1', .link = "d/f", .mode = 04711},
        {.name = "d/s", .type = '2', .link = "/absolute/target"},
        {.name = "d/p", .type = '6', .mode = 06640},
        {.name = "d/n", .type = '3', .mode = 0666, .device = testing::device_field(1, 3)},
        testing::pax(testing::record("SCHILY.xattr.user.a", "b")),
        {.name = "implied/f", .data = "x", .mode = 0600},
        {.name = "d/.wh.gone"},
        {.name = "implied/.wh..wh..opq"},
    };
    const auto describe = [](const Arena& arena) {
        std::map<std::string, std::string> out;
        for (const auto& item : fs::recursive_directory_iterator(arena.top + "/root")) {
            struct stat info {};
            EXPECT_EQ(::lstat(item.path().c_str(), &info), 0);
            char names[256];
            const ssize_t size = ::llistxattr(item.path().c_str(), names, sizeof names);
            out[item.path().string().substr(arena.top.size())] =
                fmt::format("{:o} {} {} {} {} {} {}", info.st_mode, info.st_uid, info.st_gid,
                            info.st_nlink, info.st_rdev, S_ISDIR(info.st_mode) ? 0 : info.st_size,
                            std::string(names, static_cast<std::size_t>(size)));
        }
        return out;
    };
    const Arena here;
    const Arena there;
    const base::Fd root_here = here.open_root();
    const base::Fd root_there = there.open_root();
    TarReader reader(memory_source(archive_of(members)));
    ExtractOptions options;
    options.whiteouts = ExtractOptions::Whiteouts::overlay;
    const ExtractResult expected = extract(reader, root_here.get(), options);
    const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
    const ExtractResult result = testing_unpacker().unpack_layer(memory_source(archive_of(members)),
                                                                 root_there.get(), split.get());
    EXPECT_EQ(result.size, expected.size);
    EXPECT_EQ(result.entries, expected.entries);
    EXPECT_EQ(result.entries, 9);
    EXPECT_EQ(describe(there), describe(here));
    EXPECT_EQ(describe(there).size(), 10U);
}

}  // namespace
}  // namespace dockerd::archive
