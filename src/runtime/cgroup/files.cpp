#include "files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <memory>

#include <dockerd/base/strings.hpp>

namespace dockerd::runtime::cgroup_files {

std::optional<std::string> read(int directory, const std::string& path) {
    const base::Fd file{::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file) return std::nullopt;
    std::string text;
    char buffer[8192];
    for (;;) {
        const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::nullopt;
        if (got == 0) return text;
        text.append(buffer, static_cast<std::size_t>(got));
    }
}

std::string read_text(int directory, const std::string& path) {
    return read(directory, path).value_or("");
}

int write(int directory, const std::string& path, std::string_view value) {
    // O_TRUNC means nothing to the kernel's cgroup files; on a recorded tree it keeps the last
    // value only.
    const base::Fd file{::openat(directory, path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC)};
    if (!file) return errno;
    for (;;) {
        // One write(2): the kernel parses each write to a cgroup file on its own.
        if (::write(file.get(), value.data(), value.size()) >= 0) return 0;
        if (errno != EINTR) return errno;
    }
}

bool exists(int directory, const std::string& path) {
    return ::faccessat(directory, path.c_str(), F_OK, 0) == 0;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    text = base::trim(text);
    if (text == "max") return std::numeric_limits<std::uint64_t>::max();
    std::uint64_t value = 0;
    const bool negative = text.starts_with('-');
    if (negative) text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return negative ? 0 : value;
}

std::optional<std::uint64_t> read_number(int directory, const std::string& path) {
    const auto text = read(directory, path);
    return text ? parse_number(*text) : std::nullopt;
}

std::vector<std::string_view> fields(std::string_view text, std::string_view separators) {
    std::vector<std::string_view> parts;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(separators, at)) != std::string_view::npos) {
        const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
        parts.push_back(text.substr(at, end - at));
        at = end;
    }
    return parts;
}

std::vector<std::pair<std::string_view, std::uint64_t>> parse_pairs(std::string_view text) {
    std::vector<std::pair<std::string_view, std::uint64_t>> pairs;
    for (const std::string_view line : fields(text, "\n")) {
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos) continue;
        if (const auto value = parse_number(line.substr(space + 1))) {
            pairs.emplace_back(line.substr(0, space), *value);
        }
    }
    return pairs;
}

std::uint64_t pair_value(std::string_view text, std::string_view key) {
    for (const auto& [name, value] : parse_pairs(text)) {
        if (name == key) return value;
    }
    return 0;
}

std::vector<std::string> subfolders(int directory, const std::string& path) {
    std::vector<std::string> names;
    base::Fd folder{::openat(directory, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) return names;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(folder.get()), &::closedir);
    if (!stream) return names;
    (void)folder.release();  // closedir closes it
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view name = entry->d_name;
        if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
    }
    return names;
}

}  // namespace dockerd::runtime::cgroup_files
