#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>

#include <dockerd/base/error.hpp>

#include "logs/log_files.hpp"
#include "logs/logs.hpp"
#include "logs/render.hpp"

namespace dockerd::engine::logs {

namespace {

constexpr std::size_t block_size = 256 * 1024;
/// A writer's chunk of 16 KiB is 100 KiB at worst when escaped; what is longer is not an entry.
constexpr std::size_t max_entry = 4 * 1024 * 1024;

/// Bytes read and not yet used.
class Buffer {
public:
    [[nodiscard]] std::string_view data() const { return {bytes_.get() + begin_, end_ - begin_}; }
    void consume(std::size_t count) { begin_ += count; }
    void clear() { begin_ = end_ = 0; }
    [[nodiscard]] std::size_t size() const { return end_ - begin_; }

    /// Room for at least one block behind the data.
    char* room(std::size_t& size) {
        if (begin_ > 0) {
            std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        if (capacity_ - end_ < block_size / 2) {
            capacity_ = std::max(block_size, capacity_ * 2);
            auto larger = std::make_unique_for_overwrite<char[]>(capacity_);
            if (end_ > 0) std::memcpy(larger.get(), bytes_.get(), end_);
            bytes_ = std::move(larger);
        }
        size = capacity_ - end_;
        return bytes_.get() + end_;
    }
    void added(std::size_t count) { end_ += count; }
    /// Gives the memory back while there is nothing to do.
    void release() {
        if (size() > 0) return;
        bytes_.reset();
        begin_ = end_ = capacity_ = 0;
    }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t capacity_ = 0;
};

class FileLogStream final : public LogStream {
public:
    FileLogStream(const LogSource& source, const LogOptions& options, Watcher& watcher)
        : source_(source),
          follow_(options.follow && source.run != nullptr),
          renderer_(options, source.tty) {
        // Watching starts before the first look: a change after it is a wake-up.
        if (follow_) start_following(watcher);
        auto files = open_log_files(source_.path, source_.max_files);
        if (source_.end) cut_at_end(files);
        if (options.tail == 0) {
            skip_to_end(files);
        } else if (options.tail > 0) {
            keep_tail(files, source_.format, options.tail);
        } else if (options.since) {
            skip_before(files, source_.format, *options.since);
        }
        for (auto& file : files) files_.push_back(std::move(file));
    }
    ~FileLogStream() override {
        if (wake_) source_.run->remove(wake_);
    }
    FileLogStream(const FileLogStream&) = delete;
    FileLogStream& operator=(const FileLogStream&) = delete;

    [[nodiscard]] bool tty() const override { return source_.tty; }
    [[nodiscard]] int wait_fd() const override { return wake_ ? wake_->fd() : -1; }

    State read(std::string& out, std::size_t limit) override {
        if (wake_) wake_->clear();
        // Asked before reading: what was written before it ended is then found below.
        const bool finished = !follow_ || source_.run->finished();
        const std::size_t start = out.size();
        Output output(out, limit);
        while (!ended_ && !output.full()) {
            if (decode(output) > 0 && output.full()) break;
            if (ended_ || fill() || next_file(output)) continue;
            if (!finished) break;
            take_rest(output);
            end();
        }
        output.close();
        if (out.size() > start) return State::data;
        buffer_.release();
        return ended_ ? State::end : State::wait;
    }

private:
    void start_following(Watcher& watcher) {
        wake_ = std::make_shared<Wake>();
        watch_ = watcher.watch(source_.path.substr(0, source_.path.rfind('/')), wake_);
        source_.run->add(wake_);
    }

    /// Leaves out what was written after the position that was asked for.
    void cut_at_end(std::vector<LogFile>& files) {
        for (std::size_t i = 0; i < files.size(); ++i) {
            struct stat found;
            if (::fstat(files[i].fd.get(), &found) != 0) continue;
            if (files[i].compressed || found.st_ino != source_.end->inode) continue;
            files.resize(i + 1);
            files[i].size = std::min<std::int64_t>(files[i].size, source_.end->size);
            return;
        }
    }

