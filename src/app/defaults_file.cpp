#include "defaults_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::app {
namespace {

constexpr std::string_view options_name = "DOCKER_OPTS";

bool begins_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool within_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool is_name(std::string_view text) {
    return !text.empty() && begins_name(text.front()) && std::ranges::all_of(text, within_name);
}

/// A word of the file: where its text stood bare decides whether it assigns.
struct Word {
    std::string text;
    std::size_t name_size = std::string::npos;  ///< of NAME in NAME=value; npos: no assignment
};

/// Reads a file of assignments as a shell would.
/// Source: POSIX Shell Command Language, 2.2 Quoting, 2.3 Token Recognition.
class Reader {
public:
    Reader(std::string_view text, std::string path) : text_(text), path_(std::move(path)) {}

    Defaults run() {
        while (at_ < text_.size()) read_command();
        return std::move(out_);
    }

private:
    [[noreturn]] void fail(int line, std::string_view why) const {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("{}: line {}: {}", path_, line, why));
    }

    [[nodiscard]] bool ended() const { return at_ >= text_.size(); }
    [[nodiscard]] char peek() const { return text_[at_]; }
    char next() {
        const char c = text_[at_++];
        if (c == '\n') ++line_;
        return c;
    }

    /// A backslash before the end of a line joins it with the next one.
    bool skip_continuation() {
        if (text_.substr(at_, 2) != "\\\n") return false;
        at_ += 2;
        ++line_;
        return true;
    }

    void read_command() {
        const int line = line_;
        std::vector<Word> words;
        while (!ended()) {
            const char c = peek();
            if (c == '\n' || c == ';') {
                next();
                break;
            }
            if (std::isspace(static_cast<unsigned char>(c)) != 0) {
                next();
            } else if (skip_continuation()) {
                continue;
            } else if (c == '#') {
                while (!ended() && peek() != '\n') next();
            } else {
                words.push_back(read_word());
            }
        }
        if (!words.empty()) execute(words, line);
    }

    Word read_word() {
        Word word;
        bool bare = true;  // all of it so far, so that it can be a name
        while (!ended()) {
            const char c = peek();
            if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';') break;
            if (skip_continuation()) continue;
            if (std::string_view("&|()<>").find(c) != std::string_view::npos) {
                fail(line_, fmt::format("'{}' is not understood: only assignments are", c));
            }
            if (c == '\'' || c == '"' || c == '\\' || c == '$' || c == '`') {
                bare = false;
                read_special(word.text);
                continue;
            }
            if (c == '=' && bare && word.name_size == std::string::npos && is_name(word.text)) {
                word.name_size = word.text.size();
            }
            word.text += next();
        }
        return word;
    }

    void read_special(std::string& out) {
        const int line = line_;
        switch (peek()) {
            case '\'':
                next();
                while (!ended() && peek() != '\'') out += next();
                if (ended()) fail(line, "unterminated quote");
                next();
                break;
            case '"':
                next();
                read_double_quoted(out, line);
                break;
            case '\\':
                next();
                if (!ended()) out += next();
                break;
            default:
                read_variable(out);
        }
    }

    void read_double_quoted(std::string& out, int line) {
        while (!ended() && peek() != '"') {
            if (skip_continuation()) continue;
            const char c = peek();
            if (c == '$' || c == '`') {
                read_variable(out);
                continue;
            }
            if (c == '\\') {
                next();
                const bool escapes =
                    !ended() && std::string_view("\"\\$`").find(peek()) != std::string_view::npos;
                if (!escapes) {
                    out += '\\';
                    continue;
                }
            }
            out += next();
        }
        if (ended()) fail(line, "unterminated quote");
        next();
    }

    void read_variable(std::string& out) {
        const int line = line_;
        if (next() == '`') fail(line, "commands are not executed");
        if (ended() || (!begins_name(peek()) && peek() != '{' && peek() != '(')) {
            out += '$';
            return;
        }
        if (peek() == '(') fail(line, "commands are not executed");
        const bool braces = peek() == '{';
        if (braces) next();
        std::string name;
        while (!ended() && within_name(peek())) name += next();
        if (braces) {
            if (ended() || peek() != '}' || !is_name(name)) {
                fail(line, "of ${...} only a plain name is understood");
            }
            next();
        }
        out += value_of(name);
    }

    [[nodiscard]] std::string value_of(const std::string& name) const {
        const auto found = values_.find(name);
        if (found != values_.end()) return found->second;
        const char* const value = std::getenv(name.c_str());
        return value != nullptr ? value : "";
    }

    void execute(const std::vector<Word>& words, int line) {
        const bool exporting =
            words.front().name_size == std::string::npos && words.front().text == "export";
        for (std::size_t i = exporting ? 1 : 0; i < words.size(); ++i) {
            const Word& word = words[i];
            if (word.name_size != std::string::npos) {
                assign(word.text.substr(0, word.name_size), word.text.substr(word.name_size + 1),
                       exporting, line);
            } else if (exporting && is_name(word.text)) {
                export_variable(word.text);
            } else {
                fail(line, fmt::format("{} is not understood: only assignments are",
                                       base::quote(word.text)));
            }
        }
    }

    void assign(const std::string& name, const std::string& value, bool exporting, int line) {
        values_[name] = value;
        if (name == options_name) split_options(value, line);
        // What is in the environment stays there, with its new value.
        if (exporting || exported_.contains(name) || std::getenv(name.c_str()) != nullptr) {
            export_variable(name);
        }
    }

    void export_variable(const std::string& name) {
        exported_.insert(name);
        if (values_.contains(name)) out_.exports.emplace_back(name, values_[name]);
    }

    void split_options(std::string_view value, int line) {
        out_.words.clear();
        std::string word;
        bool within = false;
        char quote = 0;
        for (std::size_t i = 0; i < value.size(); ++i) {
            const char c = value[i];
            if (quote != 0 && c == quote) {
                quote = 0;
            } else if (quote == 0 && (c == '\'' || c == '"')) {
                quote = c;
                within = true;
            } else if (quote != '\'' && c == '\\' && i + 1 < value.size()) {
                word += value[++i];
                within = true;
            } else if (quote == 0 && std::isspace(static_cast<unsigned char>(c)) != 0) {
                if (within) out_.words.push_back(std::exchange(word, {}));
                within = false;
            } else {
                word += c;
                within = true;
            }
        }
        if (quote != 0) fail(line, "unterminated quote within DOCKER_OPTS");
        if (within) out_.words.push_back(std::move(word));
        if (!out_.words.empty()) {
            const std::string& first = out_.words.front();
            out_.names_program = is_program_name(first);
            if (out_.names_program) out_.words.erase(out_.words.begin());
        }
    }

    std::string_view text_;
    std::string path_;
    std::size_t at_ = 0;
    int line_ = 1;
    std::map<std::string, std::string> values_;
    std::set<std::string> exported_;
    Defaults out_;
};

}  // namespace

bool is_program_name(std::string_view word) {
    return word.substr(word.rfind('/') + 1) == "dockerd";
}

Defaults parse_defaults(std::string_view text, const std::string& path) {
    return Reader(text, path).run();
}

Defaults read_defaults_file(const std::string& path, bool must_exist) {
    errno = 0;
    const std::ifstream file(path);
    if (!file) {
        if (errno == ENOENT && !must_exist) return {};
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("open {}: {}", path, base::errno_text(errno)));
    }
    std::ostringstream text;
    text << file.rdbuf();
    return parse_defaults(text.str(), path);
}

}  // namespace dockerd::app
