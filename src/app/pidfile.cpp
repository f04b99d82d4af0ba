#include "pidfile.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::app {
namespace {

/// How long a daemon that was killed may take to be gone.
constexpr int dying_patience_ms = 500;

/// Whether the process runs and goes on running. One that has ended but was not waited for yet
/// counts as gone, and one that was killed this moment is given a little time to end.
bool is_alive(pid_t pid) {
    if (::kill(pid, 0) != 0 && errno != EPERM) return false;
    const base::Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!handle) return errno != ESRCH;
    pollfd ended{.fd = handle.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, dying_patience_ms) <= 0;
}

/// The live process a pid file names, or 0. One that names ourselves is left from before a
/// restart of the container or machine we run in.
pid_t live_pid(const std::string& path) {
    const base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        if (errno == ENOENT) return 0;
        base::throw_errno(errno, "open " + path);
    }
    std::array<char, 32> buffer{};
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count <= 0) return 0;
    const auto pid = base::parse_int(
        base::trim(std::string_view(buffer.data(), static_cast<std::size_t>(count))));
    if (!pid || *pid < 1 || *pid > INT32_MAX || *pid == ::getpid()) return 0;
    const auto target = static_cast<pid_t>(*pid);
    return is_alive(target) ? target : 0;
}

void write_pid(const std::string& path) {
    const base::Fd file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file) base::throw_errno(errno, "open " + path);
    const std::string text = std::to_string(::getpid());
    if (::write(file.get(), text.data(), text.size()) < 0)
        base::throw_errno(errno, "write " + path);
}

}  // namespace

PidFile::PidFile(std::string path) : path_(std::move(path)) {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
    base::in_context(
        fmt::format("failed to start daemon, ensure docker is not running or delete {}", path_),
        [&] {
            const pid_t other = live_pid(path_);
            if (other != 0) {
                base::fail(base::ErrorKind::conflict,
                           fmt::format("process with PID {} is still running", other));
            }
            write_pid(path_);
        });
}

PidFile::~PidFile() {
    if (!path_.empty() && ::unlink(path_.c_str()) != 0) {
        base::log::error("remove {}: {}", path_, base::errno_text(errno));
    }
}

}  // namespace dockerd::app
