"""Datagrams sent without pause along ways that should be closed, and what arrives of them."""
import os
import socket
import struct
import threading
import time

import netns

MARK = b"probe:"
ETH_P_IP = 0x0800
SOURCES = 32  # ports a way is tried from in turn, so that each round is a connection of its own
PAUSE = 0.001


def udp_frame(mac_to, mac_from, source, target, source_port, target_port, payload):
    """An Ethernet frame with a datagram; checksums that IPv4 wants are in it, UDP's is left out."""
    udp = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return mac_to + mac_from + struct.pack("!H", ETH_P_IP) + head[:10] + struct.pack("!H", total) + head[12:] + udp


class Way:
    """From a namespace to an address and port, and the port in another namespace where it ends."""

    def __init__(self, name, sender, target, receiver, port):
        self.name, self.target, self.receiver, self.port = name, target, receiver, port
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self.sockets = [netns.inside(sender, socket.socket, family, socket.SOCK_DGRAM) for _ in range(SOURCES)]
        self.number, self.sent, self.next, self.arrived = 0, 0, 0, []

    def send(self):
        self.next = (self.next + 1) % SOURCES
        try:
            self.transmit(MARK + struct.pack("!Bd", self.number, time.monotonic()))
            self.sent += 1
        except OSError:
            pass  # what could not even be sent is not counted as tried

    def transmit(self, payload):
        self.sockets[self.next].sendto(payload, self.target)

    def close(self):
        for sock in self.sockets:
            sock.close()


class FrameWay(Way):
    """The same by frames of the test's own making: to addresses nobody routes, such as the host's loopback."""

    def __init__(self, name, sender, interface, macs, source, target, receiver, port):
        super().__init__(name, sender, target, receiver, port)
        for sock in self.sockets:
            sock.close()
        self.macs, self.source = macs, source
        self.sockets = [netns.inside(sender, self._packets, interface)]

    @staticmethod
    def _packets(interface):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind((interface, ETH_P_IP))
        return sock

    def transmit(self, payload):
        self.sockets[0].send(udp_frame(*self.macs, self.source, self.target[0], 20000 + self.next, self.target[1], payload))


class Prober:
    """Sends along all ways until it is closed; a context manager."""

    def __init__(self, ways):
        self.ways = ways
        self.ends = {}
        for number, way in enumerate(ways):
            way.number = number
            if (way.receiver, way.port) not in self.ends:
                self.ends[way.receiver, way.port] = netns.inside(way.receiver, self._listen, way.port)
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._work)

    @staticmethod
    def _listen(port):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # both families
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("::", port))
        sock.setblocking(False)
        return sock

    def _take(self):
        for end in self.ends.values():
            while True:
                try:
                    data = end.recv(2048)
                except BlockingIOError:
                    break
                if data.startswith(MARK):
                    number, sent = struct.unpack("!Bd", data[len(MARK):])
                    self.ways[number].arrived.append(sent)

    def _work(self):
        while not self.ending.is_set():
            for way in self.ways:
                way.send()
            self._take()
            time.sleep(PAUSE)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        self._take()
        for thing in [*self.ways, *self.ends.values()]:
            thing.close()

    def tried(self, count):
        """Returns when each way was tried that often from now on; whoever waits so is sure that it was."""
        goals = [way.sent + count for way in self.ways]
        while any(way.sent < goal for way, goal in zip(self.ways, goals)):
            if not self.thread.is_alive():
                raise RuntimeError("the prober ended")
            time.sleep(PAUSE)


def open_netns(pid):
    return os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
