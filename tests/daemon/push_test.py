"""Images to registries and back: what is sent, what is not sent again, and who may.

The texts were compared with those of Docker 28.2.2.
"""
import base64
import gzip
import json
import threading
import time
import urllib.parse

import support

import image as kit
import registrydouble as double
from registrycase import Pulled, RegistryTestCase, layers, short
from testcase import main


class PushTestCase(RegistryTestCase):
    def push(self, name, tag="latest", auth=None):
        query = urllib.parse.urlencode({"tag": tag} if tag else {})
        headers = [("X-Registry-Auth", auth or self.credentials("", ""))]
        with self.daemon.client(timeout=120) as api:
            return Pulled(api.request("POST", "/images/%s/push?%s" % (name, query), headers=headers))

    def tag(self, image, name):
        with self.daemon.client() as api:
            repository, _, tag = name.rpartition(":")
            api.post("/images/%s/tag?repo=%s&tag=%s" % (image, repository, tag))


class Push(PushTestCase):
    def load(self, name, tars):
        """An image that came from no registry of the double's."""
        with self.daemon.client(timeout=120) as api:
            return kit.import_image(api, "imported:latest", tars[0], ['CMD ["/payload"]'])

    def test_push(self):
        image = self.load("imported", layers(1))
        name = self.registry.name + "/tests/new"
        self.tag(image, name + ":v1")
        pushed = self.push(name, "v1")
        diff = self.inspect(image)["RootFS"]["Layers"][0]
        repository = self.registry.repositories["tests/new"]
        media, manifest = repository.manifests[repository.tags["v1"]]
        self.assertEqual([line for line in pushed.told() if line[1] != "Pushing"], [
            ("", "The push refers to repository [%s]" % name),
            (short(diff), "Preparing"), (short(diff), "Pushed"),
            ("", "v1: digest: %s size: %d" % (double.digest(manifest), len(manifest)))])
        self.assertEqual(pushed.lines[-1], {"progressDetail": {}, "aux": {
            "Tag": "v1", "Digest": double.digest(manifest), "Size": len(manifest)}})
        document = json.loads(manifest)
        self.assertEqual((media, document["mediaType"], document["config"]["digest"]),
                         (double.MANIFEST, double.MANIFEST, image))
        # As Docker's encoder writes it, to the byte.
        self.assertEqual(manifest.decode(), json.dumps(document, indent=3))
        blob = repository.blobs[document["layers"][0]["digest"]]
        self.assertEqual(double.digest(gzip.decompress(blob)), diff)
        self.assertEqual(self.inspect(image)["RepoDigests"], ["%s@%s" % (name, double.digest(manifest))])
        again = self.push(name, "v1")
        self.assertEqual(again.told()[1:3], [(short(diff), "Preparing"), (short(diff), "Layer already exists")])
        self.assertEqual(self.registry.asked("PATCH", "."), 2)  # the layer and the configuration, once

    def test_pull_then_push_keeps_the_digest(self):
        image = double.Image(layers(2))
        image.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": double.MANIFEST,
            "config": {"mediaType": double.CONFIG, "size": len(image.config), "digest": image.id},
            "layers": [{"mediaType": double.LAYER, "size": len(blob), "digest": double.digest(blob)}
                       for blob in image.blobs]}, indent=3).encode()
        image.digest = double.digest(image.manifest)
        self.registry.add("tests/source", image)
        self.pull(self.registry.name + "/tests/source")
        name = self.registry.name + "/tests/target"
        self.tag(image.id, name + ":latest")
        pushed = self.push(name)
        for tar in layers(2):
            self.assertEqual(pushed.of(short(double.digest(tar))), ["Preparing", "Mounted from tests/source"])
        self.assertEqual(self.registry.repositories["tests/target"].tags["latest"], image.digest)

    def test_all_tags(self):
        image = self.load("imported", layers(1))
        name = self.registry.name + "/tests/all"
        self.tag(image, name + ":a")
        self.tag(image, name + ":b")
        pushed = self.push(name, "")
        self.assertEqual([line["aux"]["Tag"] for line in pushed.lines if "aux" in line], ["a", "b"])
        self.assertEqual(sorted(self.registry.repositories["tests/all"].tags), ["a", "b"])

    def test_what_is_not_here(self):
        name = self.registry.name + "/tests/none"
        self.assertEqual(self.push(name).message, "An image does not exist locally with the tag: " + name)
        self.tag("kit", name + ":here")
        self.assertEqual(self.push(name, "other").message, "tag does not exist: %s:other" % name)

    def test_denied(self):
        name = self.registry.name + "/tests/denied"
        self.tag("kit", name + ":latest")
        self.registry.rule("POST", "/blobs/uploads/", lambda handler: double.error(
            handler, 403, "DENIED", "requested access to the resource is denied", detail=[]))
        self.assertEqual(self.push(name).message, "denied: requested access to the resource is denied")
        self.assertEqual(self.registry.asked("POST", "/blobs/uploads/"), 1)


