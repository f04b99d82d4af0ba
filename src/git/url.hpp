#pragma once

#include <string>

namespace dockerd::git {

/// A URL as far as it matters here.
struct Url {
    std::string scheme;            ///< in small letters; may be empty
    std::string path;              ///< with its percent signs read
    std::string fragment;          ///< the same
    std::string without_fragment;  ///< written as Go writes it
};

/// Throws: internal, `parse "<text>": <what is wrong>`. Source: Go net/url, Parse and String.
Url parse_url(const std::string& text);

}  // namespace dockerd::git
