// Differs from design.md's choice of CLI11: the forms (--flag=false, -Dl debug, -H=x) and every
// text of an error are pflag's, and scripts match on them; a table and a page of parser give both
// exactly, a library that parses otherwise does not.
#include "flags.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "defaults_file.hpp"
#include "options.hpp"

namespace dockerd::app {
namespace {

/// Source: moby cmd/dockerd/cobra.go, FlagErrorFunc, printed as StatusError.Error does.
[[noreturn]] void usage_error(const std::string& why) {
    base::fail(
        base::ErrorKind::invalid_argument,
        fmt::format("Status: {}\nSee 'dockerd --help'.\n\n{}\n, Code: 125", why, usage_text()));
}

[[noreturn]] void refuse_arguments() {
    base::fail(base::ErrorKind::invalid_argument, "\n" + usage_text());
}

class Parser {
public:
    explicit Parser(std::vector<std::string> arguments, Config start = {}, std::string where = {})
        : arguments_(std::move(arguments)), where_(std::move(where)) {
        line_.config = std::move(start);
    }

    CommandLine run() {
        while (next_ < arguments_.size()) {
            const std::string text = arguments_[next_++];
            if (text == "--") {
                if (next_ < arguments_.size()) refuse_arguments();
                break;
            }
            if (text.starts_with("--")) {
                long_flag(text);
            } else if (text.size() > 1 && text[0] == '-') {
                short_flags(text);
            } else {
                extra_argument(text);
            }
            if (line_.command != Command::run) break;
        }
        return std::move(line_);
    }

private:
    void extra_argument(const std::string& text) {
        if (!where_.empty()) refuse("unknown word: " + text);
        // An init script may pass on what begins with the program's name; see read_command_line.
        line_.names_program = is_program_name(text);
        if (!line_.names_program) refuse_arguments();
    }

    [[noreturn]] void refuse(const std::string& why) const {
        if (where_.empty()) usage_error(why);
        base::fail(base::ErrorKind::invalid_argument, where_ + ": " + why);
    }

    // Source: spf13/pflag flag.go, parseLongArg.
    void long_flag(const std::string& text) {
        const auto equals = text.find('=');
        const std::string name = text.substr(2, equals == std::string::npos ? equals : equals - 2);
        if (name.empty() || name[0] == '-' || name[0] == '=') {
            refuse("bad flag syntax: " + text);
        }
        const Option* const option = find_option(name);
        if (!option) refuse("unknown flag: --" + name);
        if (equals != std::string::npos) {
            apply(*option, text.substr(equals + 1));
        } else if (is_switch(*option)) {
            apply(*option, "true");
        } else if (next_ < arguments_.size()) {
            apply(*option, arguments_[next_++]);
        } else {
            refuse("flag needs an argument: --" + name);
        }
    }

    // Source: spf13/pflag flag.go, parseSingleShortArg.
    void short_flags(const std::string& text) {
        std::string rest = text.substr(1);
        while (!rest.empty()) {
            const char letter = rest[0];
            const Option* const option =
                letter == 'h' ? find_option("help") : find_shorthand(letter);
            if (!option) {
                refuse(fmt::format("unknown shorthand flag: '{}' in -{}", letter, rest));
            }
            if (letter == 'h') {
                line_.warnings += "Flag shorthand -h has been deprecated, please use --help\n";
            }
            if (rest.size() > 2 && rest[1] == '=') {
                apply(*option, rest.substr(2));
                return;
            }
            if (is_switch(*option)) {
                apply(*option, "true");
                rest.erase(0, 1);
                continue;
            }
            if (rest.size() > 1) {
                apply(*option, rest.substr(1));
            } else if (next_ < arguments_.size()) {
                apply(*option, arguments_[next_++]);
            } else {
                refuse(fmt::format("flag needs an argument: '{}' in -{}", letter, rest));
            }
            return;
        }
    }

    void apply(const Option& option, const std::string& value) {
        try {
            set_from_text(line_.config, option, value);
        } catch (const base::Error& error) {
            const std::string name = option.shorthand
                                         ? fmt::format("-{}, --{}", option.shorthand, option.name)
                                         : fmt::format("--{}", option.name);
            refuse(fmt::format("invalid argument {} for {} flag: {}", base::quote(value),
                                    base::quote(name), error.what()));
        }
        line_.config.from_flags.emplace(option.name);
        if (!option.deprecated.empty()) {
            line_.warnings +=
                fmt::format("Flag --{} has been deprecated, {}\n", option.name, option.deprecated);
        }
        if (line_.config.show_help) line_.command = Command::help;
        if (line_.config.show_version) line_.command = Command::version;
    }

