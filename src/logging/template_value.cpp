#include "template_value.hpp"

#include <algorithm>
#include <compare>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::logging {

namespace {

[[noreturn]] void wrong(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

/// An argument of a wanted kind.
template <typename T>
const T& take(const TemplateValues& arguments, std::size_t index, const char* kind) {
    const auto* value = std::get_if<T>(&arguments[index]);
    if (value == nullptr) wrong(fmt::format("wrong type for value; expected {}", kind));
    return *value;
}

void expect(const std::string& name, const TemplateValues& arguments, std::size_t count) {
    if (arguments.size() == count) return;
    wrong(
        fmt::format("wrong number of args for {}: want {} got {}", name, count, arguments.size()));
}

std::string upper(std::string text) {
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

std::string title(std::string text) {
    bool start = true;
    for (char& c : text) {
        const bool word = c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || (static_cast<unsigned char>(c) & 0x80U) != 0;
        if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        start = !word;
    }
    return text;
}

TemplateValue index(const TemplateValues& arguments) {
    expect("index", arguments, 2);
    if (const auto* map = std::get_if<TextMap>(&arguments[0])) {
        const auto found = map->find(take<std::string>(arguments, 1, "string"));
        return found == map->end() ? std::string() : found->second;
    }
    const auto& list = take<TextList>(arguments, 0, "[]string");
    const auto at = take<std::int64_t>(arguments, 1, "int");
    if (at < 0 || static_cast<std::size_t>(at) >= list.size()) {
        wrong(fmt::format("error calling index: reflect: slice index out of range"));
    }
    return list[static_cast<std::size_t>(at)];
}

TemplateValue slice(const TemplateValues& arguments) {
    const auto& text = take<std::string>(arguments, 0, "string");
    const auto at = [&](std::size_t i, std::size_t fallback) {
        if (arguments.size() <= i) return fallback;
        const auto value = take<std::int64_t>(arguments, i, "int");
        if (value < 0 || static_cast<std::size_t>(value) > text.size()) {
            wrong(fmt::format("error calling slice: index out of range: {}", value));
        }
        return static_cast<std::size_t>(value);
    };
    const std::size_t from = at(1, 0);
    const std::size_t to = at(2, text.size());
    return text.substr(from, to < from ? 0 : to - from);
}

TemplateValue split(const TemplateValues& arguments) {
    expect("split", arguments, 2);
    const auto& text = take<std::string>(arguments, 0, "string");
    const auto& separator = take<std::string>(arguments, 1, "string");
    TextList parts;
    std::size_t from = 0;
    if (separator.empty()) {
        for (const char c : text) parts.emplace_back(1, c);
        return parts;
    }
    for (;;) {
        const auto next = text.find(separator, from);
        parts.push_back(text.substr(from, next == std::string::npos ? next : next - from));
        if (next == std::string::npos) return parts;
        from = next + separator.size();
    }
}

TemplateValue format(const TemplateValues& arguments) {
    const auto& pattern = take<std::string>(arguments, 0, "string");
    std::string out;
    std::size_t next = 1;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '%' || i + 1 == pattern.size()) {
            out += pattern[i];
            continue;
        }
        const char verb = pattern[++i];
        if (verb == '%') {
            out += '%';
        } else if (next >= arguments.size()) {
            out += fmt::format("%!{}(MISSING)", verb);
        } else {
            const std::string text = value_text(arguments[next++]);
            out += verb == 'q' ? base::quote(text) : text;
        }
    }
    return out;
}

TemplateValue pad(const TemplateValues& arguments) {
    expect("pad", arguments, 3);
    const auto& text = take<std::string>(arguments, 0, "string");
    if (text.empty()) return text;
    const auto blanks = [&](std::size_t i) {
        const auto count = take<std::int64_t>(arguments, i, "int");
        return std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, 4096)), ' ');
    };
    return blanks(1) + text + blanks(2);
}

std::string json_text(const TemplateValue& value) {
    const auto quoted = [](const std::string& text) { return base::quote(text); };
    if (const auto* text = std::get_if<std::string>(&value)) return quoted(*text);
    std::vector<std::string> parts;
    if (const auto* list = std::get_if<TextList>(&value)) {
        for (const auto& text : *list) parts.push_back(quoted(text));
        return "[" + base::join(parts, ",") + "]";
    }
    if (const auto* map = std::get_if<TextMap>(&value)) {
        for (const auto& [key, text] : *map) parts.push_back(quoted(key) + ":" + quoted(text));
        return "{" + base::join(parts, ",") + "}";
    }
    return std::holds_alternative<TemplateNil>(value) ? "null" : value_text(value);
}

