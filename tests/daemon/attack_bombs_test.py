"""Archives that grow a thousandfold when they are unpacked: what they cost is disk, never memory.

DOCKERD_BOMB_MIB says how much they have in them, 256 by default; 8192 makes eight MiB of gzip.
"""
import gzip
import hashlib
import json
import os
import tarfile
import threading
import urllib.parse
import zlib

import support  # noqa: F401  (makes tests/support importable)

import registrydouble as double
from registrycase import RegistryTestCase
from testcase import main

MIB = 1 << 20
SIZE = int(os.environ.get("DOCKERD_BOMB_MIB", "256")) * MIB
PIECE = 64 * MIB
LIMIT = 64  # MiB above idle, of the daemon and its workers together


class Bomb:
    """A tar with one file of zeros, packed, and the digest of what is in it."""

    def __init__(self):
        info = tarfile.TarInfo("zeros")
        info.size, info.mtime, info.mode = SIZE, 1700000000, 0o644
        head, end = info.tobuf(tarfile.GNU_FORMAT), bytes(2 * 512)
        piece = bytes(PIECE)
        packed = zlib.compressobj(9, zlib.DEFLATED, 31)
        member = packed.compress(piece) + packed.flush()
        # gzip allows several members behind each other.
        self.packed = gzip.compress(head) + member * (SIZE // PIECE) + gzip.compress(end)
        plain = hashlib.sha256(head)
        for _ in range(SIZE // PIECE):
            plain.update(piece)
        plain.update(end)
        self.digest = "sha256:" + plain.hexdigest()


class Memory(threading.Thread):
    """The most that a daemon and its workers have at one time, in MiB, looked at every few milliseconds."""

    def __init__(self, pid):
        super().__init__()
        self.pid, self.most, self.ended = pid, 0, threading.Event()
        self.looks, self.seen = 0, set()

    def now(self):
        total, todo = 0, [self.pid]
        while todo:
            pid = todo.pop()
            try:
                with open("/proc/%d/status" % pid) as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon:", "RssShmem:")))
                self.seen.add(pid)
                for task in os.listdir("/proc/%d/task" % pid):
                    with open("/proc/%d/task/%s/children" % (pid, task)) as file:
                        todo += [int(child) for child in file.read().split()]
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has just ended
        return total / 1024

    def run(self):
        while not self.ended.wait(0.005):
            self.most = max(self.most, self.now())
            self.looks += 1


class Bombs(RegistryTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bomb = Bomb()

    def measured(self, work):
        memory = Memory(self.daemon.pid)
        idle, at_rest = memory.now(), set(memory.seen)
        memory.start()
        try:
            work()
        finally:
            memory.ended.set()
            memory.join()
        print("%s: %.1f MiB above idle, in %d looks" % (self.id().rpartition(".")[2], memory.most - idle, memory.looks))
        # What was not looked at proves nothing: many times while it worked, at the daemon and at those who unpacked.
        self.assertGreaterEqual(memory.looks, 5)
        self.assertIn(self.daemon.pid, at_rest)
        self.assertTrue(memory.seen - at_rest, "no worker was seen")
        self.assertGreater(min(idle, memory.most), 0)
        self.assertLess(memory.most - idle, LIMIT)

    def image(self):
        """An image whose one layer is the bomb."""
        image = double.Image([])
        config = json.loads(image.config)
        config["rootfs"]["diff_ids"] = [self.bomb.digest]
        config["history"] = [{"created_by": "bomb"}]
        image.config = json.dumps(config).encode()
        image.id = double.digest(image.config)
        image.blobs = [self.bomb.packed]
        image.document["config"].update(digest=image.id, size=len(image.config))
        image.document["layers"] = [{"mediaType": double.LAYER, "size": len(self.bomb.packed),
                                     "digest": double.digest(self.bomb.packed)}]
        image.seal()
        return image

    def post(self, path, body=None, headers=()):
        with self.daemon.client(timeout=600) as api:
            answer = api.request("POST", path, body, headers=list(headers))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertNotIn(b'"error"', answer.body)
        return answer

    def assertUnpacked(self, name):
        self.assertEqual(self.inspect(name)["Size"] - self.inspect("kit:latest")["Size"] * name.startswith("built"), SIZE)

    def test_pull(self):
        self.registry.add("tests/bomb", self.image())
        name = self.registry.name + "/tests/bomb"
        self.measured(lambda: self.assertIsNone(self.pull(name).message))
        self.assertUnpacked(name)

    def test_load(self):
        image = self.image()
        archive = double.tar_of({
            "layer.tar": self.bomb.packed, "config.json": image.config, "manifest.json": json.dumps([
                {"Config": "config.json", "RepoTags": ["bomb:load"], "Layers": ["layer.tar"]}]).encode()})
        self.measured(lambda: self.post("/images/load?quiet=1", archive))
        self.assertUnpacked("bomb:load")

    def test_import(self):
        self.measured(lambda: self.post("/images/create?fromSrc=-&repo=bomb&tag=import", self.bomb.packed))
        self.assertUnpacked("bomb:import")

    def test_add_of_a_build(self):
        context = double.tar_of({"Dockerfile": b"FROM kit\nADD bomb.tar.gz /\n", "bomb.tar.gz": self.bomb.packed})
        self.measured(lambda: self.post("/build?t=built:bomb&version=1", context,
                                        [("Content-Type", "application/x-tar")]))
        self.assertUnpacked("built:bomb")

    def test_context_of_a_build(self):
        """Packed as a whole, with the Dockerfile before the zeros."""
        dockerfile = b"FROM kit\nLABEL of=bomb\n"
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        head = info.tobuf() + dockerfile + bytes(512 - len(dockerfile))
        self.measured(lambda: self.post("/build?t=built:context&version=1", gzip.compress(head) + self.bomb.packed,
                                        [("Content-Type", "application/x-tar")]))

    def test_copy(self):
        with self.daemon.client(timeout=600) as api:
            made = api.post("/containers/create", {"Image": "kit"})["Id"]
            path = "/containers/%s/archive?%s" % (made, urllib.parse.urlencode({"path": "/"}))

            def put():
                answer = api.request("PUT", path, self.bomb.packed, headers=[("Content-Type", "application/x-tar")])
                self.assertEqual((answer.status, answer.body), (200, b""))
            self.measured(put)
            self.assertEqual(api.get("/containers/%s/json?size=1" % made)["SizeRw"], SIZE)
            api.delete("/containers/%s?force=1" % made)


if __name__ == "__main__":
    main()
