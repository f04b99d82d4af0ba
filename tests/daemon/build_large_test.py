"""Large files of a context, whose bytes get into layers without being copied, and those that have to be."""
import hashlib
import io
import json
import os
import random
import tarfile
import unittest

import support

from buildcase import BuildTestCase, context
from testcase import main

dice = random.Random(7)
BIG, OTHER = dice.randbytes(3 << 20), dice.randbytes((2 << 20) + 17)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class LargeFiles(BuildTestCase):
    def shown(self, image, *paths):
        """Links, owner, mode, whole seconds and sum of files as a container sees them."""
        script = 'for f in "$@"; do stat -c "%h %u:%g %a %Y" "$f"; sha256sum < "$f"; done'
        done = self.cli("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image, "-c", script, "sh", *paths)
        lines = done.stdout.decode().split("\n")
        return {path: (lines[2 * at], lines[2 * at + 1].split(" ")[0]) for at, path in enumerate(paths)}

    def check_layers(self, image):
        """What comes out of the image is what its configuration says."""
        with self.daemon.client() as connection:
            saved = connection.request("GET", "/images/%s/get" % image).body
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
            read = lambda name: tar.extractfile(name).read()
            manifest = json.loads(read("manifest.json"))[0]
            wanted = json.loads(read(manifest["Config"]))["rootfs"]["diff_ids"]
            self.assertEqual(["sha256:" + digest(read(name)) for name in manifest["Layers"]], wanted)

    def test_every_copy_has_its_bytes(self):
        linked = tarfile.TarInfo("pair/two")
        linked.type, linked.linkname, linked.mode = tarfile.LNKTYPE, "pair/one", 0o640
        built = self.build("""FROM kit AS one
COPY big /x/big
COPY big /again
COPY --chown=5:6 big /owned
COPY pair /pair
COPY a/same b/same /second/
COPY a/same c/same /empty/
ADD big /x/
FROM kit
WORKDIR /w
COPY --from=one /x/big from-stage
COPY . all/
COPY big ./
""", {"big": BIG, "own": None, "own/large": OTHER, "a/same": BIG, "b/same": OTHER, "c/same": b"", "pair/one": OTHER, "pair/two": linked}, t="two")
        self.assertEqual(built.error, None)
        plain = ("1 0:0 644 1700000000", digest(BIG))
        other = ("1 0:0 644 1700000000", digest(OTHER))
        shown = self.shown("two", "/w/from-stage", "/w/big", "/w/all/big", "/w/all/a/same", "/w/all/b/same",
                           "/w/all/c/same", "/w/all/pair/one", "/w/all/own/large")
        self.assertEqual(shown, {
            "/w/from-stage": plain, "/w/big": plain, "/w/all/big": plain, "/w/all/a/same": plain, "/w/all/b/same": other,
            "/w/all/c/same": ("1 0:0 644 1700000000", digest(b"")), "/w/all/pair/one": ("2 0:0 640 1700000000", digest(OTHER)),
            "/w/all/own/large": other})
        self.check_layers("two")
        done = self.cli("run", "--rm", "--network", "none", "--entrypoint", "/bin/stat", "two", "-c", "%Y", "/w/all/own")
        self.assertEqual(done.stdout, b"1700000000\n", "the directory of a large file")
        one = self.build(None, {"big": BIG, "own": None, "own/large": OTHER, "a/same": BIG, "b/same": OTHER, "c/same": b"", "pair/one": OTHER, "pair/two": linked,
                                "Dockerfile": "FROM kit AS one\nCOPY big /x/big\nCOPY big /again\nCOPY --chown=5:6 big /owned\n"
                                "COPY pair /pair\nCOPY a/same b/same /second/\nCOPY a/same c/same /empty/\nADD big /x/\n"}, t="one")
        self.assertIn("Using cache", one.text)
        shown = self.shown("one", "/x/big", "/again", "/owned", "/pair/two", "/second/same", "/empty/same")
        self.assertEqual(shown, {
            "/x/big": plain, "/again": plain, "/owned": ("1 5:6 644 1700000000", digest(BIG)),
            "/pair/two": ("2 0:0 640 1700000000", digest(OTHER)), "/second/same": other,
            "/empty/same": ("1 0:0 644 1700000000", digest(b""))})
        self.check_layers("one")

    def test_modes_and_owners_of_the_context(self):
        tool = tarfile.TarInfo("tool")
        tool.mode, tool.uid, tool.gid, tool.size, tool.mtime = 0o4755, 7, 8, len(BIG), 1700000000.5
        out = io.BytesIO(context({"Dockerfile": "FROM kit\nCOPY tool /tool\nCOPY tool /dir/\n"}))
        with tarfile.open(fileobj=out, mode="a", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(tool, io.BytesIO(BIG))
        self.assertEqual(self.build(None, body=out.getvalue(), t="modes").error, None)
        # What is root's after a change of owner is no program that sets the user any more.
        wanted = ("1 0:0 755 1700000000", digest(BIG))
        self.assertEqual(self.shown("modes", "/tool", "/dir/tool"), {"/tool": wanted, "/dir/tool": wanted})
        self.check_layers("modes")

    def test_stages_at_once_take_the_same_file(self):
        stages = "".join("FROM kit AS s%d\nCOPY big /s%d\n" % (number, number) for number in range(4))
        last = "FROM kit\n" + "".join("COPY --from=s%d /s%d /\n" % (number, number) for number in range(4))
        self.assertEqual(self.build(stages + last, {"big": BIG}, t="stages").error, None)
        wanted = ("1 0:0 644 1700000000", digest(BIG))
        paths = ["/s%d" % number for number in range(4)]
        self.assertEqual(self.shown("stages", *paths), dict.fromkeys(paths, wanted))
        # Each stage's layer has a file of its own.
        inodes = set()
        for number in range(4):
            self.assertEqual(self.build(stages, {"big": BIG}, t="s", target="s%d" % number).error, None)
            with self.daemon.client() as connection:
                upper = connection.get("/images/s/json")["GraphDriver"]["Data"]["UpperDir"]
            info = os.stat(upper + "/s%d" % number)
            self.assertEqual((info.st_nlink, info.st_size), (1, len(BIG)))
            inodes.add(info.st_ino)
        self.assertEqual(len(inodes), 4)


if __name__ == "__main__":
    main()
