#include <dockerd/sys/small_file.hpp>

#include <unistd.h>

#include <array>
#include <cerrno>

namespace dockerd::sys {

std::optional<std::string> read_small(int fd, std::size_t limit) {
    std::string out;
    std::array<char, 4096> buffer;  // filled by the reads
    while (fd >= 0 && out.size() <= limit) {
        const ssize_t got = ::read(fd, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        if (got == 0) return out;
        out.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return std::nullopt;
}

}  // namespace dockerd::sys
