#!/usr/bin/env python3
"""Checks that docs/flags.md has one row for each row of the table in src/app/options.cpp, with the same shorthand and key of
daemon.json, in the same order; that what is there has a test; and that every test that is named exists.

`dockerd --help`, its man page and its completion are made from that table, so they are in step by themselves.
"""
import re
import sys

from coverage import TOP, tests

ROW = re.compile(r'^    \{"([a-z0-9-]+)",\s*(?:0|\'(\w)\'),\s*"([a-z0-9-]*)",', re.M)


def main():
    problems, known = [], tests()
    options = [(name, shorthand, key) for name, shorthand, key in ROW.findall((TOP / "src/app/options.cpp").read_text())]
    rows = []
    for line in (TOP / "docs/flags.md").read_text().splitlines():
        found = re.match(r"^\| (?:`-(\w)`, )?`--([a-z0-9-]+)` \| (?:`([a-z0-9-]+)`)? ?\| (.+) \| (.*) \|$", line)
        if not found:
            continue
        shorthand, name, key, state, shown = found.groups()
        rows.append((name, shorthand or "", key or ""))
        shown = re.findall(r"`([^`]+)`", shown)
        if state.startswith("yes") and not shown:
            problems.append("no test: --" + name)
        problems += ["no such test: %s (--%s)" % (test, name) for test in shown if test not in known]
    problems += ["without a row: --%s %s" % option[:2] for option in options if option not in rows]
    problems += ["no such flag, or another key: --%s %s %s" % row for row in rows if row not in options]
    if not problems and rows != options:
        problems.append("the rows are in another order than the table")
    print("\n".join(problems) or "clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
