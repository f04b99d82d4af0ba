"""A registry whose every answer a test can decide, and the makers of what it serves.

It speaks the distribution protocol for pull and push, with basic and token authorization, and plays faults:
a test adds rules, functions that are asked before the registry itself.
"""
import base64
import gzip
import hashlib
import http.server
import io
import json
import re
import socket
import ssl
import tarfile
import threading
import urllib.parse

from localserver import reply

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files):
    """The bytes of a tar: {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1700000000, 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def gzipped(data):
    return gzip.compress(data, 6, mtime=0)


class Image:
    """One image as a registry keeps it: `tars` from the bottom up, each compressed by `pack`."""

    def __init__(self, tars, pack=gzipped, media=(MANIFEST, CONFIG, LAYER), config=None, architecture="amd64",
                 variant=None):
        self.blobs = [pack(tar) for tar in tars]
        document = {"architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z",
                    "config": {"Cmd": ["/payload", "pause"], **(config or {})},
                    "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
                    "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "layer %d" % i}
                                for i in range(len(tars))]}
        if variant:
            document["variant"] = variant
        self.config = json.dumps(document).encode()
        self.id = digest(self.config)
        self.media = media
        self.document = {
            "schemaVersion": 2, "mediaType": media[0],
            "config": {"mediaType": media[1], "size": len(self.config), "digest": self.id},
            "layers": [{"mediaType": media[2], "size": len(blob), "digest": digest(blob)} for blob in self.blobs]}
        self.platform = {"architecture": architecture, "os": "linux", **({"variant": variant} if variant else {})}
        self.seal()

    def seal(self):
        """The manifest's bytes after a change of `document`."""
        self.manifest = json.dumps(self.document).encode()
        self.digest = digest(self.manifest)


def index_of(images, media=LIST):
    """A list of images, as bytes."""
    return json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": [
        {"mediaType": image.media[0], "size": len(image.manifest), "digest": image.digest, "platform": image.platform}
        for image in images]}).encode()


class Repository:
    def __init__(self):
        self.tags, self.manifests, self.blobs = {}, {}, {}


