#include <dockerd/build/glob.hpp>

#include <dockerd/base/error.hpp>

namespace dockerd::build {

namespace {

[[noreturn]] void bad_pattern() {
    base::fail(base::ErrorKind::internal, "syntax error in pattern");
}

/// Takes one character; a byte that is no UTF-8 counts as U+FFFD. Source: Go utf8.DecodeRuneInString.
char32_t take_character(std::string_view& text) {
    constexpr char32_t invalid = 0xFFFD;
    const auto lead = static_cast<unsigned char>(text.front());
    std::size_t size = 1;
    if (lead >= 0xC2 && lead < 0xE0) size = 2;
    if (lead >= 0xE0 && lead < 0xF0) size = 3;
    if (lead >= 0xF0 && lead < 0xF5) size = 4;
    char32_t out = size == 1 ? lead : lead & (0x7FU >> size);
    bool valid = lead < 0x80 || (size > 1 && text.size() >= size);
    for (std::size_t at = 1; valid && at < size; ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        valid = (byte & 0xC0U) == 0x80U;
        out = out << 6U | (byte & 0x3FU);
    }
    constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (valid && size > 1) {
        valid = out >= least[size] && out <= 0x10FFFF && (out < 0xD800 || out > 0xDFFF);
    }
    text.remove_prefix(valid ? size : 1);
    return valid ? out : invalid;
}

/// Takes one character of a class, which may be escaped.
char32_t class_character(std::string_view& pattern) {
    if (pattern.empty() || pattern.front() == '-' || pattern.front() == ']') bad_pattern();
    if (pattern.front() == '\\') {
        pattern.remove_prefix(1);
        if (pattern.empty()) bad_pattern();
    }
    const char32_t c = take_character(pattern);
    if (pattern.empty()) bad_pattern();
    return c;
}

/// Matches `c` with the class behind '['; leaves `pattern` behind its ']'.
bool matches_class(std::string_view& pattern, char32_t c) {
    const bool negated = !pattern.empty() && pattern.front() == '^';
    if (negated) pattern.remove_prefix(1);
    bool found = false;
    for (int ranges = 0;; ++ranges) {
        if (!pattern.empty() && pattern.front() == ']' && ranges > 0) {
            pattern.remove_prefix(1);
            return found != negated;
        }
        const char32_t low = class_character(pattern);
        char32_t high = low;
        if (pattern.front() == '-') {
            pattern.remove_prefix(1);
            high = class_character(pattern);
        }
        if (low <= c && c <= high) found = true;
    }
}

/// Reads the rest of a pattern that does not matter any more, for its errors.
void check_pattern(std::string_view pattern) {
    while (!pattern.empty()) {
        const char c = pattern.front();
        pattern.remove_prefix(1);
        if (c == '\\') {
            if (pattern.empty()) bad_pattern();
            pattern.remove_prefix(1);
        } else if (c == '[') {
            (void)matches_class(pattern, U' ');
        }
    }
}

/// Matches one element that is not '*'; false leaves the arguments unusable.
bool matches_one(std::string_view& pattern, std::string_view& name) {
    const char wanted = pattern.front();
    pattern.remove_prefix(1);
    if (wanted == '?') return take_character(name) != U'/';
    if (wanted == '[') return matches_class(pattern, take_character(name));
    const char c = name.front();
    name.remove_prefix(1);
    if (wanted != '\\') return wanted == c;
    if (pattern.empty()) bad_pattern();
    const char escaped = pattern.front();
    pattern.remove_prefix(1);
    return escaped == c;
}

bool matches(std::string_view pattern, std::string_view name) {
    // Where the last star stood, and the name from which it has been given back one by one.
    std::string_view star_pattern;
    std::string_view star_name;
    bool has_star = false;
    while (true) {
        if (!pattern.empty() && pattern.front() == '*') {
            pattern.remove_prefix(1);
            star_pattern = pattern;
            star_name = name;
            has_star = true;
            continue;
        }
        if (pattern.empty() && name.empty()) return true;
        auto next_pattern = pattern;
        auto next_name = name;
        if (!pattern.empty() && !name.empty() && matches_one(next_pattern, next_name)) {
            pattern = next_pattern;
            name = next_name;
            continue;
        }
        if (!has_star || star_name.empty() || star_name.front() == '/') return false;
        star_name.remove_prefix(1);
        pattern = star_pattern;
        name = star_name;
    }
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view name) {
    check_pattern(pattern);
    return matches(pattern, name);
}

bool has_wildcards(std::string_view name) {
    for (std::size_t at = 0; at < name.size(); ++at) {
        if (name[at] == '\\') {
            ++at;
        } else if (name[at] == '*' || name[at] == '?' || name[at] == '[') {
            return true;
        }
    }
    return false;
}

}  // namespace dockerd::build
