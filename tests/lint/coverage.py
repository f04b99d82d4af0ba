#!/usr/bin/env python3
"""Checks the tables of docs/api-coverage.md that say which test shows an operation or a field.

Every field that a create, an exec or a volume's create decodes (include/dockerd/model/fields.hpp) has a row, no row names
another, and every test that is named exists: "file.name" is test_name in tests/**/file.py, "Suite.Name" a GoogleTest.
"""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
# The structs whose fields have rows, and what a row calls them.
STRUCTS = {"ContainerConfig": "Config", "HealthConfig": "Healthcheck", "Resources": "HostConfig", "HostConfig": "HostConfig",
           "LogConfig": "LogConfig", "RestartPolicy": "RestartPolicy", "DeviceMapping": "Devices",
           "DeviceRequest": "DeviceRequests", "Mount": "Mounts", "BindOptions": "BindOptions",
           "VolumeOptions": "VolumeOptions", "ImageOptions": "ImageOptions", "TmpfsOptions": "TmpfsOptions",
           "EndpointSettings": "Endpoint", "EndpointIpamConfig": "IPAMConfig", "ExecCreate": "Exec", "ExecStart": "ExecStart",
           "VolumeCreate": "Volume"}


def decoded():
    text = (TOP / "include/dockerd/model/fields.hpp").read_text()
    fields = set()
    for struct, body in re.findall(r"VisitsAs<(\w+)> T>\nvoid visit\(F& f, T& x\) \{(.*?)\n\}", text, re.S):
        if struct in STRUCTS:
            fields |= {"%s.%s" % (STRUCTS[struct], name) for name in re.findall(r'\(f?,? ?"(\w+)"', body)}
    return fields - {"HostConfig.Resources"}  # Go's embedded struct: its fields are the outer one's


def tests():
    names = set()
    for path in (TOP / "tests").rglob("*.py"):
        names |= {"%s.%s" % (path.stem, name) for name in re.findall(r"def test_(\w+)\(", path.read_text())}
    for path in (TOP / "tests").rglob("*.cpp"):
        for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(), re.M):
            names.add("%s.%s" % (suite, name))
    return names


def main():
    problems, rows, known = [], set(), tests()
    text = (TOP / "docs/api-coverage.md").read_text()
    tables = text[text.index("## Operations and fields"):]
    for line in tables.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or set(cells[0]) <= set("- ") or cells[-1] == "shown by":
            continue
        if len(cells) != 3:
            problems.append("not three cells: " + line)
            continue
        subjects = re.findall(r"`([^`]+)`", cells[0])
        rows.update(subject for subject in subjects if re.fullmatch(r"\w+\.\w+", subject))
        shown = re.findall(r"`([^`]+)`", cells[2])
        if not subjects or (not shown and cells[1] == "yes"):
            problems.append("no subject or no test: " + line)
        problems += ["no such test: %s (%s)" % (name, cells[0]) for name in shown if name not in known]
    fields = decoded()
    problems += ["without a row: " + field for field in sorted(fields - rows)]
    problems += ["not decoded: " + field for field in sorted(rows - fields)]
    print("\n".join(problems) or "clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
