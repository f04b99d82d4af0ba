#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/engine/commit.hpp>
#include <dockerd/engine/copy.hpp>
#include <dockerd/engine/stats.hpp>
#include <dockerd/engine/types.hpp>
#include <dockerd/model/filters.hpp>
#include <dockerd/model/requests.hpp>

namespace dockerd::engine {

/// What a start found.
enum class StartOutcome { started, already_running };
/// What a stop found.
enum class StopOutcome { stopped, already_stopped };
/// What a wait waits for.
enum class WaitCondition { not_running, next_exit, removed };

/// The new container and what Docker warns of.
struct CreateResult {
    std::string id;
    std::vector<std::string> warnings;
};

/// How a container ended.
struct WaitResult {
    std::int64_t exit_code = 0;
    std::string error;  ///< empty, or why waiting failed
};

/// How to stop: with which signal, and when to kill.
struct StopOptions {
    /// Units: seconds; nullopt takes the container's own, -1 waits for ever.
    std::optional<std::int64_t> timeout;
    std::string signal;  ///< empty: the container's stop signal
};

/// What goes with a container.
struct RemoveOptions {
    bool volumes = false;
    bool force = false;
    bool link = false;
};

/// Which containers a list shows, and how much of them.
struct ListOptions {
    bool all = false;
    bool size = false;
    std::int64_t limit = 0;
    model::Filters filters;
};

/// Which streams a client joins, and how they are framed.
struct AttachOptions {
    bool stdin_stream = false;
    bool stdout_stream = false;
    bool stderr_stream = false;
    bool logs = false;    ///< replay the log first
    bool stream = false;  ///< then go live
    std::string detach_keys;
    bool multiplexed = true;  ///< false: raw bytes even without a terminal (websocket)
};

/// A checked attach or exec start that only lacks its connection.
class StreamSession {
public:
    virtual ~StreamSession() = default;
    /// True when the streams are one raw terminal stream.
    [[nodiscard]] virtual bool tty() const = 0;
    /// Hands the client's connection over; bytes the server has read already come first.
    /// Called once, after the head was sent. Failures are written into the stream.
    virtual void run(base::Fd client, std::string early_input) = 0;
};

/// Which part of a log is wanted, and in what form.
struct LogOptions {
    bool stdout_stream = true;
    bool stderr_stream = true;
    bool follow = false;
    bool timestamps = false;
    bool details = false;
    std::optional<base::WallTime> since;
    std::optional<base::WallTime> until;
    std::int64_t tail = -1;  ///< -1: all
};

/// Reads a container's log, ready to send: framed unless the container has a terminal.
class LogStream {
public:
    enum class State { data, wait, end };
    virtual ~LogStream() = default;
    /// True when the log is one raw terminal stream.
    [[nodiscard]] virtual bool tty() const = 0;
    /// Appends up to about `limit` bytes to `out`. `wait`: nothing now, wait_fd() becomes readable.
    virtual State read(std::string& out, std::size_t limit) = 0;
    /// A descriptor to poll for reading after `wait`; -1 when not following.
    [[nodiscard]] virtual int wait_fd() const = 0;
};

/// Everything the API asks about containers. `reference` is an id, a name or an id prefix.
///
/// Throws: not_found "No such container: x"; invalid_argument for an ambiguous prefix; and what
///         each operation says in Docker's words.
/// Thread: every function may be called from any thread and may block, except find and list,
///         which read immutable snapshots.
class ContainerService {
public:
    virtual ~ContainerService() = default;

