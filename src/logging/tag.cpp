#include <cctype>
#include <optional>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/logging/drivers.hpp>

#include "driver.hpp"
#include "template_value.hpp"

namespace dockerd::logging {

namespace {

std::string short_id(const std::string& id) { return id.substr(0, 12); }

/// Fields and methods of Docker's logger.Info.
std::optional<TemplateValue> find_field(const std::string& name, const Options& options,
                                        const ContainerInfo& info) {
    const auto command = [&] {
        std::vector<std::string> terms{info.entrypoint};
        terms.insert(terms.end(), info.args.begin(), info.args.end());
        return base::join(terms, " ");
    };
    if (name == "ID") return short_id(info.id);
    if (name == "FullID" || name == "ContainerID") return info.id;
    if (name == "Name") return info.name.starts_with('/') ? info.name.substr(1) : info.name;
    if (name == "ContainerName") return info.name;
    if (name == "ImageID") return short_id(info.image_id);
    if (name == "ImageFullID" || name == "ContainerImageID") return info.image_id;
    if (name == "ImageName" || name == "ContainerImageName") return info.image_name;
    if (name == "Command") return command();
    if (name == "ContainerEntrypoint") return info.entrypoint;
    if (name == "ContainerArgs") return info.args;
    if (name == "ContainerEnv") return info.env;
    if (name == "ContainerLabels") return info.labels;
    if (name == "ContainerCreated") return base::format_rfc3339_nano(info.created);
    if (name == "Config") return options;
    if (name == "DaemonName") return std::string("docker");
    if (name == "LogPath") return std::string();
    if (name == "Hostname") return host_name();
    if (name == "ExtraAttributes") return extra_attributes(options, info);
    return std::nullopt;
}

/// Reads a template of Go's text/template and fills it in at once: texts, actions with pipelines,
/// and {{if}} {{else}} {{end}}.
class Template {
public:
    Template(std::string_view text, const Options& options, const ContainerInfo& info)
        : text_(text), options_(options), info_(info) {}

    std::string render() {
        std::string out;
        const std::string ended = block(out, /*active=*/true);
        if (!ended.empty()) fail(fmt::format("unexpected {{{{{}}}}}", ended));
        return out;
    }

private:
    [[noreturn]] static void fail(const std::string& what) {
        base::fail(base::ErrorKind::internal, "template: log-tag:1: " + what);
    }

    [[noreturn]] void fail_at(std::size_t at, std::string_view token, const std::string& what) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("template: log-tag:1:{}: executing \"log-tag\" at <{}>: {}", at,
                               token, what));
    }

    /// Until {{end}}, {{else}} or the end of the text; returns which.
    std::string block(std::string& out, bool active) {
        for (;;) {
            const auto open = text_.find("{{", at_);
            std::string_view literal = text_.substr(at_, open - at_);
            if (trim_next_)
                literal.remove_prefix(
                    std::min(literal.find_first_not_of(" \t\r\n"), literal.size()));
            trim_next_ = false;
            if (open == std::string_view::npos) {
                if (active) out += literal;
                at_ = text_.size();
                return {};
            }
            at_ = open + 2;
            if (text_.substr(at_).starts_with("- ")) {
                ++at_;
                literal = literal.substr(0, literal.find_last_not_of(" \t\r\n") + 1);
            }
            if (active) out += literal;
            if (text_.substr(at_).starts_with("/*")) {
                skip_comment();
                continue;
            }
            skip_space();
            const std::string word = peek_word();
            if (word == "end" || word == "else") {
                at_ += word.size();
                close();
                return word;
            }
            if (word == "if") {
                at_ += word.size();
                branch(out, active);
                continue;
            }
            if (word == "range" || word == "with" || word == "define" || word == "template" ||
                word == "block") {
                fail(fmt::format("{{{{{}}}}} is not supported in tags", word));
            }
            const TemplateValue value = pipeline(active);
            close();
            if (active) out += value_text(value);
        }
    }

    /// Tags come from clients: nesting must not use the stack up.
    void enter() {
        if (++depth_ > 100) fail("exceeded maximum nesting depth");
    }

    void branch(std::string& out, bool active) {
        enter();
        const bool condition = is_true(pipeline(active));
        close();
        std::string ended = block(out, active && condition);
        if (ended == "else") ended = block(out, active && !condition);
        if (ended != "end") fail("unexpected EOF");
    }

    void skip_comment() {
        const auto end = text_.find("*/", at_);
        if (end == std::string_view::npos) fail("unclosed comment");
        at_ = end + 2;
        close();
    }

    void close() {
        skip_space();
        if (text_.substr(at_).starts_with("-}}")) {
            trim_next_ = true;
            ++at_;
        }
        if (at_ >= text_.size()) fail("unclosed action");
        if (!text_.substr(at_).starts_with("}}")) {
            fail(fmt::format("unexpected {} in operand", base::quote(text_.substr(at_, 1))));
        }
        at_ += 2;
    }

