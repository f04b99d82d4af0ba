"""One file of a data root is damaged: the daemon starts, only what the file holds is missing, nothing outside is touched.

DOCKERD_DAMAGED_ROOTS says how many roots (40), DOCKERD_SEED repeats a run; the seed is printed.
"""
import os
import random
import shutil
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import daemon
import image
import reports
import testcase

ROOTS = int(os.environ.get("DOCKERD_DAMAGED_ROOTS", "40"))
SEED = int(os.environ.get("DOCKERD_SEED", time.time_ns() % 1000000))
HUGE = 8 << 30
START = 10  # seconds: what hangs does not come at all


def content(path):
    """What programs put there: no engine looks at it before a container does."""
    return "/diff/" in path or "/_data/" in path


class Damage:
    """Ways to spoil a file; each gets its path, and a canary outside the root with the same bytes."""

    def __init__(self, dice):
        self.dice = dice

    def truncated(self, path, canary):
        os.truncate(path, self.dice.randrange(max(1, os.path.getsize(path))))

    def flipped(self, path, canary):
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            for _ in range(self.dice.choice((1, 1, 4, 64))):
                if data:
                    data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
            file.seek(0)
            file.write(data)

    def noise(self, path, canary):
        with open(path, "wb") as file:
            file.write(self.dice.randbytes(self.dice.choice((1, 100, 5000))))

    def directory(self, path, canary):
        os.unlink(path)
        os.mkdir(path)

    def full_directory(self, path, canary):
        self.directory(path, canary)
        shutil.copy(canary, path + "/inside")

    def symlink(self, path, canary):
        os.unlink(path)
        os.symlink(canary, path)

    def fifo(self, path, canary):
        os.unlink(path)
        os.mkfifo(path)

    def huge(self, path, canary):
        os.truncate(path, HUGE)

    def gone(self, path, canary):
        os.unlink(path)

    KINDS = ("truncated", "flipped", "flipped", "noise", "directory", "full_directory", "symlink", "fifo", "huge", "gone")


