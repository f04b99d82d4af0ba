#pragma once

#include "wire/messages.hpp"

#include <dockerd/base/fd.hpp>

#include <string>

namespace dockerd::runtime::monitor {

/// The directory in which a monitor keeps what a later daemon needs.
class StateDirectory {
public:
    /// Makes the directory (0700) if it is absent. 0 or an errno.
    int open(const std::string& path);

    /// "init": process 1 and its start time. "exit": how it ended. Each by rename, so that a
    /// reader sees all or nothing.
    int write_started(const wire::Started& started) const;
    int write_exited(const wire::Exited& exited) const;

    /// The listening socket "sock". Empty on failure, with errno.
    [[nodiscard]] base::Fd listen() const;

    /// Removes all of it, unless that was done already.
    void remove() const;

private:
    int write(const char* name, const std::string& text) const;

    std::string path_;
    base::Fd directory_;
};

}  // namespace dockerd::runtime::monitor
