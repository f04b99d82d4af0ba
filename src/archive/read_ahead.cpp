#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <dockerd/archive/stream.hpp>

#include "buffer_queue.hpp"

namespace dockerd::archive {
namespace {

/// Unwinds a producer whose reader is gone.
struct ReaderGone {};

/// A thread that fills the queue, and the reader's end of it.
class Pipeline {
public:
    Pipeline(std::function<void(BufferQueue&)> fill, std::size_t buffer_size, std::size_t depth)
        : queue_(buffer_size, depth) {
        thread_ = std::thread([this, fill = std::move(fill)] { run(fill); });
    }
    Pipeline(const Pipeline&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    ~Pipeline() {
        queue_.stop();
        thread_.join();
    }

    std::size_t read(std::span<char> buffer) {
        if (at_ == current_.size()) {
            at_ = 0;
            if (!queue_.next(current_)) return 0;
        }
        const std::size_t n = std::min(buffer.size(), current_.size() - at_);
        std::memcpy(buffer.data(), current_.data() + at_, n);
        at_ += n;
        return n;
    }

private:
    void run(const std::function<void(BufferQueue&)>& fill) noexcept {
        try {
            fill(queue_);
            queue_.close();
        } catch (const ReaderGone&) {
            queue_.close();
        } catch (...) {
            queue_.close(std::current_exception());
        }
    }

    BufferQueue queue_;
    std::vector<char> current_;
    std::size_t at_ = 0;
    std::thread thread_;
};

ByteSource run_pipeline(std::function<void(BufferQueue&)> fill, std::size_t buffer_size,
                        std::size_t depth) {
    auto pipeline = std::make_shared<Pipeline>(std::move(fill), buffer_size, depth);
    return [pipeline](std::span<char> buffer) { return pipeline->read(buffer); };
}

std::vector<char> take_spare(BufferQueue& queue) {
    auto buffer = queue.take_spare();
    if (!buffer) throw ReaderGone{};
    return std::move(*buffer);
}

/// Collects what a producer writes into buffers of one size.
class QueueSink {
public:
    explicit QueueSink(BufferQueue& queue) : queue_(queue) {}

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            if (buffer_.capacity() == 0) {
                buffer_ = take_spare(queue_);
                buffer_.clear();
            }
            const std::size_t n = std::min(bytes.size(), queue_.buffer_size() - buffer_.size());
            buffer_.insert(buffer_.end(), bytes.begin(),
                           bytes.begin() + static_cast<std::ptrdiff_t>(n));
            bytes.remove_prefix(n);
            if (buffer_.size() == queue_.buffer_size()) flush();
        }
    }
    void flush() {
        if (!buffer_.empty()) queue_.put(std::exchange(buffer_, {}));
    }

private:
    BufferQueue& queue_;
    std::vector<char> buffer_;
};

}  // namespace

ByteSource read_ahead(ByteSource source, std::size_t buffer_size, std::size_t depth) {
    const auto fill = [source = std::move(source)](BufferQueue& queue) {
        for (;;) {
            std::vector<char> buffer = take_spare(queue);
            buffer.resize(queue.buffer_size());
            const std::size_t n = read_full(source, buffer);
            buffer.resize(n);
            if (n > 0) queue.put(std::move(buffer));
            if (n < queue.buffer_size()) return;
        }
    };
    return run_pipeline(fill, buffer_size, depth);
}

ByteSource produce(std::function<void(const ByteSink&)> producer, std::size_t buffer_size,
                   std::size_t depth) {
    const auto fill = [producer = std::move(producer)](BufferQueue& queue) {
        QueueSink sink(queue);
        producer([&sink](std::string_view bytes) { sink.write(bytes); });
        sink.flush();
    };
    return run_pipeline(fill, buffer_size, depth);
}

}  // namespace dockerd::archive
