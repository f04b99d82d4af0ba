#include "tar_split.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include <dockerd/archive/crc64.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "tar_split_reader.hpp"

namespace dockerd::store {
namespace {

[[noreturn]] void broken(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

class Assembler {
public:
    Assembler(archive::ByteSource tar_split, base::Fd diff)
        : entries_(std::move(tar_split)), diff_(std::move(diff)) {}

    std::size_t read(std::span<char> out) {
        for (;;) {
            if (at_ < segment_.size()) {
                const std::size_t n = std::min(out.size(), segment_.size() - at_);
                std::memcpy(out.data(), segment_.data() + at_, n);
                at_ += n;
                return n;
            }
            if (file_) {
                if (const std::size_t n = read_file(out)) return n;
                continue;
            }
            if (!advance()) return 0;
        }
    }

private:
    bool advance() {
        const TarSplitEntry* const next = entries_.next();
        if (next == nullptr) return false;
        if (next->type == TarSplitEntry::Type::segment) {
            segment_ = next->payload_bytes();
            at_ = 0;
        } else if (next->type == TarSplitEntry::Type::file && next->size > 0) {
            open_file(*next);
        }
        return true;
    }

    void open_file(const TarSplitEntry& next) {
        name_ = next.name;
        file_ = archive::open_in_root(diff_.get(), name_, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        if (!file_) base::throw_errno(errno, fmt::format("open {}", name_));
        expected_ = next.payload_bytes();
        left_ = next.size;
        crc_ = 0;
    }

    std::size_t read_file(std::span<char> out) {
        const auto most = std::min<std::size_t>(out.size(), static_cast<std::size_t>(left_));
        if (most == 0) {
            file_.reset();
            if (archive::crc64_bytes(crc_) != expected_) fail_checksum();
            return 0;
        }
        const ssize_t n = ::read(file_.get(), out.data(), most);
        if (n < 0) base::throw_errno(errno, fmt::format("read {}", name_));
        if (n == 0) fail_checksum();
        crc_ = archive::crc64_iso(crc_, {out.data(), static_cast<std::size_t>(n)});
        left_ -= n;
        return static_cast<std::size_t>(n);
    }

    [[noreturn]] void fail_checksum() const {
        // Source: tar-split tar/asm/assemble.go.
        broken(fmt::format("file integrity checksum failed for {}", base::quote(name_)));
    }

    TarSplitReader entries_;
    base::Fd diff_;
    std::string segment_;
    std::size_t at_ = 0;
    std::string name_;
    base::Fd file_;
    std::int64_t left_ = 0;
    std::uint64_t crc_ = 0;
    std::string expected_;
};

}  // namespace

archive::ByteSource assemble_tar(archive::ByteSource tar_split, base::Fd diff) {
    auto assembler = std::make_shared<Assembler>(std::move(tar_split), std::move(diff));
    return [assembler](std::span<char> buffer) { return assembler->read(buffer); };
}

std::int64_t assembled_size(archive::ByteSource tar_split) {
    TarSplitReader entries(std::move(tar_split));
    std::int64_t total = 0;
    while (const TarSplitEntry* const entry = entries.next()) {
        total += entry->type == TarSplitEntry::Type::segment ? entry->payload_size() : entry->size;
    }
    return total;
}

}  // namespace dockerd::store
