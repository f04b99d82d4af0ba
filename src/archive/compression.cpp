#include <dockerd/archive/compression.hpp>

#include <array>
#include <vector>

#include "decoders.hpp"

namespace dockerd::archive {
namespace {

constexpr std::size_t head_size = 10;

bool starts_with(std::string_view head, std::string_view magic) {
    return head.substr(0, magic.size()) == magic;
}

bool is_zstd(std::string_view head) {
    // Skippable frames 0x184D2A50..5F come first in seekable and annotated files.
    return starts_with(head, "\x28\xb5\x2f\xfd") ||
           (head.size() >= 4 && (static_cast<unsigned char>(head[0]) & 0xf0U) == 0x50 &&
            head.substr(1, 3) == "\x2a\x4d\x18");
}

/// `head` first, then the rest of `source`.
ByteSource put_back(std::string head, ByteSource source) {
    struct State {
        std::string head;
        std::size_t at = 0;
        ByteSource source;
    };
    auto state = std::make_shared<State>(State{std::move(head), 0, std::move(source)});
    return [state](std::span<char> buffer) {
        if (state->at == state->head.size()) return state->source(buffer);
        const std::size_t n = std::min(buffer.size(), state->head.size() - state->at);
        state->head.copy(buffer.data(), n, state->at);
        state->at += n;
        return n;
    };
}

}  // namespace

Compression detect_compression(std::string_view head) {
    if (starts_with(head, std::string_view("\x1f\x8b\x08", 3))) return Compression::gzip;
    if (starts_with(head, "BZh")) return Compression::bzip2;
    if (starts_with(head, std::string_view("\xfd\x37\x7a\x58\x5a\x00", 6))) return Compression::xz;
    if (is_zstd(head)) return Compression::zstd;
    return Compression::none;
}

Sniffed sniff_compression(ByteSource source) {
    std::array<char, head_size> head{};
    const std::size_t have = read_full(source, head);
    const std::string_view seen(head.data(), have);
    return {detect_compression(seen), put_back(std::string(seen), std::move(source))};
}

ByteSource decompress(ByteSource source) {
    Sniffed sniffed = sniff_compression(std::move(source));
    switch (sniffed.kind) {
        case Compression::none:
            break;
        case Compression::gzip:
            return gunzip(std::move(sniffed.whole));
        case Compression::zstd:
            return unzstd(std::move(sniffed.whole));
        case Compression::xz:
            return unxz(std::move(sniffed.whole));
        case Compression::bzip2:
            return unbzip2(std::move(sniffed.whole));
    }
    return std::move(sniffed.whole);
}

}  // namespace dockerd::archive
