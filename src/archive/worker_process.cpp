#include "worker_process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

#include "worker/ring.hpp"

namespace dockerd::archive {
namespace {

/// The most an unprivileged pipe may hold; smaller ones cost switches between the two processes.
constexpr int large_pipe = 1 << 20;

[[noreturn]] void fail(const std::string& text) {
    base::fail(base::ErrorKind::internal, "unpack: " + text);
}

/// What the worker says is checked for form only: its words are the archive's own.
base::Error error_of(const worker::Report& report, std::string_view text) {
    const auto last = static_cast<std::uint32_t>(base::ErrorKind::unavailable);
    const auto kind =
        report.kind <= last ? static_cast<base::ErrorKind>(report.kind) : base::ErrorKind::internal;
    const int error = report.error > 0 && report.error < 4096 ? report.error : 0;
    return base::Error(kind, std::string(text), error);
}

}  // namespace

Pipe make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) base::throw_errno(errno, "unpack: pipe");
    return {base::Fd{ends[0]}, base::Fd{ends[1]}};
}

Pipe make_large_pipe() {
    Pipe pipe = make_pipe();
    (void)::fcntl(pipe.write.get(), F_SETPIPE_SZ, large_pipe);  // slower where it may not be
    return pipe;
}

Ring::Ring() : file_(::memfd_create("unpack-input", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    if (!file_ || ::ftruncate(file_.get(), worker::ring_size) != 0) {
        base::throw_errno(errno, "unpack: memfd_create");
    }
    void* const at =
        ::mmap(nullptr, worker::ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (at == MAP_FAILED) base::throw_errno(errno, "unpack: mmap");
    memory_ = static_cast<char*>(at);
    // From here on nobody can write but through this mapping, nor take the memory away under it.
    constexpr int seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (::fcntl(file_.get(), F_ADD_SEALS, seals) != 0) {
        const int error = errno;
        (void)::munmap(memory_, worker::ring_size);
        base::throw_errno(error, "unpack: seal");
    }
}

Ring::~Ring() { (void)::munmap(memory_, worker::ring_size); }

std::span<char> Ring::block(std::uint32_t number) const {
    return {memory_ + number * worker::block_size, worker::block_size};
}

WorkerProcess::WorkerProcess(const StartProgram& start, int program, const worker::Job& job,
                             const std::string& below, const Places& places) {
    Pipe input = make_pipe();
    Pipe report = make_pipe();
    Pipe freed = make_pipe();
    std::vector<int> fds{input.read.get(), report.write.get(), ring_.file(), freed.write.get()};
    // The root keeps its number where there is no output.
    fds.push_back(places.output >= 0 ? places.output : report.write.get());
    if (places.root >= 0) fds.push_back(places.root);
    if (places.mount_namespace >= 0) fds.push_back(places.mount_namespace);
    pidfd_ = start(program, fds);
    input_ = std::move(input.write);
    report_ = std::move(report.read);
    free_ = std::move(freed.read);
    try {
        if (write({reinterpret_cast<const char*>(&job), sizeof job})) (void)write(below);
    } catch (const base::Error&) {
        kill();  // without a destructor to do it
        (void)wait();
        throw;
    }
}

WorkerProcess::~WorkerProcess() {
    kill();
    (void)wait();
}

void WorkerProcess::kill() noexcept {
    // It may have ended by itself.
    if (pidfd_) (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

bool WorkerProcess::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(input_.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EPIPE) return false;
        if (n < 0) base::throw_errno(errno, "unpack: write");
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

void WorkerProcess::feed(const ByteSource& source) {
    std::uint32_t filled = 0;
    for (std::uint32_t next = 0;; next = (next + 1) % worker::block_count) {
        if (filled == worker::block_count && !await_free(filled)) break;
        // Whole blocks: each wakes the worker.
        const std::span<char> block = ring_.block(next);
        const std::size_t n = read_full(source, block);
        if (n == 0) break;
        const worker::Filled message{next, static_cast<std::uint32_t>(n)};
        if (!write({reinterpret_cast<const char*>(&message), sizeof message})) break;
        ++filled;
        if (n < block.size()) break;
    }
    input_.reset();
}

bool WorkerProcess::await_free(std::uint32_t& filled) {
    char bytes[worker::block_count];
    ssize_t n = 0;
    do {
        n = ::read(free_.get(), bytes, sizeof bytes);
    } while (n < 0 && errno == EINTR);
    // More than there are blocks are not free: a worker that says so spoils its own input.
    filled -= std::min(filled, static_cast<std::uint32_t>(std::max<ssize_t>(n, 0)));
    return n > 0;
}

std::string WorkerProcess::read_report() {
    constexpr std::size_t most = sizeof(worker::Report) + worker::max_text_size;
    std::string out(most, '\0');
    std::size_t have = 0;
    while (have < most) {
        const ssize_t n = ::read(report_.get(), out.data() + have, most - have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, "unpack: read");
        if (n == 0) break;
        have += static_cast<std::size_t>(n);
    }
    out.resize(have);
    return out;
}

/// How the worker ended, in words; empty: well. It has ended by itself, or was killed.
std::string WorkerProcess::wait() noexcept {
    if (!pidfd_) return {};
    siginfo_t info{};
    const auto id = static_cast<id_t>(pidfd_.get());
    while (::waitid(P_PIDFD, id, &info, WEXITED) != 0) {
        if (errno != EINTR) return "lost";  // whoever started us has children reaped unseen
    }
    pidfd_.reset();
    if (info.si_code == CLD_EXITED) {
        return info.si_status == 0 ? "" : "exit status " + std::to_string(info.si_status);
    }
    return "killed by signal " + std::to_string(info.si_status);
}

ExtractResult WorkerProcess::finish() {
    input_.reset();
    const std::string raw = read_report();
    // A report that is longer than it may be would leave its writer waiting.
    if (raw.size() == sizeof(worker::Report) + worker::max_text_size) kill();
    const std::string end = wait();
    worker::Report report;
    if (raw.size() < sizeof report) fail(end.empty() ? "no result" : end);
    std::memcpy(&report, raw.data(), sizeof report);
    if (raw.size() - sizeof report != report.text_size) fail("malformed result");
    if (report.ok == 0) throw error_of(report, std::string_view(raw).substr(sizeof report));
    if (!end.empty()) fail(end);
    if (report.size < 0 || report.entries < 0) fail("malformed result");
    return {.size = report.size, .entries = report.entries};
}

}  // namespace dockerd::archive
