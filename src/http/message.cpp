#include <dockerd/http/message.hpp>

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::http {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void append_form(std::string_view text, Form& out) {
    while (!text.empty()) {
        const auto end = text.find('&');
        const std::string_view pair = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (pair.find(';') != std::string_view::npos) {
            base::fail(base::ErrorKind::invalid_argument, "invalid semicolon separator in query");
        }
        if (pair.empty()) continue;
        const auto equals = pair.find('=');
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
        out.emplace_back(percent_decode(pair.substr(0, equals), /*plus_is_space=*/true),
                         percent_decode(value, /*plus_is_space=*/true));
    }
}

bool is_form_body(const Request& request) {
    if (request.method != Method::post && request.method != Method::put) return false;
    std::string_view type = request.headers.get("Content-Type");
    type = base::trim(type.substr(0, type.find(';')));
    return base::iequals(type, "application/x-www-form-urlencoded");
}

}  // namespace

std::string_view method_name(Method method) {
    switch (method) {
        case Method::get:
            return "GET";
        case Method::head:
            return "HEAD";
        case Method::post:
            return "POST";
        case Method::put:
            return "PUT";
        case Method::del:
            return "DELETE";
        case Method::options:
            return "OPTIONS";
        case Method::other:
            return "";
    }
    return "";
}

const std::string* Headers::find(std::string_view name) const {
    for (const Header& header : items_) {
        if (base::iequals(header.name, name)) return &header.value;
    }
    return nullptr;
}

std::string_view Headers::get(std::string_view name) const {
    const std::string* const value = find(name);
    return value ? std::string_view(*value) : std::string_view();
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
    for (const Header& header : items_) {
        if (!base::iequals(header.name, name)) continue;
        std::string_view rest = header.value;
        while (true) {
            const auto comma = rest.find(',');
            if (base::iequals(base::trim(rest.substr(0, comma)), token)) return true;
            if (comma == std::string_view::npos) break;
            rest.remove_prefix(comma + 1);
        }
    }
    return false;
}

void Headers::add(std::string name, std::string value) {
    items_.push_back({std::move(name), std::move(value)});
}

void Headers::set(std::string name, std::string value) {
    std::erase_if(items_, [&](const Header& h) { return base::iequals(h.name, name); });
    add(std::move(name), std::move(value));
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
            const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                // Source: Go net/url, EscapeError.
                base::fail(base::ErrorKind::invalid_argument,
                           "invalid URL escape " + base::quote(text.substr(i, 3)));
            }
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            out += plus_is_space && text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

Form parse_form(std::string_view text) {
    Form out;
    append_form(text, out);
    return out;
}

const std::string& Request::path_param(const std::string& name) const {
    static const std::string none;
    const auto found = path_params.find(name);
    return found == path_params.end() ? none : found->second;
}

const Form& Request::form() const {
    if (!form_) {
        Form all;
        if (is_form_body(*this)) append_form(body, all);
        append_form(query, all);
        form_ = std::move(all);
    }
    return *form_;
}

std::optional<std::string> Request::param(std::string_view name) const {
    for (const auto& [key, value] : form()) {
        if (key == name) return value;
    }
    return std::nullopt;
}

std::string Request::param(std::string_view name, std::string_view fallback) const {
    return param(name).value_or(std::string(fallback));
}

std::vector<std::string> Request::params(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& [key, value] : form()) {
        if (key == name) out.push_back(value);
    }
    return out;
}

bool Request::has_param(std::string_view name) const { return param(name).has_value(); }

Response Response::empty(int status) { return {.status = status}; }

Response Response::json(int status, std::string text) {
    if (!text.ends_with('\n')) text += '\n';
    return {.status = status,
            .headers = {{"Content-Type", "application/json"}},
            .body = std::move(text),
            .error_text = {}};
}

Response Response::text(int status, std::string text) {
    return {.status = status,
            .headers = {{"Content-Type", "text/plain; charset=utf-8"}},
            .body = std::move(text),
            .error_text = {}};
}

std::string_view status_text(int status) {
    switch (status) {
        case 100:
            return "Continue";
        case 101:
            return "Switching Protocols";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 413:
            return "Request Entity Too Large";
        case 417:
            return "Expectation Failed";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        default:
            return "";
    }
}

}  // namespace dockerd::http
