#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dockerd::build {

/// Text that stands in the Dockerfile itself: `<<EOF` and the lines up to EOF.
struct Heredoc {
    std::string name;
    bool expand = true;  ///< false when the name is quoted
    bool chomp = false;  ///< `<<-`: tabs at the beginning of lines go
    std::string content;

    /// The content as it is used.
    [[nodiscard]] std::string text() const;
};

/// One statement: an instruction's name, its flags and arguments, not looked at any closer.
struct Statement {
    std::string name;  ///< as written
    std::vector<std::string> flags;
    /// ENV and LABEL: name, value and "=" or "" each. ONBUILD: name and arguments of the trigger.
    std::vector<std::string> arguments;
    bool json = false;     ///< the arguments were a JSON list
    std::string original;  ///< the line, continuations joined
    std::vector<Heredoc> heredocs;
    int first_line = 0;
};

/// A Dockerfile taken apart into statements.
struct Dockerfile {
    std::vector<Statement> statements;
    char escape = '\\';
    std::string syntax;  ///< of `# syntax=`: the frontend that is asked for
    std::vector<std::string> warnings;
};

/// Takes a Dockerfile apart.
/// Throws: invalid_argument, "file with no instructions", "unterminated heredoc", "ENV must have
///         two arguments", "only one escape parser directive can be used" and kin.
/// Source: buildkit frontend/dockerfile/parser.
Dockerfile parse_dockerfile(std::string_view text);

/// The heredoc that a word stands for; one without a name if it stands for none.
/// Throws: as expand_word. Source: buildkit frontend/dockerfile/parser, ParseHeredoc.
Heredoc parse_heredoc(std::string_view word);

/// A text that may be a JSON list of strings.
struct StringList {
    bool is_list = false;
    std::vector<std::string> items;
};
/// Throws: invalid_argument, "when using JSON array syntax, arrays must be comprised of strings
///         only". Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseJSON.
StringList parse_string_list(std::string_view text);

}  // namespace dockerd::build
