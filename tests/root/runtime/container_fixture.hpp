#pragma once

#include <dockerd/base/fd.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/runtime/capabilities.hpp>
#include <dockerd/runtime/runtime.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace dockerd::runtime::testing {

namespace fs = std::filesystem;

/// Collects what a Runtime reports, and waits for it.
class Events {
public:
    RuntimeEvents callbacks() {
        return {
            .on_exit = [this](const std::string& id,
                              const ExitInfo& exit) { add(exits_, id, exit); },
            .on_exec_exit = [this](const std::string&, const std::string& exec,
                                   int code) { add(execs_, exec, code); },
            .on_detach = [this](const std::string& id,
                                const std::string& exec) { add(detaches_, id + "/" + exec, 1); },
            .on_attach_closed =
                [this](const std::string&, std::uint64_t attach) {
                    add(closed_, std::to_string(attach), 1);
                }};
    }
    ExitInfo exit_of(const std::string& id) { return wait(exits_, id); }
    int exec_exit_of(const std::string& exec) { return wait(execs_, exec); }
    bool has_exec(const std::string& exec) {
        const std::lock_guard lock(mutex_);
        return execs_.count(exec) != 0;
    }
    void await_detach(const std::string& key) { (void)wait(detaches_, key); }
    void await_closed(std::uint64_t attach) { (void)wait(closed_, std::to_string(attach)); }

private:
    template <typename T>
    void add(std::map<std::string, T>& to, const std::string& key, const T& value) {
        const std::lock_guard lock(mutex_);
        to[key] = value;
        changed_.notify_all();
    }
    template <typename T>
    T wait(std::map<std::string, T>& in, const std::string& key) {
        std::unique_lock lock(mutex_);
        const bool came =
            changed_.wait_for(lock, std::chrono::seconds(20), [&] { return in.count(key) != 0; });
        EXPECT_TRUE(came) << "no event for " << key;
        return in[key];
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, ExitInfo> exits_;
    std::map<std::string, int> execs_, detaches_, closed_;
};

/// Our end of an attached client.
class Peer {
public:
    /// Gives the other end, as a client that is to be attached.
    base::Fd open() {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
        socket.reset(ends[0]);
        return base::Fd{ends[1]};
    }
    void write(std::string_view text) {
        EXPECT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    void end_input() { (void)::shutdown(socket.get(), SHUT_WR); }
    /// Everything until the end of the stream.
    std::string read_all() {
        std::string out;
        while (read_some(out)) {
        }
        return out;
    }
    /// Until `text` was seen, or the end.
    std::string read_until(const std::string& text) {
        std::string out;
        while (out.find(text) == std::string::npos && read_some(out)) {
        }
        return out;
    }
    /// `bytes` or a little more, or what came before the end.
    std::string read_at_least(std::size_t bytes) {
        std::string out;
        while (out.size() < bytes && read_some(out)) {
        }
        return out;
    }
    base::Fd socket;

private:
    bool read_some(std::string& out) {
        pollfd ready{socket.get(), POLLIN, 0};
        if (::poll(&ready, 1, 20'000) <= 0) {
            ADD_FAILURE() << "no data for 20 s after: " << out.substr(0, 200);
            return false;
        }
        char buffer[65536];
        const ssize_t n = ::read(socket.get(), buffer, sizeof buffer);
        if (n > 0) out.append(buffer, static_cast<std::size_t>(n));
        return n > 0;
    }
};

/// The payload of stdcopy frames of one stream.
inline std::string frames(const std::string& bytes, int stream) {
    std::string out;
    for (std::size_t at = 0; at + 8 <= bytes.size();) {
        std::size_t size = 0;
        for (int i = 4; i < 8; ++i) size = size << 8 | static_cast<unsigned char>(bytes[at + i]);
        if (bytes[at] == stream) out += bytes.substr(at + 8, size);
        at += 8 + size;
    }
    return out;
}

inline std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// A root file system of busybox in a temporary directory, and plans for containers in it.
class Containers : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        char name[] = "/tmp/dockerd-runtime-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir = name;
        root = dir / "root";
        for (const char* folder : {"bin", "etc", "proc", "sys", "dev", "tmp", "root"}) {
            fs::create_directories(root / folder);
        }
        fs::copy_file("/bin/busybox", root / "bin/busybox");
        for (const char* applet :
             {"sh",       "true", "false", "cat",  "echo", "sleep", "ls",  "id",    "dd",
              "head",     "ps",   "grep",  "stat", "kill", "stty",  "tty", "mount", "readlink",
              "hostname", "env",  "pwd",   "wc",   "yes",  "od",    "ip"}) {
            fs::create_symlink("busybox", root / "bin" / applet);
        }
        write("etc/passwd",
              "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
        write("etc/group", "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n");
        fs::permissions(dir, fs::perms(0755));
    }
    void TearDown() override {
        runtime.reset();
        // A released monitor may be removing its own files at the same time, which ends a pass
        // early.
        std::error_code ignored;
        for (int i = 0; i < 50 && !dir.empty() && fs::exists(dir); ++i)
            fs::remove_all(dir, ignored);
    }

    void write(const fs::path& path, const std::string& text) const {
        fs::create_directories((root / path).parent_path());
        std::ofstream(root / path) << text;
    }

    /// Docker's usual container, without cgroups and seccomp.
    ContainerPlan plan(std::vector<std::string> args) const {
        ContainerPlan plan;
        plan.id = base::random_id();
        plan.state_directory = (dir / plan.id.substr(0, 12)).string();
        plan.process.args = std::move(args);
        plan.process.env = {"PATH=/bin:/usr/bin"};
        const CapabilitySet caps = default_capabilities() & capability_scope().available;
        plan.process.capabilities = {caps, caps, caps, 0};
        plan.rootfs = open_root();
        plan.hostname = "box";
        for (NamespaceChoice* space : {&plan.namespaces.pid, &plan.namespaces.ipc,
                                       &plan.namespaces.uts, &plan.namespaces.net}) {
            space->mode = NamespaceMode::create;
        }
        add_default_mounts(plan);
        plan.log.kind = LogKind::json_file;
        plan.log.path = log_path(plan.id);
        return plan;
    }
    std::string log_path(const std::string& id) const {
        return (dir / (id.substr(0, 12) + "-json.log")).string();
    }
    base::Fd open_root() const {
        base::Fd tree{::open_tree(AT_FDCWD, root.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)};
        EXPECT_TRUE(tree);
        return tree;
    }

    static Mount system_mount(MountKind kind, const char* type, const char* destination,
                              const char* data = "") {
        Mount mount;
        mount.kind = kind;
        mount.source = type;
        mount.destination = destination;
        mount.data = data;
        mount.nosuid = mount.noexec = true;
        return mount;
    }
    static void add_default_mounts(ContainerPlan& plan) {
        plan.mounts.push_back(system_mount(MountKind::proc, "proc", "/proc"));
        Mount dev =
            system_mount(MountKind::tmpfs, "tmpfs", "/dev", "strictatime,mode=755,size=65536k");
        dev.noexec = false;
        plan.mounts.push_back(std::move(dev));
        plan.mounts.push_back(system_mount(MountKind::devpts, "devpts", "/dev/pts",
                                           "newinstance,ptmxmode=0666,mode=0620,gid=5"));
        Mount sys = system_mount(MountKind::sysfs, "sysfs", "/sys");
        sys.read_only = true;
        plan.mounts.push_back(std::move(sys));
        plan.mounts.push_back(system_mount(MountKind::mqueue, "mqueue", "/dev/mqueue"));
        plan.mounts.push_back(
            system_mount(MountKind::tmpfs, "shm", "/dev/shm", "mode=1777,size=65536k"));
        const std::pair<const char*, std::pair<unsigned, unsigned>> nodes[] = {
            {"/dev/null", {1, 3}}, {"/dev/zero", {1, 5}},   {"/dev/full", {1, 7}},
            {"/dev/tty", {5, 0}},  {"/dev/random", {1, 8}}, {"/dev/urandom", {1, 9}}};
        for (const auto& [path, number] : nodes) {
            plan.devices.push_back({path, 'c', number.first, number.second, 0666, 0, 0});
        }
        plan.masked_paths = {"/proc/acpi",    "/proc/kcore", "/proc/keys",      "/proc/timer_list",
                             "/sys/firmware", "/proc/scsi",  "/proc/interrupts"};
        plan.read_only_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                "/proc/sysrq-trigger"};
    }

