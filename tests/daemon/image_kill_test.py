"""The daemon is killed at random moments of a pull, a load and a removal: afterwards the whole image is there or none.

DOCKERD_KILLS says how often (9); DOCKERD_SEED chooses the moments.
"""
import glob
import hashlib
import http.client
import io
import json
import os
import random
import tarfile
import threading
import time
import unittest

import support  # noqa: F401  (makes tests/support importable)

import rawhttp
import registrydouble as double
from daemon import wait_for
from registrycase import RegistryTestCase
from testcase import main

ROUNDS = int(os.environ.get("DOCKERD_KILLS", "9"))
SEED = int(os.environ.get("DOCKERD_SEED", "1"))
ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))


def archive_of(image, tars, name):
    """What `docker save` makes of such an image, as far as a load needs it."""
    files = {"config.json": image.config}
    files.update({"%d/layer.tar" % i: tar for i, tar in enumerate(tars)})
    files["manifest.json"] = json.dumps([{"Config": "config.json", "RepoTags": [name],
                                          "Layers": ["%d/layer.tar" % i for i in range(len(tars))]}]).encode()
    return double.tar_of(files)


@unittest.skipIf(ORACLE, "Docker's engine does not promise it")
class Killed(RegistryTestCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.tars = [double.tar_of({"noise-%d" % i: self.random.randbytes(1 << 20),
                                    **{"small-%d-%d" % (i, k): b"%d" % k * 100 for k in range(100)}}) for i in range(4)]
        self.image = self.registry.add("tests/kill", double.Image(self.tars))
        self.name = self.registry.name + "/tests/kill:latest"
        self.archive = archive_of(self.image, self.tars, self.name)
        self.blobs = {double.digest(blob)[len("sha256:"):]: len(blob) for blob in self.image.blobs}
        self.partial = self.daemon.root + "/image/overlay2/distribution/partial"
        self.layers = self.on_disk()

    def on_disk(self):
        """Folders of layers, finished or not."""
        root = self.daemon.root
        return [sorted(os.listdir(root + place)) for place in (
            "/overlay2", "/overlay2/l", "/image/overlay2/layerdb/tmp", "/image/overlay2/layerdb/sha256",
            "/image/overlay2/imagedb/content/sha256", "/image/overlay2/imagedb/metadata/sha256")]

    # What is cut off, each as a request that goes on until the daemon's end.
    def do_pull(self, api):
        return api.request("POST", "/images/create?fromImage=%s&tag=latest" % self.name.rpartition(":")[0])

    def do_load(self, api):
        return api.request("POST", "/images/load?quiet=1", self.archive)

    def do_rmi(self, api):
        return api.request("DELETE", "/images/%s?force=1" % self.name)

    def whole(self):
        """The one call after which the image is here, in whatever state it was."""
        with self.daemon.client(timeout=120) as api:
            answer = self.do_pull(api)
        self.assertEqual(answer.status, 200)
        self.assertNotIn(b'"error"', answer.body)

    def gone(self):
        with self.daemon.client() as api:
            api.request("DELETE", "/images/%s?force=1" % self.name)

    def assertWholeOrNone(self, what):
        with self.daemon.client(timeout=120) as api:
            found = [image for image in api.get("/images/json?all=1") if image["Id"] == self.image.id]
            if not found:
                self.assertEqual(api.request("GET", "/images/%s/json" % self.name).status, 404, what)
                return False
            # Whole is an image whose layers come out again bit by bit.
            saved = api.request("GET", "/images/%s/get" % self.image.id)
        self.assertEqual(saved.status, 200, what)
        with tarfile.open(fileobj=io.BytesIO(saved.body)) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
        for tar in self.tars:
            digest = hashlib.sha256(tar).hexdigest()
            self.assertEqual(hashlib.sha256(members["blobs/sha256/" + digest]).hexdigest(), digest, what)
        return True

    def cut(self, action, moment):
        """Sends the request and kills the daemon so many seconds later."""
        def work():
            try:
                with self.daemon.client(timeout=120) as api:
                    action(api)
            except (OSError, rawhttp.HttpError, http.client.HTTPException, ValueError):
                pass  # the connection broke, as it has to

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(moment)  # the moment is what is tried, nothing is waited for
        self.daemon.kill()
        thread.join()

    def duration(self, before, action):
        before()
        start = time.monotonic()
        with self.daemon.client(timeout=120) as api:
            self.assertLess(action(api).status, 300)
        return time.monotonic() - start

    def test_whole_or_none(self):
        kinds = (("pull", self.gone, self.do_pull), ("load", self.gone, self.do_load), ("rmi", self.whole, self.do_rmi))
        lengths = {kind: self.duration(before, action) for kind, before, action in kinds}
        resumed = 0
        for number in range(ROUNDS):
            kind, before, action = kinds[number % len(kinds)]
            before()
            self.forget_blobs()
            moment = self.random.uniform(0, 1.2 * lengths[kind])
            what = "round %d of seed %d: %s killed after %.4f s" % (number, SEED, kind, moment)
            self.cut(action, moment)
            kept = {name: os.path.getsize(self.partial + "/" + name) for name in os.listdir(self.partial)}
            self.daemon.start()
            here = self.assertWholeOrNone(what)
            if not here:
                # Whole layers may be there, which the next pull takes; nothing else of it is.
                wait_for(lambda: self.on_disk()[2] == [], what="no unfinished layer, " + what)
                self.assertEqual(self.on_disk()[4:], self.layers[4:], what)
            del self.registry.requests[:]
            self.whole()
            self.assertTrue(self.assertWholeOrNone(what), what)
            if not here:
                resumed += self.assertResumed(kept, what)
            self.gone()
            wait_for(lambda: self.on_disk() == self.layers, what="nothing on the disk in the end, " + what)
            # Of a layer that was whole before the end of its pull the blob stays for a day; more is not kept.
            wait_for(lambda: set(os.listdir(self.partial)) <= set(kept), what="no other blob in the end, " + what)
        print("%d rounds, %d blobs gone on with" % (ROUNDS, resumed))

    def forget_blobs(self):
        """Which blob unpacks to which layer: so that a pull asks for them again."""
        for file in glob.glob(self.daemon.root + "/image/overlay2/distribution/*/sha256/*"):
            os.unlink(file)

    def assertResumed(self, kept, what):
        """What was there of a blob is not asked for again."""
        count = 0
        for name, size in kept.items():
            asked = [headers.get("Range") for method, path, headers in self.registry.requests
                     if path.endswith("/blobs/sha256:" + name)]
            if size == self.blobs[name]:
                self.assertEqual(asked, [], what)
            elif size > 0:
                self.assertEqual(asked, ["bytes=%d-" % size], what)
            count += size > 0
        return count


if __name__ == "__main__":
    main()
