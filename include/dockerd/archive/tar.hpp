#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/time.hpp>

namespace dockerd::archive {

/// One member of a tar, from its last header with GNU long names and PAX records applied.
struct TarEntry {
    enum class Type : char {
        file = '0',
        hard_link = '1',
        symlink = '2',
        char_device = '3',
        block_device = '4',
        directory = '5',
        fifo = '6',
        global_header = 'g',
        other = '?',
    };
    Type type = Type::file;
    char type_flag = '0';
    std::string name;  ///< as written, with a trailing slash on directories
    std::string link_name;
    std::uint32_t mode = 0;  ///< permission bits with setuid, setgid and sticky
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::int64_t size = 0;  ///< bytes of data that follow, holes of a sparse file expanded
    base::WallTime mtime{0, 0};
    std::optional<base::WallTime> atime;
    std::uint32_t device_major = 0;
    std::uint32_t device_minor = 0;
    std::map<std::string, std::string> xattrs;
    bool sparse = false;
};

/// Sees every byte of a tar as it is read or written, in order; tar-split is made from this.
class TarTap {
public:
    virtual ~TarTap() = default;
    /// Header blocks, extension data, padding and the end blocks.
    virtual void raw(std::string_view bytes) = 0;
    /// A member begins: its headers have gone through raw().
    virtual void begin(const TarEntry& entry) = 0;
    /// Data of the current member, as stored.
    virtual void data(std::string_view bytes) = 0;
    /// The data is through; padding follows as raw().
    virtual void end(const TarEntry& entry) = 0;
};

/// Reads ustar, old v7, GNU (long names, base-256 numbers, sparse) and PAX archives.
///
/// Throws: invalid_argument, "archive/tar: invalid tar header", "unexpected EOF".
/// Source: Go archive/tar, Reader: what it accepts and rejects.
class TarReader {
public:
    explicit TarReader(ByteSource source, TarTap* tap = nullptr);
    ~TarReader();
    TarReader(const TarReader&) = delete;
    TarReader& operator=(const TarReader&) = delete;

    /// The next member, skipping what is left of the current one; null at the end.
    const TarEntry* next();
    /// Data of the current member; 0 at its end.
    std::size_t read(std::span<char> buffer);
    /// Data of the current member without a copy: the reader's own buffer, empty at the end.
    /// Holes of sparse members come as zeros.
    std::string_view read_view();
    /// The current member's data as a source, valid until next().
    ByteSource data_source();
    /// Reads on to the end of the underlying stream, through the tap: trailing padding is part
    /// of a layer's digest.
    void drain();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Whether `head`, the first bytes of a stream, begin a tar: a header with a valid checksum, or
/// the zeros of an empty one.
bool looks_like_tar(std::string_view head);

/// Writes members; long names, big numbers and xattrs as PAX records, as Go's writer does.
class TarWriter {
public:
    /// `tap` hears what a reader of this tar would let it hear.
    explicit TarWriter(ByteSink sink, TarTap* tap = nullptr) : sink_(std::move(sink)), tap_(tap) {}

    /// Writes the headers. `entry.size` bytes of data must follow for a file.
    void begin(const TarEntry& entry);
    void data(std::string_view bytes);
    /// begin, data.
    void add(const TarEntry& entry, std::string_view bytes = {});
    /// Pads the last member and writes the two end blocks.
    void finish();

private:
    void pad();
    void raw(std::string_view bytes);
    void end_member();

    ByteSink sink_;
    TarTap* tap_;
    std::optional<TarEntry> member_;  ///< the tap's current one
    std::int64_t left_ = 0;
    std::int64_t padding_ = 0;
};

}  // namespace dockerd::archive