    /// The life of a container; each as the API operation of its name.
    virtual CreateResult create(std::string name, const std::string& platform,
                                model::ContainerCreate request) = 0;
    /// What create would refuse by the request alone; returns what it would warn of.
    virtual std::vector<std::string> verify(model::ContainerCreate request) = 0;
    /// A container made with a step_id outlives its build: from here on it is as durable as any other.
    virtual void keep(std::string_view reference) = 0;
    virtual StartOutcome start(std::string_view reference, const std::string& detach_keys) = 0;
    virtual StopOutcome stop(std::string_view reference, const StopOptions& options) = 0;
    virtual void restart(std::string_view reference, const StopOptions& options) = 0;
    virtual void kill(std::string_view reference, const std::string& signal) = 0;
    virtual void remove(std::string_view reference, const RemoveOptions& options) = 0;
    virtual void rename(std::string_view reference, const std::string& name) = 0;
    virtual void pause(std::string_view reference) = 0;
    virtual void unpause(std::string_view reference) = 0;
    virtual void resize(std::string_view reference, std::uint16_t height, std::uint16_t width) = 0;
    virtual std::vector<std::string> update(std::string_view reference,
                                            const model::ContainerUpdate& request) = 0;
    virtual TopResult top(std::string_view reference, const std::string& ps_args) = 0;

    /// What the container changed in its file system; a directory stands before what is in it.
    virtual std::vector<FileChange> changes(std::string_view reference) = 0;
    /// Makes an image of the container; returns the image's id.
    virtual std::string commit(std::string_view reference, const CommitOptions& options) = 0;

    /// What the container uses now; a zero sample when it does not run.
    virtual StatsSample stats(std::string_view reference) = 0;

    /// The container now. `size` fills size_rw and size_root_fs, which reads the disk.
    virtual ContainerPtr inspect(std::string_view reference, bool size) = 0;
    virtual std::vector<ContainerSummary> list(const ListOptions& options) = 0;

    /// Calls `done` once, from any thread and perhaps before returning.
    [[nodiscard]] virtual Subscription wait(std::string_view reference, WaitCondition condition,
                                            std::function<void(WaitResult)> done) = 0;

    /// Checks the request; the session then takes the connection over.
    virtual std::unique_ptr<StreamSession> attach(std::string_view reference,
                                                  const AttachOptions& options) = 0;
    virtual std::unique_ptr<LogStream> logs(std::string_view reference,
                                            const LogOptions& options) = 0;

    /// Prepares a program for a running container; returns its id.
    virtual std::string exec_create(std::string_view reference,
                                    const model::ExecCreate& request) = 0;
    /// Checks everything that must fail before the connection is taken over.
    virtual std::unique_ptr<StreamSession> exec_attach(std::string_view exec_id,
                                                       const model::ExecStart& request) = 0;
    /// Starts it without streams; returns when the program was executed.
    virtual void exec_start_detached(std::string_view exec_id, const model::ExecStart& request) = 0;
    /// Waits up to ten seconds for the exec to run.
    virtual void exec_resize(std::string_view exec_id, std::uint16_t height,
                             std::uint16_t width) = 0;
    virtual ExecSnapshot exec_inspect(std::string_view exec_id) = 0;

    /// One file or directory of a container's files. `path` is absolute or starts at the root.
    /// Throws: not_found, "Could not find the file <path> in container <reference>".
    virtual PathStat stat_path(std::string_view reference, const std::string& path) = 0;
    /// Writes it as a tar; `found` is called once before the first byte.
    virtual void archive_path(std::string_view reference, const std::string& path,
                              ContentEncoding encoding,
                              const std::function<void(const PathStat&)>& found,
                              const ByteWriter& sink) = 0;
    /// Unpacks a tar, compressed or not, in the directory `path`. Throws also: invalid_argument,
    /// "extraction point is not a directory", "container rootfs is marked read-only".
    virtual void extract_to_path(std::string_view reference, const std::string& path,
                                 const ExtractPathOptions& options, const ByteReader& source) = 0;
    /// Writes the whole root file system as a tar, without what is mounted in it.
    virtual void export_files(std::string_view reference, const ByteWriter& sink) = 0;

    struct PruneResult {
        std::vector<std::string> deleted;
        std::int64_t space_reclaimed = 0;  ///< bytes
    };
    /// Removes what has ended; returns what that freed.
    virtual PruneResult prune(const model::Filters& filters) = 0;
};

}  // namespace dockerd::engine
