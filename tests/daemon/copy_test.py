"""docker cp both ways and docker export: what is copied, what is refused, and that nothing outside is ever touched."""
import base64
import contextlib
import ctypes
import gzip
import hashlib
import io
import json
import os
import socket
import stat
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest
import zlib
from urllib.parse import quote

import support  # noqa: F401  (makes tests/support importable)

import rawhttp
from daemon import wait_for
from testcase import DaemonTestCase, main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
HOSTILE_SECONDS = float(os.environ.get("DOCKERD_TEST_HOSTILE_SECONDS", "4"))
RENAME_EXCHANGE = 2
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """Swaps two names in one step."""
    if libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def member(name, data=b"", kind=tarfile.REGTYPE, target="", mode=0o644, owner=(0, 0), pax=None, device=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size, info.mtime = kind, target, mode, len(data), 1500000000
    info.uid, info.gid = owner
    info.devmajor, info.devminor = device
    info.pax_headers = dict(pax or {})
    return info, data


def tar_of(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def listing(data):
    """name -> TarInfo, in the order of the archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: info for info in tar}


def raw_names(data):
    """Names as they are written: tarfile takes trailing slashes away."""
    names, at = [], 0
    while data[at:at + 1] not in (b"", b"\0"):
        size = int(data[at + 124:at + 135].rstrip(b"\0 ") or b"0", 8)
        names.append(data[at:at + 100].rstrip(b"\0").decode())
        at += 512 + (size + 511) // 512 * 512
    return names


class CopyTest(DaemonTestCase):
    """Shorthands for the archive routes."""

    def setUp(self):
        super().setUp()
        self.work = tempfile.mkdtemp(dir=self.daemon.base)

    def tearDown(self):
        subprocess.run(["rm", "-rf", self.work], check=True)
        super().tearDown()

    def path(self, name):
        return self.work + "/" + name

    def write(self, name, data=b"", mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(data)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def create(self, name="box", **config):
        host = config.pop("host", {})
        host.setdefault("NetworkMode", "none")
        body = dict(dict(Image="kit", Cmd=["/payload", "pause"], HostConfig=host), **config)
        with self.daemon.client() as client:
            return client.post("/containers/create?name=" + name, body)["Id"]

    def start(self, name="box"):
        with self.daemon.client() as client:
            client.post("/containers/%s/start" % name)

    def box(self, name="box", **config):
        """A running container."""
        made = self.create(name, **config)
        self.start(name)
        return made

    def shell(self, command, name="box"):
        """Runs a command in a running container; its output."""
        done = self.cli("exec", name, "/bin/sh", "-c", command)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def ask(self, method, path, body=None, headers=(), name="box", query=""):
        with self.daemon.client() as client:
            return client.request(method, "/containers/%s/archive?path=%s%s" % (name, quote(path), query), body, headers)

    def get(self, path, **more):
        answer = self.ask("GET", path, **more)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.body

    def put(self, path, *members, status=200, **more):
        answer = self.ask("PUT", path, tar_of(*members), **more)
        self.assertEqual(answer.status, status, answer.body)
        return answer.message() if status != 200 else None

    def stat_of(self, path, name="box"):
        answer = self.ask("HEAD", path, name=name)
        self.assertEqual(answer.status, 200)
        return json.loads(base64.b64decode(answer.header("X-Docker-Container-Path-Stat")))

    def refused(self, method, path, status, message, **more):
        answer = self.ask(method, path, **more)
        self.assertEqual((answer.status, answer.message()), (status, message))


class CommandLine(CopyTest):
    """The real CLI."""

    def test_a_file_goes_in_and_comes_out_as_it_was(self):
        self.box()
        source = self.write("in", b"some bytes\n")
        os.chown(source, 1234, 2345)
        os.chmod(source, 0o4751)
        os.utime(source, (1400000000, 1400000000))
        self.assertCli(0, "cp", source, "box:/data/new")
        self.assertEqual(self.shell("stat -c '%a %u:%g %Y %s' /data/new && cat /data/new"),
                         "4751 1234:2345 1400000000 11\nsome bytes\n")
        self.assertCli(0, "cp", "box:/data/new", self.path("out"))
        info = os.stat(self.path("out"))
        self.assertEqual((stat.S_IMODE(info.st_mode), info.st_mtime, info.st_size), (0o4751, 1400000000, 11))
        # An existing file is replaced, one in a directory is added.
        self.write("in", b"other\n")
        self.assertCli(0, "cp", source, "box:/data/new")
        self.assertCli(0, "cp", source, "box:/data/")
        self.assertEqual(self.shell("cat /data/new /data/in"), "other\nother\n")

    def test_directories_follow_the_rules_of_cp(self):
        self.box()
        self.write("tree/a/b", b"deep")
        self.write("tree/top", b"top")
        self.assertCli(0, "cp", self.path("tree"), "box:/data")       # into an existing one
        self.assertCli(0, "cp", self.path("tree"), "box:/data/made")  # as a new one
        self.assertCli(0, "cp", self.path("tree/."), "box:/home")     # only what is in it
        self.assertEqual(self.shell("cat /data/tree/a/b /data/made/top /home/a/b"), "deeptopdeep")
        self.assertCli(0, "cp", "box:/data/tree", self.path("out"))
        self.assertCli(0, "cp", "box:/data/tree/.", self.path("out"))
        self.assertCli(0, "cp", "box:/data/tree", self.path("out"))
        found = subprocess.run(["find", ".", "-type", "f"], cwd=self.path("out"), stdout=subprocess.PIPE, check=True)
        self.assertEqual(sorted(found.stdout.decode().split()), ["./a/b", "./top", "./tree/a/b", "./tree/top"])
        for source, target, message in [("tree", "/data/seed", "cannot copy directory\n"),
                                        ("tree/top", "/data/none/", "no such directory\n")]:
            done = self.assertCli(1, "cp", self.path(source), "box:" + target)
            # What the CLI logs of its own pipe may stand before or behind it.
            self.assertIn(message, done.stderr.decode().splitlines(keepends=True))
        done = self.assertCli(1, "cp", "box:/none", self.path("x"))
        # The second ones are what Debian's older CLI makes of a 404, whatever the daemon said.
        self.assertIn(done.stderr.decode(), ("Error response from daemon: Could not find the file /none in container box\n",
                                             "Error: No such container:path: box:/none\n"))
        done = self.assertCli(1, "cp", self.path("tree/top"), "none:/x")
        # The daemon answers before the body has come: here too the CLI may log what became of its own pipe.
        said = [line for line in done.stderr.decode().splitlines() if "io: read/write on closed pipe" not in line]
        self.assertIn(said, (["Error response from daemon: No such container: none"],
                             ["Error: No such container:path: none:/"]))

    def test_every_state_of_a_container(self):
        source = self.write("in", b"hello")
        made = self.create()
        self.assertCli(0, "cp", source, "box:/data/created")
        self.start()
        self.assertEqual(self.shell("cat /data/created"), "hello")
        self.assertCli(0, "cp", source, "box:/data/running")
        self.assertCli(0, "pause", "box")
        self.assertCli(0, "cp", source, "box:/data/paused")
        self.assertCli(0, "cp", "box:/data/running", self.path("running"))
        self.assertCli(0, "unpause", "box")
        self.assertEqual(self.shell("cat /data/running /data/paused"), "hellohello")
        self.assertCli(0, "kill", "box")
        self.assertCli(0, "cp", source, "box:/data/stopped")
        self.assertCli(0, "cp", made[:12] + ":/data", self.path("data"))
        self.assertEqual(sorted(os.listdir(self.path("data"))),
                         ["created", "owned", "paused", "running", "seed", "stopped"])
        self.start()
        self.assertEqual(self.shell("cat /data/stopped"), "hello")

    def test_archive_mode_and_standard_streams(self):
        self.box(User="alice:extra")
        source = self.write("in", b"x")
        self.assertCli(0, "cp", "-a", source, "box:/data/a")
        self.assertEqual(self.shell("stat -c %u:%g /data/a"), "1000:2000\n")
        done = self.assertCli(0, "cp", "box:/data/seed", "-")
        self.assertEqual(list(listing(done.stdout)), ["seed"])
        self.assertCli(0, "cp", "-", "box:/data", stdin=tar_of(member("streamed", b"1")))
        self.assertEqual(self.shell("cat /data/streamed"), "1")

    def test_links_are_followed_when_asked(self):
        self.box()
        self.shell("cd /tmp && ln -s /data/seed one && ln -s one two && ln -s /data dir")
        self.assertCli(0, "cp", "box:/tmp/two", self.path("link"))
        self.assertEqual(os.readlink(self.path("link")), "one")
        self.assertCli(0, "cp", "-L", "box:/tmp/two", self.path("file"))
        with open(self.path("file")) as file:
            self.assertEqual(file.read(), "from the image\n")
        self.assertCli(0, "cp", "box:/tmp/dir/", self.path("dir"))
        self.assertEqual(sorted(os.listdir(self.path("dir"))), ["owned", "seed"])
        # A destination that is a link is followed always.
        self.assertCli(0, "cp", self.write("in", b"x"), "box:/tmp/dir")
        self.assertEqual(self.shell("cat /data/in"), "x")

    def test_large_files(self):
        self.box()
        digest = hashlib.sha256()
        with open(self.path("big"), "wb") as file:
            for i in range(64):
                block = os.urandom(1 << 20)
                digest.update(block)
                file.write(block)
        self.assertCli(0, "cp", self.path("big"), "box:/data/big")
        self.assertEqual(self.shell("sha256sum /data/big").split()[0], digest.hexdigest())
        self.assertCli(0, "cp", "box:/data/big", self.path("back"))
        with open(self.path("back"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest.hexdigest())

    def test_export_is_the_root_file_system_without_its_mounts(self):
        self.box(host={"NetworkMode": "none", "Binds": [self.work + ":/data"], "Tmpfs": {"/tmp": ""}})
        self.shell("echo changed > /etc/new; echo hidden > /tmp/x; echo bound > /data/y; rm /etc/not-executable")
        done = self.assertCli(0, "export", "box")
        found = listing(done.stdout)
        self.assertEqual(found["etc/new"].size, 8)
        self.assertNotIn("tmp/x", found)
        self.assertNotIn("data/y", found)
        self.assertIn("data/seed", found)
        self.assertNotIn("etc/not-executable", found)
        self.assertEqual(found["data/owned"].uid, 1000)
        self.assertEqual(found["etc/hosts"].size, 0)
        self.assertEqual(sorted(raw_names(done.stdout)), raw_names(done.stdout))
        self.assertEqual(raw_names(done.stdout)[0], ".dockerenv")
        self.assertCli(0, "export", "-o", self.path("out.tar"), "box")
        self.assertEqual(os.path.getsize(self.path("out.tar")), len(done.stdout))
        done = self.assertCli(1, "export", "none")
        self.assertIn("No such container: none", done.stderr.decode())


class Interface(CopyTest):
    """Statuses, headers, texts, options."""

    def test_the_stat_header_says_what_lstat_says(self):
        self.box()
        self.shell("cd /tmp && mkdir -m 1777 dir && mkfifo -m 600 fifo && mknod null c 1 3 && touch set && "
                   "chmod 6755 set && ln -s nowhere broken && ln -s ../tmp/dir link && ln -s '<&>' odd && "
                   "touch -d @1500000000 set && chmod 644 null")
        self.assertEqual(self.stat_of("/tmp/set"), {"name": "set", "size": 0, "mode": 0o755 | 1 << 23 | 1 << 22,
                                                    "mtime": "2017-07-14T02:40:00Z", "linkTarget": ""})
        self.assertEqual(self.stat_of("/tmp/dir")["mode"], 0o777 | 1 << 31 | 1 << 20)
        self.assertEqual(self.stat_of("/tmp/fifo")["mode"], 0o600 | 1 << 25)
        self.assertEqual(self.stat_of("/tmp/null")["mode"], 0o644 | 1 << 26 | 1 << 21)
        link = self.stat_of("/tmp/link")
        self.assertEqual((link["name"], link["mode"], link["linkTarget"]), ("link", 0o777 | 1 << 27, "/tmp/dir"))
        self.assertEqual(self.stat_of("/tmp/broken")["linkTarget"], "/tmp/nowhere")
        self.assertEqual(self.stat_of("/tmp/odd")["linkTarget"], "/tmp/<&>")
        self.assertEqual(self.stat_of("/tmp/link/")["mode"], 0o777 | 1 << 31 | 1 << 20)
        for path, name in [("/", "/"), ("etc/passwd", "passwd"), ("/etc/../etc/", "etc"), ("/etc/.", "."), (".", ".")]:
            self.assertEqual(self.stat_of(path)["name"], name, path)
        raw = base64.b64decode(self.ask("HEAD", "/tmp/odd").header("X-Docker-Container-Path-Stat"))
        self.assertIn(b"\\u003c\\u0026\\u003e", raw)

    def test_names_in_the_archive_are_those_asked_for(self):
        self.box()
        self.shell("mkdir -p /tmp/d/e && echo x > /tmp/d/e/f && ln -s d /tmp/l")
        for path, names in [("/tmp/d", ["d/", "d/e/", "d/e/f"]), ("/tmp/d/", ["d/", "d/e/", "d/e/f"]),
                            ("/tmp/d/.", ["./", "./e/", "./e/f"]), ("tmp/d/e/f", ["f"]), ("/tmp/l", ["l"]),
                            ("/tmp/l/", ["l/", "l/e/", "l/e/f"]), ("/tmp/l/.", ["./", "./e/", "./e/f"]),
                            ("/tmp/d/e/../e", ["e/", "e/f"])]:
            self.assertEqual(raw_names(self.get(path)), names, path)
        names = raw_names(self.get("/"))
        self.assertEqual(names[0], "/")
        self.assertIn("/tmp/d/e/f", names)

    def test_what_is_refused_and_how(self):
        self.create()
        for method in ("GET", "PUT", "HEAD"):
            with self.daemon.client() as client:
                answer = client.request(method, "/containers/box/archive", b"" if method == "PUT" else None)
            self.assertEqual(answer.status, 400)
            if method != "HEAD":
                self.assertEqual(answer.message(), "bad parameter: pathcannot be empty")
                self.refused(method, "/none", 404, "Could not find the file /none in container box",
                             body=b"" if method == "PUT" else None)
                self.refused(method, "/", 404, "No such container: none", name="none",
                             body=b"" if method == "PUT" else None)
        self.assertEqual(self.ask("HEAD", "/none").status, 404)
        self.refused("GET", "/etc/passwd/", 500, "lstat /etc/passwd/: not a directory")
        self.refused("GET", "/etc/passwd/x", 500, "lstat /etc/passwd/x: not a directory")
        self.refused("PUT", "/etc/passwd/x", 500, "not a directory", body=b"")
        self.refused("PUT", "/etc/passwd", 400, "extraction point is not a directory", body=b"")
        self.refused("PUT", "/etc/passwd/", 500, "lstat /etc/passwd/: not a directory", body=b"")
        self.refused("PUT", "/data", 500, "unexpected EOF", body=b"this is not a tar")
        self.refused("PUT", "/data", 500, "archive/tar: invalid tar header", body=b"this is not a tar" * 100)
        self.assertEqual(self.ask("PUT", "/data", b"").status, 200)
        self.put("/data", member("../out", b"x"), status=500)
        self.assertEqual(self.put("/data", member("../out", b"x"), status=500), '"../out" is outside of "/data"')
        self.assertEqual(self.put("/data", member("l", kind=tarfile.SYMTYPE, target="../../etc"), status=500),
                         'invalid symlink "/data/l" -> "../../etc"')
        self.assertEqual(self.put("/data", member("l", kind=tarfile.LNKTYPE, target="../etc/passwd"), status=500),
                         'invalid hardlink "/etc/passwd" -> "../etc/passwd"')
        self.assertEqual(self.put("/data", member("seed/x", b"x"), status=500), "open /data/seed/x: not a directory")
        self.assertEqual(self.put("/data", member("x", kind=b"7"), status=500), "unhandled tar header type 55")

    def test_directories_and_files_do_not_replace_each_other_when_told(self):
        self.box()
        self.shell("mkdir /data/dir && ln -s dir /data/link")
        keep = "&noOverwriteDirNonDir=1"
        self.assertEqual(self.put("/data", member("dir", b"x"), status=500, query=keep),
                         'cannot overwrite directory "/data/dir" with non-directory "/data"')
        self.assertEqual(self.put("/data", member("seed", kind=tarfile.DIRTYPE, mode=0o755), status=500, query=keep),
                         'cannot overwrite non-directory "/data/seed" with directory "/data"')
        self.assertEqual(self.put("/data", member("link", kind=tarfile.DIRTYPE, mode=0o755), status=500, query=keep),
                         'cannot overwrite non-directory "/data/link" with directory "/data"')
        self.put("/data", member("dir", b"now a file"), member("seed", kind=tarfile.DIRTYPE, mode=0o700))
        self.assertEqual(self.shell("cat /data/dir && stat -c '%F %a' /data/seed"), "now a filedirectory 700\n")

    def test_owners(self):
        self.box(User="alice")
        one = member("f", b"", owner=(7, 8))
        self.put("/data", one)
        self.assertEqual(self.shell("stat -c %u:%g /data/f"), "7:8\n")
        self.put("/data", one, query="&copyUIDGID=true")
        self.assertEqual(self.shell("stat -c %u:%g /data/f"), "1000:1000\n")
        for user, owner in [("", "7:8"), ("0", "0:0"), ("1000", "1000:1000"), ("4242", "4242:0"), ("alice:2001", "1000:2001"),
                            (":more", "0:2001"), ("12:34", "12:34")]:
            with self.subTest(user=user):
                self.create("other", User=user)
                self.put("/data", one, query="&copyUIDGID=1", name="other")
                info = listing(self.get("/data/f", name="other"))["f"]
                self.assertEqual("%d:%d" % (info.uid, info.gid), owner)
                self.cli("rm", "other")
        self.create("ghost", User="ghost")
        self.assertEqual(self.put("/data", one, query="&copyUIDGID=1", name="ghost", status=400),
                         'failed to look up user "ghost" in container: no matching entries in passwd file')

    def test_read_only_roots_and_volumes_are_refused(self):
        self.write("ro/f")
        os.mkdir(self.path("rw"))
        self.box(host={"ReadonlyRootfs": True, "Binds": [self.path("ro") + ":/ro:ro", self.path("rw") + ":/rw"]})
        one = member("new", b"x")
        self.assertEqual(self.put("/data", one, status=400), "container rootfs is marked read-only")
        self.assertEqual(self.put("/ro", one, status=400), "mounted volume is marked read-only")
        self.put("/rw", one)
        self.assertEqual(os.listdir(self.path("rw")), ["new"])
        self.assertEqual(listing(self.get("/ro")).keys(), {"ro", "ro/f"})
        done = self.assertCli(1, "cp", self.write("big", os.urandom(8 << 20)), "box:/data/big")
        # The refusal comes while the client still packs: it may log, before or after, that nobody reads on.
        self.assertEqual([line for line in done.stderr.decode().splitlines() if not line.startswith("time=")],
                         ["Error response from daemon: container rootfs is marked read-only"])

    def test_mounts_are_seen_and_tmpfs_is_not(self):
        self.write("bound/f", b"bound")
        self.write("file", b"one file")
        self.create(host={"NetworkMode": "none", "Tmpfs": {"/tmp": ""},
                          "Binds": [self.path("bound") + ":/data/deep/bind", self.path("file") + ":/etc/one",
                                    "vol:/vol"],
                          "Mounts": [{"Type": "tmpfs", "Target": "/mem"}]})
        self.put("/vol", member("in-volume", b"v"))
        self.put("/tmp", member("below", b"t"))
        self.start()
        self.shell("echo live > /tmp/live; echo live > /mem/live")
        self.assertEqual(self.shell("cat /vol/in-volume /data/deep/bind/f /etc/one; ls /tmp"),
                         "vboundone filelive\n")
        self.assertEqual(list(listing(self.get("/tmp"))), ["tmp", "tmp/below"])
        self.assertEqual(list(listing(self.get("/data/deep"))), ["deep", "deep/bind", "deep/bind/f"])
        self.assertEqual(listing(self.get("/etc/one"))["one"].size, 8)
        # What is mounted is written into, not replaced.
        self.put("/data/deep/bind", member("g", b"new"))
        self.assertEqual(sorted(os.listdir(self.path("bound"))), ["f", "g"])
        self.assertEqual(self.put("/etc", member("one", b"x"), status=500),
                         "unlinkat /etc/one: device or resource busy")
        self.assertEqual(self.put("/etc", member("hosts", b"x"), status=500),
                         "unlinkat /etc/hosts: device or resource busy")
        self.assertIn("localhost", self.shell("cat /etc/hosts"))
        self.assertIn(b"localhost", self.get("/etc/hosts"))
        self.cli("rm", "-f", "box")
        self.cli("volume", "rm", "vol")

    def test_kinds_of_files(self):
        self.box()
        long_name = "n" * 200
        deep = "/".join(["directory-%02d" % i for i in range(30)])
        self.put("/data", member("dir", kind=tarfile.DIRTYPE, mode=0o2750, owner=(1, 2)),
                 member("dir/first", b"linked"), member("dir/second", kind=tarfile.LNKTYPE, target="dir/first"),
                 member("sym", kind=tarfile.SYMTYPE, target="/etc/passwd"), member("fifo", kind=tarfile.FIFOTYPE),
                 member("null", kind=tarfile.CHRTYPE, device=(1, 3)), member("loop", kind=tarfile.BLKTYPE, device=(7, 0)),
                 member(long_name, b"long"), member(deep + "/f", b"deep"), member("\u00fcmlaut", b"u"),
                 member("implied/f", b"i"))
        self.assertEqual(self.shell("cd /data && stat -c '%F %a %h %t:%T' dir/second fifo null loop && stat -c '%F %a' dir implied "
                                    "&& cat dir/second " + long_name + " " + deep + "/f \u00fcmlaut && readlink sym"),
                         "regular file 644 2 0:0\nfifo 644 1 0:0\ncharacter special file 644 1 1:3\n"
                         "block special file 644 1 7:0\ndirectory 2750\ndirectory 755\nlinkedlongdeepu/etc/passwd\n")
        self.shell("rm -rf /data/seed /data/owned && /bin/nc -lU /data/socket > /dev/null 2>&1 & true")
        found = listing(self.get("/data"))
        self.assertEqual((found["data/dir/second"].type, found["data/dir/second"].linkname),
                         (tarfile.LNKTYPE, "data/dir/first"))
        self.assertEqual((found["data/null"].type, found["data/null"].devmajor, found["data/null"].devminor),
                         (tarfile.CHRTYPE, 1, 3))
        self.assertEqual(found["data/fifo"].type, tarfile.FIFOTYPE)
        self.assertEqual(found["data/sym"].linkname, "/etc/passwd")
        self.assertEqual(found["data/" + long_name].size, 4)
        self.assertEqual(found["data/" + deep + "/f"].size, 4)
        self.assertEqual(found["data/\u00fcmlaut"].size, 1)
        self.assertEqual((found["data/dir"].mode, found["data/dir"].uid, found["data/dir"].gid), (0o2750, 1, 2))

    def test_sockets_are_left_out(self):
        os.mkdir(self.path("bound"))
        self.create(host={"NetworkMode": "none", "Binds": [self.path("bound") + ":/b"]})
        self.write("bound/f", b"x")
        with socket.socket(socket.AF_UNIX) as sock:
            os.chdir(self.path("bound"))
            self.addCleanup(os.chdir, "/")
            sock.bind("s")
            self.assertEqual(list(listing(self.get("/b"))), ["b", "b/f"])

    def test_capabilities_and_attributes(self):
        self.box()
        capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        pax = {"SCHILY.xattr.security.capability": capability.decode("latin-1"),
               "SCHILY.xattr.user.note": "kept"}
        self.put("/data", member("f", b"x", pax=pax))
        found = listing(self.get("/data/f"))["f"]
        self.assertEqual(found.pax_headers, {"SCHILY.xattr.security.capability": capability.decode("latin-1")})

    def test_a_sparse_file_comes_out_whole(self):
        self.box()
        self.shell("cd /data && truncate -s 300M big && echo end >> big")
        with self.daemon.client() as client:
            client.send("GET", "/containers/box/archive?path=/data/big")
            answer = client.head()
            total, tail = 0, b""
            for chunk in client.chunks(answer):
                total, tail = total + len(chunk), (tail + chunk)[-4096:]
        self.assertEqual(answer.status, 200)
        self.assertEqual(total, 512 + (300 << 20) + 512 + 1024)
        self.assertIn(b"\0end\n\0", tail)

    def test_packed_streams(self):
        self.box()
        plain = tar_of(member("f", b"packed"))
        for name, tool in [("gz", ["gzip"]), ("bz2", ["bzip2"]), ("xz", ["xz"]), ("zst", ["zstd", "-q"])]:
            try:
                packed = subprocess.run(tool + ["-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
            except FileNotFoundError:
                continue
            self.shell("rm -f /data/f")
            answer = self.ask("PUT", "/data", packed)
            self.assertEqual((answer.status, self.shell("cat /data/f")), (200, "packed"), name)
        whole = self.get("/data/f")
        for accept, encoding in [("gzip", "gzip"), ("deflate", "deflate"), ("deflate, gzip", "gzip"),
                                 ("gzip;q=0.5, deflate;q=0.9", "deflate"), ("*", "gzip"), ("br", None),
                                 ("gzip;q=0", None), ("identity", None)]:
            answer = self.ask("GET", "/data/f", headers=[("Accept-Encoding", accept)])
            self.assertEqual(answer.header("Content-Encoding"), encoding, accept)
            body = answer.body
            if encoding == "gzip":
                body = gzip.decompress(body)
            elif encoding == "deflate":
                body = zlib.decompress(body, -15)
            self.assertEqual(body, whole, accept)
            self.assertEqual(answer.header("Content-Type"), "application/x-tar")

    def test_events(self):
        self.box(Labels={"l": "v"}, host={"NetworkMode": "none", "Binds": ["vol:/vol:ro"]})
        with self.daemon.client() as client:
            since = time.time()
            self.ask("HEAD", "/data")
            self.get("/data")
            self.put("/data", member("f", b"x"))
            self.assertEqual(client.request("GET", "/containers/box/export").status, 200)
            self.ask("GET", "/none")
            self.ask("PUT", "/none", b"")
            until = time.time()
            text = client.call("GET", "/events?since=%f&until=%f" % (since, until))
        events = [json.loads(line) for line in text.splitlines()]
        mine = [(e["Action"], e["Actor"]["Attributes"]) for e in events if e["Type"] == "container"]
        attributes = {"image": "kit", "name": "box", "l": "v"}
        self.assertEqual(mine, [("archive-path", attributes), ("extract-to-dir", attributes), ("export", attributes)])
        volume = [(e["Action"], e["Actor"]["ID"]) for e in events if e["Type"] == "volume"]
        self.assertEqual(volume, [("mount", "vol"), ("unmount", "vol")] * 5)
        self.cli("rm", "-f", "box")
        self.cli("volume", "rm", "vol")

    def test_all_versions(self):
        self.create()
        for minor in range(24, 51):
            with self.daemon.client("1.%d" % minor) as client:
                self.assertEqual(client.request("HEAD", "/containers/box/archive?path=/data/seed").status, 200)
                self.assertEqual(raw_names(client.request("GET", "/containers/box/archive?path=/data/seed").body), ["seed"])
                self.assertEqual(client.request("PUT", "/containers/box/archive?path=/data", tar_of()).status, 200)


class Hostile(CopyTest):
    """Containers and archives that want something outside."""

    def setUp(self):
        super().setUp()
        self.canary = self.path("canary")
        os.mkdir(self.canary)
        self.write("canary/f", b"secret", 0o600)
        self.write("bound/dir/f", b"inside")
        self.seen = self.look_at_canary()

    def look_at_canary(self):
        out = {}
        for folder, _, names in os.walk(self.canary):
            for name in [""] + names:
                path = os.path.join(folder, name)
                info = os.lstat(path)
                out[path] = (info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_nlink, info.st_size,
                             info.st_mtime_ns)
        with open(self.canary + "/f") as file:
            out["data"] = file.read()
        return out

    def assertUntouched(self):
        self.assertEqual(self.look_at_canary(), self.seen)

    @contextlib.contextmanager
    def swapping(self, one, other):
        """Swaps two names of the bind all the time, as a process in the container could."""
        stop, swaps = threading.Event(), [0]

        def loop():
            while not stop.is_set():
                exchange(one, other)
                swaps[0] += 1
        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        self.assertGreater(swaps[0], 100)

    def rounds(self):
        end = time.monotonic() + HOSTILE_SECONDS
        while time.monotonic() < end:
            yield

    def bound_box(self):
        self.box(host={"NetworkMode": "none", "Binds": [self.path("bound") + ":/b"]})

    def targets(self):
        yield self.canary
        yield "../" * 12 + self.canary.lstrip("/")

    def test_reading_while_directory_and_link_are_swapped(self):
        self.bound_box()
        seen = set()
        for target in self.targets():
            os.symlink(target, self.path("bound/link"))
            with self.swapping(self.path("bound/dir"), self.path("bound/link")):
                for _ in self.rounds():
                    for path in ("/b/dir/f", "/b/dir/", "/b/dir/.", "/b"):
                        answer = self.ask("GET", path)
                        seen.add(answer.status)
                        self.assertNotIn(b"secret", answer.body)
            exchange_back = os.path.islink(self.path("bound/dir"))
            if exchange_back:
                exchange(self.path("bound/dir"), self.path("bound/link"))
            os.unlink(self.path("bound/link"))
        self.assertEqual(seen, {200, 404})
        self.assertUntouched()

    def test_writing_while_directory_and_link_are_swapped(self):
        self.bound_box()
        seen = set()
        content = tar_of(member("f", b"evil", mode=0o777, owner=(9, 9)), member("sub/g", b"evil"),
                         member("sub", kind=tarfile.DIRTYPE, mode=0o777, owner=(9, 9)),
                         member("h", kind=tarfile.LNKTYPE, target="f"))
        below = tar_of(member("dir/f", b"evil", mode=0o777, owner=(9, 9)), member("dir/sub/g", b"evil"),
                       member("dir/node", kind=tarfile.FIFOTYPE, mode=0o777, owner=(9, 9)),
                       member("dir/h", kind=tarfile.LNKTYPE, target="dir/f"))
        for target in self.targets():
            os.symlink(target, self.path("bound/link"))
            with self.swapping(self.path("bound/dir"), self.path("bound/link")):
                for _ in self.rounds():
                    for path, data in (("/b/dir", content), ("/b/dir/", content), ("/b", below)):
                        seen.add(self.ask("PUT", path, data).status)
            if os.path.islink(self.path("bound/dir")):
                exchange(self.path("bound/dir"), self.path("bound/link"))
            os.unlink(self.path("bound/link"))
            self.assertUntouched()
        self.assertIn(200, seen)

    @unittest.skipIf(ORACLE, "Docker's opens what it meets, and hangs on the fifo")
    def test_a_file_that_turns_into_other_things_while_it_is_read(self):
        self.bound_box()
        os.mkfifo(self.path("bound/fifo"))
        os.symlink(self.canary + "/f", self.path("bound/link"))
        os.mknod(self.path("bound/zero"), stat.S_IFCHR | 0o666, os.makedev(1, 5))
        self.write("bound/file", b"inside")
        for other in ("fifo", "link", "zero"):
            with self.swapping(self.path("bound/file"), self.path("bound/" + other)):
                for _ in zip(self.rounds(), range(300)):
                    body = self.get("/b")
                    self.assertNotIn(b"secret", body)
                    self.assertLess(len(body), 100000)
        self.assertUntouched()

    def test_links_in_the_image_lead_inside(self):
        self.box()
        self.shell("ln -s %s /data/abs; ln -s %s /data/rel; ln -s /proc/1/root /data/magic; ln -s /proc/self/fd /data/fds"
                   % (self.canary, "../" * 12 + self.canary.lstrip("/")))
        for path in ("/data/abs/f", "/data/rel/f", "/data/abs/", "/data/magic/etc", "/data/fds/3"):
            self.assertEqual(self.ask("GET", path).status, 404, path)
            self.assertEqual(self.ask("PUT", path, tar_of(member("x"))).status, 404, path)
        # The same name made inside the container is what the links mean.
        self.shell("mkdir -p %s && echo mine > %s/f" % (self.canary, self.canary))
        self.assertEqual(listing(self.get("/data/abs/f"))["f"].size, 5)
        self.put("/data", member("rel/new", b"x"))
        self.assertEqual(self.shell("cat %s/new" % self.canary), "x")
        self.assertUntouched()

    @unittest.skipIf(ORACLE, "Docker's follows the links of a bound /proc")
    def test_the_hosts_proc_in_a_bind_opens_nothing(self):
        self.box(host={"NetworkMode": "none", "Binds": ["/proc:/p"]})
        link = "/p/%d/root" % os.getpid()
        self.assertNotEqual(self.ask("GET", link + self.canary + "/f").status, 200)
        self.assertNotEqual(self.ask("PUT", link + self.canary, tar_of(member("x"))).status, 200)
        self.assertUntouched()

    def test_hostile_archives(self):
        self.box()
        up = "../" * 12 + self.canary.lstrip("/")
        for case in ([member(up + "/x", b"x")], [member("/" + up + "/x", b"x")],
                     [member("l", kind=tarfile.SYMTYPE, target=self.canary), member("l/x", b"x")],
                     [member("l", kind=tarfile.SYMTYPE, target=up), member("l/x", b"x")],
                     [member("h", kind=tarfile.LNKTYPE, target=self.canary + "/f"), member("h", b"x")],
                     [member("h", kind=tarfile.LNKTYPE, target=up + "/f")],
                     [member("l", kind=tarfile.SYMTYPE, target=self.canary + "/f"),
                      member("h", kind=tarfile.LNKTYPE, target="l"), member("h", b"x", mode=0o777)],
                     [member("l", kind=tarfile.SYMTYPE, target=self.canary), member("l", kind=tarfile.DIRTYPE, mode=0o777)]):
            for path in ("/", "/data", "/data/."):
                self.ask("PUT", path, tar_of(*case))
                self.assertUntouched()
                self.shell("rm -rf /data/l /data/h /l /h")

    @unittest.skipIf(ORACLE, "Docker's runs it: CVE-2026-41567")
    def test_a_decompressor_in_the_container_is_not_run(self):
        self.box()
        for tool in ("xz", "unpigz", "gzip"):
            script = b"#!/bin/sh\ntouch %s/ran\n" % self.canary.encode()
            self.put("/bin", member(tool, script, mode=0o755))
        try:
            packed = subprocess.run(["xz", "-c"], input=tar_of(member("f", b"x")), stdout=subprocess.PIPE).stdout
        except FileNotFoundError:
            self.skipTest("no xz")
        self.assertEqual(self.ask("PUT", "/data", packed).status, 200)
        self.assertUntouched()

    def test_a_tree_deeper_than_a_path_can_say(self):
        os.mkdir(self.path("bound/deep"))
        here = os.open(self.path("bound/deep"), os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("dd", dir_fd=here)
            below = os.open("dd", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        self.bound_box()
        names = list(listing(self.get("/b/deep")))
        self.assertGreater(len(names), 1000)
        self.assertEqual(len(max(names, key=len)) // 1000, 4)
        self.assertEqual(self.ask("HEAD", "/b").status, 200)


class Ends(CopyTest):
    """Clients that leave, containers that go."""

    def test_a_client_that_leaves_a_download(self):
        self.box()
        self.shell("truncate -s 1G /data/big")
        for path in ("/containers/box/archive?path=/data/big", "/containers/box/export"):
            client = self.daemon.client()
            client.send("GET", path)
            self.assertEqual(client.head().status, 200)
            client.close()
        # The removal waits for the copies' end.
        self.assertCli(0, "rm", "-f", "box")

    def test_a_client_that_leaves_an_upload(self):
        os.mkdir(self.path("bound"))
        self.box(host={"NetworkMode": "none", "Binds": [self.path("bound") + ":/data"]})
        data = tar_of(member("big", os.urandom(4 << 20)))
        client = self.daemon.client().open()
        client.sock.sendall(b"PUT /containers/box/archive?path=/data HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n"
                            % len(data) + data[:1 << 20])
        wait_for(lambda: os.path.exists(self.path("bound/big")), what="the file")
        client.close()
        self.put("/data", member("after", b"x"))
        self.assertCli(0, "stop", "-t", "0", "box")
        self.assertCli(0, "rm", "box")

    @unittest.skipIf(ORACLE, "Docker holds the container's lock all along")
    def test_a_container_stops_and_starts_during_a_copy(self):
        self.box()
        self.shell("truncate -s 200M /data/big")
        with self.daemon.client() as client:
            client.send("GET", "/containers/box/archive?path=/data/big")
            answer = client.head()
            self.assertCli(0, "stop", "-t", "0", "box")
            self.assertCli(0, "start", "box")
            self.assertEqual(self.shell("cat /data/seed"), "from the image\n")
            self.assertCli(0, "inspect", "box")
            self.assertEqual(sum(len(chunk) for chunk in client.chunks(answer)), 512 + (200 << 20) + 1024)

    def test_a_removal_waits_for_a_copy(self):
        self.box()
        self.shell("truncate -s 100M /data/big")
        with self.daemon.client() as client:
            client.send("GET", "/containers/box/archive?path=/data/big")
            answer = client.head()
            removal = subprocess.Popen(["docker", "rm", "-f", "box"], env=self.daemon.cli_environment(),
                                       stdout=subprocess.PIPE)
            self.assertEqual(sum(len(chunk) for chunk in client.chunks(answer)), 512 + (100 << 20) + 1024)
            self.assertEqual(removal.communicate()[0], b"box\n")
        self.assertEqual(self.ask("GET", "/data").status, 404)

    @unittest.skipIf(ORACLE, "only for this daemon")
    def test_many_copies_at_once(self):
        self.box(host={"NetworkMode": "none", "Binds": ["vol:/vol"]})
        failures = []

        def work(number):
            for round_number in range(10):
                text = b"%d %d" % (number, round_number)
                self.put("/vol", member("f%d" % number, text))
                with tarfile.open(fileobj=io.BytesIO(self.get("/vol/f%d" % number))) as tar:
                    if tar.extractfile("f%d" % number).read() != text:
                        failures.append((number, round_number))
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.cli("rm", "-f", "box")
        self.cli("volume", "rm", "vol")


if __name__ == "__main__":
    main()
