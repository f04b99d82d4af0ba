"""Senders of datagrams that go on while a published port comes, moves and goes: the kernel remembers their flows."""
import os
import select
import socket

import support  # noqa: F401

import netns
from daemon import wait_for
from gateway_modes_test import HOST, Base
from testcase import main


class Flows(Base):
    # With the proxy a flow that is not translated would reach the container all the same.
    arguments = ("--userland-proxy=false",)

    def setUp(self):
        super().setUp()
        self.create()
        self.sender = netns.inside(self.neighbour, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.addCleanup(self.sender.close)
        self.sender.connect((HOST, 5353))

    def publish(self, name, address):
        """A container with this address and the port, and a socket that listens there."""
        self.call("POST", "/containers/create?name=" + name, {
            "Image": "kit", "Cmd": ["/payload", "pause"], "ExposedPorts": {"53/udp": {}},
            "HostConfig": {"NetworkMode": "net", "PortBindings": {"53/udp": [{"HostIp": "0.0.0.0", "HostPort": "5353"}]}},
            "NetworkingConfig": {"EndpointsConfig": {"net": {"IPAMConfig": {"IPv4Address": address}}}}})
        self.call("POST", "/containers/%s/start" % name)
        pid = self.call("GET", "/containers/%s/json" % name)["State"]["Pid"]
        inside = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
        try:
            out = netns.inside(inside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        finally:
            os.close(inside)
        out.bind(("0.0.0.0", 53))
        return out

    def send(self):
        try:
            self.sender.send(b"x")
        except ConnectionRefusedError:
            pass  # an answer to an earlier one

    def assertArrives(self, receiver):
        """The same sender, which never pauses long enough for its flow to be forgotten by itself (10 to 30 s)."""
        def arrived():
            self.send()
            return select.select([receiver], [], [], 0.1)[0]
        wait_for(arrived, 8, "a datagram")

    def test_a_sender_before_the_port(self):
        self.send()
        with self.publish("one", "10.85.0.7") as receiver:
            self.assertArrives(receiver)

    def test_a_sender_follows_the_port(self):
        with self.publish("one", "10.85.0.7") as receiver:
            self.assertArrives(receiver)
        self.assertCli(0, "rm", "-f", "one")
        self.send()
        with self.publish("two", "10.85.0.8") as receiver:
            self.assertArrives(receiver)


if __name__ == "__main__":
    main()