    std::vector<std::string> arguments_;
    std::string where_;  ///< for errors; empty: the command line
    std::size_t next_ = 0;
    CommandLine line_;
};

/// Breaks `text` at blanks into lines of `width`, all but the first indented.
std::string wrap(std::string_view text, std::size_t width, std::size_t indent) {
    std::string out;
    std::size_t column = 0;
    for (const std::string& word : base::split(text, ' ')) {
        if (column > 0 && column + 1 + word.size() > width) {
            out += '\n';
            out.append(indent, ' ');
            column = 0;
        } else if (column > 0) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
    }
    return out;
}

std::size_t terminal_width() {
    winsize size{};
    if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

/// Source: moby cmd/dockerd/options.go, defaultCertPath.
std::string certificate_directory() {
    for (const char* name : {"DOCKER_CERT_PATH", "DOCKER_CONFIG"}) {
        if (const char* value = ::getenv(name); value && *value) return value;
    }
    const char* const home = ::getenv("HOME");
    return std::string(home ? home : "/root") + "/.docker";
}

/// What TLS flags mean together. Source: moby cmd/dockerd/options.go, setDefaultOptions;
/// daemon.go, loadDaemonCliConfig.
void complete_tls(Config& config) {
    const char* const verify = ::getenv("DOCKER_TLS_VERIFY");
    if (!config.tls_verify && verify && *verify) config.tls_verify = true;
    if (config.tls_verify) config.tls = true;
    if (config.tls.value_or(false) && !config.tls_verify) config.tls_verify = true;
    const std::string directory = certificate_directory();
    if (config.tls_ca.empty()) config.tls_ca = directory + "/ca.pem";
    if (config.tls_cert.empty()) config.tls_cert = directory + "/cert.pem";
    if (config.tls_key.empty()) config.tls_key = directory + "/key.pem";
}

}  // namespace

CommandLine parse_flags(std::span<const char* const> arguments) {
    CommandLine line = Parser({arguments.begin(), arguments.end()}).run();
    if (line.names_program) refuse_arguments();
    complete_tls(line.config);
    return line;
}

CommandLine read_command_line(std::span<const char* const> arguments) {
    const std::vector<std::string> words(arguments.begin(), arguments.end());
    CommandLine line = Parser(words).run();
    const std::string file = line.config.defaults_file;
    bool names_program = false;
    if (line.command == Command::run && !file.empty()) {
        const Defaults defaults =
            read_defaults_file(file, line.config.from_flags.contains("defaults-file"));
        for (const auto& [name, value] : defaults.exports) {
            (void)::setenv(name.c_str(), value.c_str(), 1);
        }
        names_program = defaults.names_program;
        CommandLine start = Parser(defaults.words, {}, file + ": DOCKER_OPTS").run();
        if (start.command != Command::run) {
            base::fail(base::ErrorKind::invalid_argument,
                       file + ": DOCKER_OPTS: --help and --version have no place here");
        }
        start.config.from_defaults = start.config.from_flags;
        for (const std::string& name : line.config.from_flags) {
            reset_option(start.config, *find_option(name));
            start.config.from_defaults.erase(name);
        }
        line = Parser(words, std::move(start.config)).run();
        line.warnings = start.warnings + line.warnings;
    }
    // The init script that passes $DOCKER_OPTS as well passes the name, too.
    if (line.names_program && !names_program && line.command == Command::run) refuse_arguments();
    complete_tls(line.config);
    return line;
}

std::string usage_text() {
    std::size_t widest = 0;
    for (const Option& option : options()) {
        if (option.visibility == Visibility::hidden) continue;
        widest = std::max(widest, option.name.size() + option.type.size() + 1);
    }
    const std::size_t indent = widest + 11;
    const std::size_t width = std::max<std::size_t>(terminal_width() - 1, indent + 24);

    std::string out =
        "Usage:\tdockerd [OPTIONS]\n\nA self-sufficient runtime for containers.\n\n"
        "Options:\n";
    for (const Option& option : options()) {
        if (option.visibility == Visibility::hidden) continue;
        std::string left = option.shorthand
                               ? fmt::format("  -{}, --{}", option.shorthand, option.name)
                               : fmt::format("      --{}", option.name);
        if (!option.type.empty()) left += fmt::format(" {}", option.type);
        fmt::format_to(std::back_inserter(out), "{:<{}}{}\n", left, indent,
                       wrap(option.help, width - indent, indent));
    }
    return out;
}

}  // namespace dockerd::app
