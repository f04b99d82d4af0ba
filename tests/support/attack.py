"""What tests of hostile images and containers share: the canary, images made on the spot, quick runs by the API."""
import collections
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile

import image
import rawhttp
import testcase

# How often races are tried; a soak sets more.
ROUNDS = int(os.environ.get("DOCKERD_TEST_ROUNDS", "200"))

# How a run ended: the program's exit code and output, or what the daemon said instead of starting it.
Outcome = collections.namedtuple("Outcome", "code out error")


class Tree:
    """Entries of a tar, added to the test image or given alone."""

    def __init__(self):
        self.entries = {}

    def _add(self, name, kind, data=b"", mode=0o755, target="", owner=(0, 0)):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname = kind, mode, target
        info.uid, info.gid = owner
        info.size = len(data)
        self.entries[name] = (info, data)
        return self

    def link(self, name, target):
        return self._add(name, tarfile.SYMTYPE, target=target)

    def file(self, name, data=b"", mode=0o644, owner=(0, 0)):
        return self._add(name, tarfile.REGTYPE, data, mode, owner=owner)

    def folder(self, name, mode=0o755):
        return self._add(name, tarfile.DIRTYPE, mode=mode)

    def fifo(self, name):
        return self._add(name, tarfile.FIFOTYPE, mode=0o666)

    def tar(self, over=b""):
        """The entries as a tar, over those of another one of the same names and what lies below them."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as result:
            if over:
                with tarfile.open(fileobj=io.BytesIO(over)) as base:
                    for member in base:
                        parts = member.name.split("/")
                        above = {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
                        replaced = [self.entries[name][0] for name in above & set(self.entries)]
                        if member.name in self.entries or any(not entry.isdir() for entry in replaced):
                            continue
                        result.addfile(member, base.extractfile(member) if member.isreg() else None)
            for info, data in self.entries.values():
                result.addfile(info, io.BytesIO(data))
        return out.getvalue()


APPLETS = set("sh cp tail truncate env readlink cat echo ls head wc grep mkdir mv ln rm touch true sleep id stat mount umount sort".split())


def slim(tar):
    """The test image with a few applets only: quick to import many times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as result, \
            tarfile.open(fileobj=io.BytesIO(tar)) as base:
        for member in base:
            if not member.issym() or os.path.basename(member.name) in APPLETS:
                result.addfile(member, base.extractfile(member) if member.isreg() else None)
    return out.getvalue()


