#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <dockerd/archive/extract.hpp>
#include <dockerd/archive/stream.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::archive {

/// Executes the program in the file `program` in a new process, a child of this one, with
/// descriptors 0 to 2 on /dev/null, `fds` from 3 on and no environment, and returns its pidfd.
using StartProgram = std::function<base::Fd(int program, std::span<const int> fds)>;

/// Has hostile bytes worked on in processes of their own, one for each call, that can do nothing
/// else: a directory as their root, no capabilities but those to make files, system calls filtered,
/// memory bounded. See "Processes" in docs/architecture.md.
///
/// A worker that was taken over by what it reads can spoil the directory it was given, and lie in
/// its result; hence digests are made by the caller, of the bytes that go in.
///
/// Thread: any. Pre: SIGPIPE is ignored.
class Unpacker {
public:
    explicit Unpacker(StartProgram start);
    /// With another program in the worker's place, for tests of the jail.
    Unpacker(StartProgram start, base::Fd program);
    ~Unpacker();
    Unpacker(const Unpacker&) = delete;
    Unpacker& operator=(const Unpacker&) = delete;

    /// Unpacks a plain tar as a layer, whiteouts in overlay's form, and writes its tar-split to
    /// the file `tar_split`. `tar` is read to its end on the calling thread.
    /// `root` is a directory without anything mounted in it; it is unpacked to without devices.
    /// Throws: as extract(); internal, "unpack: killed by signal 9" and kin when the worker dies.
    ExtractResult unpack_layer(const ByteSource& tar, int root, int tar_split) const;

    /// Unpacks a tar of any compression: extract() without whiteouts. Nothing of what is mounted
    /// in `root` may allow devices; what is mounted in it in the calling thread's mount namespace
    /// can be neither removed nor replaced. Throws: as unpack_layer.
    ExtractResult unpack_archive(const ByteSource& packed, int root,
                                 const ExtractOptions& options) const;

    /// The stream without its compression; a plain one passes through.
    ///
    /// Thread: `source` is called on a helper thread until the result is at its end; destroying
    /// the last copy of the result joins that thread, so `source` must return when its origin does.
    /// Throws: while reading, as archive::decompress.
    ByteSource decompress(ByteSource source) const;

private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace dockerd::archive
