#include <algorithm>
#include <cstring>
#include <vector>

#include <dockerd/archive/tar.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "tar_header.hpp"

namespace dockerd::archive {
namespace {

constexpr std::size_t buffer_size = 256 * 1024;
const std::string zeros(64 * 1024, '\0');

[[noreturn]] void unexpected_eof() {
    base::fail(base::ErrorKind::invalid_argument, "unexpected EOF");
}

std::int64_t padding_of(std::int64_t size) { return -size & 511; }

}  // namespace

struct TarReader::Impl {
    Impl(ByteSource origin, TarTap* observer)
        : source(std::move(origin)), tap(observer), buffer(buffer_size) {}

    ByteSource source;
    TarTap* tap;
    std::vector<char> buffer;
    std::size_t at = 0;
    std::size_t end = 0;
    bool source_ended = false;

    TarEntry entry;
    bool in_member = false;
    bool finished = false;
    std::int64_t stored_left = 0;  // bytes of the member still in the stream
    std::int64_t padding = 0;
    SparseMap sparse;
    std::size_t sparse_at = 0;
    std::int64_t logical_at = 0;
    std::string_view sparse_pending;  // of the buffer or of `zeros`

    [[nodiscard]] std::size_t available() const { return end - at; }

    /// Makes at least `wanted` bytes contiguous; fewer only at the end of the stream.
    void fill(std::size_t wanted) {
        if (available() >= wanted) return;
        std::memmove(buffer.data(), buffer.data() + at, available());
        end -= at;
        at = 0;
        while (available() < wanted && !source_ended) {
            const std::size_t n = source(std::span(buffer).subspan(end));
            if (n == 0) source_ended = true;
            end += n;
        }
    }

    void raw(std::string_view bytes) {
        if (tap != nullptr) tap->raw(bytes);
    }

    /// One block, passed on as raw; empty at the end of the stream.
    std::string_view block() {
        fill(block_size);
        if (available() == 0) return {};
        if (available() < block_size) unexpected_eof();
        const std::string_view out(buffer.data() + at, block_size);
        at += block_size;
        raw(out);
        return out;
    }

    /// Up to `most` stored bytes of the stream as a view; empty at its end.
    std::string_view take(std::int64_t most) {
        if (available() == 0) fill(1);
        const auto n = std::min<std::size_t>(available(), static_cast<std::size_t>(most));
        const std::string_view out(buffer.data() + at, n);
        at += n;
        return out;
    }

    std::string_view stored_data() {
        const std::string_view out = take(stored_left);
        if (out.empty() && stored_left > 0) unexpected_eof();
        stored_left -= static_cast<std::int64_t>(out.size());
        if (tap != nullptr && !out.empty()) tap->data(out);
        return out;
    }

    void skip_padding() {
        while (padding > 0) {
            const std::string_view out = take(padding);
            // An archive may end without the last padding. Source: Go archive/tar, tryReadFull.
            if (out.empty()) break;
            padding -= static_cast<std::int64_t>(out.size());
            raw(out);
        }
        padding = 0;
    }

    void leave_member() {
        while (stored_left > 0) (void)stored_data();
        if (in_member && tap != nullptr) tap->end(entry);
        in_member = false;
        skip_padding();
    }

    /// The data of a PAX or GNU extension member.
    std::string special() {
        if (entry.size > max_special_size) {
            base::fail(base::ErrorKind::invalid_argument, "archive/tar: header field too long");
        }
        std::string out;
        std::int64_t left = entry.size;
        while (left > 0) {
            const std::string_view part = take(left);
            if (part.empty()) unexpected_eof();
            raw(part);
            out += part;
            left -= static_cast<std::int64_t>(part.size());
        }
        padding = padding_of(entry.size);
        skip_padding();
        return out;
    }

