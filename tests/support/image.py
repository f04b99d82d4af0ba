"""The test image: payload at the root, busybox below /bin, a few users. Made on the spot, no registry."""
import io
import os
import shutil
import subprocess
import tarfile

PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\nalice:x:1000:\nextra:x:2000:alice\nmore:x:2001:alice,root\nnogroup:x:65534:\n"


def find_payload():
    """The payload program: $DOCKERD_PAYLOAD, or the one beside the tests of any build folder."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    candidates = [os.environ.get("DOCKERD_PAYLOAD")]
    candidates += ["%s/build/%s/tests/support/payload" % (top, preset) for preset in ("release", "dev", "asan", "tsan")]
    for path in candidates:
        if path and os.path.isfile(path):
            return path
    raise FileNotFoundError("the payload program is not built (target payload)")


def _add(tar, name, data=b"", mode=0o755, kind=tarfile.REGTYPE, target="", owner=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, target
    info.uid, info.gid = owner
    info.mtime = 1700000000
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def build_tar(payload=None, busybox=None):
    """The root file system as the bytes of a tar; without busybox only payload is in it."""
    busybox = busybox or shutil.which("busybox")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "var", "data"):
            _add(tar, folder, kind=tarfile.DIRTYPE)
        _add(tar, "home/alice", kind=tarfile.DIRTYPE, owner=(1000, 1000))
        _add(tar, "tmp", kind=tarfile.DIRTYPE, mode=0o1777)
        with open(payload or find_payload(), "rb") as file:
            _add(tar, "payload", file.read())
        _add(tar, "etc/passwd", PASSWD.encode(), 0o644)
        _add(tar, "etc/group", GROUP.encode(), 0o644)
        _add(tar, "etc/not-executable", b"text\n", 0o644)
        _add(tar, "data/seed", b"from the image\n", 0o644)
        _add(tar, "data/owned", b"alice's\n", 0o600, owner=(1000, 1000))
        if busybox:
            with open(busybox, "rb") as file:
                _add(tar, "bin/busybox", file.read())
            names = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
            for name in names:
                if name != "busybox":
                    _add(tar, "bin/" + name, kind=tarfile.SYMTYPE, target="busybox")
    return out.getvalue()


def import_image(connection, reference, tar, changes=()):
    """Imports the tar as reference ("name:tag") and returns the image's id."""
    from urllib.parse import quote
    repository, _, tag = reference.partition(":")
    query = "fromSrc=-&repo=%s&tag=%s" % (repository, tag or "latest")
    query += "".join("&changes=" + quote(change) for change in changes)
    connection.post("/images/create?" + query, tar, headers=[("Content-Type", "application/x-tar")])
    return connection.get("/images/%s/json" % reference)["Id"]


if __name__ == "__main__":
    import sys
    with open(sys.argv[1], "wb") as result:
        result.write(build_tar())