class Registry:
    """Serves on loopback of the network namespace it is made in; a context manager."""

    def __init__(self, tls=None, port=0):
        self.repositories, self.requests, self.rules, self.uploads = {}, [], [], {}
        self.user = None       # ("name", "password"): who may come in
        self.realm = None      # tokens are to be had there; then `user` is for the token server
        self.tokens = {}       # token -> scopes
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.name = "127.0.0.1:%d" % self.port
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        registry = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def __init__(self):
                super().__init__(registry.listener.getsockname(), Handler, bind_and_activate=False)
                self.socket.close()
                self.socket = registry.listener

            def finish_request(self, request, address):
                if registry.tls:
                    try:
                        request = registry.tls.wrap_socket(request, server_side=True)
                    except OSError:
                        return
                self.RequestHandlerClass(request, address, self)

            def handle_error(self, request, address):
                pass  # a client that goes away is what some tests are about

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do(self):
                registry.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do

        self.server = Server()
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.listener.close()

    # -- contents ---------------------------------------------------------
    def repository(self, name):
        return self.repositories.setdefault(name, Repository())

    def add(self, name, image, tag="latest"):
        repository = self.repository(name)
        for blob in image.blobs + [image.config]:
            repository.blobs[digest(blob)] = blob
        self.add_manifest(name, image.media[0], image.manifest, tag)
        return image

    def add_manifest(self, name, media, data, tag=None):
        repository = self.repository(name)
        repository.manifests[digest(data)] = (media, data)
        if tag:
            repository.tags[tag] = digest(data)
        return digest(data)

    # -- rules ------------------------------------------------------------
    def rule(self, method, pattern, function, times=None):
        """`function(handler)` answers requests whose path matches, `times` times; False lets the registry answer."""
        self.rules.append([method, re.compile(pattern), function, times])

    def asked(self, method, pattern):
        """How often it was asked so."""
        return len([1 for how, path, _ in self.requests if how == method and re.search(pattern, path)])

    # -- answers ----------------------------------------------------------
    def serve(self, handler):
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        handler.body = self.read_body(handler)
        for rule in self.rules:
            method, pattern, function, times = rule
            if method in (handler.command, "*") and pattern.search(handler.path) and times != 0:
                if times is not None:
                    rule[3] -= 1
                if function(handler) is not False:
                    return
        url = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/token":
            self.token(handler, query)
        elif self.refuses(handler, url.path):
            pass
        elif url.path == "/v2/":
            reply(handler, 200, b"{}", {"Content-Type": "application/json"})
        else:
            self.serve_repository(handler, url.path, query)

    @staticmethod
    def read_body(handler):
        if handler.headers.get("Transfer-Encoding") == "chunked":
            out = b""
            while True:
                size = int(handler.rfile.readline(), 16)
                out += handler.rfile.read(size)
                handler.rfile.readline()
                if size == 0:
                    return out
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))

    def refuses(self, handler, path):
        """Asks for credentials where they are missing."""
        given = handler.headers.get("Authorization", "")
        if self.realm:
            scopes = self.tokens.get(given[7:]) if given.startswith("Bearer ") else None
            if scopes is not None and self.allows(scopes, handler.command, path):
                return False
            challenge = 'Bearer realm="%s",service="double"' % self.realm
        elif self.user:
            if given == "Basic " + base64.b64encode(":".join(self.user).encode()).decode():
                return False
            challenge = 'Basic realm="double"'
        else:
            return False
        error(handler, 401, "UNAUTHORIZED", "authentication required", detail=[], headers={"WWW-Authenticate": challenge})
        return True

    @staticmethod
    def allows(scopes, method, path):
        match = re.match(r"/v2/(.+)/(manifests|blobs|tags)/", path)
        if not match:
            return True
        action = "pull" if method in ("GET", "HEAD") else "push"
        return any(name == match.group(1) and action in actions for name, actions in scopes)

    def token(self, handler, query):
        """The token server: everyone may pull, `user` may push."""
        given = handler.headers.get("Authorization", "")
        known = self.user and given == "Basic " + base64.b64encode(":".join(self.user).encode()).decode()
        if given and not known:
            reply(handler, 401, b'{"details":"incorrect username or password"}', {"Content-Type": "application/json"})
            return
        scopes = []
        for scope in query.get("scope", []):
            _, name, actions = scope.split(":")
            allowed = [action for action in actions.split(",") if action == "pull" or known]
            scopes.append((name, allowed))
        text = "token-%d" % len(self.tokens)
        self.tokens[text] = scopes
        answer = {"token": text, "expires_in": 300}
        if "offline_token" in query and known:
            answer["refresh_token"] = "refresh-1"
        reply(handler, 200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def serve_repository(self, handler, path, query):
        match = re.match(r"/v2/(.+?)/(tags/list|(?:manifests|blobs)/[^/]+|blobs/uploads/.*)$", path)
        if not match:
            error(handler, 404, "NAME_UNKNOWN", "repository name not known to registry")
            return
        name, rest = match.groups()
        if rest.startswith("blobs/uploads/"):
            self.upload(handler, name, rest[len("blobs/uploads/"):], query)
            return
        if handler.command == "PUT":
            reference = rest.split("/", 1)[1]
            data = handler.body
            self.add_manifest(name, handler.headers["Content-Type"], data, None if ":" in reference else reference)
            reply(handler, 201, b"", {"Docker-Content-Digest": digest(data), "Location": path})
            return
        repository = self.repositories.get(name)
        if repository is None:
            error(handler, 404, "NAME_UNKNOWN", "repository name not known to registry", detail={"name": name})
        elif rest == "tags/list":
            reply(handler, 200, json.dumps({"name": name, "tags": sorted(repository.tags)}).encode(),
                  {"Content-Type": "application/json"})
        elif rest.startswith("manifests/"):
            self.manifest(handler, repository, rest[len("manifests/"):])
        else:
            self.blob(handler, repository, rest[len("blobs/"):])

    @staticmethod
    def manifest(handler, repository, reference):
        reference = repository.tags.get(reference, reference)
        if reference not in repository.manifests:
            error(handler, 404, "MANIFEST_UNKNOWN", "manifest unknown", detail={"Tag": reference})
            return
        media, data = repository.manifests[reference]
        reply(handler, 200, data, {"Content-Type": media, "Docker-Content-Digest": reference})

    @staticmethod
    def blob(handler, repository, reference):
        data = repository.blobs.get(reference)
        if data is None:
            error(handler, 404, "BLOB_UNKNOWN", "blob unknown to registry", detail=reference)
            return
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": reference}
        match = re.match(r"bytes=(\d+)-$", handler.headers.get("Range", ""))
        if match:
            start = int(match.group(1))
            headers["Content-Range"] = "bytes %d-%d/%d" % (start, len(data) - 1, len(data))
            reply(handler, 206, data[start:], headers)
        else:
            reply(handler, 200, data, headers)

    def upload(self, handler, name, upload, query):
        if handler.command == "POST":
            if "mount" in query and query["mount"][0] in self.repository(query["from"][0]).blobs:
                blob = query["mount"][0]
                self.repository(name).blobs[blob] = self.repository(query["from"][0]).blobs[blob]
                reply(handler, 201, b"", {"Location": "/v2/%s/blobs/%s" % (name, blob), "Docker-Content-Digest": blob})
                return
            upload = "upload-%d" % len(self.uploads)
            self.uploads[upload] = b""
            reply(handler, 202, b"", {"Location": "/v2/%s/blobs/uploads/%s" % (name, upload),
                                      "Docker-Upload-UUID": upload, "Range": "0-0"})
        elif upload not in self.uploads:
            error(handler, 404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        elif handler.command == "DELETE":
            del self.uploads[upload]
            reply(handler, 204, b"", {})
        else:
            self.uploads[upload] += handler.body
            data = self.uploads[upload]
            if handler.command == "PATCH":
                reply(handler, 202, b"", {"Location": "/v2/%s/blobs/uploads/%s" % (name, upload),
                                          "Docker-Upload-UUID": upload, "Range": "0-%d" % (len(data) - 1)})
            elif query["digest"][0] != digest(data):
                error(handler, 400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            else:
                self.repository(name).blobs[digest(data)] = data
                del self.uploads[upload]
                reply(handler, 201, b"", {"Location": "/v2/%s/blobs/%s" % (name, digest(data)),
                                          "Docker-Content-Digest": digest(data)})


def error(handler, status, code, message, detail=None, headers=None):
    """An error of the protocol."""
    document = {"code": code, "message": message}
    if detail is not None:
        document["detail"] = detail
    reply(handler, status, json.dumps({"errors": [document]}).encode(),
          {"Content-Type": "application/json", **(headers or {})})
