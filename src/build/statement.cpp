#include "statement.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::build {

void invalid(const std::string& text) { base::fail(base::ErrorKind::invalid_argument, text); }

std::string_view trim_left(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    return text;
}

std::string_view trim_spaces(std::string_view text) {
    text = trim_left(text);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

std::string to_upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}

std::vector<std::string> split_blanks(std::string_view text, std::size_t limit) {
    const auto is_blank = [](char c) { return is_space(c) && c != '\n'; };
    std::vector<std::string> parts;
    std::size_t start = 0;
    while (limit == 0 || parts.size() + 1 < limit) {
        std::size_t end = start;
        while (end < text.size() && !is_blank(text[end])) ++end;
        if (end == text.size()) break;
        parts.emplace_back(text.substr(start, end - start));
        start = end;
        while (start < text.size() && is_blank(text[start])) ++start;
    }
    parts.emplace_back(text.substr(start));
    return parts;
}

StringList parse_string_list(std::string_view text) {
    StringList list;
    text = trim_left(text);
    if (!text.starts_with('[')) return list;
    const auto json = base::Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_array()) return list;
    for (const auto& item : json) {
        if (!item.is_string()) {
            invalid("when using JSON array syntax, arrays must be comprised of strings only");
        }
        list.items.push_back(item.get<std::string>());
    }
    list.is_list = true;
    return list;
}

namespace {

/// Words that may be quoted; quotes and escapes stay.
/// Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseWords.
std::vector<std::string> quoted_words(std::string_view text, char escape) {
    std::vector<std::string> words;
    std::string word;
    char quote = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (quote == 0 && is_space(c)) {
            if (!word.empty()) words.push_back(std::exchange(word, {}));
            continue;
        }
        if (c == escape && quote != '\'') {
            // The last character of all escapes nothing, and goes.
            if (at + 1 == text.size()) break;
            word += c;
            word += text[++at];
            continue;
        }
        if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == quote) {
            quote = 0;
        }
        word += c;
    }
    if (!word.empty()) words.push_back(std::move(word));
    return words;
}

/// The flags at the beginning of `text`, which are taken off it.
/// Source: buildkit frontend/dockerfile/parser/split_command.go, extractBuilderFlags.
std::vector<std::string> take_flags(std::string_view& text, char escape) {
    std::vector<std::string> flags;
    while (true) {
        text = trim_left(text);
        if (!text.starts_with("--")) return flags;
        std::string word;
        bool quoted = false;
        char quote = 0;
        std::size_t at = 0;
        for (; at < text.size(); ++at) {
            const char c = text[at];
            if (quote == 0 && is_space(c)) break;
            if (quote == 0 ? c == '"' || c == '\'' : c == quote) {
                quoted = true;
                quote = quote == 0 ? c : '\0';
            } else if (c == escape) {
                if (at + 1 < text.size()) word += text[++at];
            } else {
                word += c;
            }
        }
        text.remove_prefix(at);
        if (word == "--") return flags;
        if (quoted || !word.empty()) flags.push_back(std::move(word));
    }
}

/// "K=V K2=V2", or the old form "K V with spaces": name, value and "=" or "" each.
/// Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseNameVal.
std::vector<std::string> names_and_values(std::string_view text, const std::string& name,
                                          char escape) {
    const auto words = quoted_words(text, escape);
    if (words.empty()) return {};
    if (words.front().find('=') == std::string::npos) {
        const auto parts = split_blanks(text, 2);
        if (parts.size() < 2) invalid(name + " must have two arguments");
        return {parts[0], parts[1], ""};
    }
    std::vector<std::string> out;
    for (const auto& word : words) {
        const auto equals = word.find('=');
        if (equals == std::string::npos) {
            invalid("Syntax error - can't find = in " + base::quote(word) +
                    ". Must be of the form: name=value");
        }
        out.insert(out.end(), {word.substr(0, equals), word.substr(equals + 1), "="});
    }
    return out;
}

