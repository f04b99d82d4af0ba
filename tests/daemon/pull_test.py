"""Images from registries: what is pulled, and what the client is told meanwhile.

The texts were compared with those of Docker 28.2.2.
"""
import json
import os
import shutil
import subprocess
import threading
import time
import unittest
import urllib.parse

import support

import image as kit
import registrydouble as double
from daemon import wait_for
from registrycase import PASSING, RegistryTestCase, layers, short
from testcase import main, require

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
STEPS = ["Pulling fs layer", "Pull complete"]
HOST = "arm64" if os.uname().machine == "aarch64" else "amd64"
OTHER = "s390x"


class Pull(RegistryTestCase):
    def test_by_tag(self):
        image = self.registry.add("tests/two", double.Image(layers()))
        name = self.registry.name + "/tests/two"
        pulled = self.pull(name)
        ids = [short(layer["digest"]) for layer in image.document["layers"]]
        told = pulled.told()
        self.assertEqual(told[0], ("latest", "Pulling from tests/two"))
        self.assertEqual([pulled.of(id) for id in ids], [STEPS, STEPS])
        self.assertEqual(told[-2:], [("", "Digest: " + image.digest),
                                     ("", "Status: Downloaded newer image for %s:latest" % name)])
        # In their order, whichever came first.
        self.assertEqual([id for id, status in told if status == "Pull complete"], ids)
        found = self.inspect(name)
        self.assertEqual((found["Id"], found["RepoTags"], found["RepoDigests"]),
                         (image.id, [name + ":latest"], ["%s@%s" % (name, image.digest)]))
        again = self.pull(name)
        self.assertEqual(again.told(), [("latest", "Pulling from tests/two"), ("", "Digest: " + image.digest),
                                        ("", "Status: Image is up to date for %s:latest" % name)])

    def test_form_of_the_lines(self):
        """Byte by byte, but for the bytes under way."""
        image = self.registry.add("tests/one", double.Image(layers(1)))
        name = self.registry.name + "/tests/one"
        with self.daemon.client() as api:
            body = api.request("POST", "/images/create?fromImage=%s&tag=latest" % name).body
        id = short(image.document["layers"][0]["digest"])
        # Docker's engine may leave out what is true for a moment only.
        drop = PASSING if os.environ.get("DOCKERD_ORACLE") else ("Waiting", "Downloading", "Extracting")

        def kept(lines):
            return [line for line in lines if not any(status in line for status in drop)]

        self.assertEqual(kept(body.decode().split("\r\n")), kept([
            '{"status":"Pulling from tests/one","id":"latest"}',
            '{"status":"Pulling fs layer","progressDetail":{},"id":"%s"}' % id,
            '{"status":"Verifying Checksum","progressDetail":{},"id":"%s"}' % id,
            '{"status":"Download complete","progressDetail":{},"id":"%s"}' % id,
            '{"status":"Pull complete","progressDetail":{},"id":"%s"}' % id,
            '{"status":"Digest: %s"}' % image.digest,
            '{"status":"Status: Downloaded newer image for %s:latest"}' % name, ""]))
        last = [line for line in body.decode().split("\r\n") if "Extracting" in line][-1]
        size = len(image.blobs[0])
        self.assertEqual(last, '{"status":"Extracting","progressDetail":{"current":%d,"total":%d},"progress":"[%s\\u003e] '
                         '%8s/%s","id":"%s"}' % (size, size, "=" * 50, "%dB" % size, "%dB" % size, id))

    def test_by_digest(self):
        image = self.registry.add("tests/two", double.Image(layers()))
        name = "%s/tests/two@%s" % (self.registry.name, image.digest)
        pulled = self.pull(self.registry.name + "/tests/two", image.digest)
        self.assertEqual(pulled.told()[0], (name, "Pulling from tests/two"))
        self.assertEqual(pulled.told()[-1], ("", "Status: Downloaded newer image for " + name))
        found = self.inspect(image.id)
        self.assertEqual((found["RepoTags"], found["RepoDigests"]), ([], [name]))

    def test_layers_that_are_here(self):
        tars = layers(3)
        self.registry.add("tests/low", double.Image(tars[:2]))
        high = self.registry.add("tests/high", double.Image(tars))
        self.pull(self.registry.name + "/tests/low")
        pulled = self.pull(self.registry.name + "/tests/high")
        ids = [short(layer["digest"]) for layer in high.document["layers"]]
        self.assertEqual([pulled.of(id) for id in ids[:2]], [["Already exists"]] * 2)
        self.assertEqual(pulled.of(ids[2])[0], "Pulling fs layer")
        self.assertEqual(self.registry.asked("GET", "/v2/tests/high/blobs/"), 2)  # one layer, the configuration

    def test_layer_twice_in_an_image(self):
        first, second = layers(2)
        image = self.registry.add("tests/twice", double.Image([first, second, first]))
        pulled = self.pull(self.registry.name + "/tests/twice")
        ids = [short(layer["digest"]) for layer in image.document["layers"]]
        self.assertEqual([pulled.of(id) for id in ids[:2]], [STEPS, STEPS])
        self.assertEqual(self.inspect(image.id)["RootFS"]["Layers"], [double.digest(tar) for tar in (first, second, first)])
        self.assertEqual(self.registry.asked("GET", "/blobs/" + image.document["layers"][0]["digest"]), 1)

    def test_notes_that_were_deleted(self):
        """Users delete distribution/ so that blobs are fetched again; pulls and pushes go on as if it had been there."""
        image = self.registry.add("tests/one", double.Image(layers(1)))
        name = self.registry.name + "/tests/one"
        for _ in range(2):
            shutil.rmtree(self.daemon.root + "/image/overlay2/distribution")
            self.assertIsNone(self.pull(name).message)
            with self.daemon.client() as api:
                api.post("/images/%s/tag?repo=%s/tests/other" % (name, self.registry.name))
            shutil.rmtree(self.daemon.root + "/image/overlay2/distribution")
            self.assertCli(0, "push", "-q", self.registry.name + "/tests/other")
            self.assertEqual(self.inspect(name)["Id"], image.id)
            self.forget()
        self.assertIsNone(self.pull(name).message)  # and all folders are there again

    def test_tag_that_moves(self):
        name = self.registry.name + "/tests/moves"
        old = self.registry.add("tests/moves", double.Image(layers(1)))
        self.pull(name)
        new = self.registry.add("tests/moves", double.Image(layers(2)))
        pulled = self.pull(name)
        self.assertEqual(pulled.told()[-1], ("", "Status: Downloaded newer image for %s:latest" % name))
        self.assertEqual(self.inspect(name)["Id"], new.id)
        self.assertEqual((self.inspect(old.id)["RepoTags"], self.inspect(old.id)["RepoDigests"]),
                         ([], ["%s@%s" % (name, old.digest)]))

    def test_all_tags(self):
        name = self.registry.name + "/tests/tags"
        one = self.registry.add("tests/tags", double.Image(layers(1)), "one")
        two = self.registry.add("tests/tags", double.Image(layers(2)), "two")
        pulled = self.pull(name, "")
        self.assertEqual([line for line in pulled.told() if line[1].startswith("Pulling from")],
                         [("one", "Pulling from tests/tags"), ("two", "Pulling from tests/tags")])
        self.assertEqual(pulled.told()[-1], ("", "Status: Downloaded newer image for " + name))
        self.assertEqual([self.inspect(name + ":one")["Id"], self.inspect(name + ":two")["Id"]], [one.id, two.id])

    def test_pages_of_tags(self):
        name = self.registry.name + "/tests/pages"
        for tag in ("a", "b", "c"):
            self.registry.add("tests/pages", double.Image(layers(1)), tag)

        def page(handler):
            last = handler.path.partition("last=")[2]
            rest = [tag for tag in "abc" if tag > last][:1]
            link = {"Link": '</v2/tests/pages/tags/list?last=%s>; rel="next"' % rest[0]} if rest != ["c"] else {}
            double.reply(handler, 200, ('{"tags":["%s"]}' % rest[0]).encode(), {"Content-Type": "application/json", **link})

        self.registry.rule("GET", "tags/list", page)
        self.assertEqual(self.pull(name, "").status, 200)
        self.assertEqual(self.inspect(name + ":a")["RepoTags"], [name + ":a", name + ":b", name + ":c"])

    def test_oci(self):
        media = (double.OCI_MANIFEST, double.OCI_CONFIG, double.OCI_LAYER)
        image = self.registry.add("tests/oci", double.Image(layers(), media=media))
        pulled = self.pull(self.registry.name + "/tests/oci")
        self.assertEqual(pulled.told()[-2], ("", "Digest: " + image.digest))
        self.assertEqual(self.inspect(image.id)["Id"], image.id)

    def test_plain_layers(self):
        media = (double.OCI_MANIFEST, double.OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar")
        image = self.registry.add("tests/plain", double.Image(layers(), pack=lambda tar: tar, media=media))
        self.assertEqual(self.pull(self.registry.name + "/tests/plain").status, 200)
        self.assertEqual(self.inspect(image.id)["RootFS"]["Layers"], [double.digest(tar) for tar in layers()])

    def test_zstd_layers(self):
        require(shutil.which("zstd"), "no zstd")
        media = (double.OCI_MANIFEST, double.OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd")
        image = self.registry.add("tests/zstd", double.Image(
            layers(), media=media, pack=lambda tar: subprocess.run(["zstd", "-c"], input=tar, stdout=subprocess.PIPE,
                                                                   stderr=subprocess.DEVNULL, check=True).stdout))
        self.assertEqual(self.pull(self.registry.name + "/tests/zstd").message, None)
        self.assertEqual(self.inspect(image.id)["RootFS"]["Layers"], [double.digest(tar) for tar in layers()])

    def test_list_of_platforms(self):
        name = self.registry.name + "/tests/list"
        here = self.registry.add("tests/list", double.Image(layers(1), architecture=HOST), "here")
        other = self.registry.add("tests/list", double.Image(layers(2), architecture=OTHER), "other")
        for media in (double.LIST, double.OCI_INDEX):
            digest = self.registry.add_manifest("tests/list", media, double.index_of([other, here], media), "both")
            pulled = self.pull(name, "both")
            self.assertEqual(pulled.told()[-2], ("", "Digest: " + digest))
            self.assertEqual(self.inspect(name + ":both")["Id"], here.id)
            self.pull(name, "both", platform="linux/" + OTHER)
            self.assertEqual(self.inspect(name + ":both")["Id"], other.id)
            pulled = self.pull(name, "both", platform="linux/ppc64le")
            self.assertEqual(pulled.message, "no matching manifest for linux/ppc64le in the manifest list entries")

    def test_variants(self):
        name = self.registry.name + "/tests/variants"
        v6 = self.registry.add("tests/variants", double.Image(layers(1), architecture="arm", variant="v6"), "v6")
        v7 = self.registry.add("tests/variants", double.Image(layers(2), architecture="arm", variant="v7"), "v7")
        self.registry.add_manifest("tests/variants", double.LIST, double.index_of([v6, v7]), "all")
        for platform, expected in (("linux/arm/v6", v6), ("linux/arm/v7", v7), ("linux/arm", v7), ("linux/arm64", v7)):
            pulled = self.pull(name, "all", platform=platform)
            self.assertEqual(self.inspect(name + ":all")["Id"], expected.id, platform)
        self.assertEqual(self.pull(name, "all", platform="linux/arm/v5").message,
                         "no matching manifest for linux/arm/v5 in the manifest list entries")

    def test_other_platform_without_a_list(self):
        name = self.registry.name + "/tests/other"
        image = self.registry.add("tests/other", double.Image(layers(1), architecture=OTHER))
        pulled = self.pull(name, platform="linux/amd64")
        self.assertEqual(pulled.told()[-1],
                         ("", "WARNING: image with reference %s:latest was found but its platform (linux/%s) does not match "
                              "the specified platform (linux/amd64)" % (name, OTHER)))
        self.assertEqual(self.inspect(name)["Id"], image.id)

    def test_event(self):
        self.registry.add("tests/one", double.Image(layers(1)))
        name = self.registry.name + "/tests/one"
        with self.daemon.client() as api:
            since = time.time()
            self.pull(name)
            query = urllib.parse.urlencode({"since": "%.9f" % since, "until": "%.9f" % time.time(),
                                            "filters": '{"type":{"image":true}}'})
            response = api.request("GET", "/events?" + query)
        events = [json.loads(line) for line in response.body.splitlines()]
        self.assertEqual([(event["Action"], event["Actor"]) for event in events],
                         [("pull", {"ID": name + ":latest", "Attributes": {"name": name}})])

    def test_run_pulls_what_is_missing(self):
        image = self.registry.add("tests/kit", double.Image([kit.build_tar()]))
        name = self.registry.name + "/tests/kit"
        done = self.assertCli(0, "run", "--rm", "--network", "none", name, "/payload", "echo", "here", stdout="here\n")
        self.assertIn(b"Unable to find image '%s:latest' locally\n" % name.encode(), done.stderr)
        self.assertIn(b"Digest: %s\n" % image.digest.encode(), done.stderr)
        self.assertEqual(self.inspect(name)["Id"], image.id)

    def test_two_at_once_fetch_once(self):
        image = self.registry.add("tests/one", double.Image(layers(1)))
        blob = image.document["layers"][0]["digest"]
        both = threading.Event()

        def hold(handler):
            both.wait(30)
            return False

        self.registry.rule("GET", "/blobs/" + blob, hold)
        out = []
        threads = [threading.Thread(target=lambda: out.append(self.pull(self.registry.name + "/tests/one"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        # Both have got the manifest, so both want the blob.
        wait_for(lambda: self.registry.asked("GET", "/blobs/" + image.id) == 2, what="both pulls")
        both.set()
        for thread in threads:
            thread.join()
        self.assertEqual([pulled.message for pulled in out], [None, None])
        self.assertEqual(self.registry.asked("GET", "/blobs/" + blob), 1)

    def test_manifests_are_kept(self):
        """What has not changed costs one HEAD, which registries do not count; by digest not even that, in a repository
        that is known to have it."""
        image = self.registry.add("tests/kept", double.Image(layers(1), config={"Labels": {"kept": "manifest"}}))
        index = double.index_of([image])
        digest = self.registry.add_manifest("tests/kept", double.LIST, index, "list")
        name = self.registry.name + "/tests/kept"

        def asked(tag, of=name):
            del self.registry.requests[:]
            self.assertIsNone(self.pull(of, tag).message)
            return [(method, path.rpartition("/")[2]) for method, path, _ in self.registry.requests if "/manifests/" in path]

        self.assertEqual(asked("list"), [("HEAD", "list"), ("GET", digest), ("GET", image.digest)])
        self.assertEqual(asked("list"), [("HEAD", "list")])
        self.assertEqual(asked("latest"), [("HEAD", "latest")])
        self.assertEqual(asked(digest), [])
        # Another repository has to say that it has it.
        self.registry.add("tests/other", image)
        other = self.registry.name + "/tests/other"
        self.assertEqual(asked(image.digest, other), [("HEAD", image.digest)])
        self.assertEqual(asked(image.digest, other), [])
        empty = self.registry.name + "/tests/empty"
        self.registry.repository("tests/empty")
        self.assertEqual(self.pull(empty, image.digest).status, 404)

    @unittest.skipIf(ORACLE, "Docker takes bytes that it has for what they look like")
    def test_types_of_kept_manifests_are_each_repositorys_own(self):
        """The same bytes as an image here and as what nobody reads there: the repository that is asked decides."""
        image = self.registry.add("tests/image", double.Image(layers(1), config={"Labels": {"kept": "type"}}))
        strange = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        self.registry.add_manifest("tests/strange", strange, image.manifest)
        self.registry.repository("tests/strange").blobs.update(self.registry.repository("tests/image").blobs)
        good, bad = (self.registry.name + "/tests/" + name for name in ("image", "strange"))
        refused = "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed."
        for first, second in ((good, bad), (bad, good)):
            for name in (first, second, first, second):
                message = self.pull(name, image.digest).message
                if name == good:
                    self.assertIsNone(message)
                    self.assertEqual(self.inspect("%s@%s" % (good, image.digest))["Id"], image.id)
                else:
                    self.assertIn(refused, message or "pulled")
            self.forget()

    def test_bad_names(self):
        for name, tag, status, message in (
                ("UPPER", "", 400, "invalid reference format: repository name (library/UPPER) must be lowercase"),
                ("a:b:c", "", 400, "invalid reference format"),
                ("good", "b@d", 400, "invalid tag format"),
                # No domain, for its underscore, and so no place to ask.
                ("a_b.example/x", "t", 500, 'Get "https:/v2/": http: no Host in request URL'),
                ("A_b.example/x", "t", 400, "repository name must be lowercase"),
                ("scratch", "", 403, "'scratch' is a reserved name")):
            pulled = self.pull(name, tag)
            self.assertEqual((pulled.status, pulled.message), (status, message))
        pulled = self.pull(self.registry.name + "/x", platform="linux/*")
        self.assertEqual((pulled.status, pulled.message),
                         (400, '"linux/*": wildcards not yet supported: invalid argument'))
        self.assertEqual(self.registry.requests, [])


if __name__ == "__main__":
    main()
