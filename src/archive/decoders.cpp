#include "decoders.hpp"

#include <bzlib.h>
#include <lzma.h>
#include <zstd.h>

#include <new>
#include <vector>

#include <dockerd/base/error.hpp>

namespace dockerd::archive {
namespace {

[[noreturn]] void bad(const char* text) { base::fail(base::ErrorKind::invalid_argument, text); }

/// A refillable window on the compressed bytes.
class Input {
public:
    explicit Input(ByteSource source) : source_(std::move(source)), buffer_(128 * 1024) {}

    /// False at the end of the stream.
    bool refill() {
        const std::size_t n = source_(buffer_);
        view_ = {buffer_.data(), n};
        return n > 0;
    }
    [[nodiscard]] bool empty() const { return view_.empty(); }
    std::string_view& view() { return view_; }

private:
    ByteSource source_;
    std::vector<char> buffer_;
    std::string_view view_;
};

class ZstdDecoder {
public:
    explicit ZstdDecoder(ByteSource source) : input_(std::move(source)) {
        if (stream_ == nullptr) throw std::bad_alloc();
        // 128 MiB, what `zstd -d` takes by default: a hostile frame may ask for gigabytes.
        (void)::ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 27);
    }
    ~ZstdDecoder() { ::ZSTD_freeDCtx(stream_); }
    ZstdDecoder(const ZstdDecoder&) = delete;
    ZstdDecoder& operator=(const ZstdDecoder&) = delete;

    std::size_t read(std::span<char> out) {
        ZSTD_outBuffer target{out.data(), out.size(), 0};
        while (target.pos == 0 && target.size > 0) {
            if (input_.empty() && !input_.refill()) {
                if (inside_frame_) bad("unexpected EOF");
                return 0;
            }
            ZSTD_inBuffer from{input_.view().data(), input_.view().size(), 0};
            const std::size_t hint = ::ZSTD_decompressStream(stream_, &target, &from);
            if (::ZSTD_isError(hint) != 0U) bad("zstd: invalid input");
            inside_frame_ = hint != 0;
            input_.view().remove_prefix(from.pos);
        }
        return target.pos;
    }

private:
    Input input_;
    ZSTD_DCtx* stream_ = ::ZSTD_createDCtx();
    bool inside_frame_ = false;
};

class XzDecoder {
public:
    explicit XzDecoder(ByteSource source) : input_(std::move(source)) {
        constexpr std::uint64_t memory_limit = 128U << 20U;
        if (::lzma_stream_decoder(&stream_, memory_limit, LZMA_CONCATENATED) != LZMA_OK) {
            throw std::bad_alloc();
        }
    }
    ~XzDecoder() { ::lzma_end(&stream_); }
    XzDecoder(const XzDecoder&) = delete;
    XzDecoder& operator=(const XzDecoder&) = delete;

    std::size_t read(std::span<char> out) {
        if (ended_) return 0;
        stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
        stream_.avail_out = out.size();
        while (stream_.avail_out == out.size()) {
            lzma_action action = LZMA_RUN;
            if (input_.empty() && !input_.refill()) action = LZMA_FINISH;
            stream_.next_in = reinterpret_cast<const std::uint8_t*>(input_.view().data());
            stream_.avail_in = input_.view().size();
            const lzma_ret result = ::lzma_code(&stream_, action);
            input_.view().remove_prefix(input_.view().size() - stream_.avail_in);
            if (result == LZMA_STREAM_END) {
                ended_ = true;
                break;
            }
            if (result == LZMA_BUF_ERROR) bad("unexpected EOF");
            if (result != LZMA_OK) bad("xz: invalid input");
        }
        return out.size() - stream_.avail_out;
    }

private:
    Input input_;
    lzma_stream stream_ = LZMA_STREAM_INIT;
    bool ended_ = false;
};

class Bzip2Decoder {
public:
    explicit Bzip2Decoder(ByteSource source) : input_(std::move(source)) {}
    ~Bzip2Decoder() { (void)::BZ2_bzDecompressEnd(&stream_); }
    Bzip2Decoder(const Bzip2Decoder&) = delete;
    Bzip2Decoder& operator=(const Bzip2Decoder&) = delete;

    std::size_t read(std::span<char> out) {
        const auto wanted = static_cast<unsigned>(std::min<std::size_t>(out.size(), 1U << 20U));
        stream_.next_out = out.data();
        stream_.avail_out = wanted;
        while (stream_.avail_out == wanted) {
            if (input_.empty() && !input_.refill()) {
                if (open_) bad("unexpected EOF");
                return 0;
            }
            step();
        }
        return wanted - stream_.avail_out;
    }

private:
    void step() {
        if (!open_) {
            char* const next_out = stream_.next_out;
            const unsigned avail_out = stream_.avail_out;
            stream_ = {};
            if (::BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
            stream_.next_out = next_out;
            stream_.avail_out = avail_out;
            open_ = true;
        }
        stream_.next_in = const_cast<char*>(input_.view().data());  // bzlib does not write to it
        stream_.avail_in = static_cast<unsigned>(input_.view().size());
        const int result = ::BZ2_bzDecompress(&stream_);
        input_.view().remove_prefix(input_.view().size() - stream_.avail_in);
        if (result == BZ_STREAM_END) {
            (void)::BZ2_bzDecompressEnd(&stream_);
            open_ = false;
        } else if (result != BZ_OK) {
            bad("bzip2 data invalid");
        }
    }

    Input input_;
    bz_stream stream_{};
    bool open_ = false;
};

template <typename Decoder>
ByteSource source_of(ByteSource source) {
    auto decoder = std::make_shared<Decoder>(std::move(source));
    return [decoder](std::span<char> buffer) { return decoder->read(buffer); };
}

}  // namespace

ByteSource unzstd(ByteSource source) { return source_of<ZstdDecoder>(std::move(source)); }
ByteSource unxz(ByteSource source) { return source_of<XzDecoder>(std::move(source)); }
ByteSource unbzip2(ByteSource source) { return source_of<Bzip2Decoder>(std::move(source)); }

}  // namespace dockerd::archive
