#pragma once

#include <string>
#include <string_view>

namespace dockerd::api::codec {

/// Throws: invalid_argument, "invalid JSON: ..." unless `body` is empty or a JSON document.
void check_document(std::string_view body);

/// ListenAddr of a swarm init or join request; empty when there is none.
/// Throws: invalid_argument, "invalid JSON: ...".
std::string decode_listen_address(std::string_view body);

}  // namespace dockerd::api::codec
