"""Builds by POST /build, and what the client is told meanwhile."""
import io
import json
import os
import re
import stat
import tarfile
import urllib.parse

from testcase import DaemonTestCase


def context(files, **more):
    """A tar of {name: content}: bytes or text, None for a directory, a TarInfo for anything else."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=more.get("mode", "w"), format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b""
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif not isinstance(content, tarfile.TarInfo):
                data = content.encode() if isinstance(content, str) else content
                info.size, info.mode = len(data), 0o644
            info.mtime = more.get("mtime", 1700000000)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Build:
    """One build: its answer's status, and the messages of its stream."""

    def __init__(self, answer):
        self.status = answer.status
        self.body = answer.body.decode()
        self.messages = []
        if self.status == 200:
            self.messages = [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def text(self):
        return "".join(message.get("stream", "") for message in self.messages)

    @property
    def aux(self):
        return [message["aux"]["ID"] for message in self.messages if "aux" in message]

    @property
    def error(self):
        """The error's detail, whether it came as an answer or within the stream."""
        if self.status != 200:
            return {"status": self.status, "message": json.loads(self.body)["message"]}
        return self.messages[-1].get("errorDetail") if self.messages else None

    @property
    def log(self):
        """The text with ids and sums replaced: they differ from run to run, but repeat alike."""
        return normal(self.text)


def normal(text):
    """Short ids as <1>, <2>, in the order they first come; sums as <sum>."""
    text = re.sub(r"\b(file|dir|multi):[0-9a-f]{64}", r"\1:<sum>", text)
    numbers = {}
    return re.sub(r"\b[0-9a-f]{12}\b", lambda found: "<%d>" % numbers.setdefault(found[0], len(numbers) + 1), text)


def layers(image):
    """The folders of an image's layers, the highest first, by what inspect says."""
    data = image["GraphDriver"]["Data"]
    return [data["UpperDir"]] + (data["LowerDir"].split(":") if data.get("LowerDir") else [])


def lines_of_tree(top):
    """What a layer's folder says: a line for each file; what removes something is "-"."""
    out = []
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            info, shown = os.lstat(path), "/" + os.path.relpath(path, top)
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                out.append("- " + shown)
                continue
            line = "%s %d:%d %s" % (stat.filemode(info.st_mode), info.st_uid, info.st_gid, shown)
            if stat.S_ISLNK(info.st_mode):
                line += " -> " + os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    data = file.read(200)
                line += " " + (repr(data.decode()) if info.st_size < 100 and data.isascii() else "(bytes)")
            elif stat.S_ISDIR(info.st_mode) and "trusted.overlay.opaque" in os.listxattr(path):
                line += " (replaced)"
            out.append(line)
    return out


class BuildTestCase(DaemonTestCase):
    """self.build(); images made by a test go with it."""

    def setUp(self):
        super().setUp()
        self.known = self.image_ids()

    def tearDown(self):
        self.remove_new_images()
        super().tearDown()

    def image_ids(self):
        with self.daemon.client() as connection:
            return {image["Id"] for image in connection.get("/images/json?all=1")}

    def remove_new_images(self):
        with self.daemon.client() as connection:
            for container in connection.get("/containers/json?all=1"):
                connection.request("DELETE", "/containers/%s?force=1&v=1" % container["Id"])
            while True:
                new = self.image_ids() - self.known
                for identity in new:
                    connection.request("DELETE", "/images/%s?force=1" % identity)
                if self.image_ids() - self.known in (set(), new):
                    break
        self.assertEqual(self.image_ids(), self.known, "images that nothing holds, and that do not go")

    def build(self, text, files=None, headers=(), body=None, **parameters):
        """POST /build of a Dockerfile's text and files; lists and maps among the parameters are sent as JSON but for t."""
        every = dict(files or {})
        if text is not None:
            every.setdefault("Dockerfile", text)
        query = []
        for name, value in parameters.items():
            if isinstance(value, (dict, list)) and name not in ("t", "extrahosts"):
                value = json.dumps(value)
            for one in value if isinstance(value, list) else [value]:
                query.append((name, str(int(one)) if isinstance(one, bool) else str(one)))
        with self.daemon.client(timeout=120) as connection:
            answer = connection.request("POST", "/v1.44/build?" + urllib.parse.urlencode(query),
                                        context(every) if body is None else body,
                                        headers=[("Content-Type", "application/x-tar")] + list(headers))
        return Build(answer)

    def config(self, image):
        """The image's own configuration."""
        with self.daemon.client() as connection:
            return connection.get("/images/%s/json" % image)["Config"]

    def history(self, image):
        with self.daemon.client() as connection:
            return [(entry["CreatedBy"], entry["Size"]) for entry in connection.get("/images/%s/history" % image)]
