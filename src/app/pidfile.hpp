#pragma once

#include <string>

namespace dockerd::app {

/// The daemon's process id in a file, for as long as the object lives.
class PidFile {
public:
    /// An empty path makes no file.
    /// Throws: conflict, "failed to start daemon, ensure docker is not running or delete x:
    /// process with PID n is still running". Source: moby pkg/pidfile/pidfile.go, Write.
    explicit PidFile(std::string path);
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    ~PidFile();

private:
    std::string path_;
};

}  // namespace dockerd::app
