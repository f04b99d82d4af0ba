"""Log servers as tests need them: syslog, fluentd, gelf, journald and splunk peers that put what they hear into a queue."""
import gzip
import json
import os
import queue
import socket
import ssl
import struct
import threading
import zlib


def _msgpack(data, at):
    """Decodes one value of MessagePack: (value, offset behind it). IndexError when there is not all of it."""
    kind = data[at]
    at += 1

    def take(count):
        nonlocal at
        if at + count > len(data):
            raise IndexError
        part = bytes(data[at:at + count])
        at += count
        return part

    def number(count, signed=False):
        return int.from_bytes(take(count), "big", signed=signed)

    def many(count):
        nonlocal at
        out = []
        for _ in range(count):
            value, at = _msgpack(data, at)
            out.append(value)
        return out

    if kind < 0x80:
        return kind, at
    if kind >> 4 == 0x8 or kind == 0xde:
        pairs = many(2 * (kind & 15 if kind >> 4 == 0x8 else number(2)))
        return dict(zip(pairs[::2], pairs[1::2])), at
    if kind >> 4 == 0x9:
        return many(kind & 15), at
    if kind >> 5 == 0b101:
        return take(kind & 31).decode("utf-8", "replace"), at
    if kind in (0xd9, 0xda, 0xdb):
        return take(number({0xd9: 1, 0xda: 2, 0xdb: 4}[kind])).decode("utf-8", "replace"), at
    if kind in (0xcc, 0xcd, 0xce, 0xcf):
        return number(1 << (kind - 0xcc)), at
    if kind in (0xd0, 0xd1, 0xd2, 0xd3):
        return number(1 << (kind - 0xd0), True), at
    if kind == 0xd7:
        return (take(1)[0],) + struct.unpack(">II", take(8)), at
    if kind == 0xc7:
        size = number(1)
        return (take(1)[0],) + struct.unpack(">II", take(size)), at
    raise ValueError("MessagePack kind %#x" % kind)


class Peer:
    """Listens in a thread; `heard` gets what came. in_net runs a function in the daemon's network namespace."""

    def __init__(self, in_net, kind=socket.SOCK_STREAM, path=None, tls=None, port=0, silent=False):
        self.heard = queue.Queue()
        self.tls, self.kind, self.path, self.silent = tls, kind, path, silent
        self.clients, self.accepted, self.waiting = [], threading.Event(), threading.Event()
        self.listener = in_net(self._listen, port)
        self.port = None if path else self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _listen(self, port):
        sock = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET, self.kind)
        if not self.path:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(self.path or ("127.0.0.1", port))
        if self.kind == socket.SOCK_STREAM:
            sock.listen()
        return sock

    def _run(self):
        try:
            if self.kind == socket.SOCK_DGRAM:
                while True:
                    data, rights, _, _ = self.listener.recvmsg(1 << 20, 64)
                    if rights:  # a large journal entry
                        fd = struct.unpack("i", rights[0][2][:4])[0]
                        data = os.pread(fd, 1 << 24, 0)
                        os.close(fd)
                    elif not data:  # shut down
                        return
                    self.datagram(data)
            while True:
                client, _ = self.listener.accept()
                self.clients.append(client)
                self.accepted.set()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()
        except OSError:
            pass

    def _serve(self, client):
        try:
            if self.silent:
                self.waiting.wait()
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
                self.clients.append(client)
            rest = b""
            while True:
                data = client.recv(1 << 16)
                if not data:
                    return
                rest = self.stream(client, rest + data)
        except (OSError, ssl.SSLError):
            pass

    def datagram(self, data):
        self.heard.put(data)

    def stream(self, _client, data):
        *whole, rest = data.split(b"\n")
        for line in whole:
            self.heard.put(line + b"\n")
        return rest

    def get(self, timeout=20):
        return self.heard.get(timeout=timeout)

    def go_on(self):
        """Ends the silence."""
        self.waiting.set()

    def drop_clients(self):
        for client in self.clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            client.close()
        self.clients.clear()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop_clients()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)


class Fluentd(Peer):
    """`heard`: lists of tag, time, record, option."""

    def stream(self, client, data):
        while data:
            try:
                message, used = _msgpack(data, 0)
            except IndexError:
                break
            data = data[used:]
            self.heard.put(message)
            if "chunk" in message[3]:
                ack = message[3]["chunk"].encode()
                client.sendall(b"\x81\xa3ack" + bytes([0xa0 | len(ack)]) + ack)
        return data


class Gelf(Peer):
    """`heard`: messages as dictionaries, with the raw first bytes under "_magic"."""

    def __init__(self, *arguments, **more):
        self.chunks = {}
        super().__init__(*arguments, **more)

    def datagram(self, data):
        if data[:2] == b"\x1e\x0f":
            parts = self.chunks.setdefault(data[2:10], {})
            parts[data[10]] = data[12:]
            if len(parts) < data[11]:
                return
            data = b"".join(parts[i] for i in range(data[11]))
        magic = data[:2]
        if magic == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif magic[:1] == b"\x78":
            data = zlib.decompress(data)
        message = json.loads(data)
        message["_magic"] = magic
        self.heard.put(message)

    def stream(self, _client, data):
        *whole, rest = data.split(b"\0")
        for text in whole:
            self.heard.put(json.loads(text))
        return rest


class Journal(Peer):
    """`heard`: dictionaries of fields, bytes by name."""

    def __init__(self, in_net, path):
        super().__init__(in_net, socket.SOCK_DGRAM, path)

    def datagram(self, data):
        fields = {}
        while data:
            end = data.index(b"\n")
            name, equals, value = data[:end].partition(b"=")
            if equals:
                data = data[end + 1:]
            else:
                size = struct.unpack("<Q", data[end + 1:end + 9])[0]
                value = data[end + 9:end + 9 + size]
                data = data[end + 10 + size:]
            fields[name.decode()] = value
        self.heard.put(fields)


class Http(Peer):
    """Answers requests; `heard`: (method, path, headers with small names, body) of each. `answers` maps a method to
    what it is answered, (status line, body)."""

    def __init__(self, *arguments, **more):
        self.answers = {}
        super().__init__(*arguments, **more)

    def stream(self, client, data):
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return data
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = int(headers.get("content-length", 0))
        if len(body) < size:
            return data
        status, text = self.answers.get(method, ("200 OK", b""))
        self.heard.put((method, path, headers, body[:size]))
        client.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(text), text))
        return body[size:]


class Splunk(Http):
    def events(self, count):
        """So many events of the next requests, after the one that looks whether the collector is there."""
        out = []
        while len(out) < count:
            method, path, headers, body = self.get()
            if path != "/services/collector/event/1.0":
                raise ValueError(path)
            if method == "OPTIONS":
                continue
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            text = body.decode()
            while text:
                value, used = json.JSONDecoder().raw_decode(text)
                out.append(value)
                text = text[used:]
        return out
