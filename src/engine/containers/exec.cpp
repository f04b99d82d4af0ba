#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/worker_pool.hpp>

#include "containers.hpp"
#include "detach_keys.hpp"
#include "errors.hpp"
#include "plan_input.hpp"

namespace dockerd::engine {
namespace {

using base::Error;
using base::ErrorKind;

// Source: moby daemon/exec.go: finished execs are forgotten after five minutes.
constexpr std::chrono::minutes exec_memory{5};
// Source: moby daemon/resize.go, ContainerExecResize.
constexpr std::chrono::seconds resize_patience{10};

/// Program, space, arguments: also without arguments there is the space.
std::string command_line(const model::ExecCreate& request) {
    return base::join(request.cmd, " ") + (request.cmd.size() == 1 ? " " : "");
}

/// Puts a text into a client's stream in the form its output would have.
void write_text(int fd, std::string_view text, bool tty) {
    std::string bytes;
    if (!tty) {
        const auto size = static_cast<std::uint32_t>(text.size());
        bytes = {'\x01',
                 0,
                 0,
                 0,
                 static_cast<char>(size >> 24U & 255U),
                 static_cast<char>(size >> 16U & 255U),
                 static_cast<char>(size >> 8U & 255U),
                 static_cast<char>(size & 255U)};
    }
    bytes += text;
    // A client that is gone or does not read loses the message; nothing else depends on it.
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// A client of an exec that has not been started yet.
class ExecSession final : public StreamSession {
public:
    ExecSession(std::function<void(std::optional<runtime::PendingAttach>)> start,
                std::shared_ptr<Exec> exec, bool tty)
        : start_(std::move(start)), exec_(std::move(exec)), tty_(tty) {}

    [[nodiscard]] bool tty() const override { return tty_; }

    void run(base::Fd client, std::string early_input) override {
        const auto& request = exec_->request;
        runtime::PendingAttach attach;
        attach.options.stdin = request.attach_stdin;
        attach.options.stdout = request.attach_stdout;
        attach.options.stderr = request.attach_stderr;
        attach.options.multiplexed = !tty_;
        attach.options.detach_keys = exec_->detach_keys.empty() ? "\x10\x11" : exec_->detach_keys;
        attach.input = std::move(early_input);
        const base::Fd copy{::fcntl(client.get(), F_DUPFD_CLOEXEC, 0)};
        attach.client = std::move(client);
        try {
            start_(std::move(attach));
        } catch (const Error& error) {
            write_text(copy.get(), std::string(error.what()) + "\r\n", tty_);
            (void)::shutdown(copy.get(), SHUT_RDWR);
        }
    }

private:
    std::function<void(std::optional<runtime::PendingAttach>)> start_;
    std::shared_ptr<Exec> exec_;
    bool tty_;
};

/// `reference` is how the client called the container.
void require_running(const Container& container, std::string_view reference) {
    const auto& state = container.record.state;
    if (!state.running) throw errors::not_running(container.id);
    if (state.paused) throw errors::paused_for_exec(reference);
    if (state.restarting) throw errors::is_restarting(container.id);
    if (!container.monitor) throw errors::not_running(container.id);
}

/// An exec runs once.
void mark_started(Exec& exec) {
    const base::Lock lock(exec.mutex);
    if (exec.exit_code) {
        base::fail(ErrorKind::conflict, fmt::format("exec command {} has already run", exec.id));
    }
    if (exec.started) {
        base::fail(ErrorKind::conflict,
                   fmt::format("exec command {} is already running", exec.id));
    }
    exec.started = true;
    exec.running = true;
}

}  // namespace

// Source: moby daemon/exec.go, ContainerExecCreate.
std::string Containers::exec_create(std::string_view reference, const model::ExecCreate& request) {
    const auto container = index_.get(reference);
    if (request.cmd.empty()) {
        base::fail(ErrorKind::invalid_argument, "No exec command specified");
    }
    lifecycle_.post([this] { parts_.cgroups.warm(); });
    const auto exec = std::make_shared<Exec>();
    exec->id = base::random_id();
    exec->container_id = container->id;
    exec->request = request;

    const base::Lock lock(container->operation);
    require_running(*container, reference);
    if (const auto keys = parse_detach_keys(request.detach_keys)) {
        exec->detach_keys = *keys;
    } else {
        // Source: moby daemon/exec.go, ContainerExecCreate.
        base::fail(ErrorKind::internal,
                   fmt::format("Invalid escape keys ({}) provided", request.detach_keys));
    }
    if (!request.user.empty()) {
        const std::string root_path = fmt::format("/proc/{}/root", container->record.state.pid);
        const base::Fd root{::open(root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
        if (root) (void)runtime::resolve_user(root, request.user, {});
    }
    (void)linked_environment(container->record);  // refused now if it cannot be told
    {
        const base::Lock map(execs_mutex_);
        execs_.emplace(exec->id, exec);
    }
    container->execs.push_back(exec);
    publish(*container);
    log_exec_event(container->record, "exec_create", *exec);
    return exec->id;
}

void Containers::log_exec_event(const store::ContainerRecord& record, const char* action,
                                const Exec& exec) {
    log_event(record, fmt::format("{}: {}", action, command_line(exec.request)),
              {{"execID", exec.id}});
}

std::shared_ptr<Exec> Containers::get_exec(std::string_view exec_id) const {
    const base::Lock lock(execs_mutex_);
    const auto found = execs_.find(exec_id);
    if (found == execs_.end()) throw errors::no_such_exec(exec_id);
    return found->second;
}

/// An exec that something can be done with: its container runs.
// Source: moby daemon/exec.go, getExecConfig.
std::shared_ptr<Exec> Containers::get_live_exec(std::string_view exec_id) const {
    auto exec = get_exec(exec_id);
    const auto container = index_.find_id(exec->container_id);
    if (!container) throw errors::no_such_exec(exec_id);
    const auto snapshot = container->snapshot();
    if (!snapshot->state.running) throw errors::not_running(container->id);
    if (snapshot->state.paused) throw errors::paused_for_exec(container->id);
    if (snapshot->state.restarting) throw errors::is_restarting(container->id);
    return exec;
}

// Source: moby daemon/exec.go, ContainerExecStart.
std::unique_ptr<StreamSession> Containers::exec_attach(std::string_view exec_id,
                                                       const model::ExecStart& request) {
    auto exec = get_live_exec(exec_id);
    auto start = [this, exec](std::optional<runtime::PendingAttach> client) {
        run_exec(exec, std::move(client));
    };
    const bool tty = request.tty;
    return std::make_unique<ExecSession>(std::move(start), std::move(exec), tty);
}

void Containers::exec_start_detached(std::string_view exec_id,
                                     const model::ExecStart& /*request*/) {
    run_exec(get_live_exec(exec_id), std::nullopt);
}

void Containers::run_exec(const std::shared_ptr<Exec>& exec,
                          std::optional<runtime::PendingAttach> client) {
    const auto container = index_.get(exec->container_id);
    std::shared_ptr<runtime::Monitor> monitor;
    runtime::ExecPlan plan;
    {
        // A pause waits for what has started under this lock and has no process yet.
        const base::Lock lock(container->operation);
        mark_started(*exec);
        try {
            require_running(*container, container->id);
            monitor = container->monitor;
            plan = plan_exec(*container, *exec);
            log_exec_event(container->record, "exec_start", *exec);
        } catch (const Error&) {
            const base::Lock undo(exec->mutex);
            exec->running = false;
            exec->started = false;
            throw;
        }
    }
    try {
        if (!plan.process.cwd.starts_with('/')) {
            // Source: runc utils_linux.go, validateProcessSpec.
            throw runtime::StartFailure(ErrorKind::internal,
                                        "OCI runtime exec failed: exec failed: Cwd must be an "
                                        "absolute path: unknown",
                                        0, "process", 128);
        }
        const pid_t pid = monitor->exec_start(plan, std::move(client));
        const base::Lock lock(exec->mutex);
        exec->pid = pid;
        exec->changed.notify_all();
    } catch (const Error& error) {
        const auto* failure = dynamic_cast<const runtime::StartFailure*>(&error);
        exec_ended(container, exec, failure != nullptr ? failure->exit_code() : 126,
                   /*ran=*/false);
        throw;
    }
}

/// Writes an exec's end down. Thread: any, also the runtime's.
void Containers::exec_ended(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                            std::int64_t code, bool ran) {
    {
        const base::Lock lock(exec->mutex);
        if (exec->exit_code) return;
        exec->running = false;
        exec->exit_code = code;
        ran = ran && exec->started;
        exec->finished = base::WallTime::now();
        exec->changed.notify_all();
    }
    lifecycle_.post([this, container, exec, code, ran] {
        const base::Lock lock(container->operation);
        std::erase(container->execs, exec);
        if (container->removed) return;
        publish(*container);
        if (!ran) return;
        log_event(container->record, "exec_die",
                  {{"execID", exec->id}, {"exitCode", std::to_string(code)}});
    });
    if (exec->probe) {
        // Forgotten when the next one begins.
        timers_.cancel(exec->probe->timer);
        probe_reader_.forget(*exec->probe);
        exec->probe->finish();
        return;
    }
    timers_.after(exec_memory, [this, id = exec->id] {
        const base::Lock lock(execs_mutex_);
        execs_.erase(id);
    });
}

/// The container has ended. What was never started is forgotten at once, as Docker does.
// Source: moby daemon/start.go, Cleanup.
void Containers::end_execs(const ContainerRef& container) {
    for (const auto& exec : std::vector(container->execs)) {
        bool started = true;
        {
            const base::Lock lock(exec->mutex);
            started = exec->started;
        }
        if (started) {
            exec_ended(container, exec, 137);
            continue;
        }
        std::erase(container->execs, exec);
        const base::Lock lock(execs_mutex_);
        execs_.erase(exec->id);
    }
}

void Containers::handle_exec_exit(const std::string& id, const std::string& exec_id, int code) {
    const auto container = index_.find_id(id);
    if (!container) return;
    std::shared_ptr<Exec> exec;
    {
        const base::Lock lock(execs_mutex_);
        const auto found = execs_.find(engine_exec_id(exec_id));
        if (found != execs_.end()) exec = found->second;
    }
    if (!exec) return;
    if (exec->probe) return probe_exited(container, exec, code);
    exec_ended(container, exec, code);
}

void Containers::exec_resize(std::string_view exec_id, std::uint16_t height, std::uint16_t width) {
    const auto exec = get_live_exec(exec_id);
    const auto container = index_.get(exec->container_id);
    {
        const base::LongWait wait;
        base::Lock lock(exec->mutex);
        const auto deadline = std::chrono::steady_clock::now() + resize_patience;
        while (exec->pid == 0 && !exec->exit_code) {
            if (exec->changed.wait_until(lock, deadline) == std::cv_status::timeout) {
                base::fail(ErrorKind::internal, "timeout waiting for exec session ready");
            }
        }
        if (exec->exit_code) throw errors::no_such_process(exec_id);
    }
    std::shared_ptr<runtime::Monitor> monitor;
    {
        const base::Lock lock(container->operation);
        monitor = container->monitor;
    }
    if (!monitor) throw errors::not_running(container->id);
    monitor->exec_resize(exec->id, {.height = height, .width = width});
}

// Source: moby daemon/inspect.go, ContainerExecInspect.
ExecSnapshot Containers::exec_inspect(std::string_view exec_id) {
    const auto exec = get_exec(exec_id);
    if (!index_.find_id(exec->container_id)) throw errors::no_such_exec(exec_id);
    ExecSnapshot out;
    out.id = exec->id;
    out.container_id = exec->container_id;
    const auto& request = exec->request;
    out.entrypoint = request.cmd.front();
    out.arguments.assign(request.cmd.begin() + 1, request.cmd.end());
    out.user = request.user;
    out.tty = request.tty;
    out.privileged = request.privileged;
    out.open_stdin = request.attach_stdin;
    out.open_stdout = request.attach_stdout;
    out.open_stderr = request.attach_stderr;
    out.detach_keys = exec->detach_keys;
    const base::Lock lock(exec->mutex);
    out.running = exec->running;
    out.exit_code = exec->exit_code;
    out.pid = exec->pid;
    return out;
}

}  // namespace dockerd::engine
