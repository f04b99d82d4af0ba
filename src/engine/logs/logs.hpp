#pragma once

#include <memory>
#include <optional>
#include <string>

#include <dockerd/engine/containers.hpp>
#include <dockerd/runtime/runtime.hpp>

#include "logs/entry.hpp"
#include "logs/wake.hpp"

namespace dockerd::engine::logs {

/// Where a container's log lies and whether it still grows.
struct LogSource {
    Format format = Format::json_file;
    std::string path;   ///< of the newest file
    int max_files = 1;  ///< the newest and the rotated ones
    bool tty = false;
    /// The run that writes; null when the container does not run. Followers end after finish().
    std::shared_ptr<Run> run;
    /// Not read beyond this; for readers that do not follow.
    std::optional<runtime::LogPosition> end;
};

/// Opens the log for one reader. A log that was never written is empty.
///
/// `watcher` must live longer than the stream; it is used only when following.
/// Source: moby daemon/logger/loggerutils/logfile.go, follow.go: what is read, and until when.
std::unique_ptr<LogStream> open_log_stream(const LogSource& source, const LogOptions& options,
                                           Watcher& watcher);

}  // namespace dockerd::engine::logs
