"""A raw HTTP/1.1 client for the Engine API: keep-alive, chunked both ways, hijack, half close.

Standard library only and deliberately plain: a test sees the very bytes the daemon sent.
"""
import json
import socket
import struct


class HttpError(Exception):
    """The daemon answered with an error status, or not in HTTP."""

    def __init__(self, text, status=0):
        super().__init__(text)
        self.status = status


def connect(host, timeout=60):
    """A socket to unix:///path or tcp://address:port."""
    if host.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(host[len("unix://"):])
        except OSError:
            sock.close()
            raise
        return sock
    address, port = host.split("://")[-1].rsplit(":", 1)
    sock = socket.create_connection((address.strip("[]"), int(port)), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Response:
    """Status, reason, headers as sent (list of pairs) and the body."""

    def __init__(self, status, reason, headers, body=b""):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def header(self, name):
        """The first header of that name, or None."""
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    def json(self):
        return json.loads(self.body)

    def message(self):
        """The text of an error answer."""
        try:
            return self.json()["message"]
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")


class Connection:
    """One connection. `version` ("1.41") is put before paths, unless they begin with /v or /_."""

    def __init__(self, host, version=None, timeout=60):
        self.host, self.version, self.timeout = host, version, timeout
        self.sock, self.buffer = None, b""

    def open(self):
        if self.sock is None:
            self.sock, self.buffer = connect(self.host, self.timeout), b""
        return self

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = None

    def __enter__(self):
        return self.open()

    def __exit__(self, *_):
        self.close()

    # -- bytes ------------------------------------------------------------
    def fill(self):
        """Reads more; False at end of stream."""
        data = self.sock.recv(1 << 18)
        self.buffer += data
        return bool(data)

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise HttpError("connection closed, got %r" % self.buffer[:200])
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise HttpError("connection closed in a body")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_to_end(self):
        """Everything until the daemon closes; for hijacked streams."""
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    # -- requests ---------------------------------------------------------
    def path(self, path):
        if self.version and not path.startswith(("/v1", "/v2", "/v3", "/_")):
            return "/v%s%s" % (self.version, path)
        return path

    def send(self, method, path, body=None, headers=()):
        """Sends a request. A body may be None, bytes, an iterator of bytes (chunked) or a JSON value."""
        self.open()
        lines = ["%s %s HTTP/1.1" % (method, self.path(path))]
        given = {key.lower() for key, _ in headers}
        if "host" not in given:
            lines.append("Host: docker")
        lines.extend("%s: %s" % pair for pair in headers)
        chunks = None
        if body is not None and not isinstance(body, bytes):
            if hasattr(body, "__next__"):
                chunks = body
                lines.append("Transfer-Encoding: chunked")
            else:
                body = json.dumps(body).encode()
                if "content-type" not in given:
                    lines.append("Content-Type: application/json")
        if chunks is None and "content-length" not in given and (body is not None or method in ("POST", "PUT")):
            lines.append("Content-Length: %d" % len(body or b""))
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.sock.sendall(head if chunks else head + (body or b""))
        for chunk in chunks or ():
            if chunk:
                self.sock.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if chunks is not None:
            self.sock.sendall(b"0\r\n\r\n")

    def head(self):
        """Reads status line and headers; skips 100 Continue."""
        while True:
            status_line = self.line().decode("latin-1")
            parts = status_line.split(" ", 2)
            if len(parts) < 2 or not parts[0].startswith("HTTP/1."):
                raise HttpError("not HTTP: %r" % status_line)
            headers = []
            while True:
                line = self.line().decode("latin-1")
                if not line:
                    break
                key, _, value = line.partition(":")
                headers.append((key, value.strip()))
            if parts[1] != "100":
                return Response(int(parts[1]), parts[2] if len(parts) > 2 else "", headers)

    def chunks(self, response):
        """The pieces of a body as they arrive; for streams that go on."""
        if (response.header("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                size = int(self.line().split(b";")[0], 16)
                data = self.take(size + 2)[:size]
                if size == 0:
                    return
                yield data
        elif response.header("Content-Length") is not None:
            yield self.take(int(response.header("Content-Length")))
        else:
            if self.buffer:
                data, self.buffer = self.buffer, b""
                yield data
            while True:
                data = self.sock.recv(1 << 18)
                if not data:
                    break
                yield data
            self.close()

    def lines(self, response):
        """The lines of a streamed body."""
        rest = b""
        for chunk in self.chunks(response):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def request(self, method, path, body=None, headers=()):
        """Sends and reads the whole answer; any status is returned."""
        reused = self.sock is not None
        try:
            try:
                self.send(method, path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server may answer and close before it has read the whole body
            response = self.head()
        except (HttpError, ConnectionError, BrokenPipeError):
            if not reused:
                raise
            self.close()
            self.send(method, path, body, headers)
            response = self.head()
        if method != "HEAD" and response.status not in (204, 304):
            response.body = b"".join(self.chunks(response))
        if (response.header("Connection") or "").lower() == "close":
            self.close()
        return response

    def call(self, method, path, body=None, headers=()):
        """As request, but an error status is an HttpError; the answer is the JSON, or bytes."""
        response = self.request(method, path, body, headers)
        if response.status >= 400:
            raise HttpError("%s %s: %d %s" % (method, path, response.status, response.message()), response.status)
        if (response.header("Content-Type") or "").startswith("application/json") and response.body.strip():
            try:
                return response.json()
            except ValueError:
                return response.body
        return response.body

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def delete(self, path, **more):
        return self.call("DELETE", path, **more)

    def hijack(self, path, body=None, upgrade=True):
        """POSTs and takes the connection over; the head is returned, the stream follows on this object."""
        self.close()
        headers = [("Connection", "Upgrade"), ("Upgrade", "tcp")] if upgrade else []
        self.send("POST", path, body, headers)
        return self.head()


def frames(data):
    """Splits stdcopy framing: a list of (stream number, bytes)."""
    out, at = [], 0
    while at < len(data):
        if len(data) < at + 8:
            raise HttpError("cut frame header %r" % data[at:])
        stream, size = struct.unpack_from(">BxxxI", data, at)
        at += 8
        if len(data) < at + size:
            raise HttpError("cut frame")
        out.append((stream, data[at:at + size]))
        at += size
    return out


def streams(data):
    """stdout and stderr of stdcopy-framed data."""
    parts = {1: b"", 2: b""}
    for stream, piece in frames(data):
        parts[stream] = parts.get(stream, b"") + piece
    return parts[1], parts[2]
