#pragma once

#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/http/client.hpp>

namespace dockerd::registry {

/// A registry's refusal, or an answer that makes no sense.
///
/// Source: docker/distribution registry/client/errors.go, registry/api/errcode.
class Failure : public base::Error {
public:
    /// What kind of answer it was; callers decide by it whether to ask again, or elsewhere.
    enum class Reason {
        coded,                ///< an error of the protocol, with its code
        unexpected_response,  ///< an error without a readable body
        no_credentials,       ///< "no basic auth credentials"
        blob_unknown,         ///< "unknown blob"
        other,
    };
    Failure(Reason reason, const std::string& text, std::string code = {}, std::string first = {},
            bool listed = false)
        : Error(base::ErrorKind::internal, text),
          reason_(reason),
          code_(std::move(code)),
          first_(first.empty() ? text : std::move(first)),
          cause_(text),
          listed_(listed) {}
    /// Of a request that was not even sent, for `cause`.
    Failure(Reason reason, const std::string& text, const Failure& cause)
        : Failure(reason, text, cause.code_) {
        cause_ = cause.cause_;
    }

    [[nodiscard]] Reason reason() const { return reason_; }
    /// "MANIFEST_UNKNOWN"; empty where the protocol has none. Of a failed authorization the token
    /// server's.
    [[nodiscard]] const std::string& code() const { return code_; }
    /// Of several errors the first one's text.
    [[nodiscard]] const std::string& first() const { return first_; }
    /// The text without the request it was about.
    [[nodiscard]] const std::string& cause() const { return cause_; }
    /// Whether it stood in a list of errors, in place of being all the answer was.
    [[nodiscard]] bool is_listed() const { return listed_; }

private:
    Reason reason_;
    std::string code_;
    std::string first_;
    std::string cause_;
    bool listed_;
};

/// Whether asking again could help. Source: moby distribution/errors.go, retryOnError.
bool is_worth_retrying(const base::Error& error);

/// Throws it without the request it was about, as transfers of layers tell it. Pre: it is the
/// exception that is being handled.
/// Source: moby distribution/errors.go, retryOnError.
[[noreturn]] void throw_cause(const base::Error& error);

/// Throws what an answer of 400 and above says.
/// Source: docker/distribution registry/client/errors.go, HandleErrorResponse.
[[noreturn]] void throw_answer(http::ClientResponse& response);

}  // namespace dockerd::registry
