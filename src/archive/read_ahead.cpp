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
    /// The next buffer as it is; empty at the end.
    std::string_view next() {
        if (!queue_.next(current_)) return {};
        at_ = current_.size();
        return {current_.data(), current_.size()};
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

std::int64_t copy_ahead(ByteSource source, const ByteSink& sink, std::size_t buffer_size,
                        std::size_t depth) {
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
    Pipeline pipeline(fill, buffer_size, depth);
    std::int64_t total = 0;
    for (;;) {
        const std::string_view bytes = pipeline.next();
        if (bytes.empty()) return total;
        sink(bytes);
        total += static_cast<std::int64_t>(bytes.size());
    }
}

ByteSource produce(std::function<void(const ByteSink&)> producer, std::size_t buffer_size,
                   std::size_t depth) {
    const auto fill = [producer = std::move(producer)](BufferQueue& queue) {
        QueueSink sink(queue);
        producer([&sink](std::string_view bytes) { sink.write(bytes); });
        sink.flush();
    };
    auto pipeline = std::make_shared<Pipeline>(fill, buffer_size, depth);
    return [pipeline](std::span<char> buffer) { return pipeline->read(buffer); };
}

}  // namespace dockerd::archive
