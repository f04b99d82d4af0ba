"""DNS for tests: messages, questions from inside a container's network namespace, a nameserver of the test's own."""
import os
import select
import socket
import struct
import threading

import netns

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41,
         "ANY": 255}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
RESOLVER = ("127.0.0.11", 53)


def encode_name(name):
    out = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else ():
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def query(name, kind="A", number=0x1234, edns=None, flags=0x0100, klass=1):
    """A query's bytes; `edns` is the size of UDP messages the client takes."""
    kind = TYPES.get(kind, kind)
    out = struct.pack("!HHHHHH", number, flags, 1, 0, 0, 0 if edns is None else 1)
    out += encode_name(name) + struct.pack("!HH", kind, klass)
    if edns is not None:
        out += b"\0" + struct.pack("!HHIH", TYPES["OPT"], edns, 0, 0)
    return out


def read_name(data, at):
    labels, end = [], None
    for _ in range(128):
        size = data[at]
        if size & 0xC0 == 0xC0:
            end = end if end is not None else at + 2
            at = struct.unpack_from("!H", data, at)[0] & 0x3FFF
            continue
        at += 1
        if size == 0:
            return ".".join(labels) + ".", end if end is not None else at
        labels.append(data[at:at + size].decode("latin-1"))
        at += size
    raise ValueError("a name without end")


class Message:
    """A response, decoded: id, flags, code, question, answers as (name, type, ttl, data)."""

    def __init__(self, data):
        self.size = len(data)
        self.id, self.flags, questions, *counts = struct.unpack_from("!HHHHHH", data)
        self.code = CODES.get(self.flags & 15, self.flags & 15)
        self.truncated = bool(self.flags & 0x0200)
        self.question, at = [], 12
        for _ in range(questions):
            name, at = read_name(data, at)
            kind, klass = struct.unpack_from("!HH", data, at)
            self.question.append((name, TYPE_NAMES.get(kind, kind), klass))
            at += 4
        sections = []
        for count in counts:
            records = []
            for _ in range(count):
                record, at = self._record(data, at)
                records.append(record)
            sections.append(records)
        self.answers, self.authority, self.additional = sections
        self.trailing = len(data) - at

    @staticmethod
    def _record(data, at):
        name, at = read_name(data, at)
        kind, klass, ttl, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        raw, end = data[at:at + size], at + size
        kind = TYPE_NAMES.get(kind, kind)
        if kind == "A":
            value = socket.inet_ntop(socket.AF_INET, raw)
        elif kind == "AAAA":
            value = socket.inet_ntop(socket.AF_INET6, raw)
        elif kind in ("PTR", "CNAME", "NS"):
            value = read_name(data, at)[0]
        elif kind == "OPT":
            value, ttl = klass, 0
        else:
            value = raw.hex()
        return (name, kind, ttl, value), end

    @property
    def flag_names(self):
        bits = (("QR", 0x8000), ("AA", 0x0400), ("TC", 0x0200), ("RD", 0x0100), ("RA", 0x0080), ("AD", 0x0020),
                ("CD", 0x0010))
        return " ".join(name for name, bit in bits if self.flags & bit)

    @property
    def data(self):
        return [record[3] for record in self.answers]

    def short(self):
        """What two resolvers are compared by: everything but ids, sizes and the order of answers."""
        return (self.code, self.flag_names, self.question, sorted(self.answers), sorted(self.authority),
                sorted(self.additional))


class Client:
    """Asks 127.0.0.11 as a program in a container would: its sockets are made in that process's namespace."""

    def __init__(self, pid, timeout=10):
        self.net = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
        self.timeout = timeout

    def close(self):
        os.close(self.net)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def socket(self, kind=socket.SOCK_DGRAM):
        made = netns.inside(self.net, socket.socket, socket.AF_INET, kind)
        made.settimeout(self.timeout)
        return made

    def exchange(self, data, tcp=False, to=RESOLVER):
        """Sends bytes, returns the answer's bytes."""
        if tcp:
            with self.socket(socket.SOCK_STREAM) as sock:
                sock.connect(to)
                sock.sendall(struct.pack("!H", len(data)) + data)
                return read_framed(sock)
        with self.socket() as sock:
            sock.connect(to)
            sock.send(data)
            return sock.recv(65535)

    def ask(self, name, kind="A", tcp=False, **more):
        sent = query(name, kind, **more)
        answer = Message(self.exchange(sent, tcp))
        assert answer.id == struct.unpack_from("!H", sent)[0], "an answer to another query"
        return answer

    def is_silent(self, data, seconds=0.3):
        """True when nothing comes back, although a query sent after it is answered."""
        with self.socket() as sock:
            sock.connect(RESOLVER)
            sock.send(data)
            sock.send(query("127.0.0.11.in-addr.arpa", "A", 0x7777))
            first = sock.recv(65535)
            if struct.unpack_from("!H", first)[0] != 0x7777:
                return False
            return not select.select([sock], [], [], seconds)[0]


