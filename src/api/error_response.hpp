#pragma once

#include <exception>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// The HTTP status of a kind of error. Source: moby api/server/httpstatus/status.go.
int status_of(base::ErrorKind kind);

/// `{"message":"..."}` and a newline.
http::Response error_json(int status, std::string_view message);

/// The answer to an exception; logs it when it is a 5xx.
http::Response error_response(const http::Request& request, std::exception_ptr failure) noexcept;

}  // namespace dockerd::api
