#include <dockerd/base/log.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>

namespace dockerd::base::log {
namespace {

std::atomic<Level> current_level{Level::info};
std::atomic<Format> current_format{Format::text};

const char* level_name(Level level) {
    switch (level) {
        case Level::trace: return "trace";
        case Level::debug: return "debug";
        case Level::info: return "info";
        case Level::warn: return "warning";
        case Level::error: return "error";
        case Level::fatal: return "fatal";
    }
    return "info";
}

/// Source: sirupsen/logrus text_formatter.go, needsQuoting: a word of these is not quoted.
std::string plain_or_quoted(std::string_view text) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("-._/@^+").find(c) != std::string_view::npos;
    };
    return std::ranges::all_of(text, plain) ? std::string(text) : quote(text);
}

/// Source: Go encoding/json, appendString, as logrus uses it. What is no UTF-8 is replaced.
std::string json_string(std::string_view text) {
    std::string out = nlohmann::json(text).dump(-1, ' ', false,
                                                nlohmann::json::error_handler_t::replace);
    return out;
}

}  // namespace

void configure(Level level, Format format) {
    current_level = level;
    current_format = format;
}

bool enabled(Level level) noexcept { return level >= current_level.load(); }

void write(Level level, std::string_view message) { write(level, message, {}); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
    write(level, message, std::span<const Field>(fields.begin(), fields.size()));
}

void write(Level level, std::string_view message, std::span<const Field> fields) {
    if (!enabled(level)) return;
    const std::string time = format_rfc3339_fixed(WallTime::now());
    std::vector<Field> sorted(fields.begin(), fields.end());
    const auto by_name = [](const Field& a, const Field& b) { return a.name < b.name; };
    std::string line;
    if (current_format.load() == Format::json) {
        sorted.insert(sorted.end(),
                      {{"level", level_name(level)}, {"msg", message}, {"time", time}});
        std::ranges::sort(sorted, by_name);
        for (const Field& field : sorted) {
            line += fmt::format("{}{}:{}", line.empty() ? "{" : ",", json_string(field.name),
                                json_string(field.value));
        }
        line += "}\n";
    } else {
        std::ranges::sort(sorted, by_name);
        line = fmt::format("time=\"{}\" level={} msg={}", time, level_name(level),
                           plain_or_quoted(message));
        for (const Field& field : sorted) {
            line += fmt::format(" {}={}", field.name, plain_or_quoted(field.value));
        }
        line += '\n';
    }
    // One write(2) a line, so lines of several threads do not mix; a closed stderr is no error.
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

}  // namespace dockerd::base::log
