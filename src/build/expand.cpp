#include <dockerd/build/expand.hpp>

#include <optional>
#include <utility>

#include <re2/re2.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::build {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Variables within each other's modifiers: a line of them must not use the stack up.
constexpr int max_depth = 64;

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

/// By characters, not by bytes.
std::string reversed(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    std::size_t end = text.size();
    while (end > 0) {
        std::size_t start = end - 1;
        while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0U) == 0x80U) --start;
        out += text.substr(start, end - start);
        end = start;
    }
    return out;
}

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

/// Words as they come out of the filling in.
/// Source: buildkit frontend/dockerfile/shell/lex.go, wordsStruct.
class Words {
public:
    void add(std::string_view text) {
        for (const char c : text) {
            if (!is_space(c)) {
                word_ += c;
            } else {
                close();
            }
        }
    }
    /// White space is part of the word.
    void add_raw(std::string_view text) { word_ += text; }
    std::vector<std::string> take() {
        close();
        return std::move(words_);
    }

private:
    static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
    }
    void close() {
        if (!word_.empty()) words_.push_back(std::exchange(word_, {}));
    }
    std::string word_;
    std::vector<std::string> words_;
};

/// By how much variables may make a word longer.
constexpr std::size_t most_filled_in = 1U << 20U;
/// What a replacement of every character would make.
constexpr std::size_t most_replaced = 256U << 20U;

/// What is left as it is.
struct Keep {
    bool quotes = false;
    bool escapes = false;
    bool variables = false;
    bool plain_quotes = false;  ///< they are characters like any other
};

/// Fills one word in. Source: buildkit frontend/dockerfile/shell/lex.go.
class Expander {
public:
    Expander(std::string_view word, const std::vector<std::string>& environment, char escape,
             Keep keep = {})
        : word_(word), environment_(environment), escape_(escape), keep_(keep) {}

    std::string run() { return until(std::nullopt, keep_.escapes, nullptr); }
    std::vector<std::string> run_words() {
        Words words;
        (void)until(std::nullopt, keep_.escapes, &words);
        return words.take();
    }

private:
    [[nodiscard]] bool at_end() const { return at_ >= word_.size(); }
    [[nodiscard]] char peek() const { return at_end() ? '\0' : word_[at_]; }
    char next() { return at_end() ? '\0' : word_[at_++]; }

    /// `raw`: backslashes are left for a pattern to read.
    std::string until(std::optional<char> stop, bool raw, Words* words) {
        const bool before = std::exchange(raw_, raw);
        std::string out;
        bool stopped = false;
        while (!at_end() && !stopped) {
            if (stop && peek() == *stop) {
                ++at_;
                stopped = true;
            } else {
                step(out, words);
            }
        }
        raw_ = before;
        if (stop && !stopped) {
            invalid(std::string("unexpected end of statement while looking for matching ") + *stop);
        }
        return out;
    }

    void step(std::string& out, Words* words) {
        std::string piece;
        bool splits = false;
        const char c = peek();
        if (c == '$') {
            piece = variable();
            splits = true;
        } else if (c == '\'' && !keep_.plain_quotes) {
            piece = single_quoted();
        } else if (c == '"' && !keep_.plain_quotes) {
            piece = double_quoted();
        } else if (c == '<') {
            piece = possible_heredoc();
        } else if (next() == escape_) {
            if (raw_) piece += c;
            if (!at_end()) piece += next();
        } else {
            piece += c;
            splits = true;
        }
        out += piece;
        // A few lines that name the one before twice would take all memory there is.
        if (out.size() > word_.size() + most_filled_in) invalid("it becomes too long");
        if (words == nullptr) return;
        if (splits) {
            words->add(piece);
        } else {
            words->add_raw(piece);
        }
    }

    /// "<<" with the white space behind it, which does not end the word.
    std::string possible_heredoc() {
        ++at_;
        if (peek() != '<') return "<";
        ++at_;
        std::string out = "<<";
        while (peek() == ' ' || peek() == '\t' || peek() == '\r') out += next();
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
        return keep_.quotes ? "'" + out + "'" : out;
    }

    std::string double_quoted() {
        std::string out = keep_.quotes ? "\"" : "";
        for (++at_; !at_end();) {
            if (peek() == '"') {
                ++at_;
                return keep_.quotes ? out + '"' : out;
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
        // Of several the last one holds.
        for (auto entry = environment_.rbegin(); entry != environment_.rend(); ++entry) {
            if (entry->starts_with(key) && entry->substr(key.size(), 1) == "=") {
                return entry->substr(key.size() + 1);
            }
        }
        return std::nullopt;
    }

    std::string until_brace(bool raw) {
        try {
            return until('}', raw, nullptr);
        } catch (const base::Error&) {
            if (at_end()) invalid("syntax error: missing '}'");
            throw;
        }
    }

    std::string variable() {
        const std::size_t start = at_;
        if (depth_ == max_depth) invalid("syntax error: bad substitution");
        ++depth_;
        std::string value = filled_in();
        --depth_;
        return keep_.variables ? std::string(word_.substr(start, at_ - start)) : value;
    }

    std::string filled_in() {
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
        // Go shows what is not there as U+FFFD.
        if (at_end()) invalid("unsupported modifier (\xEF\xBF\xBD) in substitution");
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
        if (keep_.variables) return {};
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
        if (keep_.variables) return {};
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
            pattern = until('/', /*raw=*/true, nullptr);
        } catch (const base::Error&) {
            if (at_end()) invalid("syntax error: missing '/' in ${}");
            throw;
        }
        std::string rewrite;
        for (const char c : until_brace(/*raw=*/true)) rewrite.append(c == '\\' ? 2 : 1, c);
        if (keep_.variables) return {};
        const re2::RE2 expression(regex_of(pattern, Stars::long_match));
        if ((value.size() + 1) * rewrite.size() > most_replaced) invalid("it becomes too long");
        if (all) {
            re2::RE2::GlobalReplace(&value, expression, rewrite);
        } else {
            re2::RE2::Replace(&value, expression, rewrite);
        }
        return value;
    }

    std::string_view word_;
    const std::vector<std::string>& environment_;
    const char escape_;
    const Keep keep_;
    std::size_t at_ = 0;
    int depth_ = 0;
    bool raw_ = false;
};

}  // namespace

std::string expand_word(std::string_view word, const std::vector<std::string>& environment,
                        char escape) {
    return base::in_context("failed to process " + base::quote(word),
                            [&] { return Expander(word, environment, escape).run(); });
}

std::vector<std::string> expand_words(std::string_view word,
                                      const std::vector<std::string>& environment, char escape) {
    return base::in_context("failed to process " + base::quote(word), [&] {
        return Expander(word, environment, escape).run_words();
    });
}

std::string expand_text(std::string_view text, const std::vector<std::string>& environment,
                        char escape) {
    return Expander(text, environment, escape, {.plain_quotes = true}).run();
}

std::vector<std::string> split_words(std::string_view line, SplitOptions options) {
    static const std::vector<std::string> nothing;
    const Keep keep{.quotes = options.keep_quotes, .escapes = options.keep_escapes,
                    .variables = true};
    return Expander(line, nothing, '\\', keep).run_words();
}

}  // namespace dockerd::build