    Runtime& daemon() {
        if (!runtime) runtime = std::make_unique<Runtime>(events.callbacks());
        return *runtime;
    }

    /// Runs to the end with an attached client; returns what it got on stdout.
    struct Result {
        int code = -1;
        std::string out, err;
    };
    Result run(ContainerPlan plan_to_run) {
        Peer peer;
        std::vector<PendingAttach> clients;
        clients.push_back({.options = {}, .client = peer.open(), .input = {}});
        const std::string id = plan_to_run.id;
        const bool tty = plan_to_run.process.tty;
        clients[0].options.multiplexed = !tty;
        auto monitor = daemon().start(std::move(plan_to_run), std::move(clients));
        const std::string bytes = peer.read_all();
        Result result;
        result.code = events.exit_of(id).exit_code;
        monitor->release();
        result.out = tty ? bytes : frames(bytes, 1);
        result.err = tty ? "" : frames(bytes, 2);
        return result;
    }
    Result command(std::vector<std::string> args) { return run(plan(std::move(args))); }
    Result shell(const std::string& script) { return command({"sh", "-c", script}); }

    /// A container that reads commands from standard input until it ends.
    ContainerPlan interactive(bool tty) const {
        ContainerPlan shell = plan({"sh"});
        shell.process.open_stdin = true;
        shell.process.tty = tty;
        shell.stdin_once = true;
        return shell;
    }
    static PendingAttach full_client(Peer& peer, bool tty) {
        PendingAttach client;
        client.options = {.stdin = true, .multiplexed = !tty, .detach_keys = "\x10\x11"};
        client.client = peer.open();
        return client;
    }
    std::shared_ptr<Monitor> start(ContainerPlan plan_to_run, PendingAttach client) {
        std::vector<PendingAttach> clients;
        clients.push_back(std::move(client));
        return daemon().start(std::move(plan_to_run), std::move(clients));
    }

