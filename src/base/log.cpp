#include <dockerd/base/log.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <string>

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

}  // namespace

void configure(Level level, Format format) {
    current_level = level;
    current_format = format;
}

bool enabled(Level level) noexcept { return level >= current_level.load(); }

void write(Level level, std::string_view message) { write(level, message, {}); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
    if (!enabled(level)) return;
    std::string extra;
    const std::string time = format_rfc3339_fixed(WallTime::now());
    std::string line;
    if (current_format.load() == Format::json) {
        for (const Field& field : fields) {
            extra += fmt::format("\"{}\":{},", field.name, quote(field.value));
        }
        line = fmt::format("{{{}\"level\":\"{}\",\"msg\":{},\"time\":\"{}\"}}\n", extra,
                           level_name(level), quote(message), time);
    } else {
        for (const Field& field : fields) {
            extra += fmt::format(" {}={}", field.name, quote(field.value));
        }
        line = fmt::format("time=\"{}\" level={} msg={}{}\n", time, level_name(level),
                           quote(message), extra);
    }
    // One write(2) a line, so lines of several threads do not mix; a closed stderr is no error.
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

}  // namespace dockerd::base::log