void set_list_or(Statement& statement, std::string_view text,
                 std::vector<std::string> (*otherwise)(std::string_view)) {
    auto list = parse_string_list(text);
    statement.json = list.is_list;
    if (list.is_list) {
        statement.arguments = std::move(list.items);
    } else if (!text.empty()) {
        statement.arguments = otherwise(text);
    }
}

std::vector<std::string> as_one(std::string_view text) { return {std::string(text)}; }
std::vector<std::string> as_words(std::string_view text) { return split_blanks(text); }

/// Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseHealthConfig.
void set_health(Statement& statement, std::string_view text) {
    const auto end = static_cast<std::size_t>(std::ranges::find_if(text, is_space) - text.begin());
    if (end == 0) return;
    set_list_or(statement, trim_left(text.substr(end)), as_one);
    statement.arguments.insert(statement.arguments.begin(), std::string(text.substr(0, end)));
}

void set_trigger(Statement& statement, std::string_view text, char escape) {
    if (text.empty()) return;
    if (base::iequals(split_blanks(text, 2).front(), "onbuild")) {
        // Refused later; what is in it does not matter, however deep.
        statement.arguments = {split_blanks(text, 2).front()};
        return;
    }
    Statement trigger = parse_statement(std::string(text), escape);
    statement.arguments = std::move(trigger.arguments);
    statement.arguments.insert(statement.arguments.begin(), trigger.name);
    statement.json = trigger.json;
}

enum class Form { ignored, list_or_words, words, list_or_text, pairs, quoted, text, health, trigger };

// Source: buildkit frontend/dockerfile/parser/parser.go, dispatch.
Form form_of(std::string_view name) {
    static constexpr auto forms = std::to_array<std::pair<std::string_view, Form>>({
        {"add", Form::list_or_words},
        {"arg", Form::quoted},
        {"cmd", Form::list_or_text},
        {"copy", Form::list_or_words},
        {"entrypoint", Form::list_or_text},
        {"env", Form::pairs},
        {"expose", Form::words},
        {"from", Form::words},
        {"healthcheck", Form::health},
        {"label", Form::pairs},
        {"maintainer", Form::text},
        {"onbuild", Form::trigger},
        {"run", Form::list_or_text},
        {"shell", Form::list_or_text},
        {"stopsignal", Form::text},
        {"user", Form::text},
        {"volume", Form::list_or_words},
        {"workdir", Form::text},
    });
    const auto found = std::ranges::find(forms, name, &std::pair<std::string_view, Form>::first);
    return found == forms.end() ? Form::ignored : found->second;
}

}  // namespace

Statement parse_statement(const std::string& line, char escape) {
    Statement statement;
    statement.original = line;
    auto parts = split_blanks(trim_spaces(line), 2);
    statement.name = std::move(parts[0]);
    std::string_view rest;
    if (parts.size() == 2) {
        rest = parts[1];
        statement.flags = take_flags(rest, escape);
        rest = trim_spaces(rest);
    }
    const std::string name = base::to_lower(statement.name);
    switch (form_of(name)) {
        case Form::ignored: break;
        case Form::list_or_words: set_list_or(statement, rest, as_words); break;
        case Form::list_or_text: set_list_or(statement, rest, as_one); break;
        case Form::words:
            if (!rest.empty()) statement.arguments = split_blanks(rest);
            break;
        case Form::pairs:
            statement.arguments = names_and_values(rest, to_upper(name), escape);
            break;
        case Form::quoted: statement.arguments = quoted_words(rest, escape); break;
        case Form::text:
            if (!rest.empty()) statement.arguments = {std::string(rest)};
            break;
        case Form::health: set_health(statement, rest); break;
        case Form::trigger: set_trigger(statement, rest, escape); break;
    }
    return statement;
}

bool can_have_heredocs(const Statement& statement) {
    std::string name = base::to_lower(statement.name);
    if (name == "onbuild" && !statement.arguments.empty()) {
        name = base::to_lower(statement.arguments.front());
    }
    return (name == "add" || name == "copy" || name == "run") && !statement.json;
}

}  // namespace dockerd::build
