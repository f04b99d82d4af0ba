#include "manual.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

#include "options.hpp"

namespace dockerd::app {
namespace {

/// Text as troff takes it: hyphens that are minus signs, no escapes, no requests.
std::string troff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\') {
            out += "\\e";
        } else if (c == '-') {
            out += "\\-";
        } else {
            out += c;
        }
    }
    if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
    return out;
}

void put_options(std::string& out) {
    for (const Option& option : options()) {
        if (option.visibility == Visibility::hidden) continue;
        out += ".TP\n";
        if (option.shorthand) {
            fmt::format_to(std::back_inserter(out), "\\fB\\-{}\\fR, ", option.shorthand);
        }
        fmt::format_to(std::back_inserter(out), "\\fB{}\\fR",
                       troff(fmt::format("--{}", option.name)));
        if (!option.type.empty()) {
            fmt::format_to(std::back_inserter(out), " \\fI{}\\fR", troff(option.type));
        }
        fmt::format_to(std::back_inserter(out), "\n{}.\n", troff(option.help));
        if (!option.key.empty()) {
            fmt::format_to(std::back_inserter(out), "In daemon.json: \\fB{}\\fR{}.\n",
                           troff(option.key), option.reloadable ? ", also on a reload" : "");
        }
    }
}

constexpr std::string_view head = R"(.TH DOCKERD 8 "" "dockerd" "System administration"
.SH NAME
dockerd \- a daemon that runs containers and serves the Docker Engine API
.SH SYNOPSIS
.B dockerd
[\fIoptions\fR]
.SH DESCRIPTION
\fBdockerd\fR runs containers, keeps images, volumes and networks, and serves the Docker Engine API for
.BR docker (1)
and other clients. It stays in the foreground and writes its log to standard error.
.PP
What the command line says wins over DOCKER_OPTS, this over daemon.json.
What stands on the command line or in DOCKER_OPTS must not stand in daemon.json as well.
.SH OPTIONS
)";

constexpr std::string_view tail = R"(.SH FILES
.TP
.I /etc/docker/daemon.json
Settings, as one JSON object.
.TP
.I /etc/default/docker
DOCKER_OPTS and exported variables. It is read as a shell would, but no commands are executed.
.TP
.I /var/lib/docker
Images, containers, volumes and networks, in Docker's own form.
.TP
.I /var/run/docker.sock
The socket of the API, unless other addresses are given.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Ends the daemon. Containers are stopped, unless \fB\-\-live\-restore\fR is on.
After three of them the next one ends it at once.
.TP
.B SIGQUIT
Ends the daemon and leaves the containers running, for the next daemon to find.
.TP
.B SIGHUP
Reads daemon.json again.
.TP
.B SIGUSR1
Writes what all threads are doing to a file in the exec root.
.SH ENVIRONMENT
DOCKER_CERT_PATH, DOCKER_CONFIG, DOCKER_DRIVER, DOCKER_MIN_API_VERSION, DOCKER_TLS_VERIFY,
HTTP_PROXY, HTTPS_PROXY, NO_PROXY, LISTEN_FDS, NOTIFY_SOCKET.
.SH SEE ALSO
.BR docker (1),
.BR systemd.socket (5),
.BR start\-stop\-daemon (8)
)";

/// Values a flag's argument can have, separated by blanks; "" where they are not known.
std::string_view known_values(std::string_view name) {
    if (name == "log-level") return "debug info warn error fatal";
    if (name == "log-format") return "text json";
    if (name == "log-driver") return "json-file local none syslog journald gelf fluentd";
    if (name == "default-cgroupns-mode") return "host private";
    if (name == "default-ipc-mode") return "private shareable";
    if (name == "storage-driver") return "overlay2";
    if (name == "exec-opt") return "native.cgroupdriver=cgroupfs";
    if (name == "default-runtime") return "runc";
    return "";
}

bool is_path(std::string_view name) {
    return name.ends_with("file") || name.ends_with("-root") || name.ends_with("-path") ||
           name.ends_with("-dir") || name.starts_with("tlsc") || name == "tlskey" ||
           name == "seccomp-profile";
}

}  // namespace

std::string manual_page() {
    std::string out(head);
    put_options(out);
    out += tail;
    return out;
}

std::string bash_completion() {
    std::string flags;
    std::string cases;
    std::string paths;
    for (const Option& option : options()) {
        if (option.visibility == Visibility::hidden) continue;
        fmt::format_to(std::back_inserter(flags), "{}--{}", flags.empty() ? "" : " ", option.name);
        if (option.shorthand) fmt::format_to(std::back_inserter(flags), " -{}", option.shorthand);
        const auto pattern = option.shorthand ? fmt::format("--{}|-{}", option.name, option.shorthand)
                                              : fmt::format("--{}", option.name);
        if (const auto values = known_values(option.name); !values.empty()) {
            fmt::format_to(std::back_inserter(cases),
                           "        {})\n            COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))\n"
                           "            return ;;\n",
                           pattern, values);
        } else if (is_path(option.name)) {
            fmt::format_to(std::back_inserter(paths), "{}{}", paths.empty() ? "" : "|", pattern);
        }
    }
    return fmt::format(
        "# bash completion for dockerd\n_dockerd() {{\n"
        "    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n"
        "    COMPREPLY=()\n    case $prev in\n{}        {})\n"
        "            COMPREPLY=($(compgen -f -- \"$cur\"))\n            return ;;\n    esac\n"
        "    COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))\n}}\n"
        "complete -F _dockerd dockerd\n",
        cases, paths, flags);
}

}  // namespace dockerd::app
