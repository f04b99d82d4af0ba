#pragma once

#include "monitor/loop.hpp"

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::runtime::monitor {

/// What the owner of a sink is told.
class LogSinkOwner {
public:
    virtual ~LogSinkOwner() = default;
    /// There is room again: see blocked().
    virtual void log_progress() = 0;
    /// Lines were lost, and why.
    virtual void log_lost(const std::string& why) = 0;
};

/// The way of log entries to a driver that sends them away: a process of its own, the forwarder,
/// which may wait for its peer without anything else waiting. It is dockerd once more, executed
/// from the file that the daemon handed over, and is started again should it die.
///
/// Entries are in the form of the local driver. In blocking mode blocked() says when the container
/// has to wait; with a ring, what is too much is dropped.
/// Source: moby daemon/logger/ring.go: what is new is dropped, what waits is kept.
class LogSink final : public Source {
public:
    LogSink(Loop& loop, LogSinkOwner& owner, LogTarget& target);
    ~LogSink() override;

    /// Starts the forwarder. 0 or an errno.
    int start();
    /// Waits until the forwarder has opened its driver. Empty, or why it could not; ends with
    /// `gone` set when `daemon` closes first.
    std::string await_ready(int daemon, bool& gone);
    /// From here on in the loop.
    void watch();

    void ready(std::uint32_t events) override;
    /// Takes whole entries; `ends` are the offsets where each ends.
    void push(std::string_view entries, const std::uint32_t* ends, std::size_t count);

    [[nodiscard]] bool blocked() const {
        return ring_size_ < 0 && pending_.size() - sent_ >= most_pending;
    }
    /// No more comes. finished() follows when the forwarder has sent everything.
    void finish();
    [[nodiscard]] bool finished() const { return finished_; }
    /// Ends the forwarder as it is.
    void give_up();

    /// When tick() wants to be called (now_ms()), or INT64_MAX.
    [[nodiscard]] std::int64_t wake_at() const { return restart_at_; }
    void tick();

    [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

private:
    static constexpr std::size_t most_pending = 64 * 1024;

    void flush();
    void note_boundary();
    void update_events();
    bool read_words();
    void died();

    Loop& loop_;
    LogSinkOwner& owner_;
    std::int64_t ring_size_;
    base::Fd program_;
    base::Fd config_;
    base::Fd link_;
    base::Fd pidfd_;
    std::string words_;  ///< of the forwarder, an unfinished line
    std::string pending_;
    std::size_t sent_ = 0;      ///< of pending_
    std::size_t boundary_ = 0;  ///< where the entry begins that is being sent
    std::uint32_t events_ = 0;
    std::uint64_t dropped_ = 0;
    std::int64_t restart_at_ = INT64_MAX;
    std::int64_t restart_delay_ = 1000;
    bool watched_ = false;
    bool finishing_ = false;
    bool finished_ = false;
};

}  // namespace dockerd::runtime::monitor
