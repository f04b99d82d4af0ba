#include <dockerd/build/dockerfile.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/expand.hpp>

#include "statement.hpp"

namespace dockerd::build {
namespace {

// Source: Go bufio/scan.go, MaxScanTokenSize.
constexpr std::size_t max_line = 64 * 1024;

std::string_view without_newline(std::string_view line) {
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

bool is_comment(std::string_view line) { return trim_left(line).starts_with('#'); }

/// A key and value of "# key=value".
std::optional<std::pair<std::string, std::string>> directive_of(std::string_view line) {
    if (!line.starts_with('#')) return std::nullopt;
    line = trim_left(line.substr(1));
    const auto is_name = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    std::size_t end = 0;
    while (end < line.size() && is_name(line[end])) ++end;
    if (end == 0 || (line[0] >= '0' && line[0] <= '9')) return std::nullopt;
    const std::string key = base::to_lower(line.substr(0, end));
    line = trim_left(line.substr(end));
    if (!line.starts_with('=')) return std::nullopt;
    const auto value = trim_spaces(line.substr(1));
    if (value.empty()) return std::nullopt;
    return std::pair(key, std::string(value));
}

/// Splits the text into lines, and counts them.
class Lines {
public:
    explicit Lines(std::string_view text) : text_(text) {}

    /// The next line with its end; nullopt at the end of the text or before too long a line.
    std::optional<std::string_view> next() {
        if (text_.empty()) return std::nullopt;
        const auto newline = text_.find('\n');
        const std::size_t size = newline == std::string_view::npos ? text_.size() : newline + 1;
        if (size > max_line || (size == max_line && newline == std::string_view::npos)) {
            too_long_ = true;
            return std::nullopt;
        }
        const auto line = text_.substr(0, size);
        text_.remove_prefix(size);
        ++number_;
        return line;
    }
    [[nodiscard]] int number() const { return number_; }
    [[nodiscard]] bool met_too_long() const { return too_long_; }

private:
    std::string_view text_;
    int number_ = 0;
    bool too_long_ = false;
};

/// Source: buildkit frontend/dockerfile/parser/parser.go, Parse.
class Parser {
public:
    explicit Parser(std::string_view text) : lines_(text) {}

    Dockerfile run() {
        while (const auto line = lines_.next()) read_statement(*line);
        if (out_.statements.empty()) invalid("file with no instructions");
        if (lines_.met_too_long()) {
            invalid("dockerfile line greater than max allowed size of " +
                    std::to_string(max_line - 1));
        }
        return std::move(out_);
    }

private:
    /// Whether the line goes on; its escape character is then taken off.
    [[nodiscard]] bool take_continuation(std::string_view& line) const {
        std::string_view text = line;
        while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
        if (!text.ends_with(out_.escape)) return false;
        // Two of them in a row stand for one.
        if (text.size() > 1 && text[text.size() - 2] == out_.escape) return false;
        line = text.substr(0, text.size() - 1);
        return true;
    }

    /// Comments at the very beginning may be directives.
    void read_directive(std::string_view line) {
        if (directives_over_) return;
        static constexpr auto known = std::to_array<std::string_view>({"syntax", "escape", "check"});
        const auto directive = directive_of(line);
        if (!directive || std::ranges::find(known, directive->first) == known.end()) {
            directives_over_ = true;
            return;
        }
        const auto& [key, value] = *directive;
        if (!seen_.insert(key).second) {
            invalid("only one " + key + " parser directive can be used");
        }
        if (key == "syntax") out_.syntax = value;
        if (key != "escape") return;
        if (value != "\\" && value != "`") {
            invalid("invalid escape token '" + value + "' does not match ` or \\");
        }
        out_.escape = value.front();
    }

    void read_statement(std::string_view first) {
        std::string_view line = trim_left(without_newline(first));
        read_directive(line);
        if (is_comment(line)) return;
        const int first_line = lines_.number();
        bool goes_on = take_continuation(line);
        if (!goes_on && line.empty()) return;
        std::string text(line);
        bool has_empty_line = false;
        while (goes_on) {
            const auto next = lines_.next();
            if (!next) break;
            line = without_newline(*next);
            if (is_comment(line)) continue;
            if (trim_left(line).empty()) {
                has_empty_line = true;
                continue;
            }
            goes_on = take_continuation(line);
            text += line;
        }
        if (has_empty_line) {
            out_.warnings.push_back("Empty continuation line found in: " + text);
        }
        Statement statement = parse_statement(text, out_.escape);
        statement.first_line = first_line;
        if (can_have_heredocs(statement) && text.find("<<") != std::string::npos) {
            read_heredocs(statement);
        }
        out_.statements.push_back(std::move(statement));
    }

    void read_heredocs(Statement& statement) {
        std::vector<std::string> words;
        try {
            words = split_words(statement.original, {.keep_quotes = true, .keep_escapes = true});
        } catch (const base::Error&) {
            return;  // a line that cannot be split has none
        }
        for (const auto& word : words) {
            Heredoc heredoc = parse_heredoc(word);
            if (heredoc.name.empty()) continue;
            read_content(heredoc);
            statement.heredocs.push_back(std::move(heredoc));
        }
    }

    void read_content(Heredoc& heredoc) {
        while (const auto line = lines_.next()) {
            std::string_view end = without_newline(*line);
            while (heredoc.chomp && end.starts_with('\t')) end.remove_prefix(1);
            if (end == heredoc.name) return;
            heredoc.content += *line;
        }
        invalid("unterminated heredoc");
    }

    Lines lines_;
    Dockerfile out_;
    bool directives_over_ = false;
    std::set<std::string> seen_;
};

std::ptrdiff_t count_quotes(std::string_view text) {
    return std::ranges::count(text, '\'') + std::ranges::count(text, '"');
}

}  // namespace

Heredoc parse_heredoc(std::string_view word) {
    Heredoc out;
    while (!word.empty() && word.front() >= '0' && word.front() <= '9') word.remove_prefix(1);
    if (!word.starts_with("<<")) return out;
    word.remove_prefix(2);
    const bool chomp = word.starts_with('-');
    if (chomp) word.remove_prefix(1);
    word = trim_left(word);
    if (word.empty() || word.find('<') != std::string_view::npos) return out;
    const auto plain = split_words(word, {});
    if (plain.size() != 1) return out;
    const auto quoted = split_words(word, {.keep_quotes = true});
    out.name = plain.front();
    out.chomp = chomp;
    out.expand = quoted.size() == 1 && count_quotes(plain.front()) == count_quotes(quoted.front());
    return out;
}

std::string Heredoc::text() const {
    if (!chomp) return content;
    std::string out;
    bool at_start = true;
    for (const char c : content) {
        if (at_start && c == '\t') continue;
        at_start = c == '\n';
        out += c;
    }
    return out;
}

Dockerfile parse_dockerfile(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    return Parser(text).run();
}

}  // namespace dockerd::build
