#include <dockerd/archive/unpacker.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include <dockerd/archive/compression.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/sys/sealed_program.hpp>

#include "worker_process.hpp"

extern "C" {
// src/archive/embed.S
extern const char dockerd_unpack_begin[];
extern const char dockerd_unpack_end[];
}

namespace dockerd::archive {
namespace {

using worker::Job;
using worker::Task;

/// The directory as a mount of its own that nothing is above: ".." ends there, and a device that is
/// made in it cannot be opened through it.
base::Fd separate_root(int root) {
    base::Fd tree{::open_tree(root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)};
    if (!tree) base::throw_errno(errno, "unpack: open_tree");
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    attributes.propagation = MS_PRIVATE;
    if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
        base::throw_errno(errno, "unpack: mount_setattr");
    }
    return tree;
}

/// A worker that decompresses, the thread that feeds it, and the reader's end.
class Decompression {
public:
    Decompression(const StartProgram& start, int program, ByteSource source, Pipe output)
        : worker_(start, program, Job{.task = Task::decompress}, {},
                  Places{.output = output.write.get()}),
          output_(std::move(output.read)),
          feeder_([this, source = std::move(source)]() mutable { run(std::move(source)); }) {}
    Decompression(const Decompression&) = delete;
    Decompression& operator=(const Decompression&) = delete;
    ~Decompression() {
        worker_.kill();
        if (feeder_.joinable()) feeder_.join();
    }

    std::size_t read(std::span<char> buffer) {
        while (!ended_) {
            const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
            if (n > 0) return static_cast<std::size_t>(n);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) base::throw_errno(errno, "unpack: read");
            ended_ = true;
            finish();
        }
        return 0;
    }

private:
    void run(ByteSource source) noexcept {
        try {
            worker_.feed(source);
        } catch (...) {
            failure_ = std::current_exception();
            worker_.kill();
        }
    }
    void finish() {
        feeder_.join();
        // A stream that breaks off is the origin's failure, not the decoder's.
        if (failure_) std::rethrow_exception(failure_);
        (void)worker_.finish();
    }

    WorkerProcess worker_;
    base::Fd output_;
    bool ended_ = false;
    std::exception_ptr failure_;  ///< the feeder's until it is joined
    std::thread feeder_;          ///< last: it uses the others
};

}  // namespace

struct Unpacker::Impl {
    Impl(StartProgram starts, base::Fd file) : start(std::move(starts)), program(std::move(file)) {}

    /// The worker's program; ours is put into memory when it is first needed.
    [[nodiscard]] int program_file() const {
        std::call_once(once, [this] {
            if (program) return;
            program = sys::sealed_program(
                "docker-unpack", std::string_view(dockerd_unpack_begin, dockerd_unpack_end));
        });
        return program.get();
    }

    StartProgram start;
    mutable std::once_flag once;
    mutable base::Fd program;

    [[nodiscard]] ExtractResult run(const Job& job, const std::string& below,
                                    const ByteSource& source, const Places& places) const {
        WorkerProcess process(start, program_file(), job, below, places);
        process.feed(source);
        return process.finish();
    }
};

Unpacker::Unpacker(StartProgram start) : Unpacker(std::move(start), base::Fd()) {}

Unpacker::Unpacker(StartProgram start, base::Fd program)
    : impl_(std::make_shared<Impl>(std::move(start), std::move(program))) {}

Unpacker::~Unpacker() = default;

ExtractResult Unpacker::unpack_layer(const ByteSource& tar, int root, int tar_split) const {
    const base::Fd separate = separate_root(root);
    return impl_->run(Job{.task = Task::layer}, {}, tar,
                      {.output = tar_split, .root = separate.get()});
}

ExtractResult Unpacker::unpack_archive(const ByteSource& packed, int root,
                                       const ExtractOptions& options) const {
    if (options.below.size() > worker::max_below_size) {
        base::throw_errno(ENAMETOOLONG, "unpack: " + options.below.substr(0, 64) + "...");
    }
    Job job{.task = Task::archive};
    job.below_size = static_cast<std::uint32_t>(options.below.size());
    job.has_owner = options.owner ? 1 : 0;
    if (options.owner) std::tie(job.uid, job.gid) = *options.owner;
    job.no_overwrite_dir_non_dir = options.no_overwrite_dir_non_dir ? 1 : 0;
    job.names_stay_inside = options.names_stay_inside ? 1 : 0;
    job.max_bytes = options.max_bytes;
    const base::Fd mounts{::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)};
    if (!mounts) base::throw_errno(errno, "unpack: open mount namespace");
    return impl_->run(job, options.below, packed, {.root = root, .mount_namespace = mounts.get()});
}

ByteSource Unpacker::decompress(ByteSource source) const {
    Sniffed sniffed = sniff_compression(std::move(source));
    if (sniffed.kind == Compression::none) return std::move(sniffed.whole);
    auto work = std::make_shared<Decompression>(impl_->start, impl_->program_file(),
                                                std::move(sniffed.whole), make_large_pipe());
    // The program's file stays open as long as somebody reads.
    return [work, keep = impl_](std::span<char> buffer) { return work->read(buffer); };
}

}  // namespace dockerd::archive
