#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <dockerd/base/time.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/model/filters.hpp>
#include <dockerd/model/json.hpp>

/// Parameters and bodies of requests, read the way Docker's handlers read them.
namespace dockerd::api {

/// "", "0", "no", "false", "none" are false, anything else is true.
/// Source: moby api/server/httputils/form.go, BoolValue.
bool bool_param(const http::Request& request, std::string_view name);
/// The same; `fallback` when the parameter is absent (not when it is empty).
bool bool_param_or(const http::Request& request, std::string_view name, bool fallback);

/// A decimal number; `fallback` when the parameter is absent or empty.
/// Throws: internal, `strconv.ParseInt: parsing "x": invalid syntax` (or "value out of range").
/// `function` is the Go function Docker's handler calls: Atoi, ParseInt.
std::int64_t int_param(const http::Request& request, std::string_view name, std::int64_t fallback,
                       std::string_view function = "Atoi");
/// The same, 0 when the text is no number. Source: form.go, Int64ValueOrZero.
std::int64_t int_param_or_zero(const http::Request& request, std::string_view name);

/// A number of 32 bits. Throws: invalid_argument,
/// `<what> "x": invalid syntax` or `: value out of range`, where `what` is "invalid resize height".
/// Source: form.go, Uint32Value.
std::uint32_t uint32_param(const http::Request& request, std::string_view name,
                           std::string_view what);

/// Throws: invalid_argument, `invalid value for verbose: x: strconv.ParseBool: ...`, for a text
/// that is neither empty nor one of Go's booleans.
void check_bool_param(const http::Request& request, std::string_view name);

/// The `filters` parameter. Throws: invalid_argument, "invalid filter".
model::Filters filters_param(const http::Request& request);

/// Checks that a body is declared as JSON. Source: httputils.go, CheckForJSON.
/// Throws: invalid_argument, "unsupported Content-Type header (text/plain): must be
/// 'application/json'" or "malformed Content-Type header (x): mime: <why>".
void check_json(const http::Request& request);

/// The body as a document; nullopt when there is no body. Source: httputils.go, ReadJSON.
/// Throws: as check_json and model::decode_body.
template <typename T>
std::optional<T> read_json(const http::Request& request) {
    check_json(request);
    if (request.content_length == 0) return std::nullopt;
    return model::decode_body<T>(request.body);
}

/// X-Registry-Auth or a like header as text: either base64 alphabet, padded or not.
std::optional<std::string> base64_header(const http::Request& request, std::string_view name);

}  // namespace dockerd::api
