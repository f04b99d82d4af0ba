#!/usr/bin/env python3
"""Checks who includes whom against the table of docs/architecture.md, and where costly headers may appear."""
import re

import cpp

# A module may include itself and these. app is the composition root; the launcher's main lies beside it.
ALLOWED = {
    "base": set(),
    "model": {"base"},
    "sys": {"model", "base"},
    "http": {"sys", "model", "base"},
    "archive": {"sys", "model", "base"},
    "dial": {"sys", "base"},
    "logging": {"http", "dial", "sys", "model", "base"},
    "plugins": {"dial", "sys", "model", "base"},
    "runtime": {"sys", "model", "base"},
    "net": {"sys", "model", "base"},
    "store": {"archive", "sys", "model", "base"},
    "registry": {"http", "model", "base"},
    "build": {"model", "base"},
    "git": {"sys", "base"},
    "engine": {"build", "git", "runtime", "store", "net", "registry", "archive", "logging", "plugins", "dial", "sys", "model", "base"},
    "api": {"engine", "http", "model", "base"},
}
ALLOWED["app"] = set(ALLOWED)

# Library header -> the only places (path prefixes) that may include it.
CONFINED = {
    "boost/beast": ["src/http/"],
    "boost/asio/ssl": ["src/http/", "src/app/"],
    "spdlog/": ["src/base/log.cpp"],
    "CLI/": ["src/app/"],
    "yaml.h": ["src/engine/cdi/yaml.cpp"],
    "nlohmann/json.hpp": ["src/base/", "src/model/", "src/build/", "src/api/", "src/store/", "src/registry/", "src/engine/",
                          "src/runtime/plan/", "src/net/", "src/app/", "src/logging/", "src/plugins/"],
}
IN_PROMISES = {"include/dockerd/base/json.hpp": ["nlohmann/json_fwd.hpp"],
               "include/dockerd/http/stream.hpp": ["boost/asio/"]}
# Pure planning touches no kernel: these declare system calls and nothing a plan needs.
SYSCALL_HEADERS = {"sys/wait.h", "sys/socket.h", "dirent.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def module_of(path):
    parts = cpp.name(path).split("/")
    if parts[0] == "include":
        return parts[2]
    return parts[1] if len(parts) > 2 else "app"


def check_promise(report, path, line, kind, header):
    relative = cpp.name(path)
    if kind == '"':
        report.add(path, line, f'include/ uses <...> for its includes, not "{header}"')
    library = "/" in header and not header.startswith(("dockerd/", "fmt/", "sys/", "linux/"))
    if (library or header.endswith(".h") and header.count("/") > 1) and not any(
            header.startswith(allowed) for allowed in IN_PROMISES.get(relative, [])):
        report.add(path, line, f"<{header}> may not appear below include/")


def main():
    report = cpp.Report()
    beast = set()
    for path in cpp.files("src", "include"):
        relative, module = cpp.name(path), module_of(path)
        text = path.read_text()
        if module not in ALLOWED:
            report.add(path, 1, f"unknown module {module}: add it to the table")
            continue
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            kind, header = match.groups()
            other = header.split("/")[1] if header.startswith("dockerd/") and header.count("/") > 1 else module
            if other != module and other not in ALLOWED[module]:
                report.add(path, line, f"{module} may not include {other}")
            if relative.startswith("include/"):
                check_promise(report, path, line, kind, header)
            for library, places in CONFINED.items():
                if header.startswith(library) and not relative.startswith(tuple(places)):
                    report.add(path, line, f"<{header}> belongs to {', '.join(places)}")
            if header.startswith("boost/beast"):
                beast.add(path)
            if "/plan/" in relative and header in SYSCALL_HEADERS:
                report.add(path, line, f"plan/ is pure: no <{header}>")
            if header in ("regex", "iostream") and path.suffix == ".hpp":
                report.add(path, line, f"<{header}> not in headers")
            if header == "regex":
                report.add(path, line, "std::regex is never used")
    if len([path for path in beast if path.suffix == ".cpp"]) > 6:
        report.add(sorted(beast)[0], 1, f"Beast is included in {len(beast)} files; six is the limit")
    report.finish()


main()
