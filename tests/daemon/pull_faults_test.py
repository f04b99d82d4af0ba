"""What registries do wrong, and what is left of a pull then: a clear word, and nothing else.

The texts were compared with those of Docker 28.2.2; what Docker does not refuse is marked.
"""
import glob
import json
import os
import re
import socket
import threading
import time
import unittest

import support

import registrydouble as double
from daemon import wait_for
from registrycase import RegistryTestCase, layers, short
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))


class Faults(RegistryTestCase):
    arguments = ("--max-download-attempts", "2")

    def assertRefused(self, message, name="tests/one", tag="latest", status=200, **query):
        pulled = self.pull(self.registry.name + "/" + name, tag, **query)
        self.assertEqual((pulled.status, pulled.message), (status, message))
        self.assertNothingHere()
        return pulled

    def one(self, **more):
        return self.registry.add("tests/one", double.Image(layers(1), **more))

    def test_not_found(self):
        self.one()
        name = self.registry.name + "/tests/one"
        self.assertRefused("manifest for %s:other not found: manifest unknown: manifest unknown" % name, tag="other",
                           status=404)
        self.assertRefused("repository %s/none not found: name unknown: repository name not known to registry"
                           % self.registry.name, name="none", status=404)

    def test_denied(self):
        self.registry.rule("*", "/manifests/", lambda handler: double.error(
            handler, 403, "DENIED", "requested access to the resource is denied", detail=[]))
        self.assertRefused("pull access denied for %s/tests/one, repository does not exist or may require 'docker login': "
                           "denied: requested access to the resource is denied" % self.registry.name, status=404)

    def test_too_many_requests(self):
        self.registry.rule("*", "/manifests/", lambda handler: double.error(
            handler, 429, "TOOMANYREQUESTS", "You have reached your pull rate limit.", detail=[]))
        self.assertRefused("toomanyrequests: You have reached your pull rate limit.", status=429)

    def test_statuses_of_codes(self):
        """Each code of the protocol is answered with the status the protocol gives it, whatever the registry's was."""
        for code, status in (("UNSUPPORTED", 405), ("UNAUTHORIZED", 401), ("UNAVAILABLE", 503), ("NAME_INVALID", 400),
                             ("MANIFEST_INVALID", 400), ("BLOB_UNKNOWN", 404), ("UNKNOWN", 500), ("OTHER", 500)):
            self.registry.rules.clear()
            self.registry.rule("*", "/manifests/", lambda handler: double.error(handler, 400, code, "why", detail=[]))
            known = "unknown" if code == "OTHER" else code.lower().replace("_", " ")
            self.assertRefused("%s: why" % known, status=status)

    def test_error_that_is_no_document(self):
        for body, headers, message in (
                (b"<html>", {"Content-Type": "text/html"}, "unknown: <html>"),
                (b"<html>", {"Content-Type": "application/json"},
                 "error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: \"<html>\""),
                (b"{}", {"Content-Type": "application/json"},
                 'error parsing HTTP 404 response body: no error details found in HTTP response body: "{}"')):
            self.registry.rules.clear()
            self.registry.rule("*", "/manifests/", lambda handler: double.reply(handler, 404, body, headers))
            self.assertRefused(message, status=500)

    def test_server_error(self):
        self.registry.rule("*", "/manifests/", lambda handler: double.reply(handler, 503, b"no", {}))
        self.assertRefused("received unexpected HTTP status: 503 Service Unavailable", status=500)

    def test_nobody_there(self):
        with self.daemon.in_net(double.Registry) as other:
            pass
        pulled = self.pull(other.name + "/x")
        self.assertEqual((pulled.status, pulled.message),
                         (500, 'Get "http://%s/v2/": dial tcp %s: connect: connection refused' % (other.name, other.name)))

    def test_manifest_of_another_digest(self):
        # One that Docker's engine has not seen: it keeps manifests by their digests.
        image = self.one(config={"Labels": {"seen": "never"}})
        other = double.Image(layers(2))
        self.registry.rule("GET", "/manifests/", lambda handler: double.reply(
            handler, 200, other.manifest, {"Content-Type": double.MANIFEST, "Docker-Content-Digest": image.digest}))
        name = self.registry.name + "/tests/one"
        pulled = self.pull(name, image.digest)
        self.assertEqual(pulled.message, "manifest verification failed for digest " + image.digest)
        self.assertNothingHere()

    def test_configuration_of_another_digest(self):
        image = self.one()
        self.registry.repository("tests/one").blobs[image.id] = b"{}"
        self.assertRefused("error pulling image configuration: image config verification failed for digest " + image.id)

    def test_configuration_missing(self):
        image = self.one()
        del self.registry.repository("tests/one").blobs[image.id]
        self.assertRefused("error pulling image configuration: download failed after attempts=1: unknown blob")

    def test_layer_missing(self):
        image = self.one()
        del self.registry.repository("tests/one").blobs[double.digest(image.blobs[0])]
        self.assertRefused("unknown blob")

    def test_layer_of_another_digest(self):
        image = self.one()
        digest = double.digest(image.blobs[0])
        wrong = bytearray(image.blobs[0])
        wrong[-1] ^= 1
        self.registry.repository("tests/one").blobs[digest] = bytes(wrong)
        self.assertRefused("filesystem layer verification failed for digest " + digest)

    def test_layer_that_is_no_layer(self):
        image = double.Image(layers(1), pack=lambda tar: b"\x1f\x8b\x08\x00not really gzip")
        self.registry.add("tests/one", image)
        pulled = self.assertRefused(self.pull(self.registry.name + "/tests/one").message)
        self.assertTrue(pulled.message.startswith("failed to register layer: "), pulled.message)

    def test_layers_of_another_image(self):
        image = double.Image(layers(1))
        document = json.loads(image.config)
        document["rootfs"]["diff_ids"] = [double.digest(b"other")]
        image.config = json.dumps(document).encode()
        image.id = double.digest(image.config)
        image.document["config"].update(digest=image.id, size=len(image.config))
        image.seal()
        self.registry.add("tests/one", image)
        self.assertRefused("layers from manifest don't match image configuration")

    def swapped(self, tar, diff_id):
        """An image of one layer, whose configuration says of the blob that it unpacks to `diff_id`."""
        image = double.Image([tar])
        document = json.loads(image.config)
        document["rootfs"]["diff_ids"] = [diff_id]
        image.config = json.dumps(document).encode()
        image.id = double.digest(image.config)
        image.document["config"].update(digest=image.id, size=len(image.config))
        image.seal()
        return image

    def test_a_layer_is_known_by_what_was_unpacked(self):
        """An image says of a blob that it is a layer that is here: whoever pulls that blob after it gets what is in it."""
        here, other = layers(2)
        self.registry.add("tests/one", double.Image([here]))
        self.registry.add("tests/evil", self.swapped(other, double.digest(here)))
        honest = self.registry.add("tests/honest", double.Image([other]))
        self.assertIsNone(self.pull(self.registry.name + "/tests/one").message)
        self.pull(self.registry.name + "/tests/evil")  # refused by Docker's engine, taken without the blob here
        self.assertIsNone(self.pull(self.registry.name + "/tests/honest").message)
        self.assertEqual(self.inspect(honest.id)["RootFS"]["Layers"], [double.digest(other)])

    @unittest.skipIf(ORACLE, "Docker keeps what it noted once")
    def test_a_wrong_note_is_dropped(self):
        here, other = layers(2)
        self.registry.add("tests/one", double.Image([here]))
        honest = self.registry.add("tests/honest", double.Image([other]))
        self.assertIsNone(self.pull(self.registry.name + "/tests/one").message)
        notes = self.daemon.root + "/image/overlay2/distribution/diffid-by-digest/sha256/"
        with open(notes + double.digest(honest.blobs[0])[len("sha256:"):], "w") as file:
            file.write(double.digest(here))
        pulled = self.pull(self.registry.name + "/tests/honest")
        self.assertEqual(pulled.message, "layers from manifest don't match image configuration")
        self.assertIsNone(self.pull(self.registry.name + "/tests/honest").message)
        self.assertEqual(self.inspect(honest.id)["RootFS"]["Layers"], [double.digest(other)])

    def test_a_layer_that_stalls_keeps_nobody_from_the_right_one(self):
        """An image says of a blob that never comes that it is a layer others pull as well."""
        wanted, other = layers(2)
        self.registry.add("tests/one", double.Image([wanted]))
        evil = self.registry.add("tests/evil", self.swapped(other, double.digest(wanted)))
        stalled, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def stall(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(evil.blobs[0])))
            handler.end_headers()
            handler.wfile.write(evil.blobs[0][:20])
            handler.wfile.flush()
            stalled.set()
            release.wait(60)

        self.registry.rule("GET", "/blobs/" + double.digest(evil.blobs[0]), stall)
        api = self.daemon.client()
        self.addCleanup(api.close)
        api.send("POST", "/images/create?fromImage=%s/tests/evil&tag=latest" % self.registry.name)
        self.assertTrue(stalled.wait(30))
        wait_for(lambda: self.registry.asked("GET", "/blobs/" + evil.id), what="the configuration")
        self.assertIsNone(self.pull(self.registry.name + "/tests/one").message)
        api.close()

    def test_endless_chunk_extension(self):
        self.one(config={"Labels": {"seen": "never before"}})

        def endless(handler):
            handler.send_response(200)
            handler.send_header("Content-Type", double.MANIFEST)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"5;")
            while True:
                handler.wfile.write(b"x" * 65536)

        self.registry.rule("GET", "/manifests/", endless)
        self.assertRefused("header line too long", status=500)

    @unittest.skipIf(ORACLE, "Docker sends it on")
    def test_identity_token_stays_with_the_token_server(self):
        self.registry.realm = "http://%s/token" % self.registry.name
        self.one()
        with self.daemon.in_net(double.Registry) as other:
            self.registry.rule("POST", "/token", lambda handler: double.reply(
                handler, 307, b"", {"Location": "http://%s/token" % other.name}))
            pulled = self.pull(self.registry.name + "/tests/one", auth=self.credentials("", "", identitytoken="secret"))
            self.assertEqual(other.requests, [])
        self.assertTrue(pulled.message.endswith(": the token server %s sends the identity token on to %s"
                                                % (self.registry.name, other.name)), pulled.message)
        self.assertNothingHere()

    def test_fewer_layers_than_the_configuration_says(self):
        image = double.Image(layers(2))
        del image.document["layers"][1]
        image.seal()
        self.registry.add("tests/one", image)
        self.assertRefused("layers from manifest don't match image configuration")

    def test_connection_cut_is_gone_on_with(self):
        """After five seconds, from where it broke off."""
        data = os.urandom(300000)
        image = self.registry.add("tests/one", double.Image([double.tar_of({"noise": data})]))
        digest = double.digest(image.blobs[0])

        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(image.blobs[0])))
            handler.end_headers()
            handler.wfile.write(image.blobs[0][:100000])
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)

        self.registry.rule("GET", "/blobs/" + digest, cut, times=1)
        pulled = self.pull(self.registry.name + "/tests/one")
        self.assertIsNone(pulled.message)
        self.assertEqual([status for status in pulled.of(short(digest)) if status.startswith("Retrying")],
                         ["Retrying in %d second%s" % (n, "" if n == 1 else "s") for n in (5, 4, 3, 2, 1)])
        self.assertEqual([headers.get("Range") for method, path, headers in self.registry.requests
                          if path.endswith("/blobs/" + digest)], [None, "bytes=100000-"])

    def test_connection_cut_again_and_again(self):
        image = self.one()
        digest = double.digest(image.blobs[0])

        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(image.blobs[0])))
            handler.end_headers()
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)

        self.registry.rule("GET", "/blobs/" + digest, cut)
        self.assertRefused("unexpected EOF")
        self.assertEqual(self.registry.asked("GET", "/blobs/" + digest), 2)

    def test_no_answer_for_a_layer(self):
        """What stopped it is told without whom it was asked of."""
        image = self.one()
        self.registry.rule("GET", "/blobs/" + double.digest(image.blobs[0]),
                           lambda handler: handler.connection.shutdown(socket.SHUT_RDWR))
        self.assertRefused("EOF")

    @unittest.skipIf(ORACLE, "Docker takes what has the right digest, however long the manifest says it is")
    def test_wrong_size(self):
        image = double.Image(layers(1))
        digest = double.digest(image.blobs[0])
        image.document["layers"][0]["size"] += 5
        image.seal()
        self.registry.add("tests/one", image)
        self.assertRefused("filesystem layer verification failed for digest %s: the registry has %d bytes, the manifest "
                           "says %d" % (digest, len(image.blobs[0]), len(image.blobs[0]) + 5))

    @unittest.skipIf(ORACLE, "Docker reads until the disk is full")
    def test_endless_body(self):
        image = self.one()
        digest = double.digest(image.blobs[0])

        def endless(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while True:
                handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")

        self.registry.rule("GET", "/blobs/" + digest, endless)
        self.assertRefused("filesystem layer verification failed for digest %s: more than %d bytes"
                           % (digest, len(image.blobs[0])))
        self.assertEqual(os.listdir(self.partial()), [])

    @unittest.skipIf(ORACLE, "Docker waits for ever")
    def test_servers_that_fall_silent(self):
        """In the middle of a head, of a document, of a layer, of a token: after a minute without a byte the answer has
        failed, a token server has fifteen seconds for all of its. A layer is gone on with."""
        release = threading.Event()
        self.addCleanup(release.set)
        noise = double.Image([double.tar_of({"noise": os.urandom(300000)})])
        blob = double.digest(noise.blobs[0])

        def silent(before, *headers):
            """Answers with a head and `before`, and then no more."""
            def answer(handler):
                handler.send_response(200)
                for name, value in headers:
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(before)
                handler.wfile.flush()
                release.wait(200)
            return answer

        def half_a_head(handler):
            handler.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Ty")
            release.wait(200)

        for name in ("head", "document", "config"):
            self.registry.add("tests/" + name, double.Image(layers(1), config={"Labels": {"of": name}}))
        self.registry.add("tests/layer", noise)
        config = double.Image(layers(1), config={"Labels": {"of": "config"}}).id
        self.registry.rule("HEAD", "/tests/head/manifests/", half_a_head)
        self.registry.rule("GET", "/tests/document/manifests/",
                           silent(b'{"schemaVersion"', ("Content-Type", double.MANIFEST), ("Content-Length", "1000")))
        self.registry.rule("GET", "/tests/config/blobs/" + config, silent(b'{"arch', ("Content-Length", "1000")), times=1)
        self.registry.rule("GET", "/tests/layer/blobs/" + blob,
                           silent(noise.blobs[0][:100000], ("Content-Length", str(len(noise.blobs[0])))), times=1)
        told = {}

        def pull(registry, name):
            start = time.monotonic()
            pulled = self.pull("%s/tests/%s" % (registry.name, name))
            told[name] = pulled.message and re.sub(r"127\.0\.0\.1:\d+", "*", pulled.message), time.monotonic() - start

        with self.daemon.in_net(double.Registry) as tokens:
            tokens.realm = "http://%s/token" % tokens.name
            tokens.add("tests/token", double.Image(layers(1), config={"Labels": {"of": "token"}}))
            tokens.rule("GET", "/token", silent(b'{"tok', ("Content-Length", "1000")))
            threads = [threading.Thread(target=pull, args=pair) for pair in [
                *((self.registry, name) for name in ("head", "document", "config", "layer")), (tokens, "token")]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual({name: message for name, (message, _) in told.items()}, {
            "head": 'Head "http://*/v2/tests/head/manifests/latest": read tcp *->*: i/o timeout',
            "document": "read tcp *->*: i/o timeout",
            "config": None,
            "layer": None,
            "token": 'Head "http://*/v2/tests/token/manifests/latest": unable to decode token response: '
                     "context deadline exceeded"})
        least = {"head": 60, "document": 60, "config": 60, "layer": 65, "token": 15}
        for name, (_, seconds) in told.items():
            self.assertGreaterEqual(seconds, least[name] - 0.1, name)
            self.assertLess(seconds, 2 * least[name], name)
        self.assertEqual([headers.get("Range") for method, path, headers in self.registry.requests
                          if path.endswith("/blobs/" + blob)], [None, "bytes=100000-"])
        with self.daemon.client() as api:
            self.assertEqual(sorted(found["RepoTags"][0] for found in api.get("/images/json")), sorted(
                ["kit:latest", *("%s/tests/%s:latest" % (self.registry.name, name) for name in ("config", "layer"))]))

    def partial(self):
        """Where blobs are kept that did not come whole."""
        return self.daemon.root + "/image/overlay2/distribution/partial"

    def test_too_many_layers(self):
        """Refused before anything is fetched; by Docker's engine after it all was."""
        image = double.Image([double.tar_of({"file": b"%d" % i}) for i in range(126)])
        self.registry.add("tests/one", image)
        self.assertRefused("failed to register layer: max depth exceeded")
        if not ORACLE:
            self.assertEqual(self.registry.asked("GET", "/blobs/"), 0)

    @unittest.skipIf(ORACLE, "Docker keeps nothing")
    def test_of_what_is_kept_there_is_a_most(self):
        """16 GiB, of which what was touched longest ago goes first."""
        for name, age in (("a" * 64, 200), ("b" * 64, 100)):
            with open(self.partial() + "/" + name, "wb") as file:
                file.truncate(10 << 30)
            os.utime(file.name, (time.time() - age,) * 2)
        image = self.registry.add("tests/one", double.Image([double.tar_of({"noise": os.urandom(3000)})]))
        digest = double.digest(image.blobs[0])

        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(image.blobs[0])))
            handler.end_headers()
            handler.wfile.write(image.blobs[0][:1000])
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)

        self.registry.rule("GET", "/blobs/" + digest, cut)
        self.assertRefused("unexpected EOF")
        self.assertEqual(sorted(os.listdir(self.partial())), sorted(["b" * 64, digest[len("sha256:"):]]))

    @unittest.skipIf(ORACLE, "Docker waits for the registry to answer")
    def test_who_leaves_costs_others_nothing(self):
        """Two want a blob; the one whose connection it was goes away: the other goes on at once."""
        image = self.registry.add("tests/one", double.Image([double.tar_of({"noise": os.urandom(300000)})]))
        digest = double.digest(image.blobs[0])
        stalled, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def stall(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(image.blobs[0])))
            handler.end_headers()
            handler.wfile.write(image.blobs[0][:1000])
            handler.wfile.flush()
            stalled.set()
            release.wait(60)

        self.registry.rule("GET", "/blobs/" + digest, stall, times=1)
        api = self.daemon.client()
        self.addCleanup(api.close)
        api.send("POST", "/images/create?fromImage=%s/tests/one&tag=latest" % self.registry.name)
        self.assertTrue(stalled.wait(30))
        result = []
        other = threading.Thread(target=lambda: result.append(self.pull(self.registry.name + "/tests/one")))
        other.start()
        wait_for(lambda: self.registry.asked("GET", "/blobs/" + image.id) == 2, what="the other one")
        api.close()
        other.join(60)
        self.assertIsNone(result[0].message)
        self.assertEqual([status for status in result[0].of(short(digest)) if status.startswith("Retrying")], [])
        self.assertEqual(self.inspect(image.id)["RootFS"]["Layers"], json.loads(image.config)["rootfs"]["diff_ids"])

    @unittest.skipIf(ORACLE, "Docker waits for the blob")
    def test_a_blob_that_is_not_needed_is_not_kept(self):
        """Its layer is here, which is known once the configuration is; the blob is on its way by then."""
        layer = double.tar_of({"noise": os.urandom(300000)})
        self.registry.add("tests/one", double.Image([layer]))
        self.assertIsNone(self.pull(self.registry.name + "/tests/one").message)
        distribution = self.daemon.root + "/image/overlay2/distribution"
        for note in glob.glob(distribution + "/*/sha256/*"):
            os.unlink(note)
        other = self.registry.add("tests/other", double.Image([layer], config={"Labels": {"other": "yes"}}))
        partial = self.partial() + "/" + double.digest(other.blobs[0])[len("sha256:"):]
        release = threading.Event()
        self.addCleanup(release.set)

        def stall(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(other.blobs[0])))
            handler.end_headers()
            handler.wfile.write(other.blobs[0][:1000])
            handler.wfile.flush()
            release.wait(60)

        def once_it_comes(handler):
            wait_for(lambda: os.path.exists(partial) and os.path.getsize(partial) == 1000, what="the blob's beginning")
            return False

        self.registry.rule("GET", "/blobs/" + double.digest(other.blobs[0]), stall)
        self.registry.rule("GET", "/blobs/" + other.id, once_it_comes)
        self.assertIsNone(self.pull(self.registry.name + "/tests/other").message)
        wait_for(lambda: os.listdir(self.partial()) == [], what="nothing that is kept")

    def test_redirect_loop(self):
        self.one()
        self.registry.rule("*", "/manifests/", lambda handler: double.reply(handler, 302, b"", {"Location": handler.path}))
        self.assertRefused('Head "/v2/tests/one/manifests/latest": stopped after 10 redirects', status=500)

    def test_layers_from_another_host(self):
        """As at Docker Hub. What is for the registry does not reach the other one."""
        self.registry.user = ("alice", "secret")
        image = self.one()
        with self.daemon.in_net(double.Registry) as other:
            other.add("tests/one", image)
            self.registry.rule("GET", "/blobs/", lambda handler: False if "Authorization" not in handler.headers else
                               double.reply(handler, 307, b"", {"Location": "http://%s%s" % (other.name, handler.path)}))
            pulled = self.pull(self.registry.name + "/tests/one", auth=self.credentials("alice", "secret"))
            self.assertIsNone(pulled.message)
            self.assertEqual([headers.get("Authorization") for _, _, headers in other.requests], [None, None])

    def test_types_confused(self):
        both = {"schemaVersion": 2, "mediaType": double.OCI_MANIFEST, "layers": [], "manifests": [{}],
                "config": {"mediaType": double.OCI_CONFIG, "size": 2, "digest": double.digest(b"{}")}}
        for media, document, message in (
                (double.OCI_MANIFEST, both, "ocimanifest: expected manifest but found index"),
                (double.OCI_INDEX, both, "index: expected index but found manifest"),
                (double.MANIFEST, {**both, "manifests": None},
                 "mediaType in manifest should be '%s' not '%s'" % (double.MANIFEST, double.OCI_MANIFEST)),
                (double.LIST, {"schemaVersion": 2, "mediaType": double.OCI_INDEX, "manifests": []},
                 "mediaType in manifest list should be '%s' not '%s'" % (double.LIST, double.OCI_INDEX)),
                (double.OCI_INDEX, {"schemaVersion": 2, "mediaType": double.LIST, "manifests": []},
                 "if present, mediaType in image index should be '%s' not '%s'" % (double.OCI_INDEX, double.LIST)),
                (double.MANIFEST, {**both, "mediaType": double.MANIFEST, "manifests": None, "layers": 5},
                 "json: cannot unmarshal number into Go struct field Manifest.layers of type []distribution.Descriptor"),
                (double.MANIFEST, {**both, "mediaType": double.MANIFEST, "manifests": None, "layers": [{"size": "1"}]},
                 "json: cannot unmarshal string into Go struct field Descriptor.layers.size of type int64")):
            self.registry.add_manifest("tests/one", media, json.dumps(document).encode(), "latest")
            self.assertRefused(message, status=500)

    def test_no_images(self):
        helm = (double.OCI_MANIFEST, "application/vnd.cncf.helm.config.v1+json",
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
        self.registry.add("tests/helm", double.Image(layers(1), media=helm))
        self.assertRefused("unsupported media type application/vnd.cncf.helm.config.v1+json", name="tests/helm")
        plugin = (double.MANIFEST, "application/vnd.docker.plugin.v1+json", double.LAYER)
        self.registry.add("tests/plugin", double.Image(layers(1), media=plugin))
        self.assertRefused('Encountered remote "application/vnd.docker.plugin.v1+json"(plugin) when fetching',
                           name="tests/plugin", status=400)

    @unittest.skipIf(ORACLE, "Docker begins again")
    def test_kill_in_the_middle(self):
        """Nothing is to be seen of the image then, and the next pull fetches only what is missing."""
        image = self.registry.add("tests/one", double.Image([double.tar_of({"noise": os.urandom(300000)})]))
        digest = double.digest(image.blobs[0])
        release = threading.Event()
        self.addCleanup(release.set)

        def half(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(image.blobs[0])))
            handler.end_headers()
            handler.wfile.write(image.blobs[0][:100000])
            handler.wfile.flush()
            release.wait(60)
            handler.connection.shutdown(socket.SHUT_RDWR)

        self.registry.rule("GET", "/blobs/" + digest, half, times=1)
        api = self.daemon.client()
        self.addCleanup(api.close)
        api.send("POST", "/images/create?fromImage=%s/tests/one&tag=latest" % self.registry.name)
        partial = "%s/image/overlay2/distribution/partial/%s" % (self.daemon.root, digest[len("sha256:"):])
        wait_for(lambda: os.path.exists(partial) and os.path.getsize(partial) == 100000, what="half of the layer")
        self.daemon.kill()
        self.daemon.start()
        self.assertNothingHere()
        release.set()
        self.assertIsNone(self.pull(self.registry.name + "/tests/one").message)
        self.assertEqual(self.inspect(image.id)["RootFS"]["Layers"], json.loads(image.config)["rootfs"]["diff_ids"])
        self.assertEqual([headers.get("Range") for method, path, headers in self.registry.requests
                          if path.endswith("/blobs/" + digest)], [None, "bytes=100000-"])
        self.assertFalse(os.path.exists(partial))

    @unittest.skipIf(ORACLE, "Docker waits for the registry to answer")
    def test_cancel(self):
        """The client goes away: within a second nothing runs any more, and nothing is left."""
        image = self.one()
        asked = threading.Event()
        gone = threading.Event()

        def stall(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(image.blobs[0])))
            handler.end_headers()
            handler.wfile.flush()
            asked.set()
            # The daemon's end of the connection closes.
            handler.connection.settimeout(30)
            try:
                handler.connection.recv(1)
            except ConnectionResetError:
                pass  # a close with something unread
            gone.set()

        self.registry.rule("GET", "/blobs/" + double.digest(image.blobs[0]), stall)
        api = self.daemon.client()
        api.open()
        api.send("POST", "/images/create?fromImage=%s/tests/one&tag=latest" % self.registry.name)
        self.assertTrue(asked.wait(30))
        start = time.monotonic()
        api.close()
        self.assertTrue(gone.wait(30))
        self.assertLess(time.monotonic() - start, 1)
        self.assertNothingHere()


if __name__ == "__main__":
    main()
