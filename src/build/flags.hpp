#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::build {

/// Flags of one instruction, checked against those it knows.
/// Source: buildkit frontend/dockerfile/instructions/bflag.go.
class Flags {
public:
    enum class Type { boolean, text, texts };
    /// Throws: invalid_argument, "unknown flag: --x (did you mean y?)", "duplicate flag specified:
    ///         --x", "missing a value on flag: --x", "expecting boolean value for flag --x, not: y".
    Flags(const std::vector<std::string>& given, const std::map<std::string, Type>& known);

    [[nodiscard]] std::string text(const std::string& name, const std::string& fallback = {}) const;
    [[nodiscard]] bool boolean(const std::string& name) const;
    [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
    [[nodiscard]] std::vector<std::string> texts(const std::string& name) const;

private:
    std::map<std::string, std::vector<std::string>> values_;
};

/// " (did you mean x?)" for a word that is nearly one of the known, or nothing.
/// Source: buildkit util/suggest.
std::string suggestion(std::string_view word, const std::vector<std::string>& known,
                       bool case_sensitive);

}  // namespace dockerd::build
