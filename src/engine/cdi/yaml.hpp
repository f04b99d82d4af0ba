#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dockerd::engine::cdi {

/// A value of a YAML document, or of a JSON document, which is one too. What a scalar means (a number,
/// a text) is up to who asks.
struct YamlNode {
    enum class Kind { null, scalar, list, map };
    Kind kind = Kind::null;
    std::string text;
    std::vector<YamlNode> items;
    std::vector<std::pair<std::string, YamlNode>> fields;
};

/// The first document of `text`. Throws: internal, "yaml: line 3: did not find expected key"; also for
/// documents that are too deep or, by their aliases, too large.
YamlNode parse_yaml(std::string_view text);

}  // namespace dockerd::engine::cdi
