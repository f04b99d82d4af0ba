#include <dockerd/base/id.hpp>

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include <dockerd/base/error.hpp>

namespace dockerd::base {

std::string random_hex(std::size_t bytes) {
    std::vector<unsigned char> raw(bytes);
    std::size_t done = 0;
    while (done < bytes) {
        const ssize_t got = ::getrandom(raw.data() + done, bytes - done, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            throw_errno(errno, "getrandom");
        }
        done += static_cast<std::size_t>(got);
    }
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes * 2);
    for (const unsigned char byte : raw) {
        out.push_back(digits[byte >> 4U]);
        out.push_back(digits[byte & 15U]);
    }
    return out;
}

std::string random_id() {
    while (true) {
        std::string id = random_hex(32);
        const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
        if (!std::all_of(id.begin(), id.begin() + 12, is_digit)) return id;
    }
}

std::string_view short_id(std::string_view id) {
    if (const auto colon = id.find(':'); colon != std::string_view::npos) {
        id.remove_prefix(colon + 1);
    }
    return id.substr(0, 12);
}

bool is_full_id(std::string_view text) {
    return text.size() == 64 && std::ranges::all_of(text, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

}  // namespace dockerd::base
