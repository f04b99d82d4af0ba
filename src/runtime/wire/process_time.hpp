#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dockerd/base/fd.hpp>

namespace dockerd::runtime {

/// Field 22 of /proc/PID/stat, in ticks since boot; 0 when there is no such process. With the pid
/// it names one process for good.
inline std::uint64_t process_start_time(pid_t pid) {
    const base::Fd file{
        ::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC)};
    char text[1024];
    const ssize_t size = file ? ::read(file.get(), text, sizeof text - 1) : -1;
    if (size <= 0) return 0;
    text[size] = '\0';
    // The second field is a name in parentheses that may itself hold anything.
    const char* at = std::strrchr(text, ')');
    for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
    return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

}  // namespace dockerd::runtime
