#include "container_fixture.hpp"

#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/seccomp.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace dockerd::runtime::testing {
namespace {

using Clock = std::chrono::steady_clock;

/// Prints what starts cost. The figures are for people; the limits here only catch accidents.
class Latency : public Containers {
protected:
    void SetUp() override {
        Containers::SetUp();
        if (IsSkipped()) return;
        host.emplace(CgroupHost::open());
        parent = fmt::format("/dockerd-latency-{}", ::getpid());
        filter = compile_seccomp(default_seccomp_profile(), default_capabilities());
    }
    void TearDown() override {
        if (host) host->attach("/", parent.substr(1)).remove();
        Containers::TearDown();
    }

    /// Host networking, all cgroups and Docker's seccomp filter.
    ContainerPlan full_plan(std::vector<std::string> args, const Cgroup& cgroup) const {
        ContainerPlan full = plan(std::move(args));
        full.namespaces.net.mode = NamespaceMode::host;
        full.process.seccomp_program = {filter, &filter->program};
        full.process.seccomp_flags = filter->flags;
        full.cgroup_procs = cgroup.open_procs();
        full.log.kind = LogKind::json_file;
        return full;
    }

    static void report(const char* what, std::vector<double>& values) {
        std::sort(values.begin(), values.end());
        fmt::print("[ LATENCY  ] {:<32} median {:.2f} ms, min {:.2f}, p90 {:.2f}\n", what,
                   values[values.size() / 2], values.front(), values[values.size() * 9 / 10]);
    }

    void measure(const char* what, int rounds, int quiet_ms) {
        std::vector<double> start, whole;
        for (int i = 0; i < rounds; ++i) {
            ::usleep(static_cast<useconds_t>(quiet_ms) * 1000);
            Cgroup cgroup = host->create(parent, fmt::format("c{}", i), {});
            ContainerPlan full = full_plan({"/bin/true"}, cgroup);
            const std::string id = full.id;
            const auto before = Clock::now();
            auto monitor = daemon().start(std::move(full), {});
            const auto started = Clock::now();
            EXPECT_EQ(events.exit_of(id).exit_code, 0);
            const auto ended = Clock::now();
            monitor->release();
            start.push_back(std::chrono::duration<double, std::milli>(started - before).count());
            whole.push_back(std::chrono::duration<double, std::milli>(ended - before).count());
            cgroup.remove();
        }
        report(what, start);
        report("  ... to the exit's report", whole);
        EXPECT_LT(start[start.size() / 2], 500);
    }

    std::optional<CgroupHost> host;
    std::string parent;
    SeccompFilterPtr filter;
};

TEST_F(Latency, OfStarts) {
    measure("start to exec, back to back", 100, 0);
    measure("start to exec, after 60 ms quiet", 25, 60);
}

TEST_F(Latency, OfExecs) {
    Cgroup cgroup = host->create(parent, "x", {});
    ContainerPlan sleeper = full_plan({"sleep", "1000"}, cgroup);
    const std::string id = sleeper.id;
    auto monitor = daemon().start(std::move(sleeper), {});
    std::vector<double> values;
    for (int i = 0; i < 100; ++i) {
        ExecPlan exec;
        exec.id = base::random_id();
        exec.process = full_plan({"/bin/true"}, cgroup).process;
        const auto before = Clock::now();
        (void)monitor->exec_start(exec, std::nullopt);
        const auto started = Clock::now();
        EXPECT_EQ(events.exec_exit_of(exec.id), 0);
        values.push_back(std::chrono::duration<double, std::milli>(started - before).count());
    }
    report("exec to exec, back to back", values);
    monitor->signal(SIGKILL);
    (void)events.exit_of(id);
    monitor->release();
    cgroup.remove();
}

long pss_of(pid_t pid) {
    const std::string rollup = read_file(fmt::format("/proc/{}/smaps_rollup", pid));
    return std::stol(rollup.substr(rollup.find("\nPss:") + 5));
}

TEST_F(Latency, MemoryOfMonitors) {
    Cgroup cgroup = host->create(parent, "m", {});
    std::vector<std::shared_ptr<Monitor>> monitors;
    for (int i = 0; i < 30; ++i) {
        ContainerPlan printer = full_plan({"sh", "-c", "yes | head -c 100000; sleep 1000"}, cgroup);
        monitors.push_back(daemon().start(std::move(printer), {}));
    }
    ::usleep(2'000'000);  // not a synchronisation: monitors give memory back after a second
    std::vector<long> values;
    for (const auto& monitor : monitors) {
        const std::string stat = read_file(fmt::format("/proc/{}/stat", monitor->pid()));
        values.push_back(pss_of(std::stoi(stat.substr(stat.rfind(')') + 4))));
    }
    std::sort(values.begin(), values.end());
    fmt::print("[ MEMORY   ] monitor PSS of 30: median {} KiB, max {} KiB\n",
               values[values.size() / 2], values.back());
#ifdef __SANITIZE_ADDRESS__
    // Here monitors are dynamic programs whose shadow memory is most of what they hold.
    fmt::print("[ MEMORY   ] not limited: the address sanitizer's own memory is in it\n");
#else
    EXPECT_LE(values[values.size() / 2], 160);
#endif
    for (const auto& monitor : monitors) {
        monitor->signal(SIGKILL);
        (void)events.exit_of(monitor->id());
        monitor->release();
    }
    cgroup.remove();
}

}  // namespace
}  // namespace dockerd::runtime::testing
