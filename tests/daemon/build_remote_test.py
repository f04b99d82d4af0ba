"""Builds that fetch: ADD of URLs, and contexts that lie elsewhere.

Every text was compared with that of Docker 28.2.2.
"""
import hashlib
import http.server
import os
import unittest

import support

from buildcase import BuildTestCase, context
from localserver import LocalServer
from testcase import main


class Server(LocalServer):
    """A web server that has self.files: path to (status, headers, body)."""

    def __init__(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, headers, body = owner.files.get(self.path, (404, {}, b"no such page\n"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.files = {}
        super().__init__(Handler)


class Remote(BuildTestCase):
    def setUp(self):
        self.server = self.daemon.in_net(Server)
        self.addCleanup(self.server.close)
        super().setUp()

    def stat(self, image, path):
        done = self.cli("run", "--rm", "--entrypoint", "stat", image, "-c", "%n %a %u:%g %Y %s", path)
        return (done.stdout + done.stderr).decode().strip()

    def test_add_of_urls(self):
        self.server.files["/d/one%20file?x=1"] = (
            200, {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"content")
        self.server.files["/named/"] = (200, {"Content-Disposition": 'attachment; filename="two"'}, b"2")
        url = self.server.url
        dockerfile = "FROM kit\nADD %s/d/one%%20file?x=1 /dst/\nADD %s/named/ /dst/\nADD %s/named/ /other\n" % ((url,) * 3)
        built = self.build(dockerfile, t="urls")
        self.assertEqual(built.error, None)
        self.assertEqual(self.stat("urls", "/dst/one file"), "/dst/one file 600 0:0 1445412480 7")
        self.assertEqual(self.stat("urls", "/dst/two"), "/dst/two 600 0:0 0 1")
        self.assertEqual(self.stat("urls", "/other"), "/other 600 0:0 0 1")
        created_by = self.history("urls")[-2][0]
        self.assertRegex(created_by, r"^/bin/sh -c #\(nop\) ADD [0-9a-f]{64} in /dst/ $")
        downloads = [message for message in built.messages if message.get("status") == "Downloading"]
        self.assertEqual(downloads[-1]["progressDetail"], {"current": 1, "total": 1})
        self.assertEqual(self.build(dockerfile).text.count(" ---> Using cache\n"), 3)
        self.server.files["/named/"] = (200, {"Content-Disposition": "attachment; filename=two"}, b"3")
        self.assertEqual(self.build(dockerfile).text.count(" ---> Using cache\n"), 1)

    def test_add_of_urls_that_cannot_be_had(self):
        url = self.server.url
        self.server.files["/unnamed/"] = (200, {}, b"x")
        for line, message in (
                ("ADD %s/nope /x" % url, "ADD failed: failed to GET %s/nope with status 404 Not Found: no such page" % url),
                ("ADD %s/unnamed/ /x/" % url, "ADD failed: cannot determine filename for source %s/unnamed/" % url)):
            self.assertEqual(self.build("FROM kit\n" + line + "\n").error, {"message": message})

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder takes no notice of it")
    def test_checksum(self):
        self.server.files["/f"] = (200, {}, b"content")
        right = "sha256:" + hashlib.sha256(b"content").hexdigest()
        wrong = "sha256:" + "0" * 64
        line = "FROM kit\nADD --checksum=%s " + self.server.url + "/f /x\n"
        self.assertEqual(self.build(line % right).error, None)
        self.assertEqual(self.build(line % wrong).error,
                         {"message": "ADD failed: digest mismatch %s: %s" % (right, wrong)})

    def test_contexts(self):
        url = self.server.url
        packed = context({"Dockerfile": "FROM kit\nCOPY a /a\n", "a": "1"}, mode="w:gz")
        self.server.files["/tar"] = (200, {"Content-Type": "application/x-tar"}, packed)
        self.server.files["/unsaid"] = (200, {}, packed)
        self.server.files["/Dockerfile"] = (200, {"Content-Type": "text/plain"}, b"FROM kit\nENV a=b\nCOPY a /a\n")
        self.server.files["/html"] = (200, {"Content-Type": "text/html"}, b"<html></html>")
        self.server.files["/empty"] = (200, {"Content-Type": "application/x-tar"}, b"")
        for path in ("/tar", "/unsaid"):
            built = self.build(None, body=b"", remote=url + path, t="remote")
            self.assertIn("Successfully tagged remote:latest\n", built.text)
            self.assertEqual(self.stat("remote", "/a")[:10], "/a 644 0:0")
        built = self.build(None, body=b"", remote=url + "/Dockerfile")
        self.assertEqual(built.log.splitlines()[2], "Step 2/3 : ENV a=b")
        self.assertEqual(built.error, {"message": "COPY failed: missing build context"})
        for remote, status, message in (
                (url + "/nope", 404, "error downloading remote context %s/nope: failed to GET %s/nope with status 404 "
                                     "Not Found: no such page" % (url, url)),
                (url + "/html", 500, 'error detecting content type for remote %s/html: unsupported Content-Type '
                                     '"text/html"' % url),
                (url + "/empty", 500, "error detecting content type for remote %s/empty: empty response" % url),
                ("somewhere", 500, "remoteURL (somewhere) could not be recognized as URL"),
                ("client-session", 400, "experimental session with v1 builder is no longer supported, use builder "
                                        "version v2 (BuildKit) instead")):
            self.assertEqual(self.build(None, body=b"", remote=remote).error, {"status": status, "message": message})


if __name__ == "__main__":
    main()
