#include <optional>

#include <re2/re2.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "images/changes.hpp"

namespace dockerd::engine {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

enum class Stars { short_match, long_match };

/// `*`, `?` and backslashes of a shell pattern as a regular expression.
std::string regex_of(std::string_view pattern, Stars stars) {
    std::string out = "(?s)";
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        char c = pattern[at];
        if (c == '*') {
            out += stars == Stars::long_match ? ".*" : ".*?";
            continue;
        }
        if (c == '?') {
            out += '.';
            continue;
        }
        if (c == '\\') {
            if (at + 1 < pattern.size() && (pattern[at + 1] == '}' || pattern[at + 1] == '/')) {
                continue;
            }
            c = at + 1 < pattern.size() ? pattern[++at] : '\0';
            if (c != '*' && c != '?' && c != '\\') {
                invalid("invalid pattern (" + std::string(pattern) +
                        ") in substitution: invalid escape '\\" + c + "'");
            }
        }
        out += re2::RE2::QuoteMeta(re2::StringPiece(&c, 1));
    }
    return out;
}

std::string reversed(std::string_view text) { return {text.rbegin(), text.rend()}; }

/// A pattern read backwards; a backslash stays in front of what it escapes.
std::string reversed_pattern(std::string_view pattern) {
    std::string out = reversed(pattern);
    for (std::size_t at = 1; at < out.size(); ++at) {
        if (out[at] != '\\' || out[at - 1] == '\\') continue;
        std::swap(out[at], out[at - 1]);
        ++at;
    }
    return out;
}

std::string without_prefix(const std::string& value, std::string_view pattern, Stars stars) {
    re2::StringPiece rest(value);
    re2::RE2::Consume(&rest, regex_of(pattern, stars));
    return std::string(rest);
}

/// Fills one word in. Source: buildkit frontend/dockerfile/shell/lex.go.
class Expander {
public:
    Expander(std::string_view word, const std::vector<std::string>& environment, char escape)
        : word_(word), environment_(environment), escape_(escape) {}

    std::string run() { return until(std::nullopt, /*raw=*/false); }

private:
    [[nodiscard]] bool at_end() const { return at_ >= word_.size(); }
    [[nodiscard]] char peek() const { return at_end() ? '\0' : word_[at_]; }
    char next() { return at_end() ? '\0' : word_[at_++]; }

    /// `raw`: backslashes are left for a pattern to read.
    std::string until(std::optional<char> stop, bool raw) {
        const bool before = std::exchange(raw_, raw);
        std::string out;
        bool stopped = false;
        while (!at_end() && !stopped) {
            const char c = peek();
            if (stop && c == *stop) {
                ++at_;
                stopped = true;
            } else if (c == '$') {
                out += variable();
            } else if (c == '\'') {
                out += single_quoted();
            } else if (c == '"') {
                out += double_quoted();
            } else if (next() == escape_) {
                if (raw_) out += c;
                if (!at_end()) out += next();
            } else {
                out += c;
            }
        }
        raw_ = before;
        if (stop && !stopped) {
            invalid(std::string("unexpected end of statement while looking for matching ") + *stop);
        }
        return out;
    }

    std::string single_quoted() {
        ++at_;
        const auto close = word_.find('\'', at_);
        if (close == std::string_view::npos) {
            invalid("unexpected end of statement while looking for matching single-quote");
        }
        std::string out(word_.substr(at_, close - at_));
        at_ = close + 1;
        return out;
    }

    std::string double_quoted() {
        std::string out;
        for (++at_; !at_end();) {
            if (peek() == '"') {
                ++at_;
                return out;
            }
            if (peek() == '$') {
                out += variable();
                continue;
            }
            char c = next();
            if (c == escape_) {
                if (raw_) out += c;
                if (at_end()) break;
                if (peek() == '"' || peek() == '$' || peek() == escape_) c = next();
            }
            out += c;
        }
        invalid("unexpected end of statement while looking for matching double-quote");
    }