    bool read_headers();
    void finish_headers(const PaxRecords& pax, const std::string& name, const std::string& link,
                        std::string_view header);
    void read_old_sparse(std::string_view header);
    void read_pax_sparse(const PaxRecords& pax);
    void read_sparse_1_0();
    std::int64_t sparse_number();
    std::string_view sparse_view();
};

bool TarReader::Impl::read_headers() {
    PaxRecords pax;
    std::string name;
    std::string link;
    for (;;) {
        std::string_view header = block();
        if (header.empty()) return false;
        if (is_zero_block(header)) {
            header = block();
            if (header.empty() || is_zero_block(header)) return false;
            invalid_header();
        }
        // A copy: reading extensions moves the buffer.
        const std::string kept(header);
        parse_block(kept, entry);
        switch (entry.type_flag) {
            case 'x':
                pax = parse_pax(special());
                break;
            case 'g': {
                const PaxRecords global = parse_pax(special());
                apply_pax(global, entry);
                entry.size = 0;
                return true;
            }
            case 'L':
                name = parse_text(special());
                break;
            case 'K':
                link = parse_text(special());
                break;
            default:
                finish_headers(pax, name, link, kept);
                return true;
        }
    }
}

void TarReader::Impl::finish_headers(const PaxRecords& pax, const std::string& name,
                                     const std::string& link, std::string_view header) {
    apply_pax(pax, entry);
    if (!name.empty()) entry.name = name;
    if (!link.empty()) entry.link_name = link;
    if (entry.type_flag == '\0' && entry.name.ends_with('/')) {
        entry.type = TarEntry::Type::directory;
        entry.type_flag = '5';
    }
    if (is_header_only(entry.type_flag)) entry.size = 0;
    stored_left = entry.size;
    padding = padding_of(entry.size);
    if (entry.type_flag == 'S') read_old_sparse(header);
    if (entry.type == TarEntry::Type::file) read_pax_sparse(pax);
    if (entry.sparse) check_sparse(sparse, entry.size);
}

void TarReader::Impl::read_old_sparse(std::string_view header) {
    entry.sparse = true;
    entry.size = parse_number(header.substr(483, 12));
    add_sparse_pairs(header.substr(386, 96), 4, sparse);
    bool more = header[482] != '\0';
    while (more) {
        const std::string_view extension = block();
        if (extension.empty()) unexpected_eof();
        add_sparse_pairs(extension.substr(0, 504), 21, sparse);
        more = extension[504] != '\0';
        if (sparse.size() > 1U << 20U) invalid_header();
    }
}

void TarReader::Impl::read_pax_sparse(const PaxRecords& pax) {
    const auto get = [&pax](const char* key) {
        const auto found = pax.find(key);
        return found == pax.end() ? std::string() : found->second;
    };
    const std::string major = get("GNU.sparse.major");
    const std::string minor = get("GNU.sparse.minor");
    const std::string map = get("GNU.sparse.map");
    const bool version_1 = major == "1" && minor == "0";
    const bool version_0 = (major == "0" && (minor == "0" || minor == "1")) ||
                           (major.empty() && minor.empty() && !map.empty());
    if (!version_1 && !version_0) return;
    entry.sparse = true;
    if (const std::string name = get("GNU.sparse.name"); !name.empty()) entry.name = name;
    std::string size = get("GNU.sparse.size");
    if (size.empty()) size = get("GNU.sparse.realsize");
    if (version_1) {
        read_sparse_1_0();
    } else if (!map.empty()) {
        const std::vector<std::string> numbers = base::split(map, ',');
        if (numbers.size() % 2 != 0) invalid_header();
        for (std::size_t i = 0; i < numbers.size(); i += 2) {
            sparse.emplace_back(parse_decimal(numbers[i]), parse_decimal(numbers[i + 1]));
        }
    }
    if (!size.empty()) entry.size = parse_decimal(size);
    if (entry.size < 0) invalid_header();
}

/// One decimal line of a 1.0 map, which stands at the start of the member's data.
std::int64_t TarReader::Impl::sparse_number() {
    std::string digits;
    for (;;) {
        if (stored_left == 0) invalid_header();
        const std::string_view byte = take(1);
        if (byte.empty()) unexpected_eof();
        raw(byte);
        --stored_left;
        if (byte[0] == '\n') return parse_decimal(digits);
        digits += byte[0];
        if (digits.size() > 20) invalid_header();
    }
}

void TarReader::Impl::read_sparse_1_0() {
    const std::int64_t before = stored_left;
    const std::int64_t count = sparse_number();
    if (count < 0 || count > 1 << 20) invalid_header();
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t offset = sparse_number();
        const std::int64_t length = sparse_number();
        sparse.emplace_back(offset, length);
    }
    std::int64_t rest = padding_of(before - stored_left);
    while (rest > 0 && stored_left > 0) {
        const std::string_view bytes = take(std::min(rest, stored_left));
        if (bytes.empty()) unexpected_eof();
        raw(bytes);
        rest -= static_cast<std::int64_t>(bytes.size());
        stored_left -= static_cast<std::int64_t>(bytes.size());
    }
}