class Credentials(PushTestCase):
    """Basic authorization, and tokens of a token server."""

    def tokens(self):
        self.registry.user = ("alice", "secret")
        self.registry.realm = "http://%s/token" % self.registry.name

    def test_basic(self):
        self.registry.user = ("alice", "secret")
        image = self.registry.add("tests/one", double.Image(layers(1)))
        name = self.registry.name + "/tests/one"
        pulled = self.pull(name)
        self.assertEqual((pulled.status, pulled.message),
                         (500, 'Head "http://%s/v2/tests/one/manifests/latest": no basic auth credentials'
                          % self.registry.name))
        pulled = self.pull(name, auth=self.credentials("alice", "wrong"))
        self.assertEqual(pulled.message, "unauthorized: authentication required")
        self.assertIsNone(self.pull(name, auth=self.credentials("alice", "secret")).message)
        self.assertEqual(self.inspect(name)["Id"], image.id)

    def test_spellings_of_the_header(self):
        self.registry.user = ("alice", "secr\u00e9t??>>")
        self.registry.add("tests/one", double.Image(layers(1)))
        text = json.dumps({"username": "alice", "password": "secr\u00e9t??>>"}, ensure_ascii=False).encode()
        header = base64.urlsafe_b64encode(text).decode()
        self.assertIsNone(self.pull(self.registry.name + "/tests/one", auth=header).message)

    def test_tokens(self):
        self.tokens()
        image = self.registry.add("tests/one", double.Image(layers(3)))
        name = self.registry.name + "/tests/one"
        self.assertIsNone(self.pull(name).message)
        asked = [path for method, path, _ in self.registry.requests if path.startswith("/token")]
        self.assertEqual(asked, ["/token?scope=repository%3Atests%2Fone%3Apull&service=double"])
        self.assertEqual(self.inspect(name)["Id"], image.id)

    def test_token_with_credentials(self):
        self.tokens()
        self.registry.add("tests/one", double.Image(layers(1)))
        name = self.registry.name + "/tests/one"
        self.assertIsNone(self.pull(name, auth=self.credentials("alice", "secret")).message)
        self.assertEqual([path for _, path, _ in self.registry.requests if path.startswith("/token")],
                         ["/token?account=alice&scope=repository%3Atests%2Fone%3Apull&service=double"])
        pulled = self.pull(name, auth=self.credentials("alice", "wrong"))
        self.assertEqual((pulled.status, pulled.message),
                         (401, 'Head "http://%s/v2/tests/one/manifests/latest": unauthorized: incorrect username or '
                               'password' % self.registry.name))

    def test_a_token_server_that_refuses_a_push(self):
        """What it says is not asked for again, and told as it is; names of its documents may be in any case."""
        self.tokens()
        name = self.registry.name + "/tests/refused"
        self.tag("kit", name + ":latest")
        for status, body, message in (
                (429, {"errors": [{"code": "TOOMANYREQUESTS", "message": "out of tokens"}]}, "toomanyrequests: out of tokens"),
                (401, {"Errors": [{"Code": "UNAUTHORIZED", "Message": "not you", "Detail": None}]}, "unauthorized: not you"),
                (403, {"Details": "go away"}, "denied: go away")):
            self.registry.rules.clear()
            self.registry.rule("GET", "/token", lambda handler: double.reply(
                handler, status, json.dumps(body).encode(), {"Content-Type": "application/json"}))
            pushed = self.push(name)
            self.assertEqual(pushed.message, message)
            self.assertNotIn("Retrying", str(pushed.lines))

    def test_registry_token(self):
        self.tokens()
        self.registry.tokens["mine"] = [("tests/one", ["pull"])]
        self.registry.add("tests/one", double.Image(layers(1)))
        pulled = self.pull(self.registry.name + "/tests/one", auth=self.credentials("", "", registrytoken="mine"))
        self.assertIsNone(pulled.message)
        self.assertEqual(self.registry.asked("*", "/token"), 0)

    def login(self, user, password):
        with self.daemon.client() as api:
            response = api.request("POST", "/auth", json.dumps({
                "username": user, "password": password, "serveraddress": self.registry.name}).encode(),
                headers=[("Content-Type", "application/json")])
            return response.status, json.loads(response.body)

    def test_login(self):
        self.registry.user = ("alice", "secret")
        self.assertEqual(self.login("alice", "secret"), (200, {"IdentityToken": "", "Status": "Login Succeeded"}))
        self.assertEqual(self.login("alice", "wrong"), (500, {
            "message": "login attempt to http://%s/v2/ failed with status: 401 Unauthorized" % self.registry.name}))

    def test_login_by_token(self):
        self.tokens()
        self.assertEqual(self.login("alice", "secret"), (200, {"IdentityToken": "refresh-1", "Status": "Login Succeeded"}))
        self.assertEqual(self.login("alice", "wrong"), (401, {
            "message": 'Get "http://%s/v2/": unauthorized: incorrect username or password' % self.registry.name}))


