#include <cctype>
#include <optional>
#include <utility>
#include <vector>

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

/// Reads a template of Go's text/template and fills it in at once: texts, actions with pipelines
/// and variables, {{if}}, {{with}}, {{range}}, {{else}}, {{break}} and {{continue}}.
///
/// A part that is not to be shown is read with `active` false; one that {{range}} repeats is read
/// again for each element.
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

    /// Tags come from clients: neither nesting nor repetition may go on for ever.
    void enter() {
        if (++depth_ > 100) fail("exceeded maximum nesting depth");
    }
    void count_step(const std::string& out) {
        if (++steps_ > 100'000 || out.size() > (1U << 20)) fail("too much is repeated");
    }

    /// Until {{end}}, {{else}} or the end of the text; returns which. Behind "else" stands at_ as
    /// long as that action is not closed.
    std::string block(std::string& out, bool wanted) {
        const std::size_t variables = variables_.size();
        std::string ended = block_parts(out, wanted);
        variables_.resize(std::min(variables, variables_.size()));
        return ended;
    }

    std::string block_parts(std::string& out, bool wanted) {
        for (;;) {
            const bool active = wanted && leaving_ == Leaving::nothing;
            count_step(out);
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
                if (word == "end") close();
                return word;
            }
            if (word == "define" || word == "template" || word == "block") {
                fail(fmt::format("{{{{{}}}}} is not supported in tags", word));
            }
            if (control(word, out, active)) continue;
            bool declared = false;
            const TemplateValue value = pipeline(active, &declared);
            close();
            if (active && !declared) out += value_text(value);
        }
    }

    /// What is no output: False when `word` is none of these.
    bool control(const std::string& word, std::string& out, bool active) {
        if (word == "if" || word == "with") {
            at_ += word.size();
            branch(word == "with", out, active);
        } else if (word == "range") {
            at_ += word.size();
            range(out, active);
        } else if (word == "break" || word == "continue") {
            if (loops_ == 0) fail(fmt::format("{{{{{}}}}} outside {{{{range}}}}", word));
            at_ += word.size();
            close();
            if (active) leaving_ = word == "break" ? Leaving::loop : Leaving::round;
        } else {
            return false;
        }
        return true;
    }

    /// {{if}} and {{with}}, which makes what it tests the dot.
    void branch(bool with, std::string& out, bool active) {
        enter();
        const std::size_t variables = variables_.size();
        TemplateValue value = pipeline(active, nullptr);
        close();
        const bool condition = is_true(value);
        const TemplateValue outer = dot_;
        if (with && active && condition) dot_ = std::move(value);
        std::string ended = block(out, active && condition);
        dot_ = outer;
        if (ended == "else") ended = otherwise(out, active && !condition);
        if (ended != "end") fail("unexpected EOF");
        variables_.resize(variables);
        --depth_;
    }

    /// Behind {{else: the other part, or another condition, which shares its {{end}}.
    std::string otherwise(std::string& out, bool active) {
        skip_space();
        const std::string word = peek_word();
        if (word == "if" || word == "with") {
            at_ += word.size();
            branch(word == "with", out, active);
            return "end";
        }
        close();
        return block(out, active);
    }

    void range(std::string& out, bool active) {
        enter();
        const std::size_t variables = variables_.size();
        const std::vector<std::string> names = declared_names();
        skip_space();
        const std::size_t source = at_;
        const TemplateValue value = pipeline(active, nullptr);
        const TemplateValues flat = active ? elements(value, source) : TemplateValues{};
        close();
        const std::size_t body = at_;
        const bool trimmed = trim_next_;
        const TemplateValue outer = dot_;
        ++loops_;
        std::string ended;
        // Without elements it is read once, to find its end.
        for (std::size_t i = 0; i == 0 || i < flat.size(); i += 2) {
            at_ = body;
            trim_next_ = trimmed;
            const bool shown = i < flat.size();
            const TemplateValue key = shown ? flat[i] : TemplateNil{};
            const TemplateValue element = shown ? flat[i + 1] : TemplateNil{};
            if (shown) dot_ = element;
            if (names.size() == 2) variables_.emplace_back(names[0], key);
            if (!names.empty()) variables_.emplace_back(names.back(), element);
            ended = block(out, shown);
            variables_.resize(variables);
            if (std::exchange(leaving_, Leaving::nothing) == Leaving::loop) break;
        }
        --loops_;
        dot_ = outer;
        if (ended == "else") ended = otherwise(out, active && flat.empty());
        if (ended != "end") fail("unexpected EOF");
        --depth_;
    }

    /// Keys and elements in turn.
    TemplateValues elements(const TemplateValue& value, std::size_t at) {
        TemplateValues out;
        if (const auto* list = std::get_if<TextList>(&value)) {
            for (std::size_t i = 0; i < list->size(); ++i) {
                out.emplace_back(static_cast<std::int64_t>(i));
                out.emplace_back((*list)[i]);
            }
        } else if (const auto* map = std::get_if<TextMap>(&value)) {
            for (const auto& [key, text] : *map) {
                out.emplace_back(key);
                out.emplace_back(text);
            }
        } else if (!std::holds_alternative<TemplateNil>(value)) {
            fail_at(at, base::trim(text_.substr(at, at_ - at)),
                    fmt::format("range can't iterate over {}", value_text(value)));
        }
        return out;
    }

    /// "$a :=" or "$a, $b :=" in front of what {{range}} goes through.
    std::vector<std::string> declared_names() {
        const std::size_t start = at_;
        std::vector<std::string> names;
        do {
            skip_space();
            if (!text_.substr(at_).starts_with('$')) break;
            ++at_;
            names.push_back(peek_word());
            at_ += names.back().size();
            skip_space();
        } while (names.size() < 2 && text_.substr(at_).starts_with(',') && ++at_ > 0);
        if (text_.substr(at_).starts_with(":=")) {
            at_ += 2;
            return names;
        }
        at_ = start;
        return {};
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

    /// `declared`: whether it was "$x := ..." or "$x = ...", which prints nothing.
    TemplateValue pipeline(bool active, bool* declared) {
        skip_space();
        const std::size_t start = at_;
        if (text_.substr(at_).starts_with('$')) {
            ++at_;
            const std::string name = peek_word();
            at_ += name.size();
            skip_space();
            const bool made = text_.substr(at_).starts_with(":=");
            if (!name.empty() && (made || text_.substr(at_).starts_with('='))) {
                at_ += made ? 2 : 1;
                TemplateValue value = pipeline(active, nullptr);
                if (made) {
                    variables_.emplace_back(name, value);
                } else if (active) {
                    variable(name) = value;
                }
                if (declared != nullptr) *declared = true;
                return value;
            }
        }
        at_ = start;
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
            TemplateValue value = pipeline(active, nullptr);
            --depth_;
            if (!at_end_of_command() || text_[at_] != ')') fail("unclosed left paren");
            ++at_;
            return fields(std::move(value), active);
        }
        if (c == '$') {
            ++at_;
            const std::string name = peek_word();
            at_ += name.size();
            return fields(name.empty() ? TemplateValue(TemplateRoot{}) : variable(name), active);
        }
        if (c == '.') return fields(dot_, active);
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

    TemplateValue& variable(const std::string& name) {
        for (auto found = variables_.rbegin(); found != variables_.rend(); ++found) {
            if (found->first == name) return found->second;
        }
        fail(fmt::format("undefined variable \"${}\"", name));
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
    enum class Leaving { nothing, round, loop };  ///< of the innermost {{range}}

    std::size_t at_ = 0;
    int depth_ = 0;
    int loops_ = 0;
    std::size_t steps_ = 0;
    bool trim_next_ = false;
    Leaving leaving_ = Leaving::nothing;
    TemplateValue dot_ = TemplateRoot{};
    std::vector<std::pair<std::string, TemplateValue>> variables_;
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
