#include <zlib.h>

#include <new>
#include <vector>

#include <dockerd/archive/compression.hpp>

#ifdef DOCKERD_HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

namespace dockerd::archive {
namespace {

constexpr std::size_t output_size = 64 * 1024;

class Encoder {
public:
    virtual ~Encoder() = default;
    virtual void write(std::string_view bytes, bool last, const ByteSink& target) = 0;
};

class ZlibEncoder : public Encoder {
public:
    ZlibEncoder(int level, GzipSink::Format format) : output_(output_size) {
        // 15: the largest window; 16 more asks for gzip's header, a minus for none at all.
        const int window = format == GzipSink::Format::gzip ? 15 + 16 : -15;
        if (::deflateInit2(&stream_, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
            throw std::bad_alloc();
        }
    }
    ~ZlibEncoder() override { ::deflateEnd(&stream_); }
    ZlibEncoder(const ZlibEncoder&) = delete;
    ZlibEncoder& operator=(const ZlibEncoder&) = delete;

    void write(std::string_view bytes, bool last, const ByteSink& target) override {
        // zlib does not write through next_in.
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
        stream_.avail_in = static_cast<unsigned>(bytes.size());
        do {
            stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
            stream_.avail_out = static_cast<unsigned>(output_.size());
            (void)::deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
            const std::size_t n = output_.size() - stream_.avail_out;
            if (n > 0) target({output_.data(), n});
        } while (stream_.avail_out == 0);
    }

private:
    std::vector<char> output_;
    z_stream stream_{};
};

#ifdef DOCKERD_HAVE_ISAL

class IsalEncoder : public Encoder {
public:
    explicit IsalEncoder(GzipSink::Format format)
        : output_(output_size), level_(ISAL_DEF_LVL1_DEFAULT) {
        ::isal_deflate_init(&stream_);
        stream_.gzip_flag = format == GzipSink::Format::gzip ? IGZIP_GZIP : IGZIP_DEFLATE;
        stream_.level = 1;
        stream_.level_buf = level_.data();
        stream_.level_buf_size = static_cast<std::uint32_t>(level_.size());
    }

    void write(std::string_view bytes, bool last, const ByteSink& target) override {
        // ISA-L does not write through next_in.
        stream_.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data()));
        stream_.avail_in = static_cast<std::uint32_t>(bytes.size());
        stream_.end_of_stream = last ? 1 : 0;
        do {
            stream_.next_out = reinterpret_cast<std::uint8_t*>(output_.data());
            stream_.avail_out = static_cast<std::uint32_t>(output_.size());
            (void)::isal_deflate(&stream_);
            const std::size_t n = output_.size() - stream_.avail_out;
            if (n > 0) target({output_.data(), n});
        } while (stream_.avail_out == 0);
    }

private:
    std::vector<char> output_;
    std::vector<std::uint8_t> level_;
    isal_zstream stream_{};
};

#endif

std::unique_ptr<Encoder> make_encoder(GzipSink::Effort effort, GzipSink::Format format) {
#ifdef DOCKERD_HAVE_ISAL
    if (effort == GzipSink::Effort::fast) return std::make_unique<IsalEncoder>(format);
#endif
    return std::make_unique<ZlibEncoder>(effort == GzipSink::Effort::fast ? 1 : 6, format);
}

}  // namespace

struct GzipSink::State {
    ByteSink target;
    std::unique_ptr<Encoder> encoder;
};

GzipSink::GzipSink(ByteSink target, Effort effort, Format format)
    : state_(std::make_unique<State>(State{std::move(target), make_encoder(effort, format)})) {}
GzipSink::~GzipSink() = default;
GzipSink::GzipSink(GzipSink&&) noexcept = default;

void GzipSink::write(std::string_view bytes) {
    constexpr std::size_t slice = 1U << 24U;
    while (!bytes.empty()) {
        state_->encoder->write(bytes.substr(0, slice), /*last=*/false, state_->target);
        bytes.remove_prefix(std::min(slice, bytes.size()));
    }
}

void GzipSink::finish() { state_->encoder->write({}, /*last=*/true, state_->target); }

}  // namespace dockerd::archive
