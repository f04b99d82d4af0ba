"""Images mounted into containers (--mount type=image): what is shown, what holds the image, what is left."""
import io
import os
import shutil
import tarfile
import unittest

import support  # noqa: F401

import rawhttp
from image import import_image
from testcase import DaemonTestCase, main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))


def data_tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, kind, target in (
                ("foo", b"bar", tarfile.REGTYPE, ""), ("subdir", b"", tarfile.DIRTYPE, ""),
                ("subdir/hello", b"world", tarfile.REGTYPE, ""), ("hack", b"", tarfile.DIRTYPE, ""),
                ("hack/good", b"", tarfile.SYMTYPE, "../subdir"), ("hack/bad", b"", tarfile.SYMTYPE, "../" * 12 + "etc"),
                ("hack/root", b"", tarfile.SYMTYPE, "/etc")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(data)
            info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class ImageMounts(DaemonTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tar = data_tar()

    def setUp(self):
        super().setUp()
        with self.daemon.client("1.50") as client:
            self.image = import_image(client, "data:latest", self.tar)

    def tearDown(self):
        self.daemon.remove_containers()
        with self.daemon.client("1.50") as client:
            client.request("DELETE", "/images/%s?force=1" % self.image)
        super().tearDown()

    def call(self, method, path, body=None, version="1.50"):
        with self.daemon.client(version) as client:
            return client.call(method, path, body)

    def create(self, *mounts, cmd=("/payload", "pause"), version="1.50", **host):
        mounts = [dict({"Type": "image", "Source": "data", "Target": "/image"}, **mount) for mount in mounts or ({},)]
        return self.call("POST", "/containers/create", {
            "Image": "kit", "Cmd": list(cmd), "HostConfig": dict(host, Mounts=mounts)}, version)["Id"]

    def output(self, container):
        """Starts the container, waits for its end, and returns its exit code and output."""
        self.call("POST", "/containers/%s/start" % container)
        code = self.call("POST", "/containers/%s/wait" % container)["StatusCode"]
        with self.daemon.client("1.50") as client:
            logs = client.request("GET", "/containers/%s/logs?stdout=1&stderr=1" % container)
        return code, b"".join(data for _, data in rawhttp.frames(logs.body)).decode()

    def shown(self, *mounts, cmd):
        return self.output(self.create(*mounts, cmd=("/bin/sh", "-c", cmd)))

    def refused(self, call, status, text):
        with self.assertRaises(rawhttp.HttpError) as caught:
            call()
        self.assertEqual(caught.exception.status, status)
        self.assertIn(text, str(caught.exception))

    def test_the_files_are_shown_read_only(self):
        self.assertEqual(self.shown(cmd="cat /image/foo; ls /image; touch /image/new 2>&1"),
                         (1, "barfoo\nhack\nsubdir\ntouch: /image/new: Read-only file system\n"))

    def test_what_inspect_says(self):
        container = self.create({"ImageOptions": {"Subpath": "subdir"}})
        found = self.call("GET", "/containers/%s/json" % container)
        self.assertEqual(found["HostConfig"]["Mounts"], [
            {"Type": "image", "Source": "data", "Target": "/image", "ImageOptions": {"Subpath": "subdir"}}])
        [mount] = found["Mounts"]
        source = mount.pop("Source")
        self.assertEqual(mount, {"Type": "image", "Name": "data", "Destination": "/image", "Mode": "", "RW": False,
                                 "Propagation": "rprivate"})
        self.assertTrue(source.startswith(self.daemon.root + "/overlay2/"), source)

    def test_subpaths(self):
        for subpath, command, expected in (("subdir", "ls /image", "hello\n"), ("hack/good", "ls /image", "hello\n"),
                                           ("subdir/hello", "cat /image", "world")):
            self.assertEqual(self.shown({"ImageOptions": {"Subpath": subpath}}, cmd=command), (0, expected))

    def test_subpaths_that_lead_out(self):
        self.refused(lambda: self.create({"ImageOptions": {"Subpath": "../../etc"}}), 400,
                     'invalid mount config for type "image": subpath must be a relative path within the volume')
        for subpath in ("hack/bad", "hack/root"):
            container = self.create({"ImageOptions": {"Subpath": subpath}})
            self.refused(lambda: self.call("POST", "/containers/%s/start" % container), 400,
                         "path concatenation escapes the base directory")
        container = self.create({"ImageOptions": {"Subpath": "nothing"}})
        self.refused(lambda: self.call("POST", "/containers/%s/start" % container), 404, "cannot access path")

    def test_refused(self):
        self.refused(lambda: self.create({"Source": "nosuch"}), 404, "No such image: nosuch:latest")
        self.refused(lambda: self.create({"Source": ""}), 400,
                     'invalid mount config for type "image": field Source must not be empty')
        self.refused(lambda: self.create(version="1.47"), 400, 'Mount type "Image" needs API v1.48 or newer')

    def test_the_image_is_in_use(self):
        container = self.create()
        text = ('conflict: unable to remove repository reference "data" (must force) - container %s is using its '
                'referenced image %s' % (container[:12], self.image[7:19]))
        self.refused(lambda: self.call("DELETE", "/images/data"), 409, text)
        self.call("DELETE", "/containers/" + container)
        self.call("DELETE", "/images/data")

    def test_a_container_keeps_the_files_of_a_removed_image(self):
        container = self.create(cmd=("/bin/cat", "/image/foo"))
        self.call("DELETE", "/images/data?force=1")
        self.assertEqual(self.output(container), (0, "bar"))
        # The next run finds them too; the log goes on.
        self.assertEqual(self.output(container), (0, "barbar"))

    @unittest.skipIf(ORACLE, "Docker's engine refuses the second: mount already exists with name")
    def test_one_image_in_two_places(self):
        self.assertEqual(self.shown({"ImageOptions": {"Subpath": "subdir"}}, {"Target": "/all"},
                                    cmd="ls /image; cat /all/foo"), (0, "hello\nbar"))

    @unittest.skipIf(ORACLE, "Docker's engine loses the layer: mount does not exist")
    def test_over_restarts_of_the_daemon(self):
        self.call("POST", "/images/data/tag?repo=some/where&tag=1")
        running = self.create({"Source": "some/where:1"})
        self.call("POST", "/containers/%s/start" % running)
        stopped = self.create({"Source": "some/where:1"}, cmd=("/bin/cat", "/image/foo"))
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.cli("exec", running, "cat", "/image/foo").stdout, b"bar")
        self.assertEqual(self.output(stopped), (0, "bar"))
        self.call("POST", "/containers/%s/restart?t=0" % running)
        self.assertEqual(self.cli("exec", running, "cat", "/image/foo").stdout, b"bar")
        self.daemon.remove_containers()

    @unittest.skipIf(ORACLE, "of Docker's engine the layer is missing in the other container")
    def test_mounts_of_another_container(self):
        first = self.create()
        second = self.create(cmd=("/bin/cat", "/image/foo"), Mounts=[], VolumesFrom=[first])
        self.call("DELETE", "/containers/" + first)
        self.assertEqual(self.output(second), (0, "bar"))

    def test_docker_cp(self):
        container = self.create()
        with self.daemon.client("1.50") as client:
            got = client.request("GET", "/containers/%s/archive?path=/image/foo" % container)
            with tarfile.open(fileobj=io.BytesIO(got.body)) as tar:
                self.assertEqual(tar.extractfile("foo").read(), b"bar")
            put = client.request("PUT", "/containers/%s/archive?path=/image" % container, self.tar,
                                 headers=[("Content-Type", "application/x-tar")])
        self.assertEqual((put.status, put.message()), (400, "mounted volume is marked read-only"))

    @unittest.skipIf(ORACLE, "Docker's engine keeps them")
    def test_layers_of_a_creation_that_was_cut_off_are_swept(self):
        container = self.create()
        folder = self.daemon.root + "/containers/" + container
        mounts = self.daemon.root + "/image/overlay2/layerdb/mounts"
        self.daemon.kill()
        shutil.rmtree(folder)  # as a crash before the container's own files were there leaves it
        self.daemon.start()
        self.assertEqual([name for name in os.listdir(mounts) if name.startswith(container)], [])
        self.call("DELETE", "/images/data")


if __name__ == "__main__":
    main()