def tree_state(folder):
    """Everything that can be seen of a tree: names, kinds, modes, owners, times, contents."""
    out = {}
    for path, folders, files in os.walk(folder):
        for name in [""] + folders + files:
            full = os.path.join(path, name) if name else path
            info = os.lstat(full)
            text = b""
            if stat.S_ISREG(info.st_mode):
                with open(full, "rb") as file:
                    text = file.read()
            out[full] = (oct(info.st_mode), info.st_uid, info.st_gid, info.st_size, info.st_mtime_ns, text)
    return out


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class AttackTestCase(testcase.DaemonTestCase):
    """self.canary is a folder of the host that no container may see or change; each test checks it."""

    SECRET = "the host's secret"

    @classmethod
    def setUpClass(cls):
        cls.canary = tempfile.mkdtemp(prefix="dockerd-canary-")
        cls.addClassCleanup(shutil.rmtree, cls.canary)
        os.makedirs(cls.canary + "/pts")
        os.chmod(cls.canary, 0o755)
        with open(cls.canary + "/secret", "w") as file:
            file.write(cls.SECRET + "\n")
        os.chmod(cls.canary + "/secret", 0o600)
        cls.files = tempfile.mkdtemp(prefix="dockerd-attack-")  # sources of binds
        cls.addClassCleanup(shutil.rmtree, cls.files)
        cls.base_tar = slim(image.build_tar())
        cls.images = []
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.canary_before = tree_state(self.canary)

    def tearDown(self):
        self.daemon.remove_containers()
        with self.daemon.client() as client:
            while self.images:
                client.request("DELETE", "/images/%s?force=1" % self.images.pop())
            for volume in client.get("/volumes")["Volumes"] or []:
                client.request("DELETE", "/volumes/" + volume["Name"])
        super().tearDown()
        self.assertEqual(tree_state(self.canary), self.canary_before, "the host was changed")

    # -- images -----------------------------------------------------------
    def make_image(self, name, tree=None, changes=()):
        """The test image with the tree's entries over it and the changes (Dockerfile instructions) applied."""
        with self.daemon.client() as client:
            tar = tree.tar(self.base_tar) if tree else self.base_tar
            self.images.append(image.import_image(client, name + ":latest", tar, changes))
        return name

    def source(self, name, text=""):
        """A file of the host to be bound."""
        path = os.path.join(self.files, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    # -- containers -------------------------------------------------------
    def create(self, *command, image_name="kit", host=None, version=None, **config):
        """Creates a container without network unless told otherwise; its id."""
        settings = {"NetworkMode": "none"}
        settings.update(host or {})
        body = dict(Image=image_name, HostConfig=settings, **config)
        if command:
            body["Cmd"] = list(command)
        with self.daemon.client(version) as client:
            return client.post("/containers/create", body)["Id"]

    def put(self, container, tree, path="/"):
        """Plants the entries in a container, running or not."""
        with self.daemon.client() as client:
            client.call("PUT", "/containers/%s/archive?path=%s" % (container, path), tree.tar())

    def start(self, container):
        """None, or what the daemon says."""
        with self.daemon.client() as client:
            answer = client.request("POST", "/containers/%s/start" % container)
        return None if answer.status == 204 else answer.message()

    def logs(self, container):
        """What a container has printed until now."""
        with self.daemon.client() as client:
            data = client.get("/containers/%s/logs?stdout=1&stderr=1" % container)
            tty = client.get("/containers/%s/json" % container)["Config"]["Tty"]
        out = data if tty else b"".join(part for _, part in rawhttp.frames(data or b""))
        return out.decode(errors="replace")

    def finish(self, container):
        """Waits for the end of a started container: exit code and output."""
        with self.daemon.client() as client:
            code = client.post("/containers/%s/wait" % container)["StatusCode"]
        return Outcome(code, self.logs(container), None)

    def remove(self, container):
        with self.daemon.client() as client:
            client.request("DELETE", "/containers/%s?force=1&v=1" % container)

    def go(self, container):
        """Starts, waits, removes."""
        error = self.start(container)
        outcome = Outcome(None, "", error) if error else self.finish(container)
        self.remove(container)
        return outcome

    def try_run(self, *command, **how):
        """A whole run; a refused create counts as a refused start."""
        try:
            container = self.create(*command, **how)
        except rawhttp.HttpError as error:
            return Outcome(None, "", str(error))
        return self.go(container)

    def shell(self, script, **how):
        return self.try_run("sh", "-c", script, **how)

    def output(self, script, **how):
        """What a script prints that has to succeed."""
        outcome = self.shell(script, **how)
        self.assertEqual((outcome.code, outcome.error), (0, None), outcome.out)
        return outcome.out

    def background(self, *command, **how):
        """A container whose program has printed "ready"; its id."""
        container = self.create(*command, **how)
        self.assertIsNone(self.start(container))
        with self.daemon.client() as client:
            client.send("GET", "/containers/%s/logs?stdout=1&follow=1" % container)
            response = client.head()
            seen = b""
            for chunk in client.chunks(response):
                seen += chunk
                if b"ready" in seen:
                    break
            else:
                self.fail("the background program ended: %r" % seen)
            client.close()
        return container

    def end(self, container):
        """Ends a background program by SIGTERM and returns all it has printed."""
        with self.daemon.client() as client:
            client.request("POST", "/containers/%s/kill?signal=TERM" % container)
        return self.finish(container).out

    def execute(self, container, *command, **config):
        """An exec to its end: Outcome."""
        with self.daemon.client() as client:
            body = dict(AttachStdout=True, AttachStderr=True, Cmd=list(command), **config)
            answer = client.request("POST", "/containers/%s/exec" % container, body)
            if answer.status != 201:
                return Outcome(None, "", answer.message())
            made = answer.json()["Id"]
            head = client.hijack("/exec/%s/start" % made, {"Detach": False, "Tty": False})
            if head.status not in (101, 200):
                return Outcome(None, "", b"".join(client.chunks(head)).decode())
            data = client.read_to_end()
        out = b"".join(part for _, part in rawhttp.frames(data)).decode(errors="replace")
        with self.daemon.client() as client:
            return Outcome(client.get("/exec/%s/json" % made)["ExitCode"], out, None)