def read_exactly(sock, size):
    out = b""
    while len(out) < size:
        more = sock.recv(size - len(out))
        if not more:
            raise EOFError("the connection ended after %d of %d bytes" % (len(out), size))
        out += more
    return out


def read_framed(sock):
    return read_exactly(sock, struct.unpack("!H", read_exactly(sock, 2))[0])


class Nameserver:
    """A nameserver in the namespace `net`, on `address`, UDP and TCP.

    `zone` maps (name, type) to a list of data, to a code ("NXDOMAIN"), to "silence", or to a function that gets the
    query's bytes and "udp" or "tcp" and returns the answer's. `seen` lists what was asked: (name, type, protocol).
    """

    def __init__(self, net, address, zone=None, port=53):
        self.zone, self.seen, self.ports, self.ids = dict(zone or {}), [], [], []
        self.raw = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = netns.inside(net, socket.socket, family, socket.SOCK_DGRAM)
        self.tcp = netns.inside(net, socket.socket, family, socket.SOCK_STREAM)
        for sock in (self.udp, self.tcp):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        self.tcp.listen(64)
        self.stop_read, self.stop_write = os.pipe()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def close(self):
        os.write(self.stop_write, b"x")
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()
        os.close(self.stop_read)
        os.close(self.stop_write)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def asked(self, name):
        return [entry for entry in self.seen if entry[0] == name.rstrip(".") + "."]

    def _wait(self, sock):
        return self.stop_read not in select.select([sock, self.stop_read], [], [])[0]

    def _serve_udp(self):
        while self._wait(self.udp):
            data, sender = self.udp.recvfrom(65535)
            self.ports.append(sender[1])
            answer = self._answer(data, "udp")
            if answer is not None:
                self.udp.sendto(answer, sender)

    def _serve_tcp(self):
        while self._wait(self.tcp):
            sock, _ = self.tcp.accept()
            threading.Thread(target=self._serve_connection, args=(sock,), daemon=True).start()

    def _serve_connection(self, sock):
        with sock:
            try:
                while True:
                    answer = self._answer(read_framed(sock), "tcp")
                    if answer is None:
                        return
                    sock.sendall(struct.pack("!H", len(answer)) + answer)
            except (EOFError, OSError):
                return

    def _answer(self, data, protocol):
        name, at = read_name(data, 12)
        kind = struct.unpack_from("!H", data, at)[0]
        self.ids.append(struct.unpack_from("!H", data)[0])
        self.raw.append(data)
        self.seen.append((name, TYPE_NAMES.get(kind, kind), protocol))
        found = self.zone.get((name.lower(), TYPE_NAMES.get(kind, kind)), self.zone.get("*", "NXDOMAIN"))
        if found == "silence":
            return None
        if callable(found):
            return found(data, protocol)
        return reply(data, found)


def reply(data, found):
    """The answer to a query: a list of data, or a code."""
    _, at = read_name(data, 12)
    question = data[12:at + 4]
    kind = struct.unpack_from("!H", data, at)[0]
    code = 0 if isinstance(found, list) else next(number for number, name in CODES.items() if name == found)
    records = b""
    for value in found if isinstance(found, list) else ():
        if isinstance(value, bytes):
            raw = value
        elif TYPE_NAMES.get(kind) in ("A", "AAAA"):
            raw = socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)
        else:
            raw = encode_name(value)
        records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(raw)) + raw
    count = len(found) if isinstance(found, list) else 0
    head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, count, 0, 0)
    return head + question + records
