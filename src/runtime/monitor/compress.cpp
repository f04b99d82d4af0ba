#include "monitor/log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>

namespace dockerd::runtime::monitor {

namespace {

constexpr std::size_t block_size = 64 * 1024;

bool write_all(int fd, const unsigned char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t n = ::write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        size -= static_cast<std::size_t>(n);
    }
    return true;
}

/// Compresses `from` to `to`. `extra` goes into the header, where readers find the time of the
/// last entry without reading all of it.
bool deflate_file(int from, int to, const std::string& extra) {
    static unsigned char in[block_size];
    static unsigned char out[block_size];
    z_stream state{};
    if (::deflateInit2(&state, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8,
                       Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    gz_header header{};
    header.os = 255;  // unknown, as Go writes it
    header.extra = reinterpret_cast<Bytef*>(const_cast<char*>(extra.data()));
    header.extra_len = static_cast<uInt>(extra.size());
    (void)::deflateSetHeader(&state, &header);  // cannot fail before the first deflate
    int result = Z_OK;
    while (result != Z_STREAM_END) {
        const ssize_t n = ::read(from, in, sizeof in);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        state.next_in = in;
        state.avail_in = static_cast<uInt>(n);
        do {
            state.next_out = out;
            state.avail_out = sizeof out;
            result = ::deflate(&state, n == 0 ? Z_FINISH : Z_NO_FLUSH);
            if (!write_all(to, out, sizeof out - state.avail_out)) return false;
        } while (state.avail_out == 0);
    }
    return true;
}

}  // namespace

// Source: moby daemon/logger/loggerutils/logfile.go, compressFile. The compressed file gets its
// name when it is whole, the other one goes after that: readers find one of them at any time.
int compress_log(const std::string& path, const std::string& last_time) {
    const std::string partial = path + ".gz.tmp";
    const base::Fd from{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    const base::Fd to{
        ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640)};
    if (!from || !to) return errno;
    if (!deflate_file(from.get(), to.get(), "{\"lastTime\":\"" + last_time + "\"}") ||
        ::rename(partial.c_str(), (path + ".gz").c_str()) != 0) {
        (void)::unlink(partial.c_str());  // the uncompressed file stays
        return EIO;
    }
    (void)::unlink(path.c_str());  // somebody may have been faster
    return 0;
}

void LogFile::start_compressor() {
    std::string last_time;
    timespec now{};
    (void)::clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock
    append_time(last_time, now);
    const pid_t pid = ::fork();
    if (pid == 0) {
        // Pipes and clients must not stay open because of us.
        (void)::syscall(SYS_close_range, 3U, ~0U, 0U);  // 5.9 and later
        ::_exit(compress_log(path_ + ".1", last_time));
    }
    if (pid < 0) return;  // the file stays uncompressed, and is read all the same
    compressor_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool LogFile::busy() {
    if (!compressor_) return false;
    pollfd state{compressor_.get(), POLLIN, 0};
    if (::poll(&state, 1, 0) == 0) return true;
    compressor_.reset();
    return false;
}

void LogFile::await_compressor() {
    pollfd state{compressor_.get(), POLLIN, 0};
    while (compressor_ && ::poll(&state, 1, -1) < 0 && errno == EINTR) {
    }
    compressor_.reset();
}

}  // namespace dockerd::runtime::monitor
