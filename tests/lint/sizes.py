#!/usr/bin/env python3
"""Checks sizes: a .cpp up to 800 lines, a public header up to 200 (model's field lists: 450), a function up to 80.

Lines of a table or of a switch that lists one thing per line do not count towards a function's size.
"""
import re
import sys

import cpp

FILE, HEADER, FIELDS, FUNCTION, LOOK = 800, 200, 450, 80, 40
LISTING = re.compile(r'^\s*(case\s[^:]+(::[^:]+)*:.*|\{.*\},?)\s*$')
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$")


def functions(code):
    """(name, first line, last line) of every function body at namespace or class level."""
    scopes, statement, start, out = [], "", 1, []
    line = 1
    for char in code:
        if char == "\n":
            line += 1
        if char == "{":
            if scopes and scopes[-1][0] != "scope":
                scopes.append(("inner", line, ""))
            elif SCOPE.search(statement):
                scopes.append(("scope", line, ""))
            elif re.search(r"\)\s*(const|noexcept|override|final|mutable|&|\s|->[^;=]*|:[^;]*)*$", statement, re.S):
                found = re.search(r"([~\w:]+|operator\S+)\s*\(", statement)
                scopes.append(("function", start, found.group(1) if found else "?"))
            else:
                scopes.append(("inner", line, ""))
            statement = ""
        elif char == "}":
            if scopes:
                kind, first, title = scopes.pop()
                if kind == "function":
                    out.append((title, first, line))
            statement = ""
        elif char == ";":
            statement = ""
        else:
            if not statement.strip():
                start = line
            statement += char
    return out


def main():
    report = cpp.Report()
    total = small = 0
    longest = []
    for path in cpp.files("src", "include", "tests"):
        text = path.read_text()
        lines = text.splitlines()
        if len(lines) > FILE:
            report.add(path, len(lines), f"{len(lines)} lines; {FILE} is the limit")
        limit = FIELDS if cpp.name(path).startswith("include/dockerd/model/") else HEADER
        if cpp.name(path).startswith("include/") and len(lines) > limit:
            report.add(path, len(lines), f"{len(lines)} lines; {limit} is the limit of a public header")
        source = cpp.blank(text)
        for title, first, last in functions(source):
            body = lines[first - 1:last]
            size = len(body) - sum(1 for line in body if LISTING.match(line))
            total, small = total + 1, small + (size <= LOOK)
            longest.append((size, f"{cpp.name(path)}:{first} {title}"))
            if size > FUNCTION:
                report.add(path, first, f"{title} has {size} lines; {FUNCTION} is the limit")
    if total:
        print(f"{total} functions, {100 * small / total:.1f}% of up to {LOOK} lines")
    if "-v" in sys.argv:
        for size, where in sorted(longest, reverse=True)[:20]:
            print(f"{size:5} {where}")
    report.finish()


main()
