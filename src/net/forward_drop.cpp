#include "forward_drop.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::net {
namespace {

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

ForwardDrop::State state_of(char letter) {
    using State = ForwardDrop::State;
    for (const State state : {State::pending, State::done}) {
        if (letter == static_cast<char>(state)) return state;
    }
    return State::none;
}

}  // namespace

ForwardDrop::ForwardDrop(const std::string& exec_root)
    : path_(exec_root + "/forward-drop"), boot_(first_line("/proc/sys/kernel/random/boot_id")) {
    const std::string line = first_line(path_);
    // Of an earlier boot nothing is left in the kernel.
    if (line.size() != boot_.size() + 3 || !line.starts_with(boot_)) return;
    v4_ = state_of(line[boot_.size() + 1]);
    v6_ = state_of(line[boot_.size() + 2]);
}

void ForwardDrop::set(bool v6, State state) {
    (v6 ? v6_ : v4_) = state;
    const std::string text =
        fmt::format("{} {}{}\n", boot_, static_cast<char>(v4_), static_cast<char>(v6_));
    const std::string temporary = path_ + ".tmp";
    const base::Fd file{
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (!file || ::write(file.get(), text.data(), text.size()) != std::ssize(text) ||
        ::rename(temporary.c_str(), path_.c_str()) != 0) {
        base::throw_errno(errno, "write " + path_);
    }
}

}  // namespace dockerd::net