class DamagedRoots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        testcase.require(os.geteuid() == 0, "not root")
        cls.daemon = daemon.Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        cls.fill()
        cls.before = cls.found()
        cls.daemon.stop()
        cls.template = cls.daemon.base + "/template"
        os.rename(cls.daemon.root, cls.template)
        done = subprocess.run([cls.daemon.binary, "--check-data-root", "--data-root", cls.template], text=True,
                              stdout=subprocess.PIPE)
        assert (done.returncode, done.stdout) == (
            0, cls.template + ": 2 images, 2 layers, 2 containers, 2 volumes, 5 networks\nNo problems found.\n"), done
        cls.files = sorted(os.path.relpath(os.path.join(folder, name), cls.template)
                           for folder, _, names in os.walk(cls.template) for name in names)
        cls.files = [path for path in cls.files if not content(path) and
                     stat.S_ISREG(os.lstat(cls.template + "/" + path).st_mode)]

    @classmethod
    def fill(cls):
        """Two images on one layer, one of them with another; two of everything else."""
        with cls.daemon.client() as api:
            image.import_image(api, "small:latest", image.build_tar(busybox="/bin/true"), ['CMD ["/payload","pause"]'])
            for name in ("one", "two"):
                api.post("/volumes/create", {"Name": "vol-" + name, "Labels": {"k": name}})
                api.post("/networks/create", {"Name": "net-" + name})
                api.post("/containers/create?name=" + name, {
                    "Image": "small", "Cmd": ["/payload", "echo", "hello"], "HostConfig": {
                        "Binds": ["vol-%s:/vol" % name], "NetworkMode": "net-" + name}})
            api.post("/containers/two/start")
            api.post("/containers/two/wait")
            api.post("/commit?container=two&repo=committed", {})

    @classmethod
    def found(cls, damaged=()):
        """Every object by kind and name, as far as inspect knows it; logs but of containers that are damaged."""
        with cls.daemon.client(timeout=START) as api:
            names = {"image": {}, "container": {}, "volume": set(), "network": set()}
            for one in api.get("/images/json?all=1"):
                api.get("/images/%s/json" % one["Id"])
                api.get("/images/%s/history" % one["Id"])
                names["image"][one["Id"]] = set(one["RepoTags"])
            for one in api.get("/containers/json?all=1"):
                api.get("/containers/%s/json" % one["Id"])
                if one["Id"] not in damaged:
                    logs = api.request("GET", "/containers/%s/logs?stdout=1" % one["Id"])
                    if one["Names"] == ["/two"]:
                        assert logs.body[8:] == b"hello\n", logs.body
                names["container"][one["Id"]] = one["Names"][0]
            names["volume"] = {one["Name"] for one in api.get("/volumes")["Volumes"]}
            names["network"] = {one["Name"] for one in api.get("/networks")}
            return names

    def may_miss(self, path):
        """The kinds of objects that the file holds, or which cannot be without it: {kind: names or None for any}."""
        parts = path.split("/")
        if parts[0] == "containers":
            return {"container": {parts[1]}}
        if path.startswith("image/overlay2/layerdb/mounts/"):
            return {"container": {parts[4]}}
        if path.startswith("image/overlay2/layerdb/sha256/"):
            return {"image": None, "container": None}
        if path.startswith("image/overlay2/imagedb/"):
            return {"image": {"sha256:" + parts[5]}}
        if path.startswith("image/overlay2/repositories"):
            return {"tags": None}
        if path == "network/files/local-kv.db":
            return {"network": None}
        if parts[0] == "volumes" and len(parts) > 2:
            return {"volume": {parts[1]}}
        return {}

    def look(self, path, kind):
        """--check-data-root sees what an engine would lose."""
        done = subprocess.run([self.daemon.binary, "--check-data-root", "--data-root", self.daemon.root], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START * reports.PATIENCE)
        needed = path.startswith("image/overlay2/imagedb/content/") or path.split("/")[-1] in (
            "diff", "cache-id", "mount-id", "config.v2.json", "link", "metadata.db", "local-kv.db")
        # One bit may fall on what says nothing; what is gone is a network or volume that was never there.
        expected = (1,) if needed and kind not in ("flipped", "gone", "truncated") else (0, 1)
        self.assertIn(done.returncode, expected, done.stdout)
        self.assertIn("problem: " if done.returncode else "No problems found.", done.stdout)

    def check(self, path):
        may = self.may_miss(path)
        after = self.found(may.get("container") or ())
        for kind, before in self.before.items():
            missing = set(before) - set(after[kind])
            if kind in may and may[kind] is None:
                continue
            self.assertLessEqual(missing, may.get(kind, set()), kind)
            if kind == "image" and "tags" not in may:
                for name, tags in after["image"].items():
                    self.assertEqual(tags, before[name])
        self.assertLessEqual({"bridge", "host", "none"}, after["network"])
        # Where its layer lies is needed when a container starts only.
        self.use(after, whole=not may and not path.startswith("overlay2/"))

    def use(self, after, whole):
        """What is whole works; what is not can be removed."""
        with self.daemon.client(timeout=START) as api:
            for id, name in after["container"].items():
                if whole:
                    api.post("/containers/%s/start" % id)
                    self.assertEqual(api.post("/containers/%s/wait" % id)["StatusCode"], 0, name)
                api.delete("/containers/%s?force=1" % id)
            api.post("/volumes/create", {"Name": "added"})
            api.post("/networks/create", {"Name": "added"})
            for name in after["volume"]:
                api.delete("/volumes/" + name)
            for name in after["network"] - {"bridge", "host", "none"}:
                api.delete("/networks/" + name)
            for id in after["image"]:
                api.request("DELETE", "/images/%s?force=1" % id)
            self.assertEqual(api.get("/images/json?all=1"), [])

    def one(self, dice):
        path, kind = dice.choice(self.files), dice.choice(Damage.KINDS)
        with self.subTest(path=path, kind=kind):
            subprocess.run(["cp", "-a", self.template, self.daemon.root], check=True)
            canary = self.daemon.base + "/canary"
            shutil.copy2(self.template + "/" + path, canary)
            before = os.stat(canary)
            getattr(Damage(dice), kind)(self.daemon.root + "/" + path, canary)
            open(self.daemon.log_path, "w").close()
            try:
                try:
                    self.look(path, kind)
                    self.daemon.start(timeout=START)
                    self.check(path)
                except Exception as error:  # with what the daemon says of it
                    self.fail("%s: %s\n%s" % (type(error).__name__, error, self.daemon.log_tail(15)))
                after = os.stat(canary)
                self.assertEqual((after.st_mtime_ns, after.st_size, after.st_mode, after.st_nlink),
                                 (before.st_mtime_ns, before.st_size, before.st_mode, before.st_nlink), "the canary")
            finally:
                if self.daemon.process:
                    try:
                        self.daemon.stop(timeout=START)
                    except subprocess.TimeoutExpired:
                        pass
                daemon.unmount_below(self.daemon.root)
                self.remove_bridges()
                subprocess.run(["rm", "-rf", self.daemon.root, canary], check=True)

    def remove_bridges(self):
        """Those of networks that a damaged root has forgotten: their routes would keep addresses taken."""
        shown = subprocess.run(["ip", "-o", "link", "show", "type", "bridge"], stdout=subprocess.PIPE, text=True,
                               preexec_fn=self.daemon.enter_net, check=True).stdout
        for line in shown.splitlines():
            name = line.split(": ")[1]
            if name.startswith("br-"):
                subprocess.run(["ip", "link", "delete", name], preexec_fn=self.daemon.enter_net, check=True)

    def test_damaged_roots(self):
        print("seed", SEED, "roots", ROOTS, file=sys.stderr)
        dice = random.Random(SEED)
        for _ in range(ROOTS):
            self.one(dice)


if __name__ == "__main__":
    testcase.main()
