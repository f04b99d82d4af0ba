#pragma once

#include "wire/packet.hpp"

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/runtime/runtime.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dockerd::runtime::launch {

/// Stays open for who sends on it while another thread gives it up.
using SharedSocket = std::shared_ptr<const base::Fd>;

/// The daemon's end of one monitor, and of the prober that its execs without a waiter go to once
/// there has been one of them.
///
/// Answers are read by the reaper thread, which wakes the thread that asked.
class Connection final : public Monitor {
public:
    Connection(std::string id, pid_t pid, base::Fd pidfd, base::Fd socket);

    [[nodiscard]] const std::string& id() const override { return id_; }
    [[nodiscard]] pid_t pid() const override { return pid_; }
    [[nodiscard]] const base::Fd& pidfd() const override { return pidfd_; }
    std::uint64_t attach(const AttachOptions& options, base::Fd client,
                         const std::string& input) override;
    HeldClient attach_held(const AttachOptions& options, base::Fd client,
                           const std::string& input) override;
    void resume(std::uint64_t attach_id) override;
    bool signal(int signal) override;
    void resize(ConsoleSize size) override;
    pid_t exec_start(const ExecPlan& plan, std::optional<PendingAttach> client) override;
    void exec_begin(const ExecPlan& plan, base::Fd output,
                    std::function<void(ExecStarted)> done) override;
    bool try_exec_begin(const ExecPlan& plan, base::Fd& output,
                        const std::function<void(ExecStarted)>& done) override;
    void exec_resize(const std::string& exec_id, ConsoleSize size) override;
    bool exec_signal(const std::string& exec_id, int signal) override;
    void exec_kill(const std::string& exec_id) override;
    void release() override;

    // For the reaper.
    [[nodiscard]] int socket() const { return socket_.get(); }
    /// Hands an answer to who waits for it. Returns a prober that is there now, to be listened to.
    SharedSocket answered(std::uint32_t serial, wire::Reply&& reply);
    /// The prober is gone. Returns its execs that have started and whose end nobody will tell.
    std::vector<std::string> prober_lost(const SharedSocket& prober);
    /// The monitor is gone: everyone who waits fails.
    void lost();
    /// Never waits: what a monitor that is stopped does not take now goes with what is sent next.
    void acknowledge(const std::string& exec_id);
    /// True once for an exec of exec_begin() that has ended: nobody waits for its acknowledgement,
    /// and what is to be done when it has started is not done any more.
    bool ends_unattended(const std::string& exec_id);
    /// True for the first caller: an exit is reported once.
    bool claim_exit() { return !exit_claimed_.exchange(true); }
    [[nodiscard]] bool exit_claimed() const { return exit_claimed_; }

private:
    /// Sends and waits. Throws: conflict when the monitor is gone.
    wire::Reply ask(wire::Kind kind, const wire::Encoder& content);
    int send(wire::Kind kind, std::uint32_t serial, const wire::Encoder& content);
    int send_now(wire::Kind kind, std::uint32_t serial, const wire::Encoder& content);
    void send_owed();
    bool begin(const ExecPlan& plan, base::Fd& output,
               const std::function<void(ExecStarted)>& done, bool wait);
    int send_begin(const SharedSocket& prober, std::uint32_t serial, const wire::Encoder& content,
                   bool wait);
    void want_prober(const ExecPlan& plan);

    const std::string id_;
    const pid_t pid_;
    const base::Fd pidfd_;
    const base::Fd socket_;
    std::atomic<bool> exit_claimed_ = false;

    base::Mutex sending_;  ///< a message may be several packets

    base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::uint32_t next_serial_ DOCKERD_GUARDED_BY(mutex_) = 1;
    bool lost_ DOCKERD_GUARDED_BY(mutex_) = false;
    std::map<std::uint32_t, std::optional<wire::Reply>> waiting_ DOCKERD_GUARDED_BY(mutex_);
    /// Execs whose starter did not wait.
    struct Begun {
        std::string exec_id;
        std::function<void(ExecStarted)> done;
    };
    std::map<std::uint32_t, Begun> begun_ DOCKERD_GUARDED_BY(mutex_);
    /// Those that have not ended, and the prober that has them; null: the monitor itself.
    std::map<std::string, SharedSocket, std::less<>> unattended_ DOCKERD_GUARDED_BY(mutex_);

    /// Where the prober is: not asked for, asked for by this serial, there, or not to be had.
    enum class Probing { none, asked, there, refused };
    Probing probing_ DOCKERD_GUARDED_BY(mutex_) = Probing::none;
    std::uint32_t prober_serial_ DOCKERD_GUARDED_BY(mutex_) = 0;
    SharedSocket prober_ DOCKERD_GUARDED_BY(mutex_);
    std::shared_ptr<const std::string> prober_filter_ DOCKERD_GUARDED_BY(mutex_);  ///< it has this
    std::deque<std::string> owed_ DOCKERD_GUARDED_BY(mutex_);  ///< execs to be acknowledged
};

/// A number for attach(), unique in this daemon.
std::uint64_t next_attach_id();

/// The request for one client; gives its socket away.
wire::AttachRequest attach_request(PendingAttach&& client, std::uint64_t id);

}  // namespace dockerd::runtime::launch
