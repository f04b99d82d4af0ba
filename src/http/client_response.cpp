#include "client_response.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace dockerd::http {
namespace {

namespace beast = boost::beast;

constexpr std::size_t max_head = 64U << 10U;
constexpr std::size_t input_size = 32U << 10U;

[[noreturn]] void fail(const std::string& text) {
    throw ClientError(base::ErrorKind::internal, text);
}

}  // namespace

bool ClientResponse::State::fill(Deadline deadline) {
    if (at_ == input_.size()) {
        input_.clear();
        at_ = 0;
    } else if (at_ > 0) {
        input_.erase(0, at_);
        at_ = 0;
    }
    const std::size_t before = input_.size();
    input_.resize(before + input_size);
    const std::size_t n = connection->read({input_.data() + before, input_size}, deadline);
    input_.resize(before + n);
    return n > 0;
}

void ClientResponse::State::read_head(bool is_head, Deadline deadline) {
    for (int heads = 0;; ++heads) {
        // Source: Go net/http transport.go, maxNum1xxResponses.
        if (heads > 5) fail("net/http: too many 1xx informational responses");
        parser_ = std::make_unique<Parser>();
        parser_->header_limit(max_head);
        parser_->body_limit(boost::none);
        parser_->eager(false);
        if (is_head) parser_->skip(true);
        while (!parser_->is_header_done()) {
            beast::error_code error;
            const std::size_t used =
                parser_->put(boost::asio::buffer(input_.data() + at_, input_.size() - at_), error);
            at_ += used;
            if (parser_->is_header_done()) break;
            if (error && error != beast::http::error::need_more) {
                fail(fmt::format("net/http: malformed HTTP response: {}", error.message()));
            }
            // Source: Go net/http transport.go: a connection that ends before the answer.
            if (!fill(deadline)) fail(at_ == 0 && input_.empty() ? "EOF" : "unexpected EOF");
        }
        status = parser_->get().result_int();
        if (status / 100 != 1 || status == 101) break;
    }
    take_head();
    if (is_head || status == 204 || status == 304) {
        done_ = true;
    } else {
        done_ = left_ == 0 && !chunked_;
    }
}

void ClientResponse::State::take_head() {
    const auto& message = parser_->get();
    for (const auto& field : message) {
        headers.add(std::string(field.name_string()), std::string(field.value()));
    }
    std::string reason(message.reason());
    if (reason.empty()) reason = status_text(status);
    status_line = fmt::format("{} {}", status, reason);
    chunked_ = parser_->chunked();
    left_ = -1;
    const std::string_view length = headers.get("Content-Length");
    if (chunked_ || length.empty()) return;
    const auto given = parser_->content_length();
    if (given) left_ = static_cast<std::int64_t>(*given);
    // With skip() Beast does not look at it.
    if (!given) {
        try {
            left_ = std::stoll(std::string(length));
        } catch (const std::exception&) {
            left_ = -1;
        }
    }
    content_length = left_;
}

std::size_t ClientResponse::State::read(std::span<char> buffer) {
    if (done_ || buffer.empty()) return 0;
    try {
        return chunked_ ? read_chunks(buffer) : read_plain(buffer);
    } catch (const ClientError&) {
        if (!whole || std::chrono::steady_clock::now() < *whole) throw;
        // Source: Go context, DeadlineExceeded.
        fail("context deadline exceeded");
    }
}

std::size_t ClientResponse::State::read_plain(std::span<char> buffer) {
    std::size_t most = buffer.size();
    if (left_ >= 0) most = std::min<std::size_t>(most, static_cast<std::size_t>(left_));
    std::size_t n = 0;
    if (at_ < input_.size()) {
        n = std::min(most, input_.size() - at_);
        std::memcpy(buffer.data(), input_.data() + at_, n);
        at_ += n;
    } else {
        n = connection->read(buffer.subspan(0, most), silence_from_now());
        if (n == 0 && left_ > 0) fail("unexpected EOF");
    }
    if (left_ >= 0) left_ -= static_cast<std::int64_t>(n);
    done_ = n == 0 || left_ == 0;
    return n;
}

std::size_t ClientResponse::State::read_chunks(std::span<char> buffer) {
    auto& body = parser_->get().body();
    for (;;) {
        body.data = buffer.data();
        body.size = buffer.size();
        body.more = true;
        beast::error_code error;
        const std::size_t used =
            parser_->put(boost::asio::buffer(input_.data() + at_, input_.size() - at_), error);
        at_ += used;
        const std::size_t got = buffer.size() - body.size;
        if (error && error != beast::http::error::need_more &&
            error != beast::http::error::need_buffer) {
            fail(fmt::format("malformed chunked encoding: {}", error.message()));
        }
        if (parser_->is_done()) {
            done_ = true;
            return got;
        }
        if (got > 0) return got;
        if (used > 0 && at_ < input_.size()) continue;
        // Extensions of a chunk, trailers. Source: Go net/http/internal, ErrLineTooLong.
        if (input_.size() - at_ > max_head) fail("header line too long");
        if (!fill(silence_from_now())) fail("unexpected EOF");
    }
}

ClientResponse::ClientResponse(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClientResponse::ClientResponse(ClientResponse&&) noexcept = default;
ClientResponse& ClientResponse::operator=(ClientResponse&&) noexcept = default;
ClientResponse::~ClientResponse() = default;

int ClientResponse::status() const { return state_->status; }
const std::string& ClientResponse::status_line() const { return state_->status_line; }
const Headers& ClientResponse::headers() const { return state_->headers; }
const Url& ClientResponse::url() const { return state_->url; }
std::int64_t ClientResponse::content_length() const { return state_->content_length; }
std::size_t ClientResponse::read(std::span<char> buffer) { return state_->read(buffer); }

std::string ClientResponse::read_all(std::size_t limit) {
    std::string out;
    std::string buffer(std::min<std::size_t>(limit + 1, 32U << 10U), '\0');
    for (;;) {
        const std::size_t n = read(buffer);
        if (n == 0) return out;
        out.append(buffer, 0, n);
        if (out.size() > limit) {
            fail(fmt::format("the answer of {} has more than {} bytes", state_->url.host, limit));
        }
    }
}

}  // namespace dockerd::http
