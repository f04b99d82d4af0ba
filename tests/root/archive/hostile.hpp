#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/archive/tar.hpp>

namespace dockerd::archive::testing {

namespace fs = std::filesystem;

/// One member written byte by byte, so that it may be wrong in every way.
struct Raw {
    std::string name;
    char type = '0';
    std::string link;
    std::string data;
    unsigned mode = 0644;
    std::string size_field;  ///< instead of the data's
    std::string device;      ///< both octal fields, 16 bytes
    bool bad_checksum = false;
    bool data_missing = false;
};

inline std::string octal(unsigned long value, int digits) {
    char out[32];
    std::snprintf(out, sizeof out, "%0*lo", digits, value);
    return out;
}

inline void put(std::string& block, std::size_t at, std::string_view bytes, std::size_t most) {
    block.replace(at, std::min(bytes.size(), most), bytes.substr(0, most));
}

inline std::string encode(const Raw& raw) {
    std::string block(512, '\0');
    put(block, 0, raw.name, 100);
    put(block, 100, octal(raw.mode, 7), 8);
    put(block, 108, octal(0, 7), 8);
    put(block, 116, octal(0, 7), 8);
    put(block, 124, raw.size_field.empty() ? octal(raw.data.size(), 11) : raw.size_field, 12);
    put(block, 136, octal(1'500'000'000, 11), 12);
    block.replace(148, 8, 8, ' ');
    block[156] = raw.type;
    put(block, 157, raw.link, 100);
    put(block, 257,
        std::string_view("ustar\0"
                         "00",
                         8),
        8);
    if (!raw.device.empty()) put(block, 329, raw.device, 16);
    unsigned long sum = raw.bad_checksum ? 1 : 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put(block, 148, octal(sum, 6) + std::string("\0 ", 2), 8);
    if (raw.data_missing) return block;
    std::string data = raw.data;
    data.resize((data.size() + 511) / 512 * 512, '\0');
    return block + data;
}

inline std::string archive_of(const std::vector<Raw>& members) {
    std::string out;
    for (const Raw& member : members) out += encode(member);
    return out + std::string(1024, '\0');
}

/// "<length> key=value\n"
inline std::string record(const std::string& key, const std::string& value) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
}

inline Raw pax(const std::string& records, char type = 'x') {
    return {.name = "pax", .type = type, .data = records};
}

inline std::string device_field(unsigned long major, unsigned long minor) {
    return octal(major, 7) + std::string(1, '\0') + octal(minor, 7) + std::string(1, '\0');
}

/// A root to unpack to, and beside it what must not change.
class Arena {
public:
    Arena() {
        std::string pattern = "/var/tmp/hostile-test-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) std::abort();
        top = pattern;
        fs::create_directories(top + "/outside/sub");
        fs::create_directories(top + "/root/dest");
        std::ofstream(top + "/outside/canary") << "canary";
        std::ofstream(top + "/outside/sub/canary") << "canary";
        ::chmod((top + "/outside/canary").c_str(), 0600);
        before = state();
    }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena() { fs::remove_all(top); }

    /// Everything there is about the files beside the root.
    [[nodiscard]] std::string state() const {
        std::map<std::string, std::string> lines;
        const auto describe = [&](const fs::path& path) {
            struct stat info {};
            std::ostringstream out;
            if (::lstat(path.c_str(), &info) != 0) return std::string("gone");
            char names[4096];
            const ssize_t size = ::llistxattr(path.c_str(), names, sizeof names);
            out << info.st_mode << ' ' << info.st_uid << ' ' << info.st_gid << ' ' << info.st_nlink
                << ' ' << info.st_size << ' ' << info.st_ino << ' ' << info.st_mtim.tv_sec << '.'
                << info.st_mtim.tv_nsec << ' ' << info.st_ctim.tv_sec << '.' << info.st_ctim.tv_nsec
                << ' ' << std::string(names, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
            if (S_ISREG(info.st_mode)) out << std::ifstream(path).rdbuf();
            return out.str();
        };
        for (const auto& item : fs::directory_iterator(top)) {
            // The root's own times may change, nothing else up here.
            lines[item.path()] = item.path().filename() == "root" ? "" : describe(item.path());
        }
        for (const auto& item : fs::recursive_directory_iterator(top + "/outside")) {
            lines[item.path()] = describe(item.path());
        }
        std::string out;
        for (const auto& [path, line] : lines) out += path + " " + line + "\n";
        return out;
    }
    [[nodiscard]] base::Fd open_root() const {
        return base::Fd{::open((top + "/root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    }

    std::string top;
    std::string before;
};

}  // namespace dockerd::archive::testing