/// The next run of a sparse member: a hole as zeros, or stored bytes.
std::string_view TarReader::Impl::sparse_view() {
    while (sparse_at < sparse.size() &&
           logical_at == sparse[sparse_at].first + sparse[sparse_at].second) {
        ++sparse_at;
    }
    const std::int64_t next_data = sparse_at < sparse.size() ? sparse[sparse_at].first : entry.size;
    std::string_view out;
    if (logical_at < next_data) {
        out = std::string_view(zeros).substr(
            0, static_cast<std::size_t>(std::min<std::int64_t>(
                   next_data - logical_at, static_cast<std::int64_t>(zeros.size()))));
    } else if (sparse_at < sparse.size()) {
        const auto& [offset, length] = sparse[sparse_at];
        const std::int64_t wanted = std::min(offset + length - logical_at, stored_left);
        if (wanted <= 0) unexpected_eof();
        out = take(wanted);
        if (out.empty()) unexpected_eof();
        stored_left -= static_cast<std::int64_t>(out.size());
        if (tap != nullptr) tap->data(out);
    }
    logical_at += static_cast<std::int64_t>(out.size());
    return out;
}

TarReader::TarReader(ByteSource source, TarTap* tap)
    : impl_(std::make_unique<Impl>(std::move(source), tap)) {}
TarReader::~TarReader() = default;

const TarEntry* TarReader::next() {
    Impl& self = *impl_;
    if (self.finished) return nullptr;
    self.leave_member();
    self.sparse.clear();
    self.sparse_at = 0;
    self.logical_at = 0;
    self.sparse_pending = {};
    self.stored_left = 0;
    if (!self.read_headers()) {
        self.finished = true;
        return nullptr;
    }
    self.in_member = true;
    if (self.tap != nullptr) self.tap->begin(self.entry);
    return &self.entry;
}

std::string_view TarReader::read_view() {
    Impl& self = *impl_;
    if (!self.in_member) return {};
    if (self.entry.sparse) return self.sparse_view();
    return self.stored_left == 0 ? std::string_view() : self.stored_data();
}

std::size_t TarReader::read(std::span<char> buffer) {
    Impl& self = *impl_;
    if (!self.in_member || buffer.empty()) return 0;
    if (self.entry.sparse) {
        std::string_view& pending = self.sparse_pending;
        if (pending.empty()) pending = self.sparse_view();
        const std::size_t n = std::min(pending.size(), buffer.size());
        std::memcpy(buffer.data(), pending.data(), n);
        pending.remove_prefix(n);
        return n;
    }
    if (self.stored_left == 0) return 0;
    const auto most =
        std::min<std::int64_t>(self.stored_left, static_cast<std::int64_t>(buffer.size()));
    const std::string_view view = self.take(most);
    if (view.empty()) unexpected_eof();
    self.stored_left -= static_cast<std::int64_t>(view.size());
    if (self.tap != nullptr) self.tap->data(view);
    std::memcpy(buffer.data(), view.data(), view.size());
    return view.size();
}

ByteSource TarReader::data_source() {
    return [this](std::span<char> buffer) { return read(buffer); };
}

void TarReader::drain() {
    while (next() != nullptr) {
    }
    for (;;) {
        const std::string_view rest = impl_->take(static_cast<std::int64_t>(buffer_size));
        if (rest.empty()) return;
        impl_->raw(rest);
    }
}

}  // namespace dockerd::archive