    /// The failure of a start.
    std::string failure(ContainerPlan plan_to_run, int* code = nullptr) {
        try {
            auto monitor = daemon().start(std::move(plan_to_run), {});
            monitor->signal(SIGKILL);
            ADD_FAILURE() << "started";
            return {};
        } catch (const StartFailure& error) {
            if (code != nullptr) *code = error.exit_code();
            return error.what();
        }
    }

    fs::path dir, root;
    Events events;
    std::unique_ptr<Runtime> runtime;
};

inline const std::string start_prefix =
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: ";

/// One container that runs until it is killed, and execs in it.
class RunningContainer : public Containers {
protected:
    void SetUp() override {
        Containers::SetUp();
        if (IsSkipped()) return;
        ContainerPlan sleeper = plan({"sleep", "1000"});
        id = sleeper.id;
        monitor = daemon().start(std::move(sleeper), {});
    }
    void TearDown() override {
        if (monitor) {
            monitor->signal(SIGKILL);
            (void)events.exit_of(id);
            monitor->release();
        }
        Containers::TearDown();
    }
    ExecPlan exec_plan(std::vector<std::string> args) const {
        ExecPlan exec;
        exec.id = base::random_id();
        exec.process = plan({"x"}).process;
        exec.process.args = std::move(args);
        return exec;
    }

    std::string id;
    std::shared_ptr<Monitor> monitor;
};

}  // namespace dockerd::runtime::testing
