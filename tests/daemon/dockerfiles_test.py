"""Small Dockerfiles over every rule, and some from real life: the text, the configuration and the files they give.

The cases are in dockerfiles/*.txt: "%% name parameters", then the Dockerfile. What comes of each is in a file of the same
name that ends in .expected. It was written by Docker's own engine, for those marked `ours` by hand or after what BuildKit's
documentation says, for there Docker's classic builder refuses:

    DOCKERD_ORACLE=1 DOCKERD_BIN=.../dockerd DOCKERFILES_WRITE=1 tests/daemon/dockerfiles_test.py     # all but `ours`
    DOCKERFILES_WRITE=ours tests/daemon/dockerfiles_test.py                                           # those; to be read
"""
import io
import json
import os
import re
import tarfile

import support

from buildcase import BuildTestCase, layers, lines_of_tree
from testcase import main

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dockerfiles")
ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
WRITE = os.environ.get("DOCKERFILES_WRITE", "")
ONLY = os.environ.get("DOCKERFILES_ONLY", "")  # of the cases' names
LISTS = ("Env", "Cmd", "Entrypoint", "Shell", "OnBuild", "Labels", "ExposedPorts", "Volumes", "Healthcheck", "User", "WorkingDir",
         "StopSignal")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def member(name, data=b"", kind=tarfile.REGTYPE, mode=0o644, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.mtime, info.size = kind, mode, link, 1700000000, len(data)
    return info, io.BytesIO(data)


def archive(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, data)
    return out.getvalue()


def packed(mode):
    return archive([member("top", b"top\n"), member("in/", kind=tarfile.DIRTYPE, mode=0o750), member("in/x", b"x\n", mode=0o600)],
                   mode)


def shared_context(dockerfile, ignore):
    """One tree for all: so most steps of all cases are the same few layers."""
    directory, symlink = tarfile.DIRTYPE, tarfile.SYMTYPE
    members = [member("Dockerfile", dockerfile.encode()), member("a.txt", b"a\n"), member("b.txt", b"b\n"),
               member("sp ace.txt", b"space\n"), member("exec.sh", b"#!/bin/sh\necho ran\n", mode=0o755),
               member("dir/", kind=directory, mode=0o755), member("dir/one.txt", b"1\n"), member("dir/two.md", b"2\n"),
               member("dir/sub/", kind=directory, mode=0o750), member("dir/sub/three.txt", b"3\n", mode=0o600),
               member("links/", kind=directory, mode=0o755), member("links/up", kind=symlink, link="../a.txt"),
               member("links/none", kind=symlink, link="/none"), member("link", kind=symlink, link="a.txt"),
               member("archive.tar", packed("w"))]
    if "archive.tar.gz" in dockerfile:
        members.append(member("archive.tar.gz", packed("w:gz")))  # its bytes have a time in them
    if ignore:
        members.append(member(".dockerignore", ("\n".join(ignore.split("|")) + "\n").encode()))
    return archive(members)


def read_cases(name):
    """(name, is ours alone, parameters, Dockerfile) of each case in a file."""
    out = []
    with open(os.path.join(FOLDER, name + ".txt"), encoding="utf-8") as file:
        for part in file.read().split("%% ")[1:]:
            head, text = part.split("\n", 1)
            words = head.split(" ")
            out.append((words[0], "ours" in words, dict(word.split("=", 1) for word in words if "=" in word), text))
    return out


def read_expected(name):
    path = os.path.join(FOLDER, name + ".expected")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in file.read().split("%% ")[1:]}


def common_words(error):
    """Without what names Docker's shims or its folders, which this engine does not have."""
    error = re.sub(r"failed to create new directory: mkdir /\S+/overlay2/\w+/merged", "mkdir ", error).replace("mkdir  /", "mkdir /")
    error = error.replace("error during container init: ", "").replace(": unknown\"", "\"")
    return re.sub(r"mkdir +/", "mkdir /", error)


class Dockerfiles(BuildTestCase):
    maxDiff = None

    def tearDown(self):
        if not ORACLE:
            with self.daemon.client() as connection:
                connection.post("/build/prune")  # the folders of cache mounts
        super().tearDown()

    def outcome(self, ignore, parameters, text):
        given = {key: json.loads(value) if value.startswith("{") else value for key, value in parameters.items()
                 if key != "ignore"}
        built = self.build(None, body=shared_context(text, ignore), t="case", **given)
        # How much of standard error comes at once is chance.
        out = [line for line in built.log.replace("\x1b[0m\x1b[91m", "").splitlines() if not line.startswith("Successfully ")]
        if built.error is not None:
            return out + ["error: " + common_words(json.dumps(built.error, sort_keys=True))]
        with self.daemon.client() as connection:
            image = connection.get("/images/case/json")
            history = connection.get("/images/case/history")
            base = connection.get("/images/kit/json")
        config = {key: image["Config"].get(key) for key in LISTS if image["Config"].get(key)}
        if config.get("Env") == [PATH]:
            del config["Env"]
        out += ["config: " + json.dumps(config, sort_keys=True), "author: " + image.get("Author", "")]
        out += ["history: " + re.sub(r"\b(file|dir|multi):[0-9a-f]{64}", r"\1:<sum>", entry["CreatedBy"]) for entry in history
                if "kit:latest" not in (entry["Tags"] or [])]
        known = layers(base)
        for layer in reversed(layers(image)):
            if layer not in known:
                out += ["layer:"] + ["  " + line for line in lines_of_tree(layer)]
        return out

    def check_all(self, name):
        expected, wrong, written = read_expected(name), [], {}
        for case, ours, parameters, text in read_cases(name):
            if (ours and ORACLE) or not re.search(ONLY, case):
                continue
            found = self.outcome(parameters.get("ignore"), parameters, text)
            written[case] = "\n".join(found) + "\n"
            if not WRITE and expected.get(case) != written[case]:
                wrong.append("%%%% %s\n%s--- instead of\n%s" % (case, written[case], expected.get(case)))
        if WRITE:
            marks = {case: ours for case, ours, _, _ in read_cases(name)}
            expected.update({case: text for case, text in written.items() if marks[case] == (WRITE == "ours")})
            with open(os.path.join(FOLDER, name + ".expected"), "w", encoding="utf-8") as file:
                file.write("".join("%%%% %s\n%s" % (case, expected[case]) for case in marks if case in expected))
        self.assertEqual("\n".join(wrong), "", "%d cases are wrong" % len(wrong))

    def test_small_ones_over_every_rule(self):
        self.check_all("small")

    def test_from_real_life(self):
        self.check_all("real")


if __name__ == "__main__":
    main()
