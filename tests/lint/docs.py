#!/usr/bin/env python3
"""Checks that every type and function promised below include/ has a /// contract.

Exempt: forward declarations, constructors, destructors, operators, defaulted functions, overrides, accessors, bodies on
one line, private parts, data members, types inside a class, and members of the same paragraph as a documented one (no
blank line between). What model/ holds is described by the API document.
"""
import re

import cpp

TYPE = re.compile(r"^(?:template\s*<.*>\s*)?(class|struct|enum(?:\s+class)?|union|concept)\s+"
                  r"(?:\[\[\w+\]\]\s*|DOCKERD_\w+\([^{]*\)\s+)?(\w+)")
ACCESS = re.compile(r"^(public|private|protected)\s*:$")
FUNCTION = re.compile(r"(~?\w+|operator\s*\S+)\s*\(")


def is_exempt(statement, types):
    if re.search(r"\{[^{};]*;?\s*\}$", statement) and "(" in statement.split("{")[0] or "~" in statement:
        return True  # a body on one line says what it does; so does a destructor
    if re.search(r"\w\(\)\s*const\s*(noexcept)?\s*;$", statement):
        return True  # an accessor: its name and type say it all
    if "= default" in statement or "= delete" in statement or "operator" in statement or " override" in statement:
        return True
    while re.search(r"<[^<>]*>", statement):  # std::function<void(int)> is no function
        statement = re.sub(r"<[^<>]*>", "", statement)
    found = FUNCTION.search(statement)
    if not found or re.match(r"^(using|friend|typedef|static_assert|return|namespace|extern)\b", statement):
        return True
    if "=" in statement[:found.start()]:  # a variable with an initialiser
        return True
    title = found.group(1)
    return title.lstrip("~") in types or title in ("defined", "alignas", "noexcept", "decltype")


def check(report, path):
    lines = cpp.blank(path.read_text(), keep_doc=True).splitlines()
    scopes, documented, statement, first = [], False, "", 0
    types = set(re.findall(r"\b(?:class|struct)\s+(?:DOCKERD_\w+\([^{]*\)\s+)?(\w+)", "\n".join(lines)))
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("///") and not statement:
            documented = True
            continue
        trailing = "///" in text
        text = text.replace("///", "").strip()
        if not text:
            if not statement:
                documented = False
            continue
        if ACCESS.match(text):
            if scopes:
                scopes[-1] = text.rstrip(": ")
            continue
        if not statement:
            first = number
        statement += " " + text if statement else text
        public = all(scope in ("namespace", "public") for scope in scopes)
        if not re.search(r"[;{}]$", text) and not re.match(r"^[^{]*\{.*\}", text):
            if not text.endswith((")", ",", "(", "&&", "||", "=")) and not re.match(r"\w", text):
                statement = ""
            continue
        kind = TYPE.match(statement)
        if public and kind and "{" in statement and not (
                documented or trailing or "public" in scopes):
            report.add(path, first, f"{kind.group(2)} has no /// contract")
        elif public and not kind and not is_exempt(statement, types) and not documented and not trailing:
            report.add(path, first, f"{FUNCTION.search(statement).group(1)} has no /// contract")
        depth = statement.count("{") - statement.count("}")
        if depth > 0:
            scope = "body"
            if statement.startswith(("namespace", "extern", "inline namespace")):
                scope = "namespace"
            elif kind and not kind.group(1).startswith("enum"):
                scope = "private" if kind.group(1) == "class" else "public"
            scopes.extend([scope] + ["body"] * (depth - 1))
            documented = False
        for _ in range(-depth):
            if scopes:
                scopes.pop()
        statement = ""


def main():
    report = cpp.Report()
    for path in cpp.files("include"):
        if cpp.name(path).startswith("include/dockerd/model/"):
            continue
        check(report, path)
    report.finish()


main()
