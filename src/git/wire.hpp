#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::git::wire {

// What the daemon and its jail tell each other, in packets: first the filter, the environment and
// the settings, answered by an empty packet or by what failed; then commands, each answered by a
// Head and its texts.

/// Descriptors of the jail's program.
constexpr int socket_fd = 3;
constexpr int folder_fd = 4;

constexpr std::size_t max_packet = 128 * 1024;
/// Of each text of a command; the rest is dropped.
constexpr std::size_t max_text = 32 * 1024;

struct Head {
    std::int32_t status = 0;  ///< as of waitpid(2)
    std::int32_t error = 0;   ///< why it was not executed: an errno
    std::uint32_t output_size = 0;
};

/// Words with a zero behind each.
inline std::string join(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out.append(word.c_str(), word.size() + 1);
    return out;
}

inline std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        const auto end = text.find('\0');
        out.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return out;
}

/// One packet; an empty one is sent as "\0" so that it is none of an end.
bool send(int socket, std::string_view bytes);
/// False at the end.
bool receive(int socket, std::string& bytes);

}  // namespace dockerd::git::wire
