#include "logs/render.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <dockerd/base/query.hpp>

namespace dockerd::engine::logs {

namespace {

constexpr std::size_t frame_head = 8;
constexpr std::size_t slack = 32;  // unescaping writes ahead

/// RFC 3339 in UTC with nine digits, made from the text in the log where that is in UTC.
void append_fixed_time(std::string& out, const Entry& entry) {
    const std::string_view text = entry.time_text;
    if (text.size() < 20 || text.size() > 30 || text.back() != 'Z') {
        out += base::format_rfc3339_fixed(time_of(entry));
        return;
    }
    out += text.substr(0, 19);
    out += '.';
    const std::string_view digits = text.size() > 21 ? text.substr(20, text.size() - 21) : "";
    out += digits;
    out.append(9 - std::min<std::size_t>(digits.size(), 9), '0');
    out += 'Z';
}

void write_frame_head(char* out, Source source, std::size_t size) {
    const std::array<unsigned char, frame_head> head = {static_cast<unsigned char>(source),
                                                        0,
                                                        0,
                                                        0,
                                                        static_cast<unsigned char>(size >> 24),
                                                        static_cast<unsigned char>(size >> 16),
                                                        static_cast<unsigned char>(size >> 8),
                                                        static_cast<unsigned char>(size)};
    std::memcpy(out, head.data(), head.size());
}

}  // namespace

void Output::grow(std::size_t size) {
    // At first all that is asked for, then by half: the string is filled with zeros only once.
    const std::size_t wanted = goal_ > used_ ? goal_ - used_ : 0;
    target_.resize(used_ + std::max(size, std::min<std::size_t>(wanted + 4096, 1U << 20U)) + size);
}

std::string render_attributes(std::string_view json_object) {
    auto members = parse_json_members(json_object);
    std::ranges::stable_sort(members, {}, &std::pair<std::string, std::string>::first);
    std::string out;
    for (const auto& [key, value] : members) {
        if (!out.empty()) out += ',';
        base::append_query_escaped(out, key);
        out += '=';
        base::append_query_escaped(out, value);
    }
    return out;
}

Renderer::Renderer(const LogOptions& options, bool tty)
    : options_(options), framed_(!tty), since_passed_(!options.since) {}

void Renderer::write_prefix(const Entry& entry) {
    prefix_.clear();
    if (options_.timestamps) {
        append_fixed_time(prefix_, entry);
        prefix_ += ' ';
    }
    if (options_.details) {
        if (!entry.attributes.empty()) prefix_ += render_attributes(entry.attributes);
        prefix_ += ' ';
    }
}

Renderer::Result Renderer::render(const Entry& entry, std::size_t size, Output& output) {
    if (!since_passed_) {
        if (time_of(entry) < *options_.since) return Result::taken;
        // Times may go backwards: after the first entry that is late enough, all are.
        since_passed_ = true;
    }
    if (options_.until && time_of(entry) > *options_.until) return Result::beyond;
    const bool wanted = (entry.source == Source::stdout_stream && options_.stdout_stream) ||
                        (entry.source == Source::stderr_stream && options_.stderr_stream);
    if (!wanted) return Result::taken;
    if (options_.timestamps || options_.details) write_prefix(entry);

    char* const start = output.room(frame_head + prefix_.size() + size + slack);
    char* at = start + (framed_ ? frame_head : 0);
    char* const body = at;
    std::memcpy(at, prefix_.data(), prefix_.size());
    at += prefix_.size();
    if (entry.escaped) {
        at = unescape_json(entry.text, at);
        if (at == nullptr) return Result::malformed;
    } else {
        at = std::copy(entry.text.begin(), entry.text.end(), at);  // may be empty: no memcpy
    }
    if (entry.newline) *at++ = '\n';
    if (framed_) write_frame_head(start, entry.source, static_cast<std::size_t>(at - body));
    output.added(static_cast<std::size_t>(at - start));
    return Result::taken;
}

}  // namespace dockerd::engine::logs
