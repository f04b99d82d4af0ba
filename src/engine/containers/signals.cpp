#include "signals.hpp"

#include <csignal>
#include <cstring>

#include <dockerd/base/strings.hpp>

#include "errors.hpp"

namespace dockerd::engine {
namespace {

constexpr int last_signal = 64;
/// glibc keeps the first two real-time signals for itself; Docker counts from the kernel's.
constexpr int rt_min = 34;

int named_signal(std::string_view name) {
    for (int number = 1; number < rt_min; ++number) {
        const char* known = ::sigabbrev_np(number);
        if (known != nullptr && base::iequals(name, known)) return number;
    }
    if (base::iequals(name, "IOT")) return SIGABRT;
    if (base::iequals(name, "CLD")) return SIGCHLD;
    if (base::iequals(name, "IO")) return SIGIO;
    if (base::iequals(name, "RTMIN")) return rt_min;
    if (base::iequals(name, "RTMAX")) return last_signal;
    const std::string upper = base::to_lower(name);
    const auto offset = upper.size() > 6 ? base::parse_int(upper.substr(6)) : std::nullopt;
    if (offset && upper.starts_with("rtmin+") && *offset >= 1 && *offset <= 15) {
        return rt_min + static_cast<int>(*offset);
    }
    if (offset && upper.starts_with("rtmax-") && *offset >= 1 && *offset <= 14) {
        return last_signal - static_cast<int>(*offset);
    }
    return 0;
}

}  // namespace

int parse_signal(std::string_view text) {
    if (const auto number = base::parse_int(text)) {
        // Larger numbers are refused where they are sent.
        if (*number == 0 || *number != static_cast<int>(*number)) {
            throw errors::invalid_signal(text);
        }
        return static_cast<int>(*number);
    }
    std::string_view name = text;
    if (base::to_lower(name.substr(0, 3)) == "sig") name.remove_prefix(3);
    const int number = named_signal(name);
    if (number == 0) throw errors::invalid_signal(text);
    return number;
}

bool is_signal(int number) {
    return number >= 1 && number <= last_signal && (number < 32 || number >= rt_min);
}

}  // namespace dockerd::engine
