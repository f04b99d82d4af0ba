#include <dockerd/build/ignore.hpp>

#include <re2/re2.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/glob.hpp>

#include "statement.hpp"

namespace dockerd::build {
namespace {

/// Source: Go path/filepath, Clean.
std::string clean(std::string_view path) {
    const bool rooted = path.starts_with('/');
    std::vector<std::string> parts;
    for (const std::string& part : base::split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            parts.push_back(part);
        } else if (!parts.empty() && parts.back() != "..") {
            parts.pop_back();
        } else if (!rooted) {
            parts.push_back(part);
        }
    }
    const std::string joined = base::join(parts, "/");
    if (rooted) return "/" + joined;
    return joined.empty() ? "." : joined;
}

enum class Match { exact, prefix, suffix, regex };

/// How a pattern is best compared, and as a regular expression.
struct Compiled {
    Match match = Match::exact;
    std::string expression = "^";
};

void add_stars(Compiled& out, std::string_view& rest, bool first) {
    rest.remove_prefix(1);
    if (!rest.starts_with('*')) {
        out.expression += "[^/]*";
        out.match = Match::regex;
        return;
    }
    rest.remove_prefix(1);
    if (rest.starts_with('/')) rest.remove_prefix(1);
    if (!rest.empty()) {
        out.expression += "(.*/)?";
        out.match = Match::regex;
    } else if (out.match == Match::exact) {
        out.match = Match::prefix;
    } else {
        out.expression += ".*";
        out.match = Match::regex;
    }
    if (first) out.match = Match::suffix;
}

// Source: patternmatcher.go, compile.
Compiled compile(std::string_view pattern) {
    constexpr std::string_view special = ".+()|{}$";
    Compiled out;
    for (std::string_view rest = pattern; !rest.empty();) {
        const char c = rest.front();
        if (c == '*') {
            add_stars(out, rest, rest.size() == pattern.size());
            continue;
        }
        rest.remove_prefix(1);
        if (c == '?') {
            out.expression += "[^/]";
            out.match = Match::regex;
        } else if (special.find(c) != std::string_view::npos) {
            out.expression += std::string("\\") + c;
        } else if (c == '\\' && !rest.empty()) {
            out.expression += re2::RE2::QuoteMeta(re2::StringPiece(rest.data(), 1));
            rest.remove_prefix(1);
            out.match = Match::regex;
        } else if (c == '\\') {
            out.expression += "\\\\";
        } else {
            if (c == '[' || c == ']') out.match = Match::regex;
            out.expression += c;
        }
    }
    out.expression += "$";
    return out;
}

}  // namespace

struct Ignore::Pattern {
    std::string text;
    bool exception = false;
    Match match = Match::exact;
    std::unique_ptr<re2::RE2> regex;

    [[nodiscard]] bool matches(std::string_view path) const {
        switch (match) {
            case Match::exact: return path == text;
            case Match::prefix: return path.starts_with(text.substr(0, text.size() - 2));
            case Match::suffix: {
                const std::string suffix = text.substr(2);
                if (path.ends_with(suffix)) return true;
                return suffix.starts_with('/') && path == suffix.substr(1);
            }
            case Match::regex: return re2::RE2::PartialMatch({path.data(), path.size()}, *regex);
        }
        return false;
    }
};

std::vector<std::string> read_ignore_file(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::vector<std::string> patterns;
    for (const std::string& line : base::split(text, '\n')) {
        if (line.starts_with('#')) continue;
        std::string_view pattern = trim_spaces(line);
        if (pattern.empty()) continue;
        const bool exception = pattern.starts_with('!');
        if (exception) pattern = trim_spaces(pattern.substr(1));
        std::string cleaned;
        if (!pattern.empty()) cleaned = clean(pattern);
        if (cleaned.size() > 1 && cleaned.front() == '/') cleaned.erase(0, 1);
        patterns.push_back((exception ? "!" : "") + cleaned);
    }
    return patterns;
}

Ignore::Ignore(const std::vector<std::string>& patterns) {
    for (const std::string& given : patterns) {
        const auto trimmed = trim_spaces(given);
        if (trimmed.empty()) continue;
        Pattern pattern;
        pattern.text = clean(trimmed);
        if (pattern.text.starts_with('!')) {
            if (pattern.text.size() == 1) {
                base::fail(base::ErrorKind::internal, "illegal exclusion pattern: \"!\"");
            }
            pattern.exception = true;
            pattern.text.erase(0, 1);
        }
        (void)matches_pattern(pattern.text, ".");  // throws when it is no pattern
        const Compiled compiled = compile(pattern.text);
        pattern.match = compiled.match;
        if (compiled.match == Match::regex) {
            pattern.regex = std::make_unique<re2::RE2>(compiled.expression, re2::RE2::Quiet);
            if (!pattern.regex->ok()) {
                base::fail(base::ErrorKind::internal, "syntax error in pattern");
            }
        }
        patterns_.push_back(std::move(pattern));
    }
}

Ignore::Ignore(Ignore&&) noexcept = default;
Ignore::~Ignore() = default;

bool Ignore::matches(const std::string& path) const {
    bool out = false;
    for (const Pattern& pattern : patterns_) {
        // Only a pattern that would change the answer is looked at.
        if (pattern.exception != out) continue;
        bool found = pattern.matches(path);
        for (auto slash = path.find('/'); !found && slash != std::string::npos;
             slash = path.find('/', slash + 1)) {
            found = pattern.matches(std::string_view(path).substr(0, slash));
        }
        if (found) out = !pattern.exception;
    }
    return out;
}

}  // namespace dockerd::build