class Inspect(RegistryTestCase):
    def distribution(self, name):
        with self.daemon.client() as api:
            response = api.request("GET", "/distribution/%s/json" % name)
            return response.status, json.loads(response.body)

    def test_distribution(self):
        one = self.registry.add("tests/one", double.Image(layers(1)))
        name = self.registry.name + "/tests/one"
        self.assertEqual(self.distribution(name), (200, {
            "Descriptor": {"mediaType": double.MANIFEST, "digest": one.digest, "size": len(one.manifest)},
            "Platforms": [{"architecture": "amd64", "os": "linux"}]}))
        other = self.registry.add("tests/one", double.Image(layers(2), architecture="arm", variant="v7"), "other")
        index = double.index_of([one, other])
        digest = self.registry.add_manifest("tests/one", double.LIST, index, "list")
        self.assertEqual(self.distribution(name + ":list"), (200, {
            "Descriptor": {"mediaType": double.LIST, "digest": digest, "size": len(index)},
            "Platforms": [{"architecture": "amd64", "os": "linux"},
                          {"architecture": "arm", "os": "linux", "variant": "v7"}]}))
        self.assertEqual(self.distribution(name + ":none"), (404, {"message": "manifest unknown: manifest unknown"}))

    def test_a_token_server_that_trickles(self):
        """It has 15 seconds for all of its answer, as for the head of it."""
        self.registry.realm = "http://%s/token" % self.registry.name
        self.registry.add("tests/one", double.Image(layers(1)))
        done = threading.Event()
        self.addCleanup(done.set)

        def trickle(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            while not done.wait(1):
                handler.wfile.write(b" ")

        self.registry.rule("GET", "/token", trickle)
        start = time.monotonic()
        status, answer = self.distribution(self.registry.name + "/tests/one")
        self.assertGreaterEqual(time.monotonic() - start, 15)
        self.assertEqual((status, answer["message"]), (
            500, 'Head "http://%s/v2/tests/one/manifests/latest": unable to decode token response: context deadline exceeded'
            % self.registry.name))

    def search(self, term, auth=None, **query):
        headers = [("X-Registry-Auth", auth)] if auth else []
        with self.daemon.client() as api:
            answer = api.request("GET", "/images/search?" + urllib.parse.urlencode({"term": term, **query}), headers=headers)
        return answer.status, json.loads(answer.body)

    def test_search(self):
        found = [{"name": "a/one", "description": "the first", "star_count": 5, "is_official": True, "is_automated": True},
                 {"name": "a/two", "star_count": 1}]
        asked = []

        def answer(handler):
            asked.append((handler.path, handler.headers.get("Authorization"), handler.headers.get("X-Docker-Token")))
            double.reply(handler, 200, json.dumps({"num_results": 2, "results": found}).encode(),
                         {"Content-Type": "application/json"})

        self.registry.rule("GET", "^/v1/_ping$", lambda handler: double.reply(handler, 200, b"{}", {}))
        self.registry.rule("GET", "^/v1/search", answer)
        term = self.registry.name + "/a b"
        one = {"star_count": 5, "is_official": True, "name": "a/one", "is_automated": False, "description": "the first"}
        two = {"star_count": 1, "is_official": False, "name": "a/two", "is_automated": False, "description": ""}
        self.assertEqual(self.search(term), (200, [one, two]))
        self.assertEqual(self.search(term, filters=json.dumps({"stars": ["2"]}), limit=7), (200, [one]))
        self.assertEqual(self.search(term, filters=json.dumps({"is-official": ["false"]})), (200, [two]))
        self.assertEqual(self.search(term, auth=self.credentials("alice", "secret"))[0], 200)
        basic = "Basic " + base64.b64encode(b"alice:secret").decode()
        self.assertEqual(asked, [("/v1/search?q=a+b&n=25", None, "true"), ("/v1/search?q=a+b&n=7", None, "true"),
                                 ("/v1/search?q=a+b&n=25", None, "true"), ("/v1/search?q=a+b&n=25", basic, "true")])
        self.assertEqual(self.search(term, limit=101), (400, {"message": "limit 101 is outside the range of [1, 100]"}))
        self.assertEqual(self.search("http://x/y"), (400, {
            "message": "invalid repository name: repository name (http://x/y) should not have a scheme"}))
        # An identity token is turned into one for the search.
        self.registry.realm = "http://%s/token" % self.registry.name
        posted = []

        def token(handler):
            posted.append(urllib.parse.parse_qs(handler.body.decode()))
            double.reply(handler, 200, b'{"access_token": "for-search"}', {"Content-Type": "application/json"})

        self.registry.rule("POST", "/token", token)
        self.assertEqual(self.search(term, auth=self.credentials("alice", "", identitytoken="long"))[0], 200)
        self.assertEqual(asked[-1], ("/v1/search?q=a+b&n=25", "Bearer for-search", "true"))
        self.assertEqual(posted, [{"grant_type": ["refresh_token"], "service": ["double"], "client_id": ["docker"],
                                   "refresh_token": ["long"], "scope": ["registry:catalog:search"]}])

    def test_import_of_a_url(self):
        tar = layers(1)[0]
        self.registry.rule("GET", "/root.tar", lambda handler: double.reply(handler, 200, tar, {}))
        self.registry.rule("GET", "/none.tar", lambda handler: double.reply(handler, 404, b"not here\n", {}))
        url = "http://%s/root.tar" % self.registry.name
        with self.daemon.client() as api:
            response = api.request("POST", "/images/create?" + urllib.parse.urlencode({"fromSrc": url, "repo": "from-url"}))
            lines = [json.loads(line) for line in response.body.split(b"\r\n") if line.strip()]
            self.assertEqual(lines[0], {"status": "Downloading from " + url})
            found = self.inspect("from-url")
            self.assertEqual(lines[-1], {"status": found["Id"]})
            self.assertEqual((found["RootFS"]["Layers"], found["Comment"]), ([double.digest(tar)], "Imported from " + url))
            url = "http://%s/none.tar" % self.registry.name
            response = api.request("POST", "/images/create?" + urllib.parse.urlencode({"fromSrc": url}))
            self.assertEqual((response.status, json.loads(response.body)), (404, {
                "message": "failed to GET %s with status 404 Not Found: not here" % url}))


if __name__ == "__main__":
    main()