std::int64_t length(const TemplateValue& value) {
    if (const auto* text = std::get_if<std::string>(&value)) {
        return static_cast<std::int64_t>(text->size());
    }
    if (const auto* list = std::get_if<TextList>(&value)) {
        return static_cast<std::int64_t>(list->size());
    }
    if (const auto* map = std::get_if<TextMap>(&value)) {
        return static_cast<std::int64_t>(map->size());
    }
    wrong("error calling len: len of type " + value_text(value));
}

TemplateValue call_text_function(const std::string& name, const TemplateValues& arguments) {
    if (name == "join") {
        expect(name, arguments, 2);
        return base::join(take<TextList>(arguments, 0, "[]string"),
                          take<std::string>(arguments, 1, "string"));
    }
    if (name == "truncate") {
        expect(name, arguments, 2);
        const auto size = take<std::int64_t>(arguments, 1, "int");
        const auto& text = take<std::string>(arguments, 0, "string");
        return size < 0 ? text : text.substr(0, static_cast<std::size_t>(size));
    }
    expect(name, arguments, 1);
    const auto& text = take<std::string>(arguments, 0, "string");
    if (name == "lower") return base::to_lower(text);
    return name == "upper" ? upper(text) : title(text);
}

/// Whether the first argument is one of the others.
bool equals_any(const TemplateValues& arguments) {
    if (arguments.size() < 2) wrong("error calling eq: missing argument for comparison");
    const std::string first = value_text(arguments[0]);
    return std::any_of(arguments.begin() + 1, arguments.end(),
                       [&](const TemplateValue& other) { return value_text(other) == first; });
}

bool compare(const std::string& name, const TemplateValues& arguments) {
    expect(name, arguments, 2);
    std::strong_ordering order = std::strong_ordering::equal;
    if (std::holds_alternative<std::int64_t>(arguments[0])) {
        order = take<std::int64_t>(arguments, 0, "int") <=> take<std::int64_t>(arguments, 1, "int");
    } else {
        order =
            take<std::string>(arguments, 0, "string") <=> take<std::string>(arguments, 1, "string");
    }
    if (name == "lt") return order < 0;
    if (name == "le") return order <= 0;
    return name == "gt" ? order > 0 : order >= 0;
}

constexpr std::string_view functions[] = {
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper"};

}  // namespace

std::string value_text(const TemplateValue& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* list = std::get_if<TextList>(&value)) return "[" + base::join(*list, " ") + "]";
    if (const auto* map = std::get_if<TextMap>(&value)) {
        std::vector<std::string> parts;
        for (const auto& [key, text] : *map) parts.push_back(key + ":" + text);
        return "map[" + base::join(parts, " ") + "]";
    }
    return "<no value>";
}

bool is_true(const TemplateValue& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) return *number != 0;
    if (const auto* flag = std::get_if<bool>(&value)) return *flag;
    if (std::holds_alternative<TemplateNil>(value)) return false;
    return std::holds_alternative<TemplateRoot>(value) || length(value) > 0;
}

bool is_template_function(std::string_view name) {
    return std::ranges::find(functions, name) != std::end(functions);
}

TemplateValue call_template_function(const std::string& name, const TemplateValues& arguments) {
    if (name == "print" || name == "println") {
        std::string out;
        for (const auto& argument : arguments) {
            if (!out.empty() && name == "println") out += ' ';
            out += value_text(argument);
        }
        return name == "println" ? out + "\n" : out;
    }
    if (arguments.empty())
        wrong(fmt::format("wrong number of args for {}: want at least 1 got 0", name));
    if (name == "index") return index(arguments);
    if (name == "slice") return slice(arguments);
    if (name == "split") return split(arguments);
    if (name == "printf") return format(arguments);
    if (name == "pad") return pad(arguments);
    if (name == "json") return json_text(arguments[0]);
    if (name == "len") return length(arguments[0]);
    if (name == "not") return !is_true(arguments[0]);
    if (name == "eq") return equals_any(arguments);
    if (name == "ne") {
        expect(name, arguments, 2);
        return value_text(arguments[0]) != value_text(arguments[1]);
    }
    if (name == "lt" || name == "le" || name == "gt" || name == "ge") {
        return compare(name, arguments);
    }
    if (name == "and" || name == "or") {
        for (const auto& argument : arguments) {
            if (is_true(argument) == (name == "or")) return argument;
        }
        return arguments.back();
    }
    return call_text_function(name, arguments);
}

}  // namespace dockerd::logging
