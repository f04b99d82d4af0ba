#pragma once

#include <string>
#include <string_view>

#include <dockerd/base/json.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>
#include <dockerd/model/requests.hpp>

/// JSON of Docker's documents, the same on disk and in the API.
///
/// Decoding follows Go's encoding/json: names match without case, unknown fields are ignored,
/// null leaves a field as it was, and a value of the wrong type throws invalid_argument,
/// "json: cannot unmarshal number into Go struct field CreateRequest.Image of type string".
/// Source: Go encoding/json, UnmarshalTypeError.
namespace dockerd::model {

/// Parses a request body.
/// Throws: invalid_argument, "invalid JSON: <detail>", "invalid JSON: got EOF while reading
/// request body", "unexpected content after JSON". Source: moby api/server/httputils, ReadJSON.
template <typename T>
T decode_body(std::string_view body);

/// Parses a document of ours or Docker's from disk. Throws: internal, with the same detail.
template <typename T>
T decode_text(std::string_view text);

/// Fills `out` from `json`. `T` is any document type of this module.
template <typename T>
void decode(const base::Json& json, T& out);

/// The document as JSON with Docker's names, order, nulls and omitted empties.
template <typename T>
base::Json encode(const T& value);

/// `json` as text the way Go's encoder writes it with HTML escaping off, no newline at the end.
std::string to_text(const base::Json& json);

/// The same with `<`, `>`, `&`, U+2028 and U+2029 escaped: Go's default, used in logs and events.
std::string to_html_safe_text(const base::Json& json);

}  // namespace dockerd::model
