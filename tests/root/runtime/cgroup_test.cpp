#include <dockerd/runtime/cgroup.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {
namespace {

/// Real hierarchies, below a parent of the test's own.
class RealCgroups : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        host.emplace(CgroupHost::open());
        if (host->controller_path("memory").empty()) GTEST_SKIP() << "no memory controller";
        parent = fmt::format("/dockerd-test-{}", ::getpid());
    }
    void TearDown() override {
        for (const pid_t child : children) {
            (void)::kill(child, SIGKILL);
            (void)::waitpid(child, nullptr, 0);
        }
        // The parent itself is a cgroup too: attach to it by its own name.
        if (!host) return;
        EXPECT_TRUE(host->attach("/", parent.substr(1)).remove());
    }

    /// A child that joins and then runs `body`.
    template <typename Body>
    pid_t spawn(const Cgroup& cgroup, Body body) {
        const auto procs = cgroup.open_procs();
        const pid_t child = ::fork();
        if (child == 0) {
            for (const auto& file : procs) {
                if (::write(file.get(), "0", 1) != 1) ::_exit(99);
            }
            body();
            ::_exit(0);
        }
        children.push_back(child);
        return child;
    }

    [[nodiscard]] std::string read(const std::string& controller, const std::string& file) const {
        std::ifstream in(host->controller_path(controller) + parent + "/c/" + file);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    std::optional<CgroupHost> host;
    std::string parent;
    std::vector<pid_t> children;
};

/// Waits until the process has stopped waiting for us: it closes its end of a pipe.
struct Signal {
    Signal() { EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); }
    void raise() const { (void)!::write(ends[1], "x", 1); }
    void wait() const {
        char byte = 0;
        (void)!::read(ends[0], &byte, 1);
    }
    int ends[2]{};
};

TEST_F(RealCgroups, CreatesLimitsJoinsAndRemoves) {
    CgroupLimits limits;
    limits.memory = 32 << 20;
    limits.memory_swap = 32 << 20;
    limits.cpu_shares = 512;
    limits.pids = 20;
    Cgroup cgroup = host->create(parent, "c", limits);
    if (host->version() == CgroupVersion::v1) {
        EXPECT_EQ(read("memory", "memory.limit_in_bytes"), "33554432\n");
        EXPECT_EQ(read("cpu", "cpu.shares"), "512\n");
        EXPECT_EQ(read("pids", "pids.max"), "20\n");
        EXPECT_NE(read("cpuset", "cpuset.cpus"), "\n");
    }
    const Signal ready;
    const pid_t child = spawn(cgroup, [&] {
        ready.raise();
        for (;;) ::pause();
    });
    ready.wait();
    EXPECT_EQ(cgroup.pids(), std::vector<pid_t>{child});
    const CgroupStats stats = cgroup.stats();
#ifdef __SANITIZE_THREAD__
    // The sanitizer has a thread of its own in the child, which may begin later.
    EXPECT_GE(stats.pids.current, 1u);
    EXPECT_LE(stats.pids.current, 2u);
#else
    EXPECT_EQ(stats.pids.current, 1u);
#endif
    EXPECT_EQ(stats.pids.limit, 20u);
    EXPECT_EQ(stats.memory.limit, 32u << 20);
    EXPECT_GT(stats.memory.usage, 0u);
    EXPECT_FALSE(cgroup.remove(0)) << "a process is in it";

    cgroup.kill_all();
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    children.clear();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT_TRUE(cgroup.remove());
    for (const auto& view : cgroup.mount_views()) {
        EXPECT_NE(::access(view.host_path.c_str(), F_OK), 0) << view.host_path;
    }
}

