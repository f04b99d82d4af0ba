#pragma once

#include "monitor/log.hpp"
#include "monitor/log_sink.hpp"
#include "monitor/loop.hpp"
#include "monitor/spawn.hpp"
#include "monitor/state.hpp"
#include "monitor/streams.hpp"
#include "wire/packet.hpp"

#include <dockerd/base/fd.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dockerd::runtime::monitor {

/// A handler bound to one member function; what Loop calls.
template <typename Owner>
class Handler final : public Source {
public:
    Handler(Owner& owner, void (Owner::*method)()) : owner_(owner), method_(method) {}
    void ready(std::uint32_t) override { (owner_.*method_)(); }

private:
    Owner& owner_;
    void (Owner::*method_)();
};

class Monitor;

/// How long a health check may take before its start is worth looking at, in milliseconds.
constexpr std::int64_t quick_check_time = 100;

/// An exec, from its request until its exit code was taken.
struct Exec final : Source {
    enum class State { preparing, running, finished };

    void ready(std::uint32_t events) override;

    Monitor* monitor = nullptr;
    std::string id;
    State state = State::preparing;
    std::unique_ptr<Streams> streams;
    bool tty = false;

    // Preparing.
    base::Fd link;
    std::vector<base::Fd> cgroups;  ///< to join; none: the container's own
    Ends ends;
    base::Fd master;
    bool executing = false;  ///< the child has come as far as exec
    int pending_signal = 0;  ///< sent when it runs
    std::vector<wire::AttachRequest> clients;
    std::uint32_t serial = 0;
    std::uint32_t connection = 0;  ///< which daemon asked

    // Running.
    pid_t pid = -1;
    base::Fd pidfd;

    bool direct = false;  ///< writes to its client itself; nobody waits for its exit code here
    /// When it is looked at how a direct one gets on: most have ended before. 0: that was done.
    std::int64_t look_due = 0;

    // Ended.
    bool exited = false;
    int code = 0;
    bool reported = false;
    std::int64_t deadline = 0;  ///< of the drain, then of the daemon's acknowledgement
};

/// The process that stands between one container and the daemon. It outlives the daemon.
class Monitor final : public StreamsOwner, public LogSinkOwner {
public:
    explicit Monitor(wire::StartRequest&& request);

    /// Starts the container and serves it until its exit was taken. Never returns.
    [[noreturn]] void run();

    // StreamsOwner.
    void client_detached(Streams& streams) override;
    void client_closed(std::uint64_t attach_id) override;
    void streams_changed(Streams& streams) override;

    // LogSinkOwner.
    void log_progress() override;
    void log_lost(const std::string& why) override;

    // For Exec.
    void exec_event(Exec& exec);

private:
    // Start, monitor_start.cpp.
    void start();
    void supervise_start(Child& child, base::Fd& master);
    void start_sink();
    void await_sink(pid_t pid);
    void await_cgroup(const Child& child);
    [[noreturn]] void fail_start(const wire::Failed& failed, pid_t pid);
    void begin_streams(Ends&& ends, base::Fd&& master);
    void report_started();

    // Requests, monitor_requests.cpp.
    void accept_daemon();
    void daemon_ready();
    void drop_daemon();
    void handle(wire::Packet& packet);
    void welcome(std::uint32_t serial);
    void attach(wire::Packet& packet, bool held);
    void resume(wire::Packet& packet);
    void resize(wire::Packet& packet);
    void exec_start(wire::Packet& packet, bool direct);
    void exec_signal(wire::Packet& packet);
    static bool signal_exec(const Exec& exec, int signal);
    void exec_ack(wire::Packet& packet);
    void start_prober(wire::Packet& packet);
    void release();
    void reply(std::uint32_t serial, const wire::Reply& answer);
    Exec* find_exec(const std::string& id);
    template <typename T>
    void send(wire::Kind kind, std::uint32_t serial, const T& message);

    // Life, monitor_life.cpp.
    void reap();
    void child_ended(pid_t pid, int code, int signal);
    void end_probers();
    void exec_signalled(Exec& exec, ChildEvent& event);
    void look_at(Exec& exec);
    void exec_prepared(Exec& exec);
    void exec_failed(Exec& exec, wire::Failed failed);
    void check_exit();
    void report_exit();
    [[nodiscard]] bool exit_taken() const;
    [[nodiscard]] std::int64_t drain_until() const;
    bool log_finished();
    void check_exec(Exec& exec);
    void finish_exec(Exec& exec);
    void check_all();
    void check_quit();
    [[nodiscard]] int timeout() const;

    wire::StartRequest request_;
    std::string id_;
    StateDirectory state_;
    Log log_;
    Loop loop_;
    std::unique_ptr<LogSink> sink_;
    bool stdin_once_;
    bool tty_;
    bool open_stdin_;
    int namespaces_;
    std::vector<base::Fd> cgroup_procs_;
    std::vector<pid_t> probers_;  ///< each ends with its daemon, or here

    base::Fd daemon_;
    std::uint32_t connection_ = 1;  ///< counts daemons
    base::Fd listener_;
    base::Fd signals_;
    Handler<Monitor> on_daemon_;
    Handler<Monitor> on_accept_;
    Handler<Monitor> on_child_;

    wire::Started started_;
    std::unique_ptr<Streams> streams_;
    std::vector<std::unique_ptr<Exec>> execs_;

    bool ended_ = false;     ///< process 1 has exited
    bool reported_ = false;  ///< and the daemon was told, or the record says so
    bool recorded_ = false;  ///< the record says so, or nobody can read one any more
    bool released_ = false;
    wire::Exited exit_;
    std::int64_t drain_deadline_ = 0;
    std::int64_t log_deadline_ = 0;  ///< for what is still to be sent of the log
    std::int64_t taken_deadline_ = 0;  ///< for the daemon to take the exit code
    std::int64_t quit_deadline_ = 0;
    bool touched_ = true;  ///< memory was used since the last shrink
    /// How long nothing has to happen until memory is given back, in milliseconds.
    std::int64_t quiet_time_ = 1000;
};

/// Entry of a process forked by the launcher. Never returns.
[[noreturn]] void run_monitor(wire::Packet&& packet);

template <typename T>
void Monitor::send(wire::Kind kind, std::uint32_t serial, const T& message) {
    if (!daemon_) return;
    if (wire::send_message(daemon_.get(), kind, serial, message) != 0) drop_daemon();
}

}  // namespace dockerd::runtime::monitor
