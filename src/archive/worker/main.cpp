// The program that unpacks what cannot be trusted. dockerd carries it inside itself, and the
// launcher executes it, once for each layer, archive or packed stream.

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/extract.hpp>
#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tar.hpp>
#include <dockerd/archive/tar_split.hpp>
#include <dockerd/base/error.hpp>

#include "jail.hpp"
#include "job.hpp"
#include "ring.hpp"

namespace dockerd::archive::worker {
namespace {

void prepare_process() {
    (void)::syscall(SYS_close_range, after_last_fd, ~0U, 0U);  // nothing else was meant for us
    (void)::prctl(PR_SET_NAME, "docker-unpack", 0, 0, 0);      // for ps only
    // With the daemon goes who could use what we do. Should it be gone already, the input ends.
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)std::signal(SIGPIPE, SIG_IGN);
    (void)std::signal(SIGXFSZ, SIG_IGN);
}

std::size_t read_pipe(std::span<char> buffer) {
    for (;;) {
        const ssize_t n = ::read(input_fd, buffer.data(), buffer.size());
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno != EINTR) base::throw_errno(errno, "read");
    }
}

/// What the daemon puts into the ring, in order.
class Input {
public:
    void open() {
        void* const at = ::mmap(nullptr, ring_size, PROT_READ, MAP_SHARED, ring_fd, 0);
        if (at == MAP_FAILED) base::throw_errno(errno, "unpack: mmap");
        ring_ = static_cast<const char*>(at);
    }
    std::size_t read(std::span<char> buffer) {
        if (left_.empty() && !next()) return 0;
        const std::size_t n = std::min(buffer.size(), left_.size());
        std::memcpy(buffer.data(), left_.data(), n);
        left_.remove_prefix(n);
        // A daemon that waits no more has ended the input, or us.
        if (left_.empty()) (void)::write(free_fd, "", 1);
        return n;
    }

private:
    bool next() {
        Filled filled;
        const std::span<char> raw(reinterpret_cast<char*>(&filled), sizeof filled);
        if (read_full(read_pipe, raw) != raw.size()) return false;
        left_ = {ring_ + filled.block * block_size, filled.size};
        return true;
    }

    const char* ring_ = nullptr;
    std::string_view left_;
};

Input input;

std::size_t read_input(std::span<char> buffer) { return input.read(buffer); }

struct Order {
    Job job;
    std::string below;
};

Order read_order() {
    Order order;
    const std::span<char> raw(reinterpret_cast<char*>(&order.job), sizeof order.job);
    if (read_full(read_pipe, raw) != raw.size() || order.job.below_size > max_below_size) {
        base::fail(base::ErrorKind::internal, "unpack: no job");
    }
    order.below.resize(order.job.below_size);
    if (read_full(read_pipe, order.below) != order.below.size()) {
        base::fail(base::ErrorKind::internal, "unpack: no job");
    }
    return order;
}

ExtractResult unpack_layer() {
    TarSplitWriter tap(fd_sink(output_fd));
    TarReader reader(read_input, &tap);
    ExtractOptions options;
    options.whiteouts = ExtractOptions::Whiteouts::overlay;
    options.start_writeback = true;
    const ExtractResult result = extract(reader, root_fd, options);
    reader.drain();
    tap.finish();
    return result;
}

ExtractResult unpack_archive(const Order& order) {
    ExtractOptions options;
    options.below = order.below;
    if (order.job.has_owner != 0) options.owner = {order.job.uid, order.job.gid};
    options.no_overwrite_dir_non_dir = order.job.no_overwrite_dir_non_dir != 0;
    options.names_stay_inside = order.job.names_stay_inside != 0;
    options.max_bytes = order.job.max_bytes;
    return extract(read_input, root_fd, options);
}

ExtractResult perform(const Order& order) {
    switch (order.job.task) {
        case Task::decompress:
            return {.size = copy(decompress(read_input), fd_sink(output_fd)), .entries = 0};
        case Task::layer:
            return unpack_layer();
        case Task::archive:
            return unpack_archive(order);
    }
    base::fail(base::ErrorKind::internal, "unpack: unknown job");
}

void send(const Report& report, std::string_view text) {
    std::string out(reinterpret_cast<const char*>(&report), sizeof report);
    out += text;
    fd_sink(report_fd)(out);
}

void send_failure(base::ErrorKind kind, int error, std::string_view text) {
    text = text.substr(0, max_text_size);
    Report report;
    report.kind = static_cast<std::uint32_t>(kind);
    report.error = error;
    report.text_size = static_cast<std::uint32_t>(text.size());
    send(report, text);
}

void run() {
    try {
        const Order order = read_order();
        input.open();
        enter_jail(order.job.task);
        const ExtractResult result = perform(order);
        Report report;
        report.ok = 1;
        report.size = result.size;
        report.entries = result.entries;
        send(report, {});
    } catch (const base::Error& error) {
        send_failure(error.kind(), error.errno_value(), error.what());
    } catch (const std::bad_alloc&) {
        send_failure(base::ErrorKind::internal, ENOMEM, "unpack: " + base::errno_text(ENOMEM));
    } catch (const std::exception& error) {
        send_failure(base::ErrorKind::internal, 0, error.what());
    }
}

}  // namespace
}  // namespace dockerd::archive::worker

int main() {
    dockerd::archive::worker::prepare_process();
    try {
        dockerd::archive::worker::run();
    } catch (...) {
        ::_exit(1);  // the report had no reader
    }
    ::_exit(0);  // nothing of the C library's end is needed, nor allowed
}
