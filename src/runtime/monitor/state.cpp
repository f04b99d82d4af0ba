#include "monitor/state.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace dockerd::runtime::monitor {

int StateDirectory::open(const std::string& path) {
    path_ = path;
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno;
    directory_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    return directory_ ? 0 : errno;
}

int StateDirectory::write(const char* name, const std::string& text) const {
    const std::string temporary = std::string(name) + ".tmp";
    const base::Fd file{::openat(directory_.get(), temporary.c_str(),
                                 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!file) return errno;
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return errno == 0 ? ENOSPC : errno;
    }
    return ::renameat(directory_.get(), temporary.c_str(), directory_.get(), name) == 0 ? 0 : errno;
}

int StateDirectory::write_started(const wire::Started& started) const {
    return write("init", "1 " + std::to_string(started.pid) + " " +
                             std::to_string(started.start_time) + "\n");
}

int StateDirectory::write_exited(const wire::Exited& exited) const {
    return write("exit", "1 " + std::to_string(exited.code) + " " + std::to_string(exited.signal) +
                             " " + std::to_string(exited.seconds) + " " +
                             std::to_string(exited.nanoseconds) + "\n");
}

base::Fd StateDirectory::listen() const {
    base::Fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // By way of the directory's descriptor: an exec root may lie deeper than 108 characters.
    const std::string path = "/proc/self/fd/" + std::to_string(directory_.get()) + "/sock";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    (void)::unlinkat(directory_.get(), "sock", 0);  // of an earlier run
    if (!socket ||
        ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(socket.get(), 4) != 0) {
        return base::Fd{};
    }
    return socket;
}

void StateDirectory::remove() const {
    struct stat info {};
    // A daemon that has taken the exit removes the directory itself: what has its name now belongs
    // to the next run.
    if (!directory_ || ::fstat(directory_.get(), &info) != 0 || info.st_nlink == 0) return;
    for (const char* name : {"sock", "init", "exit", "init.tmp", "exit.tmp"}) {
        (void)::unlinkat(directory_.get(), name, 0);  // not all are there
    }
    (void)::rmdir(path_.c_str());  // the daemon may keep files of its own in it
}

}  // namespace dockerd::runtime::monitor
