#include <dockerd/base/thread_dump.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace dockerd::base {
namespace {

std::string read_all(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string read_line(const std::filesystem::path& path) {
    std::string text = read_all(path);
    return text.substr(0, text.find('\n'));
}

}  // namespace

std::string thread_dump() {
    std::string out;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        const std::filesystem::path& at = task.path();
        out += "thread " + at.filename().string() + " [" + read_line(at / "comm") + "]\n" +
               "  waits in: " + read_line(at / "wchan") + "\n" +
               "  system call: " + read_line(at / "syscall") + "\n" + read_all(at / "stack") + "\n";
    }
    return out;
}

}  // namespace dockerd::base
