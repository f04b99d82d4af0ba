#include "parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace dockerd::http {

namespace beast = boost::beast;
using beast::http::verb;
using ErrorCode = beast::error_code;
using View = beast::string_view;

namespace {

std::string text_of(View view) { return {view.data(), view.size()}; }

Method method_of(verb method) {
    switch (method) {
        case verb::get:
            return Method::get;
        case verb::head:
            return Method::head;
        case verb::post:
            return Method::post;
        case verb::put:
            return Method::put;
        case verb::delete_:
            return Method::del;
        case verb::options:
            return Method::options;
        default:
            return Method::other;
    }
}

}  // namespace

struct RequestParser::Impl final : beast::http::basic_parser<true> {
    using Base = beast::http::basic_parser<true>;
    using Base::chunked;
    using Base::content_length;
    using Base::is_done;
    using Base::is_header_done;
    using Base::keep_alive;
    using Base::put;

    void on_request_impl(verb method, View method_text, View target, int version,
                         ErrorCode&) override {
        request.method = method_of(method);
        request.method_text = text_of(method_text);
        request.target = text_of(target);
        request.http10 = version == 10;
    }
    void on_response_impl(int, View, int, ErrorCode&) override {}
    void on_field_impl(beast::http::field, View name, View value, ErrorCode&) override {
        request.headers.add(text_of(name), text_of(value));
    }
    void on_header_impl(ErrorCode&) override {
        if (chunked()) {
            request.content_length = -1;
        } else if (const auto length = content_length()) {
            // Lengths beyond 2^63 cannot come: they would never be read anyway.
            request.content_length = static_cast<std::int64_t>(*length & INT64_MAX);
        }
    }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}
    std::size_t on_body_impl(View bytes, ErrorCode&) override {
        body.append(bytes.data(), bytes.size());
        return bytes.size();
    }
    void on_chunk_header_impl(std::uint64_t, View, ErrorCode&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, View bytes, ErrorCode&) override {
        body.append(bytes.data(), bytes.size());
        return bytes.size();
    }
    void on_finish_impl(ErrorCode&) override {}

    void fail(const ErrorCode& code);

    Request request;
    std::string body;
    bool head_reported = false;
    int error_status = 0;
    std::string error;
};

// Source: Go net/http server.go, badRequestError and statusError; the texts after the colon
// are ours.
void RequestParser::Impl::fail(const ErrorCode& code) {
    if (code == beast::http::error::header_limit) {
        error_status = 431;
        error = "431 Request Header Fields Too Large";
    } else {
        error_status = 400;
        error = "400 Bad Request: " + code.message();
    }
}

RequestParser::RequestParser(std::size_t header_limit) : impl_(std::make_unique<Impl>()) {
    impl_->header_limit(static_cast<std::uint32_t>(header_limit));
    impl_->body_limit(boost::none);
    impl_->eager(false);
}

RequestParser::~RequestParser() = default;

RequestParser::Result RequestParser::feed(std::string_view& input) {
    while (true) {
        if (impl_->is_header_done() && !impl_->head_reported) {
            impl_->head_reported = true;
            return Result::head;
        }
        if (impl_->is_done()) return Result::done;
        if (input.empty()) return Result::need_more;

        ErrorCode code;
        const std::size_t taken =
            impl_->put(boost::asio::const_buffer(input.data(), input.size()), code);
        input.remove_prefix(taken);
        if (code == beast::http::error::need_more) {
            if (impl_->is_header_done() && !impl_->head_reported) continue;
            return Result::need_more;
        }
        if (code) {
            impl_->fail(code);
            return Result::bad;
        }
    }
}

Request& RequestParser::request() { return impl_->request; }
std::string& RequestParser::body() { return impl_->body; }
bool RequestParser::done() const { return impl_->is_done(); }
bool RequestParser::keep_alive() const { return impl_->keep_alive(); }
int RequestParser::error_status() const { return impl_->error_status; }
const std::string& RequestParser::error() const { return impl_->error; }

}  // namespace dockerd::http
