#!/usr/bin/env python3
"""Checks that every descriptor is born close-on-exec: what a container's program could inherit, it could walk out through."""
import re

import cpp

# Calls that make a descriptor and take flags; a name before :: is some class's function.
FLAGGED = re.compile(r"(?<![\w:>])::(open|openat|socket|socketpair|accept4|pipe2|memfd_create|epoll_create1|eventfd|signalfd"
                     r"|timerfd_create|inotify_init1|dup3|open_tree|fsopen|fsmount|mkostemp|fopen)\s*\(")
# Their forms without flags.
BARE = re.compile(r"(?<![\w:>])::(dup|accept|pipe|epoll_create|inotify_init|mkstemp|creat)\s*\(")


def arguments(code, start):
    """What stands between the bracket that was opened before start and its end."""
    depth, at = 1, start
    while depth and at < len(code):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        at += 1
    return code[start:at - 1]


def main():
    report = cpp.Report()
    for path in cpp.files("src", "include"):
        text = path.read_text()
        code = cpp.blank(text)
        for match in FLAGGED.finditer(code):
            given = arguments(code, match.end())
            mode = text[match.end():match.end() + len(given)]
            # A variable of flags has the bit where it is made, in the same file.
            by_name = re.search(r"\bflags\b|_flags\b", given) and "CLOEXEC" in code
            if "CLOEXEC" not in given and not by_name and not re.search(r'"[rwa]\+?e"', mode):
                report.add(path, text.count("\n", 0, match.start()) + 1, f"{match.group(1)} without CLOEXEC")
        for match in BARE.finditer(code):
            report.add(path, text.count("\n", 0, match.start()) + 1, f"{match.group(1)} makes a descriptor that is inherited")
    report.finish()


main()
