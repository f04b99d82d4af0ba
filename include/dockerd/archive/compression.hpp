#pragma once

#include <string_view>

#include <dockerd/archive/stream.hpp>

namespace dockerd::archive {

/// The forms a stream may be packed in.
enum class Compression { none, gzip, zstd, xz, bzip2 };

/// What the first bytes of a stream say. Source: moby/go-archive compression, Detect.
Compression detect_compression(std::string_view head);

/// A stream whose first bytes were looked at.
struct Sniffed {
    Compression kind = Compression::none;
    ByteSource whole;  ///< the stream from its start
};
/// Reads the first bytes and puts them back.
Sniffed sniff_compression(ByteSource source);

/// The stream without its compression, whichever it is; a plain stream passes through.
///
/// All work is done in this process: what others made goes to Unpacker::decompress. Several gzip
/// members, zstd frames or xz streams in a row are read as one.
/// Throws: invalid_argument, "gzip: invalid header" and kin; a cut stream is "unexpected EOF".
ByteSource decompress(ByteSource source);

/// Deflate as a sink, in the gzip format or bare (RFC 1951): call finish() once, then nothing more
/// is written.
class GzipSink {
public:
    enum class Effort { fast, normal };
    enum class Format { gzip, bare };
    explicit GzipSink(ByteSink target, Effort effort = Effort::fast, Format format = Format::gzip);
    ~GzipSink();
    GzipSink(GzipSink&&) noexcept;

    /// Packs the bytes; what is ready goes to the sink.
    void write(std::string_view bytes);
    /// Ends the packed stream; nothing may be written afterwards.
    void finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace dockerd::archive