    void skip_space() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    }

    std::string peek_word() const {
        std::size_t end = at_;
        while (end < text_.size() &&
               (std::isalnum(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_')) {
            ++end;
        }
        return std::string(text_.substr(at_, end - at_));
    }

    [[nodiscard]] bool at_end_of_command() {
        skip_space();
        if (at_ >= text_.size()) fail("unclosed action");
        const auto rest = text_.substr(at_);
        return rest[0] == '|' || rest[0] == ')' || rest.starts_with("}}") ||
               rest.starts_with("-}}");
    }

    TemplateValue pipeline(bool active) {
        std::optional<TemplateValue> last;
        for (;;) {
            if (at_end_of_command()) fail("missing value for command");
            last = command(active, last);
            if (!at_end_of_command() || text_[at_] != '|') return *last;
            ++at_;
        }
    }

    /// One function with its arguments, or one value. `piped` becomes the last argument.
    TemplateValue command(bool active, const std::optional<TemplateValue>& piped) {
        const std::string word = peek_word();
        const bool literal = word.empty() ||
                             std::isdigit(static_cast<unsigned char>(word[0])) != 0 ||
                             word == "true" || word == "false" || word == "nil";
        if (literal) {
            TemplateValue value = operand(active);
            // Arguments of a method: ExtraAttributes takes one that nobody can give but nil.
            while (!at_end_of_command()) (void)operand(active);
            return value;
        }
        if (!is_template_function(word)) fail(fmt::format("function \"{}\" not defined", word));
        const std::size_t at = at_;
        at_ += word.size();
        TemplateValues arguments;
        while (!at_end_of_command()) arguments.push_back(operand(active));
        if (piped) arguments.push_back(*piped);
        if (!active) return TemplateNil{};
        try {
            return call_template_function(word, arguments);
        } catch (const base::Error& error) {
            fail_at(at, word, error.what());
        }
    }

    TemplateValue operand(bool active) {
        skip_space();
        const char c = text_[at_];
        if (c == '"' || c == '`') return text_literal(c);
        if (c == '(') {
            ++at_;
            enter();
            TemplateValue value = pipeline(active);
            if (!at_end_of_command() || text_[at_] != ')') fail("unclosed left paren");
            ++at_;
            return fields(std::move(value), active);
        }
        if (c == '$') {
            ++at_;
            return fields(TemplateRoot{}, active);
        }
        if (c == '.') return fields(TemplateRoot{}, active);
        const std::string word = peek_word();
        at_ += word.size();
        if (word == "nil") return TemplateNil{};
        if (word == "true" || word == "false") return word == "true";
        if (const auto number = base::parse_int(word)) return *number;
        if (c == '-') {
            ++at_;
            const std::string digits = peek_word();
            at_ += digits.size();
            if (const auto number = base::parse_int(digits)) return -*number;
        }
        if (!word.empty() && is_template_function(word)) {
            return call_template_function(word, {});
        }
        if (!word.empty()) fail(fmt::format("function \"{}\" not defined", word));
        fail(fmt::format("unexpected {} in operand", base::quote(std::string(1, c))));
    }

    TemplateValue text_literal(char quote) {
        std::string out;
        for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
            if (text_[at_] == '\\' && quote == '"' && at_ + 1 < text_.size()) {
                const char c = text_[++at_];
                out += c == 'n' ? '\n' : c == 't' ? '\t' : c;
            } else {
                out += text_[at_];
            }
        }
        if (at_ >= text_.size()) {
            fail(quote == '"' ? "unterminated quoted string" : "unterminated raw quoted string");
        }
        ++at_;
        return out;
    }

    /// Follows ".A.B" from `value` on.
    TemplateValue fields(TemplateValue value, bool active) {
        const std::size_t start = at_;
        while (at_ < text_.size() && text_[at_] == '.') {
            ++at_;
            const std::string name = peek_word();
            at_ += name.size();
            if (name.empty()) break;
            if (!active) continue;
            if (const auto* map = std::get_if<TextMap>(&value)) {
                const auto found = map->find(name);
                value = found == map->end() ? TemplateValue(std::string("<no value>"))
                                            : TemplateValue(found->second);
                continue;
            }
            const auto token = text_.substr(start, at_ - start);
            if (!std::holds_alternative<TemplateRoot>(value)) {
                fail_at(start, token, fmt::format("can't evaluate field {} in type string", name));
            }
            auto field = find_field(name, options_, info_);
            if (!field) {
                fail_at(start, token,
                        fmt::format("can't evaluate field {} in type *logger.Info", name));
            }
            value = std::move(*field);
        }
        return value;
    }

    std::string_view text_;
    const Options& options_;
    const ContainerInfo& info_;
    std::size_t at_ = 0;
    int depth_ = 0;
    bool trim_next_ = false;
};

}  // namespace

std::string render_tag(const Options& options, const ContainerInfo& info,
                       std::string_view fallback) {
    const auto found = options.find("tag");
    const std::string_view text =
        found == options.end() || found->second.empty() ? fallback : found->second;
    return Template(text, options, info).render();
}

}  // namespace dockerd::logging
