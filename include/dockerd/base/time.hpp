#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dockerd::base {

/// A point of wall-clock time with nanoseconds. The default value is Go's zero time,
/// "0001-01-01T00:00:00Z", which Docker shows for "never".
class WallTime {
public:
    constexpr WallTime() = default;
    constexpr WallTime(std::int64_t seconds, std::int32_t nanoseconds)
        : seconds_(seconds), nanoseconds_(nanoseconds) {}

    /// The time of day.
    static WallTime now();

    /// Seconds since 1970.
    [[nodiscard]] constexpr std::int64_t seconds() const { return seconds_; }
    [[nodiscard]] constexpr std::int32_t nanoseconds() const { return nanoseconds_; }
    /// Nanoseconds since 1970; 0 for the zero time.
    [[nodiscard]] constexpr std::int64_t unix_nano() const {
        return is_zero() ? 0 : seconds_ * 1'000'000'000 + nanoseconds_;
    }
    [[nodiscard]] constexpr bool is_zero() const { return seconds_ == zero_seconds; }

    friend constexpr auto operator<=>(const WallTime&, const WallTime&) = default;

private:
    static constexpr std::int64_t zero_seconds = -62'135'596'800;
    std::int64_t seconds_ = zero_seconds;
    std::int32_t nanoseconds_ = 0;
};

/// RFC 3339 in UTC, fraction without trailing zeros: Go's RFC3339Nano.
std::string format_rfc3339_nano(WallTime time);

/// RFC 3339 in UTC with nine digits of fraction, as `docker logs -t` prints it.
std::string format_rfc3339_fixed(WallTime time);

/// Parses RFC 3339 with any fraction and offset; nullopt when it is something else.
std::optional<WallTime> parse_rfc3339(std::string_view text);

/// Parses Go's duration text ("1h2m3.5s", "300ms"); nullopt when it is something else.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

/// "1m30s", "1.5s", "300ms", "0s": a duration in Go's form.
/// Source: Go time, Duration.String.
std::string format_duration(std::chrono::nanoseconds duration);

/// "5 seconds", "About a minute", "3 hours": the words of `docker ps`.
/// Source: docker/go-units, HumanDuration.
std::string human_duration(std::chrono::seconds duration);

}  // namespace dockerd::base