TEST_F(RealCgroups, UpdatesMemoryUpAndDown) {
    CgroupLimits limits;
    limits.memory = 16 << 20;
    limits.memory_swap = 32 << 20;
    Cgroup cgroup = host->create(parent, "c", limits);
    for (const std::int64_t megabytes : {256, 8, 64}) {
        limits.memory = megabytes << 20;
        limits.memory_swap = megabytes << 21;
        cgroup.update(limits);
        EXPECT_EQ(cgroup.stats().memory.limit, static_cast<std::uint64_t>(megabytes) << 20);
    }
    limits.memory_swap = -1;
    cgroup.update(limits);
    if (host->version() == CgroupVersion::v1) {
        EXPECT_EQ(read("memory", "memory.memsw.limit_in_bytes"), "9223372036854771712\n");
    }
    EXPECT_TRUE(cgroup.remove());
}

TEST_F(RealCgroups, FreezesAndThaws) {
    Cgroup cgroup = host->create(parent, "c", {});
    const Signal ready;
    const Signal go;
    const Signal done;
    spawn(cgroup, [&] {
        ready.raise();
        go.wait();
        done.raise();
    });
    ready.wait();
    cgroup.freeze();
    EXPECT_TRUE(cgroup.is_frozen());
    go.raise();
    pollfd waiting{.fd = done.ends[0], .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&waiting, 1, 50), 0) << "it ran while frozen";
    cgroup.thaw();
    done.wait();
    EXPECT_FALSE(cgroup.is_frozen());
}

TEST_F(RealCgroups, KillsFrozenProcesses) {
    Cgroup cgroup = host->create(parent, "c", {});
    const Signal ready;
    const pid_t child = spawn(cgroup, [&] {
        ready.raise();
        for (;;) ::pause();
    });
    ready.wait();
    cgroup.freeze();
    cgroup.kill_all();
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    children.clear();
    EXPECT_TRUE(cgroup.remove());
}

TEST_F(RealCgroups, CountsAndReportsOomKills) {
    CgroupLimits limits;
    limits.memory = 8 << 20;
    limits.memory_swap = 8 << 20;
    Cgroup cgroup = host->create(parent, "c", limits);
    const base::Fd events = cgroup.open_oom_events();
    ASSERT_TRUE(events);
    EXPECT_EQ(cgroup.oom_kills(), 0u);
    const pid_t child = spawn(cgroup, [] {
        constexpr std::size_t size = 64 << 20;
        char* memory = static_cast<char*>(
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        for (std::size_t at = 0; at < size; at += 4096) memory[at] = 1;
    });
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    children.clear();
    EXPECT_TRUE(WIFSIGNALED(status));
    pollfd waiting{.fd = events.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&waiting, 1, 5000), 1);
    EXPECT_EQ(cgroup.oom_kills(), 1u);
    EXPECT_TRUE(cgroup.remove());
}

TEST_F(RealCgroups, RemovesNestedOnes) {
    Cgroup cgroup = host->create(parent, "c", {});
    for (const auto& view : cgroup.mount_views()) {
        EXPECT_EQ(::mkdir((view.host_path + "/inner").c_str(), 0755), 0);
    }
    EXPECT_TRUE(cgroup.remove());
}

TEST_F(RealCgroups, DevicesAreDeniedByDefault) {
    CgroupLimits limits;
    limits.devices = {{.allow = false}, {.type = 'c', .major = 1, .minor = 3}};
    Cgroup cgroup = host->create(parent, "c", limits);
    if (host->version() == CgroupVersion::v1) {
        EXPECT_EQ(read("devices", "devices.list"), "c 1:3 rwm\n");
    }
    const pid_t child = spawn(cgroup, [] {
        const bool null_opens = ::open("/dev/null", O_RDWR) >= 0;
        const bool zero_opens = ::open("/dev/zero", O_RDWR) >= 0;
        ::_exit(null_opens && !zero_opens && errno == EPERM ? 42 : 1);
    });
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    children.clear();
    EXPECT_EQ(WEXITSTATUS(status), 42);
    EXPECT_TRUE(cgroup.remove());
}

TEST_F(RealCgroups, FailedCreationLeavesNothing) {
    CgroupLimits limits;
    limits.cpuset_cpus = "4000";
    EXPECT_THROW((void)host->create(parent, "c", limits), base::Error);
    EXPECT_NE(::access((host->controller_path("memory") + parent + "/c").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace dockerd::runtime
