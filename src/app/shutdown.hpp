#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

namespace dockerd::app {

/// What a signal asks of the daemon.
enum class SignalEvent { stop, leave, reload, dump };

/// Takes the process's signals on a thread of its own, so that they are heard whatever the daemon
/// is doing.
///
/// SIGTERM and SIGINT ask for a stop; after three of them the next one ends the process at once.
/// SIGQUIT asks for an end that leaves the containers running, whatever live-restore says: it is for
/// upgrades. With Docker's engine they outlive that signal, too.
/// SIGHUP asks for a reload, SIGUSR1 for a dump of all threads. SIGPIPE and SIGXFSZ are ignored.
/// Source: moby cmd/dockerd/trap/trap.go.
class Signals {
public:
    /// Pre: no other thread was started yet: all threads must have the signals blocked.
    Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    ~Signals();

    /// The next event; waits for it.
    SignalEvent wait();
    /// True once a stop was asked for.
    [[nodiscard]] bool stopping() const;

private:
    void run();
    void push(SignalEvent event);

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<SignalEvent> events_;
    bool stop_ = false;
    bool ended_ = false;
    std::thread thread_;
};

/// Writes what every thread is doing into a file in `directory`; returns its path.
std::string dump_threads(const std::string& directory);

/// Tells systemd, if it listens: "READY=1", "STOPPING=1". Source: sd_notify(3).
void notify_systemd(const std::string& state);

}  // namespace dockerd::app
