#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/http/client.hpp>

namespace dockerd::registry {

/// One way a server wants to be convinced: `Bearer realm="...",service="..."`.
struct Challenge {
    std::string scheme;                         ///< lower case
    std::map<std::string, std::string> params;  ///< names in lower case
};

/// Reads one WWW-Authenticate header; the scheme is empty when it is none.
/// Source: docker/distribution registry/client/auth/challenge, parseValueAndParams.
Challenge parse_challenge(std::string_view header);

/// The challenges of a 401; none of any other answer.
std::vector<Challenge> challenges_of(const http::ClientResponse& response);

}  // namespace dockerd::registry
