"""What tests of pull and push share: a daemon with a registry double beside it."""
import base64
import contextlib
import glob
import json
import os
import urllib.parse

import registrydouble as double
from testcase import DaemonTestCase


PASSING = ("Waiting", "Downloading", "Verifying Checksum", "Download complete", "Extracting")


class Pulled:
    """What a pull answered: its status, and its lines as documents."""

    def __init__(self, response):
        self.status = response.status
        self.lines = [json.loads(line) for line in response.body.split(b"\r\n") if line.strip()] \
            if response.status == 200 else []
        self.message = json.loads(response.body)["message"] if response.status != 200 else None
        if self.lines and "error" in self.lines[-1]:
            self.message = self.lines[-1]["error"]

    def told(self):
        """Lines without what depends on timing: bytes under way, who had to wait, and steps of a moment, which
        Docker's engine now and then leaves out."""
        return [(line.get("id", ""), line["status"]) for line in self.lines
                if "status" in line and line["status"] not in PASSING]

    def of(self, layer):
        return [status for id, status in self.told() if id == layer]


class RegistryTestCase(DaemonTestCase):
    """self.registry is a fresh double in the daemon's network namespace."""

    def setUp(self):
        self.registry = self.daemon.in_net(double.Registry)
        super().setUp()
        self.addCleanup(self.registry.close)

    def tearDown(self):
        self.forget()
        super().tearDown()

    def forget(self):
        """Removes the images of the test, and what is remembered of their blobs."""
        self.daemon.remove_containers()
        with self.daemon.client() as api:
            for found in api.get("/images/json"):
                if "kit:latest" not in found["RepoTags"]:
                    api.delete("/images/%s?force=1" % found["Id"])
                for name in found["RepoTags"] + found["RepoDigests"] if "kit:latest" in found["RepoTags"] else ():
                    if name != "kit:latest":
                        # With the last tag of a repository its digests go as well.
                        api.request("DELETE", "/images/%s?noprune=1" % name)
        distribution = self.daemon.root + "/image/overlay2/distribution"
        for file in glob.glob(distribution + "/*/sha256/*") + glob.glob(distribution + "/partial/*"):
            with contextlib.suppress(FileNotFoundError):  # the daemon takes away what nobody goes on with
                os.unlink(file)

    def pull(self, name, tag="latest", auth=None, **query):
        query = {"fromImage": name, "tag": tag, **query}
        headers = [("X-Registry-Auth", auth)] if auth else []
        with self.daemon.client(timeout=120) as api:
            return Pulled(api.request("POST", "/images/create?" + urllib.parse.urlencode(query), headers=headers))

    @staticmethod
    def credentials(user, password, **more):
        """What X-Registry-Auth carries."""
        return base64.urlsafe_b64encode(json.dumps({"username": user, "password": password, **more}).encode()).decode()

    def inspect(self, name):
        with self.daemon.client() as api:
            return api.get("/images/%s/json" % name)

    def assertNothingHere(self, *ids):
        """No image beside the kit's, and nothing of a layer."""
        with self.daemon.client() as api:
            self.assertEqual([found["RepoTags"] for found in api.get("/images/json?all=1")], [["kit:latest"]])


def layers(count=2):
    """Tars of one small file each."""
    return [double.tar_of({"file-%d" % i: b"contents of layer %d\n" % i * 1000}) for i in range(count)]


def short(digest):
    """As progress shows a layer."""
    return digest[len("sha256:"):][:12]
