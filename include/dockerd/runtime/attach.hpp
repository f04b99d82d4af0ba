#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <dockerd/base/fd.hpp>

/// Clients of a container's streams.
namespace dockerd::runtime {

/// What an attached client gets.
struct AttachOptions {
    bool stdin = false;
    bool stdout = true;
    bool stderr = true;
    /// Frames with the 8-byte header. The caller sets it: Docker does so without a tty.
    bool multiplexed = true;
    /// Bytes that detach; only looked for with a tty and stdin. Empty: none.
    std::string detach_keys;
};

/// A client that is to be attached before the first byte is written.
struct PendingAttach {
    AttachOptions options;
    base::Fd client;    ///< a connected stream socket, given away
    std::string input;  ///< bytes already read from it
};

/// A place in a container's log: bytes of the file that was the newest one.
struct LogPosition {
    std::uint64_t inode = 0;
    std::int64_t size = 0;
};

/// A client whose stream begins where its container's log ends.
struct HeldClient {
    std::uint64_t attach_id = 0;
    std::optional<LogPosition> log_end;  ///< absent: there is no log
};

}  // namespace dockerd::runtime
