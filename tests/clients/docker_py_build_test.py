"""Builds through the Docker SDK for Python, as scripts and test frameworks use it.

The version is the one the machine has, Debian's 5.0 or a new one. Every answer was compared with that of Docker 28.2.2.
"""
import gzip
import io
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from buildcase import BuildTestCase, context
from daemon import wait_for
from testcase import main

try:
    import docker
    import docker.errors
except ImportError:
    docker = None


@unittest.skipUnless(docker, "the Docker SDK for Python is not installed")
class Builds(BuildTestCase):
    def setUp(self):
        super().setUp()
        self.sdk = docker.DockerClient(base_url=self.daemon.host, version="1.41", timeout=120)
        self.addCleanup(self.sdk.close)
        self.folder = tempfile.mkdtemp(prefix="dockerd-sdk-")
        self.addCleanup(shutil.rmtree, self.folder)

    def tearDown(self):
        self.sdk.close()  # its connections would be leaks
        super().tearDown()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def image(self, **options):
        """Builds; returns the image and the text of its log."""
        image, log = self.sdk.images.build(rm=True, **options)
        return image, "".join(entry.get("stream", "") for entry in log)

    def printed(self, image):
        return self.sdk.containers.run(image.id, remove=True, network_mode="none").decode()

    def refusal(self, **options):
        with self.assertRaises((docker.errors.BuildError, docker.errors.APIError)) as raised:
            self.image(**options)
        return raised.exception.msg if isinstance(raised.exception, docker.errors.BuildError) else raised.exception.explanation

    def test_folder_with_an_ignore_file(self):
        self.write("Dockerfile", "FROM kit\nCOPY . /ctx\nCMD [\"find\", \"/ctx\", \"-type\", \"f\"]\n")
        for name in ("kept/a", "left/b", "left/c.keep", "x.tmp"):
            self.write(name, name)
        self.write(".dockerignore", "left\n!left/*.keep\n*.tmp\nDockerfile\n.dockerignore\n")
        image, log = self.image(path=self.folder, tag="sdk:one")
        self.assertEqual(image.tags, ["sdk:one"])
        self.assertTrue(log.endswith("Successfully tagged sdk:one\n"), log)
        self.assertEqual(sorted(self.printed(image).split()), ["/ctx/kept/a", "/ctx/left/c.keep"])

    def test_dockerfiles_elsewhere(self):
        """By the name of another one, from outside the context, and alone."""
        self.write("context/file", "in the context\n")
        self.write("context/other", "FROM kit\nCOPY file /f\nCMD [\"cat\", \"/f\"]\n")
        outside = self.write("outside", "FROM kit\nCOPY file /f\nCMD [\"echo\", \"outside\"]\n")
        context_folder = self.folder + "/context"
        self.assertEqual(self.printed(self.image(path=context_folder, dockerfile="other")[0]), "in the context\n")
        self.assertEqual(self.printed(self.image(path=context_folder, dockerfile=outside)[0]), "outside\n")
        alone = io.BytesIO(b"FROM kit\nCMD [\"echo\", \"alone\"]\n")
        self.assertEqual(self.printed(self.image(fileobj=alone)[0]), "alone\n")

    def test_packed_contexts(self):
        plain = context({"Dockerfile": "FROM kit\nCOPY a /a\nCMD [\"cat\", \"/a\"]\n", "a": "packed\n"})
        packed = [("gzip", gzip.compress(plain)), ("xz", lzma.compress(plain))]
        zstd = shutil.which("zstd")
        if zstd:
            packed.append(("zstd", subprocess.run([zstd, "-q", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout))
        for encoding, body in packed:
            image, _ = self.image(fileobj=io.BytesIO(body), custom_context=True, encoding=encoding)
            self.assertEqual(self.printed(image), "packed\n", encoding)
        self.write("Dockerfile", "FROM kit\nCOPY a /a\nCMD [\"cat\", \"/a\"]\n")
        self.write("a", "by the client\n")
        self.assertEqual(self.printed(self.image(path=self.folder, gzip=True)[0]), "by the client\n")

    def test_options(self):
        dockerfile = ("FROM kit AS first\nARG WHO=nobody\nRUN echo $WHO > /who\nCMD [\"cat\", \"/who\"]\n"
                      "FROM first AS second\nRUN grep named /etc/hosts > /who; ls /sys/class/net >> /who\n")
        self.write("Dockerfile", dockerfile)
        image, log = self.image(path=self.folder, buildargs={"WHO": "me"}, labels={"b": "2", "a": "1"}, target="first")
        self.assertEqual((self.printed(image), image.labels), ("me\n", {"a": "1", "b": "2"}))
        self.assertIn("Step 6/6 : LABEL b=2\n", log)
        again, log = self.image(path=self.folder, buildargs={"WHO": "me"}, labels={"b": "2", "a": "1"}, target="first")
        self.assertEqual((again.id, log.count("Using cache")), (image.id, 5))
        anew, log = self.image(path=self.folder, buildargs={"WHO": "me"}, target="first", nocache=True)
        self.assertNotEqual(anew.id, image.id)
        self.assertNotIn("Using cache", log)
        image, _ = self.image(path=self.folder, extra_hosts={"named": "10.1.2.3"}, network_mode="none", shmsize=1 << 20)
        self.assertEqual(self.printed(image).split(), ["10.1.2.3", "named", "lo"])

    def test_pull(self):
        """It asks the registry, even for what is there."""
        self.sdk.images.get("kit").tag("127.0.0.1:1/kit")
        try:
            dockerfile = b"FROM 127.0.0.1:1/kit\nENV a=b\n"
            self.image(fileobj=io.BytesIO(dockerfile))
            self.assertIn("connection refused", self.refusal(fileobj=io.BytesIO(dockerfile), pull=True))
        finally:
            self.sdk.images.remove("127.0.0.1:1/kit")

    def test_what_fails(self):
        self.assertEqual(self.refusal(fileobj=io.BytesIO(b"FROM kit\nRUN exit 3\n")),
                         "The command '/bin/sh -c exit 3' returned a non-zero code: 3")
        self.assertEqual(self.refusal(fileobj=io.BytesIO(b"FROM kit\nUNHEARDOF such\n")),
                         "dockerfile parse error on line 2: unknown instruction: UNHEARDOF")
        self.assertEqual(self.refusal(fileobj=io.BytesIO(b"FROM kit\n"), target="none"), "target stage \"none\" could not be found")
        self.assertEqual(self.refusal(fileobj=io.BytesIO(b"FROM kit\nENV a=b\n"), container_limits={"memory": 1 << 20}),
                         "Minimum memory limit allowed is 6MB")

    def test_leaving_ends_the_build(self):
        self.write("Dockerfile", "FROM kit\nRUN echo begun && sleep 300\n")
        stream = self.sdk.api.build(path=self.folder, rm=True, forcerm=True, decode=True)
        for entry in stream:
            if entry.get("stream") == "begun\n":
                break
        self.assertEqual(len(self.sdk.containers.list()), 1)
        self.sdk.close()
        stream.close()
        del stream, entry
        with self.daemon.client() as connection:
            wait_for(lambda: connection.get("/containers/json?all=1") == [], what="the end of the build")


if __name__ == "__main__":
    main()
