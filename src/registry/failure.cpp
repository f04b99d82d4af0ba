#include <dockerd/registry/failure.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include <dockerd/base/strings.hpp>
#include <dockerd/model/go_syntax.hpp>

#include "challenge.hpp"

namespace dockerd::registry {
namespace {

using Json = nlohmann::json;
using Reason = Failure::Reason;

/// More of an error nobody needs.
constexpr std::size_t max_error = 1U << 20U;

struct Known {
    std::string_view code;
    std::string_view message;
};

// Source: docker/distribution registry/api/errcode/register.go, registry/api/v2/errors.go.
constexpr std::array known_codes{
    Known{"UNKNOWN", "unknown error"},
    Known{"UNSUPPORTED", "The operation is unsupported."},
    Known{"UNAUTHORIZED", "authentication required"},
    Known{"DENIED", "requested access to the resource is denied"},
    Known{"UNAVAILABLE", "service unavailable"},
    Known{"TOOMANYREQUESTS", "too many requests"},
    Known{"DIGEST_INVALID", "provided digest did not match uploaded content"},
    Known{"SIZE_INVALID", "provided length did not match content length"},
    Known{"NAME_INVALID", "invalid repository name"},
    Known{"TAG_INVALID", "manifest tag did not match URI"},
    Known{"NAME_UNKNOWN", "repository name not known to registry"},
    Known{"MANIFEST_UNKNOWN", "manifest unknown"},
    Known{"MANIFEST_INVALID", "manifest invalid"},
    Known{"MANIFEST_UNVERIFIED", "manifest failed signature verification"},
    Known{"MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"},
    Known{"BLOB_UNKNOWN", "blob unknown to registry"},
    Known{"BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"},
    Known{"BLOB_UPLOAD_INVALID", "blob upload invalid"},
    Known{"PAGINATION_NUMBER_INVALID", "invalid number of results requested"},
};

Known known(std::string_view code) {
    const auto found = std::ranges::find(known_codes, code, &Known::code);
    return found == known_codes.end() ? known_codes[0] : *found;
}

/// One error of an answer.
struct Item {
    std::string code;
    std::string text;
    bool bare = false;    ///< nothing but its code
    bool listed = false;  ///< in a document of errors
};

std::string code_text(std::string_view code) {
    std::string out = base::to_lower(code);
    std::ranges::replace(out, '_', ' ');
    return out;
}

Item coded(std::string_view code, std::string_view message) {
    return {std::string(code), fmt::format("{}: {}", code_text(code), message), false};
}

Item by_status(int status, std::string_view details) {
    if (status == 401) return coded("UNAUTHORIZED", details);
    if (status == 403) return coded("DENIED", details);
    if (status == 429) return coded("TOOMANYREQUESTS", details);
    return coded("UNKNOWN", details);
}

[[noreturn]] void throw_items(const std::vector<Item>& items) {
    std::string text = items.size() == 1 ? items[0].text : "errors:\n";
    if (items.size() > 1) {
        for (const Item& item : items) text += item.text + "\n";
    }
    const Item& first = items.front();
    if (first.bare) throw Failure(Reason::other, text, {}, first.text);
    throw Failure(Reason::coded, text, first.code, first.text,
                  first.listed || items.size() > 1);
}

/// A member by Go's rules: its name may differ in case; the last of several counts.
const Json* member(const Json& json, std::string_view name) {
    const Json* found = nullptr;
    if (!json.is_object()) return found;
    for (const auto& [key, value] : json.items()) {
        if (base::iequals(key, name)) found = &value;
    }
    return found;
}

std::string text_field(const Json& json, std::string_view name) {
    const Json* const found = member(json, name);
    return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

[[noreturn]] void unexpected(int status, std::string_view why, const std::string& body) {
    throw Failure(Reason::unexpected_response,
                  fmt::format("error parsing HTTP {} response body: {}: {}", status, why,
                              base::quote(body)));
}

Item item_of(const Json& error) {
    const Known kind = known(text_field(error, "code"));
    const std::string message = text_field(error, "message");
    const Json* const detail = member(error, "detail");
    const bool has_detail = detail != nullptr && !detail->is_null();
    if (!has_detail && (message.empty() || message == kind.message)) {
        return {std::string(kind.code), code_text(kind.code), true};
    }
    Item item = coded(kind.code, message);
    item.listed = true;
    return item;
}

std::vector<Item> items_of(http::ClientResponse& response) {
    const std::string body = response.read_all(max_error);
    const int status = response.status();
    std::string_view type = response.headers().get("Content-Type");
    type = base::trim(type.substr(0, type.find(';')));
    if (!base::iequals(type, "application/json") && !base::iequals(type, "application/vnd.api+json")) {
        return {by_status(status, body)};
    }
    if (const auto syntax = model::scan_go_json(body); !syntax.error.empty()) {
        unexpected(status,
                   syntax.error.ends_with("EOF") ? "unexpected end of JSON input" : syntax.error,
                   body);
    }
    const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
    if (const std::string details = text_field(json, "details"); !details.empty()) {
        return {by_status(status, details)};
    }
    std::vector<Item> out;
    const Json* const errors = member(json, "errors");
    if (errors != nullptr && errors->is_array()) {
        for (const Json& error : *errors) {
            if (error.is_object()) out.push_back(item_of(error));
        }
    }
    if (out.empty()) {
        unexpected(status, "no error details found in HTTP response body", body);
    }
    return out;
}

/// What the header of a bearer challenge says is wrong. Source: RFC 6750, 3.1.
std::vector<Item> challenge_items(const http::ClientResponse& response) {
    for (const Challenge& challenge : challenges_of(response)) {
        if (challenge.scheme != "bearer") continue;
        const auto error = challenge.params.find("error");
        if (error == challenge.params.end()) continue;
        std::string_view code;
        if (error->second == "invalid_token") code = "UNAUTHORIZED";
        if (error->second == "insufficient_scope") code = "DENIED";
        if (code.empty()) continue;
        const auto description = challenge.params.find("error_description");
        return {coded(code, description == challenge.params.end() ? known(code).message
                                                                 : description->second)};
    }
    return {};
}

}  // namespace

void throw_answer(http::ClientResponse& response) {
    const int status = response.status();
    if (status < 400 || status >= 500) {
        throw Failure(Reason::other,
                      "received unexpected HTTP status: " + response.status_line());
    }
    std::vector<Item> items = challenge_items(response);
    try {
        const auto more = items_of(response);
        items.insert(items.end(), more.begin(), more.end());
    } catch (const Failure& failure) {
        if (!items.empty()) {
            items.push_back({{}, failure.what(), true});
        } else if (status == 401) {
            items.push_back(coded("UNAUTHORIZED", known("UNAUTHORIZED").message));
        } else {
            throw;
        }
    }
    throw_items(items);
}

void throw_cause(const base::Error& error) {
    if (const auto* const failure = dynamic_cast<const Failure*>(&error)) {
        const bool several = failure->first() != failure->what();
        throw Failure(failure->reason(), failure->cause(), failure->code(),
                      several ? failure->first() : std::string(), failure->is_listed());
    }
    if (const auto* const client = dynamic_cast<const http::ClientError*>(&error)) {
        throw http::ClientError(client->kind(), client->cause(), client->errno_value());
    }
    throw;
}

bool is_worth_retrying(const base::Error& error) {
    if (error.errno_value() == ENOSPC) return false;
    const auto* const failure = dynamic_cast<const Failure*>(&error);
    if (failure == nullptr) return true;
    switch (failure->reason()) {
        case Reason::coded: {
            static constexpr std::array<std::string_view, 5> final_codes{
                "UNAUTHORIZED", "UNSUPPORTED", "DENIED", "TOOMANYREQUESTS", "NAME_UNKNOWN"};
            return std::ranges::find(final_codes, failure->code()) == final_codes.end();
        }
        case Reason::unexpected_response:
        case Reason::no_credentials:
        case Reason::blob_unknown:
            return false;
        case Reason::other:
            return true;
    }
    std::abort();  // not reached: the switch names every reason
}

}  // namespace dockerd::registry
