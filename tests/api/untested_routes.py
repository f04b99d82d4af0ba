#!/usr/bin/env python3
"""Prints the routes of src/api/routes.cpp that no test in this folder calls; fails on any."""
import pathlib
import re
import sys

here = pathlib.Path(__file__).resolve().parent
table = (here.parents[1] / "src/api/routes.cpp").read_text()
routes = re.findall(r'add\((get|head|post|put|del), "([^"]+)"', table)

called = set()
for test in here.glob("*_test.cpp"):
    for method, path in re.findall(r'"(GET|HEAD|POST|PUT|DELETE) (/[^" ?]*)', test.read_text()):
        called.add((method.lower().replace("delete", "del"), re.sub(r"^/v[0-9.]+", "", path)))


def pattern(text):
    """A route's pattern as a regular expression."""
    text = re.sub(r"\{\w+:\.\*\}", ".*", text)
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", text) + "$")


def found(method, path):
    """The route that answers, as the router chooses: the first that matches."""
    for route in routes:
        if route[0] == method and pattern(route[1]).match(path):
            return route
    return None


tested = {found(method, path) for method, path in called}
untested = [route for route in routes if route not in tested]
for method, path in untested:
    print(f"no test calls {method} {path}")
print(f"{len(routes) - len(untested)} of {len(routes)} routes are called by tests")
sys.exit(1 if untested else 0)
