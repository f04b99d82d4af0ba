#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/runtime/cgroup.hpp>

#include "files.hpp"
#include "impl.hpp"
#include "systemd/bus.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;
using base::Error;
using base::ErrorKind;
using Clock = std::chrono::steady_clock;

Cgroup::Cgroup() noexcept = default;
Cgroup::Cgroup(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Cgroup::Cgroup(Cgroup&&) noexcept = default;
Cgroup& Cgroup::operator=(Cgroup&&) noexcept = default;
Cgroup::~Cgroup() = default;

const std::string& Cgroup::path() const { return impl_->path; }
CgroupVersion Cgroup::version() const { return impl_->host->version; }

namespace {

void pause_for(std::chrono::microseconds time) {
    timespec request{};
    request.tv_nsec = std::chrono::nanoseconds(time).count();
    (void)::nanosleep(&request, nullptr);  // a signal only shortens the pause
}

/// Calls `visit` with `path` and every folder below it, inner ones first.
template <typename Visit>
void for_each_inside_out(int root, const std::string& path, const Visit& visit) {
    for (const std::string& child : files::subfolders(root, path)) {
        for_each_inside_out(root, path + "/" + child, visit);
    }
    visit(path);
}

void collect_pids(int root, const std::string& path, std::vector<pid_t>& pids) {
    for_each_inside_out(root, path, [&](const std::string& folder) {
        const std::string text = files::read_text(root, folder + "/cgroup.procs");
        for (const auto line : files::fields(text, "\n")) {
            // 0: a process of another PID namespace, which has no number here.
            if (const auto pid = base::parse_int(line); pid && *pid > 0) {
                pids.push_back(static_cast<pid_t>(*pid));
            }
        }
    });
}

/// The hierarchy whose list of processes counts: the freezer's, as every join writes it.
const CgroupDirectory& process_directory(const Cgroup::Impl& impl) {
    const CgroupDirectory* found = impl.find("freezer");
    if (!found) found = impl.find("devices");
    return found ? *found : impl.directories.front();
}

void freeze_v1(const CgroupDirectory& freezer) {
    base::Undo thaw([&]() noexcept {
        (void)files::write(freezer.root(), freezer.file("freezer.state"), "THAWED");
    });
    // A v1 freezer can miss processes forked meanwhile: it is asked again, with a short thaw in
    // between now and then. Source: runc libcontainer/cgroups/fs/freezer.go, Set.
    for (int attempt = 0; attempt < 1000; ++attempt) {
        if (attempt % 50 == 49) {
            freezer.write("freezer.state", "THAWED");
            pause_for(std::chrono::milliseconds(10));
        }
        freezer.write("freezer.state", "FROZEN");
        if (attempt % 25 == 24) pause_for(std::chrono::microseconds(10));
        const std::string state = files::read_text(freezer.root(), freezer.file("freezer.state"));
        const std::string_view word = base::trim(state);
        if (word == "FROZEN") {
            thaw.dismiss();
            return;
        }
        if (word != "FREEZING") {
            throw Error(ErrorKind::internal,
                        fmt::format("unexpected state {} while freezing", word));
        }
    }
    throw Error(ErrorKind::internal, "unable to freeze");
}

/// Waits until cgroup.events says "frozen `wanted`". Source: cgroup-v2.rst, cgroup.events.
bool wait_frozen_v2(const CgroupDirectory& directory, std::uint64_t wanted) {
    const base::Fd events{
        ::openat(directory.root(), directory.file("cgroup.events").c_str(), O_RDONLY | O_CLOEXEC)};
    if (!events) return false;
    const auto deadline = Clock::now() + std::chrono::seconds(10);
    for (;;) {
        char text[256];
        const ssize_t got = ::pread(events.get(), text, sizeof text, 0);
        if (got <= 0) return false;
        const std::string_view content(text, static_cast<std::size_t>(got));
        if (files::pair_value(content, "frozen") == wanted) return true;
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        pollfd waiting{.fd = events.get(), .events = POLLPRI, .revents = 0};
        (void)::poll(&waiting, 1, static_cast<int>(left));
    }
}

/// Removes one directory and what is nested in it. True when nothing is left.
bool remove_tree(const CgroupDirectory& directory) {
    if (::unlinkat(directory.root(), directory.path.c_str(), AT_REMOVEDIR) == 0) return true;
    if (errno == ENOENT) return true;
    for_each_inside_out(directory.root(), directory.path, [&](const std::string& path) {
        (void)::unlinkat(directory.root(), path.c_str(), AT_REMOVEDIR);  // looked at below
    });
    return !files::exists(directory.root(), directory.path);
}

/// systemd forgets a scope with its last process, but in its own time; the container may start again
/// at once.
void stop_unit(const Cgroup::Impl& impl, int patience_ms) {
    try {
        if (impl.host->units->stop(impl.unit, std::chrono::milliseconds(patience_ms))) return;
        base::log::warn("systemd still has {} after {} ms", impl.unit, patience_ms);
    } catch (const Error& error) {
        base::log::warn("stop {}: {}", impl.unit, error.what());
    }
}

}  // namespace

std::vector<base::Fd> Cgroup::open_procs() const {
    std::vector<base::Fd> opened;
    opened.reserve(impl_->directories.size());
    // A thread that writes "0" to tasks need not keep all others of the machine from forking.
    const char* name = impl_->unified() ? "cgroup.procs" : "tasks";
    for (const CgroupDirectory& directory : impl_->directories) {
        base::Fd file{
            ::openat(directory.root(), directory.file(name).c_str(), O_WRONLY | O_CLOEXEC)};
        if (!file) base::throw_errno(errno, "open " + directory.host_path() + "/" + name);
        // Joined first, for what it costs to join the others is the container's.
        const bool accounts = !impl_->unified() && directory.hierarchy->has("cpuacct");
        opened.insert(accounts ? opened.begin() : opened.end(), std::move(file));
    }
    return opened;
}

base::Fd Cgroup::open_unified_directory() const {
    if (!impl_->unified()) return {};
    const CgroupDirectory& directory = impl_->directories.front();
    base::Fd folder{
        ::openat(directory.root(), directory.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) base::throw_errno(errno, "open " + directory.host_path());
    return folder;
}

std::vector<CgroupMountView> Cgroup::mount_views() const {
    std::vector<CgroupMountView> views;
    for (const CgroupDirectory& directory : impl_->directories) {
        views.push_back({.name = directory.hierarchy->name,
                         .controllers = directory.hierarchy->controllers,
                         .host_path = directory.host_path()});
    }
    return views;
}

void Cgroup::update(const CgroupLimits& limits) {
    if (!impl_->unit.empty()) {
        base::in_context("unable to set unit properties", [&] {
            impl_->host->units->set(
                impl_->unit, systemd::limit_properties(limits, impl_->host->systemd_version()));
        });
    }
    if (impl_->unified()) {
        apply_limits_v2(impl_->directories.front(), limits);
    } else {
        apply_limits_v1(*impl_, limits);
    }
}

void Cgroup::freeze() {
    if (impl_->unified()) {
        const CgroupDirectory& directory = impl_->directories.front();
        directory.write("cgroup.freeze", "1");
        if (wait_frozen_v2(directory, 1)) return;
        (void)files::write(directory.root(), directory.file("cgroup.freeze"), "0");
        throw Error(ErrorKind::internal, "unable to freeze");
    }
    const CgroupDirectory* freezer = impl_->find("freezer");
    if (!freezer) {
        throw Error(ErrorKind::internal, "cannot freeze: freezer cgroup isn't mounted");
    }
    freeze_v1(*freezer);
}

void Cgroup::thaw() {
    if (impl_->unified()) {
        impl_->directories.front().write("cgroup.freeze", "0");
        (void)wait_frozen_v2(impl_->directories.front(), 0);  // thawing cannot fail, only lag
    } else if (const CgroupDirectory* freezer = impl_->find("freezer")) {
        freezer->write("freezer.state", "THAWED");
    }
}

bool Cgroup::is_frozen() const {
    if (impl_->unified()) {
        const CgroupDirectory& directory = impl_->directories.front();
        return files::read_number(directory.root(), directory.file("cgroup.freeze")) == 1;
    }
    const CgroupDirectory* freezer = impl_->find("freezer");
    if (!freezer) return false;
    const std::string state = files::read_text(freezer->root(), freezer->file("freezer.state"));
    return !state.empty() && base::trim(state) != "THAWED";
}

std::vector<pid_t> Cgroup::pids() const {
    std::vector<pid_t> found;
    const CgroupDirectory& directory = process_directory(*impl_);
    collect_pids(directory.root(), directory.path, found);
    std::ranges::sort(found);
    return found;
}

void Cgroup::kill_all() {
    if (impl_->unified()) {
        const CgroupDirectory& directory = impl_->directories.front();
        if (files::write(directory.root(), directory.file("cgroup.kill"), "1") == 0) return;
    }
    // A process hit once dies; only what was forked before the signal arrived needs another
    // round, and a dying process forks no more.
    std::set<pid_t> hit;
    for (int round = 0; round < 100; ++round) {
        bool found_new = false;
        for (const pid_t pid : pids()) {
            if (!hit.insert(pid).second) continue;
            found_new = true;
            (void)::kill(pid, SIGKILL);  // ESRCH: already gone
        }
        if (!found_new) break;
    }
    if (is_frozen()) thaw();
}

bool Cgroup::remove(int patience_ms) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(patience_ms);
    if (!impl_->unit.empty()) stop_unit(*impl_, patience_ms);
    std::chrono::microseconds pause{200};
    for (;;) {
        bool all = true;
        for (const CgroupDirectory& directory : impl_->directories) {
            all = remove_tree(directory) && all;
        }
        if (all) return true;
        if (Clock::now() >= deadline) return false;
        // EBUSY: a process on its way out. v1 tells nobody when the last one has left.
        pause_for(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(20'000));
    }
}

std::uint64_t Cgroup::oom_kills() const {
    const CgroupDirectory* memory = impl_->find("memory");
    if (!memory) return 0;
    const char* file = impl_->unified() ? "memory.events" : "memory.oom_control";
    return files::pair_value(files::read_text(memory->root(), memory->file(file)), "oom_kill");
}

bool Cgroup::is_out_of_memory() const {
    const CgroupDirectory* memory = impl_->find("memory");
    if (!memory || impl_->unified()) return false;
    const std::string text = files::read_text(memory->root(), memory->file("memory.oom_control"));
    return files::pair_value(text, "oom_kill_disable") == 1 &&
           files::pair_value(text, "under_oom") == 1;
}

base::Fd Cgroup::open_oom_events() const {
    const CgroupDirectory* memory = impl_->find("memory");
    if (!memory) return {};
    if (impl_->unified()) {
        const std::string path = memory->host_path() + "/memory.events";
        base::Fd watch{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
        if (!watch || ::inotify_add_watch(watch.get(), path.c_str(), IN_MODIFY) < 0) return {};
        return watch;
    }
    // Source: kernel Documentation/admin-guide/cgroup-v1/memory.rst, OOM Control.
    const base::Fd control{
        ::openat(memory->root(), memory->file("memory.oom_control").c_str(), O_RDONLY | O_CLOEXEC)};
    base::Fd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!control || !event) return {};
    const std::string line = fmt::format("{} {}", event.get(), control.get());
    if (files::write(memory->root(), memory->file("cgroup.event_control"), line) != 0) return {};
    return event;
}

CgroupStats Cgroup::stats() const {
    return impl_->unified() ? read_stats_v2(impl_->directories.front()) : read_stats_v1(*impl_);
}

}  // namespace dockerd::runtime
