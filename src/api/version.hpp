#pragma once

#include <string_view>

#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// The newest version this daemon speaks. Source: moby api/common.go, DefaultVersion.
constexpr http::ApiVersion newest_version{1, 50};

/// -1, 0 or 1, number by number; a part that is no number counts as 0.
/// Source: moby api/types/versions/compare.go.
int compare_versions(std::string_view a, std::string_view b);

/// The first two numbers of "1.47".
http::ApiVersion parse_version(std::string_view text);

}  // namespace dockerd::api
