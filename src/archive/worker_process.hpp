#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <dockerd/archive/extract.hpp>
#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/fd.hpp>

#include "worker/job.hpp"

namespace dockerd::archive {

/// A pipe's two ends.
struct Pipe {
    base::Fd read;
    base::Fd write;
};

/// Throws: internal, "unpack: pipe: <errno text>".
Pipe make_pipe();
/// As make_pipe, for many bytes.
Pipe make_large_pipe();

/// Memory that this process writes and a worker reads.
class Ring {
public:
    /// Throws: internal, "unpack: <call>: <errno text>".
    Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();

    [[nodiscard]] int file() const { return file_.get(); }
    [[nodiscard]] std::span<char> block(std::uint32_t number) const;

private:
    base::Fd file_;
    char* memory_ = nullptr;
};

/// What stands in the worker for output_fd, root_fd and namespace_fd; -1: it has none.
struct Places {
    int output = -1;
    int root = -1;
    int mount_namespace = -1;
};

/// One worker: given its job at once, bytes by feed(), and asked by finish() what became of it.
/// Killed and waited for on destruction.
class WorkerProcess {
public:
    WorkerProcess(const StartProgram& start, int program, const worker::Job& job,
                  const std::string& below, const Places& places);
    WorkerProcess(const WorkerProcess&) = delete;
    WorkerProcess& operator=(const WorkerProcess&) = delete;
    ~WorkerProcess();

    /// Passes all of `source` on, or as much as the worker wants. Throws what `source` throws.
    void feed(const ByteSource& source);
    /// Waits for the end. Throws: the worker's error, or internal when it left none.
    ExtractResult finish();
    /// Ends it; feed() on another thread returns.
    void kill() noexcept;

private:
    /// False when the worker reads no more.
    bool write(std::string_view bytes);
    /// Waits until at least one more block is free. False when the worker has ended.
    bool await_free(std::uint32_t& filled);
    std::string read_report();
    std::string wait() noexcept;

    Ring ring_;
    base::Fd pidfd_;
    base::Fd input_;
    base::Fd free_;
    base::Fd report_;
};

}  // namespace dockerd::archive
