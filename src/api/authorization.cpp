#include "authorization.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::api {
namespace {

using engine::AuthorizationCase;

/// Requests with more to show are refused. Source: moby pkg/authorization/authz.go, maxBodySize.
constexpr std::size_t most_shown = 1U << 20U;
/// What an answer may hold back. Source: moby pkg/authorization/response.go, maxBufferSize.
constexpr std::size_t most_held = 64U << 10U;

/// "content-type" to "Content-Type". Source: Go net/textproto, CanonicalMIMEHeaderKey.
std::string canonical(std::string_view name) {
    std::string out(name);
    bool first = true;
    for (char& c : out) {
        const auto byte = static_cast<unsigned char>(c);
        c = static_cast<char>(first ? std::toupper(byte) : std::tolower(byte));
        first = c == '-';
    }
    return out;
}

void put_header(std::map<std::string, std::string>& out, std::string_view name,
                std::string_view value) {
    // Secrets, and what is no header field for Go.
    for (const char* const hidden : {"Authorization", "X-Registry-Config", "X-Registry-Auth", "Host",
                                     "Transfer-Encoding", "Trailer"}) {
        if (base::iequals(name, hidden)) return;
    }
    out[canonical(name)] = value;
}

bool is_json(std::string_view content_type) {
    const std::string_view type = content_type.substr(0, content_type.find(';'));
    return base::iequals(base::trim(type), "application/json");
}

/// Whether bodies hold secrets: "/auth", by the path the router goes by, which is decoded and has
/// no version. Source: moby pkg/authorization/authz.go, sendBody and isAuthEndpoint.
bool is_login(const http::Request& request) { return request.path.starts_with("/auth"); }

bool shows_body(const http::Request& request, const http::Headers& headers) {
    return !is_login(request) && is_json(headers.get("Content-Type"));
}

AuthorizationCase case_of(const http::Request& request) {
    AuthorizationCase out;
    if (request.tls && !request.tls->certificates.empty()) {
        out.user = request.tls->common_name;
        out.user_method = "TLS";
        out.certificates = request.tls->certificates;
    }
    out.method = request.method_text;
    out.uri = request.target;
    for (const http::Header& header : request.headers.all()) {
        put_header(out.request_headers, header.name, header.value);
    }
    return out;
}

void log_refusal(const AuthorizationCase& asked, const base::Error& error) {
    base::log::error("AuthZRequest for {} {} returned error: {}", asked.method, asked.uri,
                     error.what());
}

/// A plugin that does not see what the handler gets cannot judge it (CVE-2026-34040).
/// Source: moby 29.3.1, pkg/authorization/authz.go, AuthZRequest: the text, and 500.
[[noreturn]] void refuse_long_body(const AuthorizationCase& asked) {
    const engine::NotAuthorized refusal(
        base::ErrorKind::internal,
        fmt::format("request body too large for authorization plugin: size exceeds {} bytes",
                    most_shown));
    log_refusal(asked, refusal);
    throw refusal;
}

/// The body was read before: shown as it is.
void show_request_body(AuthorizationCase& asked, const http::Request& request) {
    if (!shows_body(request, request.headers)) return;
    if (request.body.size() > most_shown) refuse_long_body(asked);
    asked.request_body = request.body;
}

void show_response(AuthorizationCase& asked, const http::Request& request,
                   const http::Endpoint& endpoint, int status, const http::Headers& headers,
                   std::string_view body) {
    asked.status = status;
    for (const std::string& line : base::split(endpoint.headers, '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        put_header(asked.response_headers, line.substr(0, colon), base::trim(line.substr(colon + 1)));
    }
    for (const http::Header& header : headers.all()) {
        put_header(asked.response_headers, header.name, header.value);
    }
    if (shows_body(request, headers)) asked.response_body = body;
}

/// A body of which the beginning was read already.
class PeekedBody final : public http::BodyReader {
public:
    explicit PeekedBody(http::BodyReader& rest) : rest_(rest) {}

    /// Reads the body, up to a byte more than `most_shown`. True when that is all of it.
    bool peek() {
        std::array<char, 16384> buffer;
        while (front_.size() <= most_shown) {
            const std::size_t wanted = std::min(buffer.size(), most_shown + 1 - front_.size());
            const std::size_t count = rest_.read({buffer.data(), wanted});
            if (count == 0) return true;
            front_.append(buffer.data(), count);
        }
        return false;
    }
    [[nodiscard]] const std::string& front() const { return front_; }

    std::size_t read(std::span<char> buffer) override {
        if (taken_ == front_.size()) return rest_.read(buffer);
        const std::size_t count = std::min(buffer.size(), front_.size() - taken_);
        std::memcpy(buffer.data(), front_.data() + taken_, count);
        taken_ += count;
        return count;
    }
    [[nodiscard]] bool has_body() const override { return rest_.has_body(); }

private:
    http::BodyReader& rest_;
    std::string front_;
    std::size_t taken_ = 0;
};

/// Holds a short answer back until it was allowed.
class HeldWriter final : public http::ResponseWriter {
public:
    explicit HeldWriter(http::ResponseWriter& out) : out_(out) {}

    void head(int status, http::Headers headers) override {
        status_ = status;
        headers_ = std::move(headers);
    }
    void write(std::string_view bytes) override {
        if (body_.size() + bytes.size() > most_held) flush();
        if (bytes.size() > most_held) {
            out_.write(bytes);
        } else {
            body_ += bytes;
        }
    }
    void flush() override {
        pass();
        out_.flush();
    }
    void respond(http::Response response) override { whole_ = std::move(response); }
    [[nodiscard]] bool started() const override { return out_.started(); }
    [[nodiscard]] bool client_gone() override { return out_.client_gone(); }
    [[nodiscard]] int poll_fd() const override { return out_.poll_fd(); }

    void show(AuthorizationCase& asked, const http::Request& request,
              const http::Endpoint& endpoint) const {
        if (whole_) {
            show_response(asked, request, endpoint, whole_->status, whole_->headers, whole_->body);
        } else if (!passed_) {
            show_response(asked, request, endpoint, status_, headers_, body_);
        }
    }
    /// Sends what was held back.
    void release() {
        if (whole_) {
            out_.respond(std::move(*whole_));
        } else {
            pass();
        }
    }

private:
    void pass() {
        if (!passed_ && status_ != 0) out_.head(status_, std::move(headers_));
        passed_ = true;
        if (!body_.empty()) out_.write(body_);
        body_.clear();
    }

    http::ResponseWriter& out_;
    int status_ = 0;
    http::Headers headers_;
    std::string body_;
    bool passed_ = false;
    std::optional<http::Response> whole_;
};

/// A session's answer: whole ones are asked about before they go.
class HeldStream final : public http::Stream {
public:
    using Check = std::function<void(const http::Response&)>;
    HeldStream(http::Stream& out, Check check) : out_(out), check_(std::move(check)) {}

    [[nodiscard]] bool started() const { return started_; }
    [[nodiscard]] bool responded() const { return responded_; }

    http::Task<void> send_head(int status, http::Headers headers) override {
        started_ = true;
        co_await out_.send_head(status, std::move(headers));
    }
    http::Task<void> write(std::string_view bytes) override {
        started_ = true;
        co_await out_.write(bytes);
    }
    http::Task<void> respond(http::Response response) override {
        auto ask = [this, &response] { check_(response); };
        co_await http::offload(out_.calls(), ask);
        started_ = responded_ = true;
        co_await out_.respond(std::move(response));
    }
    http::Task<void> finish() override {
        started_ = true;
        co_await out_.finish();
    }
    http::Task<http::Wake> wait(http::Notifier& notifier,
                                std::optional<std::chrono::nanoseconds> timeout) override {
        co_return co_await out_.wait(notifier, timeout);
    }
    http::Task<http::Wake> wait_readable(int fd,
                                         std::optional<std::chrono::nanoseconds> timeout) override {
        co_return co_await out_.wait_readable(fd, timeout);
    }
    http::Task<http::Wake> wait_either(http::Notifier& notifier, int fd,
                                       std::optional<std::chrono::nanoseconds> timeout) override {
        co_return co_await out_.wait_either(notifier, fd, timeout);
    }
    http::Task<http::Wake> sleep(std::chrono::nanoseconds time) override {
        co_return co_await out_.sleep(time);
    }
    http::Task<void> closed() override { co_await out_.closed(); }
    [[nodiscard]] bool is_closed() const override { return out_.is_closed(); }
    [[nodiscard]] bool upgrade_requested() const override { return out_.upgrade_requested(); }
    http::Task<http::RawConnection> hijack(http::HijackHead head) override {
        started_ = true;
        co_return co_await out_.hijack(std::move(head));
    }
    http::Task<void> bare_error(int status, std::string text) override {
        started_ = true;
        co_await out_.bare_error(status, std::move(text));
    }
    [[nodiscard]] base::WorkerPool& calls() override { return out_.calls(); }
    [[nodiscard]] base::WorkerPool& transfers() override { return out_.transfers(); }

private:
    http::Stream& out_;
    Check check_;
    bool started_ = false;
    bool responded_ = false;
};

}  // namespace

const http::Endpoint& Gate::guard(const http::Endpoint& endpoint) {
    auto& place = guarded_[&endpoint];
    if (place) return *place;
    place = std::make_unique<http::Endpoint>();
    place->headers = endpoint.headers;
    if (std::holds_alternative<http::Transfer>(endpoint.kind)) {
        place->kind = http::Transfer{
            [this, &endpoint](http::Request& request, http::BodyReader& body,
                              http::ResponseWriter& writer) {
                transfer(endpoint, request, body, writer);
            }};
    } else if (std::holds_alternative<http::Session>(endpoint.kind)) {
        place->kind = http::Session{[this, &endpoint](http::Request request, http::Stream& stream) {
            return session(endpoint, std::move(request), stream);
        }};
    } else {
        place->kind = http::Call{
            [this, &endpoint](const http::Request& request) { return call(endpoint, request); }};
    }
    return *place;
}

void Gate::check_request(const AuthorizationCase& asked) {
    try {
        plugins_.check_request(asked);
    } catch (const base::Error& error) {
        log_refusal(asked, error);
        throw;
    }
}

void Gate::check_response(const AuthorizationCase& asked, bool failed) {
    try {
        plugins_.check_response(asked);
    } catch (const base::Error& error) {
        if (failed) return;
        base::log::error("AuthZResponse for {} {} returned error: {}", asked.method, asked.uri,
                         error.what());
        throw;
    }
}

http::Response Gate::call(const http::Endpoint& endpoint, const http::Request& request) {
    AuthorizationCase asked = case_of(request);
    show_request_body(asked, request);
    check_request(asked);
    const auto* const simple = std::get_if<http::InlineCall>(&endpoint.kind);
    const auto& run = simple != nullptr ? simple->run : std::get<http::Call>(endpoint.kind).run;
    try {
        http::Response response = run(request);
        show_response(asked, request, endpoint, response.status, response.headers, response.body);
        check_response(asked, /*failed=*/false);
        return response;
    } catch (const engine::NotAuthorized&) {
        throw;
    } catch (...) {
        show_response(asked, request, endpoint, 0, {}, {});
        check_response(asked, /*failed=*/true);
        throw;
    }
}

void Gate::transfer(const http::Endpoint& endpoint, http::Request& request, http::BodyReader& body,
                    http::ResponseWriter& writer) {
    AuthorizationCase asked = case_of(request);
    PeekedBody peeked(body);
    if (body.has_body() && shows_body(request, request.headers)) {
        const bool short_enough = std::cmp_less_equal(request.content_length, most_shown);
        if (!short_enough || !peeked.peek()) refuse_long_body(asked);
        asked.request_body = peeked.front();
    }
    check_request(asked);
    HeldWriter held(writer);
    try {
        std::get<http::Transfer>(endpoint.kind).run(request, peeked, held);
    } catch (...) {
        show_response(asked, request, endpoint, 0, {}, {});
        check_response(asked, /*failed=*/true);
        throw;
    }
    held.show(asked, request, endpoint);
    check_response(asked, /*failed=*/false);
    held.release();
}

http::Task<void> Gate::session(const http::Endpoint& endpoint, http::Request request,
                               http::Stream& stream) {
    AuthorizationCase asked = case_of(request);
    show_request_body(asked, request);
    auto ask_first = [this, &asked] { check_request(asked); };
    co_await http::offload(stream.calls(), ask_first);

    http::Request brief;
    brief.method_text = request.method_text;
    brief.target = request.target;
    brief.id = request.id;
    HeldStream held(stream, [&](const http::Response& response) {
        show_response(asked, brief, endpoint, response.status, response.headers, response.body);
        check_response(asked, /*failed=*/false);
    });
    const auto& inner = std::get<http::Session>(endpoint.kind);
    std::exception_ptr failure;
    try {
        co_await inner.run(std::move(request), held);
    } catch (...) {
        failure = std::current_exception();
    }
    if (held.responded()) co_return;
    bool refused = false;
    if (failure) {
        try {
            std::rethrow_exception(failure);
        } catch (const engine::NotAuthorized&) {
            refused = true;
        } catch (...) {
        }
    }
    if (refused) std::rethrow_exception(failure);
    const bool failed = failure != nullptr;
    auto ask_last = [&] {
        if (!held.started()) show_response(asked, brief, endpoint, 0, {}, {});
        check_response(asked, failed);
    };
    co_await http::offload(stream.calls(), ask_last);
    if (!failed) co_return;
    if (held.started() || !inner.bare_errors) std::rethrow_exception(failure);
    const http::Response response = app_.error(brief, failure);
    co_await stream.bare_error(response.status, response.error_text);
}

}  // namespace dockerd::api