    std::string name() {
        constexpr std::string_view special = "@*#?-$!";
        std::string out;
        if (is_digit(peek())) {
            while (is_digit(peek())) out += next();
            return out;
        }
        if (!at_end() && special.find(peek()) != std::string_view::npos) return {next()};
        while (is_letter(peek()) || is_digit(peek()) || peek() == '_') out += next();
        return out;
    }

    [[nodiscard]] std::optional<std::string> value_of(const std::string& key) const {
        for (const auto& entry : environment_) {
            if (entry.starts_with(key + "=")) return entry.substr(key.size() + 1);
        }
        return std::nullopt;
    }

    std::string until_brace(bool raw) {
        try {
            return until('}', raw);
        } catch (const base::Error&) {
            if (at_end()) invalid("syntax error: missing '}'");
            throw;
        }
    }

    std::string variable() {
        ++at_;
        if (peek() != '{') {
            const std::string key = name();
            return key.empty() ? "$" : value_of(key).value_or("");
        }
        ++at_;
        if (at_end()) invalid("syntax error: missing '}'");
        if (peek() == '{' || peek() == '}' || peek() == ':') {
            invalid("syntax error: bad substitution");
        }
        const std::string key = name();
        const auto value = value_of(key);
        const char modifier = next();
        if (modifier == '}') return value.value_or("");
        if (modifier == '/') return replaced(value.value_or(""));
        if (modifier == '#' || modifier == '%') return trimmed(value.value_or(""), modifier);
        return chosen(key, value, modifier);
    }

    /// ${key-word}, ${key:-word} and the like.
    std::string chosen(const std::string& key, const std::optional<std::string>& value,
                       char modifier) {
        const bool colon = modifier == ':';
        const char operation = colon ? next() : modifier;
        const std::string shown = colon ? std::string{':', operation} : std::string{operation};
        const bool known = operation == '-' || operation == '+' || operation == '?';
        if (!known && (!colon || operation == '#' || operation == '%')) {
            invalid("unsupported modifier (" + shown + ") in substitution");
        }
        const std::string word = until_brace(/*raw=*/false);
        const bool usable = value && !(colon && value->empty());
        if (operation == '-') return usable ? *value : word;
        if (operation == '+') return usable ? word : "";
        if (operation != '?') invalid("unsupported modifier (" + shown + ") in substitution");
        if (usable) return *value;
        if (!word.empty()) invalid(key + ": " + word);
        invalid(key + ": is not allowed to be " + (value ? "empty" : "unset"));
    }

    /// ${key#pattern}, ${key##pattern}, ${key%pattern}, ${key%%pattern}
    std::string trimmed(const std::string& value, char side) {
        std::string pattern = until_brace(/*raw=*/true);
        Stars stars = Stars::short_match;
        if (pattern.starts_with(side)) {
            stars = Stars::long_match;
            pattern.erase(0, 1);
        }
        if (side == '#') return without_prefix(value, pattern, stars);
        return reversed(without_prefix(reversed(value), reversed_pattern(pattern), stars));
    }

    /// ${key/pattern/word}, ${key//pattern/word}
    std::string replaced(std::string value) {
        const bool all = peek() == '/';
        if (all) ++at_;
        std::string pattern;
        try {
            pattern = until('/', /*raw=*/true);
        } catch (const base::Error&) {
            if (at_end()) invalid("syntax error: missing '/' in ${}");
            throw;
        }
        const std::string word = until_brace(/*raw=*/true);
        const re2::RE2 expression(regex_of(pattern, Stars::long_match));
        if (all) {
            re2::RE2::GlobalReplace(&value, expression, word);
        } else {
            re2::RE2::Replace(&value, expression, word);
        }
        return value;
    }

    std::string_view word_;
    const std::vector<std::string>& environment_;
    const char escape_;
    std::size_t at_ = 0;
    bool raw_ = false;
};

}  // namespace

std::string expand_word(std::string_view word, const std::vector<std::string>& environment,
                        char escape) {
    return base::in_context("failed to process " + base::quote(word),
                            [&] { return Expander(word, environment, escape).run(); });
}

}  // namespace dockerd::engine
