#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::build {

/// The patterns of a .dockerignore: without comments, cleaned, "!" kept in front.
/// Source: moby/patternmatcher ignorefile.go, ReadAll.
std::vector<std::string> read_ignore_file(std::string_view text);

/// Paths that a .dockerignore leaves out.
///
/// Source: moby/patternmatcher patternmatcher.go.
class Ignore {
public:
    /// Throws: internal, `illegal exclusion pattern: "!"`, "syntax error in pattern".
    explicit Ignore(const std::vector<std::string>& patterns);
    Ignore(Ignore&&) noexcept;
    ~Ignore();

    /// Whether the last pattern that matches `path`, or a directory above it, leaves it out.
    /// `path`: without "/" in front, as "a/b".
    [[nodiscard]] bool matches(const std::string& path) const;

private:
    struct Pattern;
    std::vector<Pattern> patterns_;
};

}  // namespace dockerd::build
