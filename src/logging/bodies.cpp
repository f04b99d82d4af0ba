#include "bodies.hpp"

#include <zlib.h>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>

namespace dockerd::logging {

std::string json_text(const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string compact_json(std::string_view text) {
    if (!nlohmann::json::accept(text)) return {};
    std::string out;
    out.reserve(text.size());
    bool quoted = false;
    bool escaped = false;
    for (const char c : text) {
        if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
        if (c == '"' && !escaped) quoted = !quoted;
        escaped = quoted && c == '\\' && !escaped;
        out += c;
    }
    return out;
}

std::string compress(const std::string& bytes, Compression kind, int level) {
    if (kind == Compression::none) return bytes;
    const auto fail = [] { base::fail(base::ErrorKind::internal, "cannot compress"); };
    z_stream state{};
    const int window = kind == Compression::gzip ? MAX_WBITS + 16 : MAX_WBITS;
    if (::deflateInit2(&state, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) fail();
    std::string out(::deflateBound(&state, bytes.size()) + 32, '\0');
    state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    state.avail_in = static_cast<uInt>(bytes.size());
    state.next_out = reinterpret_cast<Bytef*>(out.data());
    state.avail_out = static_cast<uInt>(out.size());
    const int result = ::deflate(&state, Z_FINISH);
    out.resize(out.size() - state.avail_out);
    (void)::deflateEnd(&state);  // only tells of input that was left over
    if (result != Z_STREAM_END) fail();
    return out;
}

}  // namespace dockerd::logging
