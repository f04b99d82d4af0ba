#include <dockerd/archive/stream.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::archive {

ByteSource memory_source(std::string bytes) {
    struct State {
        std::string bytes;
        std::size_t at = 0;
    };
    auto state = std::make_shared<State>(State{std::move(bytes)});
    return [state](std::span<char> buffer) {
        const std::size_t n = std::min(buffer.size(), state->bytes.size() - state->at);
        std::memcpy(buffer.data(), state->bytes.data() + state->at, n);
        state->at += n;
        return n;
    };
}

ByteSource fd_source(base::Fd fd) {
    auto shared = std::make_shared<base::Fd>(std::move(fd));
    return [shared](std::span<char> buffer) -> std::size_t {
        for (;;) {
            const ssize_t n = ::read(shared->get(), buffer.data(), buffer.size());
            if (n >= 0) return static_cast<std::size_t>(n);
            if (errno != EINTR) base::throw_errno(errno, "read");
        }
    };
}

ByteSink fd_sink(int fd) {
    return [fd](std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::write(fd, bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) base::throw_errno(errno, "write");
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    };
}

std::size_t read_full(const ByteSource& source, std::span<char> buffer) {
    std::size_t have = 0;
    while (have < buffer.size()) {
        const std::size_t n = source(buffer.subspan(have));
        if (n == 0) break;
        have += n;
    }
    return have;
}

std::string read_all(const ByteSource& source, std::size_t limit, std::string_view what) {
    std::string out;
    std::array<char, 16384> buffer;
    while (const std::size_t n = source(buffer)) {
        if (out.size() + n > limit) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("{} is larger than {} bytes", what, limit));
        }
        out.append(buffer.data(), n);
    }
    return out;
}

std::int64_t copy(const ByteSource& source, const ByteSink& sink) {
    std::vector<char> buffer(128 * 1024);
    std::int64_t total = 0;
    while (const std::size_t n = source(buffer)) {
        sink({buffer.data(), n});
        total += static_cast<std::int64_t>(n);
    }
    return total;
}

}  // namespace dockerd::archive