    /// For tail 0: nothing of what is there now.
    void skip_to_end(std::vector<LogFile>& files) {
        if (files.empty()) return;
        if (!follow_) {
            files.clear();
            return;
        }
        files.erase(files.begin(), files.end() - 1);
        files.back().start = end_of_last_entry(files.back());
    }

    /// Behind the last whole entry, so that one being written is not torn.
    std::int64_t end_of_last_entry(const LogFile& file) const {
        if (source_.format == Format::local || file.size == 0) return file.size;
        std::int64_t end = file.size;
        std::array<char, 64 * 1024> block{};
        while (end > 0) {
            const auto size = std::min<std::int64_t>(end, block.size());
            const ssize_t got =
                ::pread(file.fd.get(), block.data(), static_cast<std::size_t>(size), end - size);
            if (got <= 0) return file.size;
            const void* const found = ::memrchr(block.data(), '\n', static_cast<std::size_t>(got));
            if (found != nullptr) {
                return end - size + (static_cast<const char*>(found) - block.data()) + 1;
            }
            end -= size;
        }
        return 0;
    }

    void end() {
        ended_ = true;
        files_.clear();
        reader_ = nullptr;
        buffer_.clear();
        buffer_.release();
    }

    /// Renders the whole entries of the buffer; the number of bytes used.
    std::size_t decode(Output& output) {
        return source_.format == Format::json_file ? decode_lines(output) : decode_records(output);
    }

    std::size_t decode_lines(Output& output) {
        const std::string_view data = buffer_.data();
        std::size_t at = 0;
        while (!output.full() && !ended_) {
            const auto newline = data.find('\n', at);
            if (newline == std::string_view::npos) break;
            take_line(data.substr(at, newline - at), output);
            at = newline + 1;
        }
        buffer_.consume(at);
        if (buffer_.size() > max_entry && at == 0) {
            discarding_ = true;
            buffer_.clear();
        }
        return at;
    }

    void take_line(std::string_view line, Output& output) {
        if (std::exchange(discarding_, false)) return;
        if (skip_ > 0) {
            --skip_;
            return;
        }
        Entry entry;
        if (scanner_.scan(line, entry) && take_entry(entry, line.size(), output)) return;
        if (scanner_.parse(line, entry)) (void)take_entry(entry, line.size(), output);
    }

    std::size_t decode_records(Output& output) {
        std::size_t used = 0;
        while (!output.full() && !ended_) {
            const auto record = scan_local_record(buffer_.data());
            if (record.state == LocalRecord::State::need_more) break;
            if (record.state == LocalRecord::State::corrupt) {
                // Lengths cannot be trusted any more; the next file begins anew.
                corrupt_ = true;
                buffer_.clear();
                break;
            }
            if (skip_ > 0) {
                --skip_;
            } else {
                (void)take_entry(record.entry, record.size, output);
            }
            buffer_.consume(record.size);
            used += record.size;
        }
        return used;
    }

    /// False when the entry turned out to be malformed.
    bool take_entry(const Entry& entry, std::size_t size, Output& output) {
        switch (renderer_.render(entry, size, output)) {
            case Renderer::Result::malformed:
                return false;
            case Renderer::Result::beyond:
                ended_ = true;
                break;
            case Renderer::Result::taken:
                break;
        }
        if (follow_) last_time_text_.assign(entry.time_text), last_time_ = entry.time;
        return true;
    }

    [[nodiscard]] base::WallTime last_time() const {
        Entry entry;
        entry.time_text = last_time_text_;
        entry.time = last_time_;
        return time_of(entry);
    }

    /// Reads more of the current file; false at its end.
    bool fill() {
        if (files_.empty() || corrupt_) return false;
        if (!opened_) open_current();
        std::size_t room = 0;
        char* const target = buffer_.room(room);
        const std::size_t got = reader_ ? reader_(target, room) : read_plain(target, room);
        buffer_.added(got);
        return got > 0 || std::exchange(cut_, false);
    }

    void open_current() {
        const LogFile& file = files_.front();
        opened_ = true;
        skip_ = file.compressed ? file.start : 0;
        offset_ = file.compressed ? 0 : file.start;
        if (file.compressed) reader_ = open_decompressor(file);
    }

