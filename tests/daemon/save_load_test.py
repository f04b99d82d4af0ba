"""Archives of images: parents, layers that stand in one several times, and the forms older engines wrote."""
import hashlib
import io
import json
import os
import tarfile
import unittest
import urllib.parse

import support  # noqa: F401  (makes tests/support importable)

import registrydouble as double
from registrycase import RegistryTestCase, layers
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))


class Archives(RegistryTestCase):
    def load(self, archive):
        with self.daemon.client(timeout=120) as api:
            answer = api.request("POST", "/images/load?quiet=1", archive)
        self.assertEqual(answer.status, 200)
        return [json.loads(line) for line in answer.body.splitlines()]

    def save(self, *names):
        with self.daemon.client(timeout=120) as api:
            answer = api.request("GET", "/images/get?" + urllib.parse.urlencode([("names", name) for name in names]))
        self.assertEqual(answer.status, 200)
        return answer.body

    def remove(self, *names):
        with self.daemon.client() as api:
            for name in names:
                api.delete("/images/%s" % name)

    def commit(self, image):
        with self.daemon.client() as api:
            made = api.post("/containers/create", {"Image": image})["Id"]
            try:
                return api.post("/commit?container=%s" % made, {})["Id"]
            finally:
                api.delete("/containers/%s" % made)

    def test_parents(self):
        """An image that was committed from another keeps it where both are in the archive, and only there."""
        lower = self.commit("kit")
        upper = self.commit(lower)
        both, alone = self.save(upper, lower), self.save(upper)
        for archive, parents in ((both, {upper: lower, lower: None}), (alone, {upper: None})):
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                manifest = json.load(tar.extractfile("manifest.json"))
            self.assertEqual({"sha256:" + entry["Config"].rpartition("/")[2]: entry.get("Parent") for entry in manifest},
                             parents)
        self.remove(upper)  # and the lower one, which nothing else holds
        self.load(both)
        self.assertEqual((self.inspect(upper)["Parent"], self.inspect(lower)["Parent"]), (lower, ""))

    def test_layers_several_times_and_linked(self):
        """As engines before 25 wrote them: the second copy of a layer is a link to the first."""
        one, two = layers(2)
        image = double.Image([one, two, one])
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in (("1/layer.tar", one), ("2/layer.tar", two), ("config.json", image.config),
                               ("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["twice:1"], "Layers": [
                                   "1/layer.tar", "2/layer.tar", "3/layer.tar"]}]).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("3/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, "../1/layer.tar"
            tar.addfile(link)
        self.load(out.getvalue())
        self.assertEqual(self.inspect("twice:1")["Id"], image.id)
        with tarfile.open(fileobj=io.BytesIO(self.save("twice:1"))) as tar:
            for layer in (one, two):
                digest = hashlib.sha256(layer).hexdigest()
                self.assertEqual(tar.extractfile("blobs/sha256/" + digest).read(), layer)

    def legacy(self, version="1.9.1", **more):
        """An archive of two images, one on the other, as Docker before 1.10 wrote it."""
        lower, upper = "a" * 64, "b" * 64
        tars = layers(2)
        common = {"docker_version": version, "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/payload"]}}
        files = {}
        for old, tar, parent, number in ((lower, tars[0], {}, 1), (upper, tars[1], {"parent": lower}, 2)):
            files[old + "/VERSION"] = b"1.0"
            files[old + "/json"] = json.dumps({
                "id": old, **parent, "created": "2015-03-0%dT21:38:56.769279623Z" % number, "Size": 5,
                "container_config": {"Cmd": ["/bin/sh", "-c", "step <%d>" % number]}, **common}).encode()
            files[old + "/layer.tar"] = tar
        files["repositories"] = json.dumps({"old/one": {"v1": upper, "v0": lower}}).encode()
        files.update(more)
        return double.tar_of(files), tars

    def test_archives_before_1_10(self):
        archive, tars = self.legacy()
        self.load(archive)
        upper, lower = self.inspect("old/one:v1"), self.inspect("old/one:v0")
        self.assertEqual(upper["RootFS"]["Layers"], [double.digest(tar) for tar in tars])
        self.assertEqual((upper["Parent"], lower["Parent"]), (lower["Id"], ""))
        self.assertEqual((upper["Created"], upper["Config"]["Cmd"]), ("2015-03-02T21:38:56.769279623Z", ["/payload"]))
        # The same configuration to the byte as Docker makes of it.
        self.assertEqual(upper["Id"], "sha256:db7b64d30c1e7f22e0580c65cae55b08e56389fd05fd0d538e97b25646117367")
        with self.daemon.client() as api:
            self.assertEqual([step["CreatedBy"] for step in api.get("/images/old%2Fone:v1/history")],
                             ["/bin/sh -c step <2>", "/bin/sh -c step <1>"])

    def test_archives_before_1_10_that_are_wrong(self):
        """Without names nobody could call the images, and a name must mean one of them."""
        archive, _ = self.legacy(repositories=json.dumps({"old/one": {"v1": "c" * 64}}).encode())
        self.assertEqual(self.load(archive)[-1]["error"], "invalid target ID: " + "c" * 64)
        missing = self.load(double.tar_of({"x": b"nothing of an image"}))[-1]["error"]
        self.assertTrue(missing.startswith("open ") and missing.endswith("repositories: no such file or directory"), missing)

    def test_archives_before_1_10_with_too_many_ancestors(self):
        """One image too many ends the reading, wherever in the archive it stands: the one above it is not looked at."""
        def chain(names, of="linux"):
            """From the lowest to the uppermost, which is for the system `of`."""
            files = {"repositories": b"{}"}
            for name, parent in zip(names, [None] + names):
                files[name + "/json"] = json.dumps({"parent": parent or "", "created": "2015-03-01T00:00:00Z",
                                                    "os": of if name == names[-1] else "linux"}).encode()
                files[name + "/layer.tar"] = double.tar_of({})
            return double.tar_of(files)

        names = ["%064x" % number for number in range(127)]
        # Images are read by name: each after its parent, or all below the first that is looked at.
        for archive in (chain(names, of="windows"), chain(names[::-1])):
            self.assertEqual(self.load(archive)[-1].get("error"), "max depth exceeded")
        self.assertEqual(self.load(chain(names[:126], of="windows"))[-1].get("error"), "cannot load windows image on linux")

    @unittest.skipIf(ORACLE, "Docker keeps what came before the wrong one")
    def test_nothing_is_left_of_a_wrong_one(self):
        for more in ({"repositories": b"[]"}, {"b" * 64 + "/json": b"{\"parent\":\"" + b"b" * 64 + b"\"}"},
                     {"b" * 64 + "/json": b"[]"}, {"b" * 64 + "/json": b"{\"parent\":\"../x\"}"}):
            self.assertIn("error", self.load(self.legacy(**more)[0])[-1])
            self.assertNothingHere()


if __name__ == "__main__":
    main()
