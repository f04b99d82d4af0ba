#pragma once

#include <dockerd/base/fd.hpp>

#include <string>
#include <string_view>

namespace dockerd::runtime::init {

/// Names the socket to the monitor that fail() reports on. Once per process.
void set_report_socket(int socket);

/// Reports what failed to the monitor and ends this process. `error` is an errno or 0; its words
/// are appended by the daemon.
[[noreturn]] void fail(const char* step, int error, std::string_view text);

/// Messages on the socket pair between a monitor and a child that is being prepared.
enum class Signal : char {
    mapped = 'U',   ///< monitor: the uid and gid maps are written
    joined = 'J',   ///< monitor: the process is in its cgroups
    join = 'P',     ///< child: cannot join its cgroups by itself, asks to be put there
    console = 'C',  ///< child: the terminal's master comes with it
    execute = 'E',  ///< child: all is done but exec; the end of the connection follows
};

/// A signal as it travels. Shorter than any wire packet, so both can share a socket.
struct SignalBody {
    Signal signal;
    int number;
};

/// Sends one signal, with a descriptor unless it is -1. False when the peer is gone.
bool send_signal(int socket, Signal signal, int fd = -1, int number = 0);

/// Waits for `wanted`; ends the process when the monitor is gone.
void await_signal(Signal wanted);

/// The socket set by set_report_socket.
int report_socket();

/// `text` in double quotes, as Go's %q prints plain texts.
std::string quoted(std::string_view text);

}  // namespace dockerd::runtime::init