    std::size_t read_plain(char* target, std::size_t room) {
        const LogFile& file = files_.front();
        if (!follow_) {
            // A reader that does not follow gets what was there when it came, and the rest of an
            // entry that was just being written.
            const std::int64_t left = file.size - offset_;
            if (left > 0) {
                room = std::min(room, static_cast<std::size_t>(left));
            } else if (buffer_.size() == 0 || extended_) {
                return 0;
            } else {
                extended_ = true;
            }
        }
        while (true) {
            const ssize_t got = ::pread(file.fd.get(), target, room, offset_);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) base::throw_errno(errno, "read log");
            if (got == 0) {
                cut_ = restart_if_cut(file);
                return 0;
            }
            offset_ += got;
            return extended_ ? upto_newline({target, static_cast<std::size_t>(got)})
                             : static_cast<std::size_t>(got);
        }
    }

    std::size_t upto_newline(std::string_view got) const {
        if (source_.format == Format::local) return got.size();
        const auto newline = got.find('\n');
        return newline == std::string_view::npos ? got.size() : newline + 1;
    }

    /// Somebody truncated the file in place: a writer took back what it could not write whole, or
    /// the log was emptied and begins anew.
    bool restart_if_cut(const LogFile& file) {
        struct stat now;
        if (!follow_ || ::fstat(file.fd.get(), &now) != 0 || now.st_size >= offset_) return false;
        const std::int64_t whole = offset_ - static_cast<std::int64_t>(buffer_.size());
        offset_ = now.st_size >= whole ? whole : 0;
        buffer_.clear();
        return now.st_size > offset_;
    }

    /// A last line without its newline, when nothing will follow it.
    void take_rest(Output& output) {
        if (source_.format == Format::json_file && buffer_.size() > 0) {
            take_line(buffer_.data(), output);
        }
        buffer_.clear();
    }

    /// Goes on to the next file; false when there is none (yet).
    bool next_file(Output& output) {
        std::optional<LogFile> next;
        if (files_.size() > 1) {
            next = std::move(files_[1]);
            files_.pop_front();
        } else if (!follow_) {
            return false;
        } else if (files_.empty()) {
            for (auto& file : open_log_files(source_.path, source_.max_files)) {
                files_.push_back(std::move(file));
            }
            return !files_.empty();
        } else if (!is_rotated(source_.path, files_.front())) {
            return false;
        } else if (!rotated_) {
            // The writer has left this file for good: one more look for its last bytes.
            rotated_ = true;
            return true;
        } else {
            next = open_successor(source_.path, source_.max_files, source_.format, files_.front(),
                                  last_time());
            if (!next) return false;
        }
        take_rest(output);
        files_.front() = std::move(*next);
        reader_ = nullptr;
        opened_ = rotated_ = corrupt_ = discarding_ = extended_ = false;
        return true;
    }

    LogSource source_;
    bool follow_;
    Renderer renderer_;
    JsonScanner scanner_;
    std::shared_ptr<Wake> wake_;
    Subscription watch_;

    std::deque<LogFile> files_;                              ///< the front one is being read
    std::function<std::size_t(char*, std::size_t)> reader_;  ///< of a compressed file
    Buffer buffer_;
    std::int64_t offset_ = 0;
    std::int64_t skip_ = 0;  ///< entries to pass over
    bool opened_ = false;
    bool rotated_ = false;
    bool corrupt_ = false;
    bool discarding_ = false;  ///< inside a line that is too long
    bool extended_ = false;    ///< reading the rest of an entry beyond the snapshot
    bool cut_ = false;         ///< the file was truncated: its position is another now
    bool ended_ = false;
    std::string last_time_text_;
    base::WallTime last_time_;
};

}  // namespace

std::unique_ptr<LogStream> open_log_stream(const LogSource& source, const LogOptions& options,
                                           Watcher& watcher) {
    return std::make_unique<FileLogStream>(source, options, watcher);
}

}  // namespace dockerd::engine::logs
