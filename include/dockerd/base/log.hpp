#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

namespace dockerd::base::log {

/// How much a line matters, least first.
enum class Level { trace, debug, info, warn, error, fatal };
/// The two forms of --log-format.
enum class Format { text, json };

/// Sets level and form of the daemon's log on standard error. Callable at any time.
void configure(Level level, Format format);

/// Whether a line of `level` would be written.
bool enabled(Level level) noexcept;

/// Writes one line: `time="..." level=info msg="..."`, or the same as JSON.
/// Source: the forms of dockerd's --log-format.
void write(Level level, std::string_view message);

/// The same with fields behind the message: `host="tcp://..."`.
struct Field {
    std::string_view name;
    std::string_view value;
};
/// As write(), with further fields behind the message.
void write(Level level, std::string_view message, std::initializer_list<Field> fields);
/// As above.
void write(Level level, std::string_view message, std::span<const Field> fields);

/// Formats and writes one line of the level the function is named after.
template <typename... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::debug)) write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
}
/// As debug().
template <typename... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::info)) write(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
/// As debug().
template <typename... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::warn)) write(Level::warn, fmt::format(text, std::forward<Args>(args)...));
}
/// As debug().
template <typename... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::error)) write(Level::error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace dockerd::base::log
