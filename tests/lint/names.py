#!/usr/bin/env python3
"""Checks names and form: file names, types, constants, macros, #pragma once, ASCII, bare close(2), open TODOs."""
import re

import cpp

SNAKE_FILE = re.compile(r"^[a-z][a-z0-9_]*\.(cpp|hpp|h|c|inc)$")
TYPE = re.compile(r"^\s*(?:template\s*<[^>]*>\s*)?(?:class|struct|enum(?:\s+class)?|concept)\s+(?:\[\[\w+\]\]\s*)?"
                  r"(\w+)(?=\s*(?:final\s*)?(?::[^:]|\{|=\s))", re.M)
MACRO = re.compile(r"^\s*#\s*define\s+(\w+)", re.M)
CONSTANT = re.compile(r"\bconstexpr\s+[\w:<>, *]+?\b([A-Z][A-Z0-9_]+)\b\s*(=|\[|\{)")
TODO = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))")
# Documents of other projects keep their own spelling: these mirror kernel or C library names.
TYPES_KEPT = re.compile(r"^[a-z_]+_(t|args|attr|hdr|data|req)$")


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def main():
    report = cpp.Report()
    for path in cpp.files("src", "include", "tests"):
        relative, text = cpp.name(path), path.read_text()
        code = cpp.blank(text)
        if not SNAKE_FILE.match(path.name):
            report.add(path, 1, "file names are snake_case")
        if path.suffix == ".hpp" and "#pragma once" not in text:
            report.add(path, 1, "headers begin with #pragma once")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.isascii():
                report.add(path, number, "not ASCII")
            if len(line) > 120 and '"' not in line:  # a long text stays in one piece
                report.add(path, number, f"{len(line)} columns")
            if TODO.search(line):
                report.add(path, number, "TODO needs an issue: TODO(#123)")
        if relative.startswith("tests/support/payload"):
            continue
        for match in TYPE.finditer(code):
            title = match.group(1)
            if not re.match(r"^[A-Z][A-Za-z0-9]*$", title) and not TYPES_KEPT.match(title):
                report.add(path, line_of(code, match.start(1)), f"type {title} is not PascalCase")
        for match in MACRO.finditer(text):
            if not match.group(1).startswith(("DOCKERD_", "BOOST_", "_")):
                report.add(path, line_of(text, match.start(1)), f"macro {match.group(1)} lacks DOCKERD_")
        for match in CONSTANT.finditer(code):
            report.add(path, line_of(code, match.start(1)), f"constant {match.group(1)} is not snake_case")
        if relative.startswith("src/") and not relative.startswith(
                ("src/sys/", "src/base/", "src/launcher_main.cpp")):
            for match in re.finditer(r"(?<!\w)::close\(", code):
                report.add(path, line_of(code, match.start()), "bare close(2): Fd owns descriptors")
    report.finish()


main()
