"""Published ports of a container on several networks: they are on the one that leads outside, wherever that is."""
import os
import re
import signal
import subprocess
import unittest

import support  # noqa: F401

from daemon import wait_for
from served import SERVER, answer
from testcase import DaemonTestCase, main


class Base(DaemonTestCase):
    def setUp(self):
        super().setUp()
        for name, internal in (("one", False), ("two", False), ("inside", True)):
            self.call("POST", "/networks/create", {"Name": name, "Internal": internal})

    def tearDown(self):
        self.daemon.remove_containers()
        for name in ("one", "two", "inside"):
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def create(self, network):
        self.call("POST", "/containers/create?name=server", {
            "Image": "kit", "Cmd": SERVER, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": network, "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}})

    def connect(self, network, **config):
        self.call("POST", "/networks/%s/connect" % network, {"Container": "server", "EndpointConfig": config or None})

    def disconnect(self, network):
        self.call("POST", "/networks/%s/disconnect" % network, {"Container": "server"})

    def assertServed(self):
        # The program starts listening after the container has started.
        wait_for(lambda: answer(self.daemon, "127.0.0.1", 8080) == b"served\n", what="an answer")
        bound = self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"]
        self.assertEqual(bound, {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]})

    def assertNotServed(self, ports):
        self.assertIsNone(answer(self.daemon, "127.0.0.1", 8080))
        self.assertEqual(self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"], ports)


class GatewayPorts(Base):
    def test_a_port_is_published_once(self):
        self.create("one")
        self.connect("two")
        self.call("POST", "/containers/server/start")
        self.assertServed()
        self.disconnect("one")
        self.assertServed()
        self.disconnect("two")
        self.assertNotServed({})
        self.connect("one")
        self.assertServed()
        self.connect("two", GwPriority=1)  # takes the lead
        self.assertServed()
        self.disconnect("one")
        self.assertServed()

    def test_an_internal_network_publishes_nothing(self):
        self.create("inside")
        self.call("POST", "/containers/server/start")
        self.assertNotServed({})
        self.connect("two")
        self.assertServed()
        self.disconnect("two")
        self.assertNotServed({})


# Docker's engine has the proxy for this, on every kernel; here it is the kernel where nobody can take the guards away.
IN_KERNEL = not os.environ.get("DOCKERD_ORACLE") and \
    tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 9)


class Loopback(Base):
    """Ports by the host's 127.0.0.1: who the container sees, and who carries it."""

    ECHO = ("sh", "-c", "while :; do nc -l -p 80 -e cat /proc/net/tcp /proc/net/tcp6; done")
    check_leaks = False  # one of them kills the daemon

    def localnet(self, bridge):
        with open("/proc/sys/net/ipv4/conf/%s/route_localnet" % bridge) as file:
            return file.read().strip()

    def bridge(self, network):
        return "br-" + self.call("GET", "/networks/%s" % network)["Id"][:12]

    def echo(self):
        self.call("POST", "/containers/create?name=server", {
            "Image": "kit", "Cmd": self.ECHO, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": "one", "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}})
        self.call("POST", "/containers/server/start")

    def peers(self, source=None):
        """Remote addresses and ports of the server's connections, as it sees them itself."""
        text = wait_for(lambda: answer(self.daemon, "127.0.0.1", 8080, source), what="an answer").decode()
        words = [line.split() for line in text.splitlines() if ":" in line]
        # An IPv4 address is the last word of what either table shows.
        ends = [word[2].split(":") for word in words
                if word[1].endswith(":0050") and word[3] in ("01", "08")]  # established, or half closed by the client
        return [(".".join(str(byte) for byte in bytes.fromhex(address[-8:])[::-1]), int(port, 16))
                for address, port in ends]

    def test_the_container_sees_the_bridges_address(self):
        self.echo()
        gateway = self.call("GET", "/containers/server/json")["NetworkSettings"]["Networks"]["one"]["Gateway"]
        self.assertEqual({address for address, _ in self.peers()}, {gateway})

    @unittest.skipIf(not IN_KERNEL, "the proxy's connections are the host's")
    def test_it_sees_ports_that_are_not_those_of_the_hosts_connections(self):
        """Who came by loopback and who came straight would else meet in the container's TIME_WAIT."""
        self.echo()
        # One for each: 1024 and as many as the port is above a multiple of 31744, which is how many there are below.
        for source, seen in ((32768, 2048), (45000, 14280), (60999, 30279)):
            self.assertEqual([port for _, port in self.peers(("127.0.0.1", source))], [seen])

    def test_the_kernel_leads_from_loopback_while_there_is_a_port(self):
        bridge = self.bridge("one")
        localnet = lambda: self.daemon.in_net(self.localnet, bridge)  # noqa: E731
        self.assertEqual(localnet(), "0")
        self.create("one")
        self.call("POST", "/containers/server/start")
        self.assertEqual(localnet(), "1" if IN_KERNEL else "0")
        self.assertServed()
        self.call("POST", "/containers/server/stop?t=0")
        self.assertEqual(localnet(), "0")

    @unittest.skipIf(not IN_KERNEL, "the proxy ends with the daemon")
    def test_without_a_daemon(self):
        self.create("one")
        self.call("POST", "/containers/server/start")
        self.assertServed()
        self.daemon.kill()
        # Between two clients the server is not listening for a moment.
        wait_for(lambda: answer(self.daemon, "127.0.0.1", 8080) == b"served\n", what="an answer")
        self.daemon.start()
        self.assertServed()
        bridge = self.bridge("one")
        self.call("POST", "/containers/server/stop?t=0")
        self.assertEqual(self.daemon.in_net(self.localnet, bridge), "0")

    @unittest.skipIf(not IN_KERNEL, "the proxy ends with the daemon")
    def test_a_daemon_that_ends_closes_what_it_opened(self):
        """Without it anybody can flush what keeps containers from the host's loopback."""
        bridge = self.bridge("one")
        localnet = lambda: self.daemon.in_net(self.localnet, bridge)  # noqa: E731
        self.create("one")
        self.call("POST", "/containers/server/start")
        pid = self.call("GET", "/containers/server/json")["State"]["Pid"]
        self.daemon.process.send_signal(signal.SIGQUIT)  # leaves the container running
        self.assertEqual(self.daemon.process.wait(60), 0)
        self.assertEqual(localnet(), "0")
        self.daemon.start()
        self.assertEqual(localnet(), "1")
        self.assertServed()
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.daemon.start()
        wait_for(lambda: not self.call("GET", "/containers/server/json")["State"]["Running"], what="its end")
        self.assertEqual(localnet(), "0")

    @unittest.skipIf(not IN_KERNEL, "the proxy ends with the daemon")
    def test_docker0_is_closed_by_the_next_daemon(self):
        localnet = lambda: self.daemon.in_net(self.localnet, "docker0")  # noqa: E731
        self.create("bridge")
        self.call("POST", "/containers/server/start")
        self.assertServed()
        pid = self.call("GET", "/containers/server/json")["State"]["Pid"]
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.daemon.start()
        wait_for(lambda: not self.call("GET", "/containers/server/json")["State"]["Running"], what="its end")
        self.assertEqual(localnet(), "0")

    def test_a_bridge_without_address_has_the_proxy(self):
        self.call("POST", "/networks/create", {"Name": "bare", "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
                                               "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}})
        try:
            bridge = self.bridge("bare")
            for command in (("address", "add", "10.99.0.1/32", "dev", bridge), ("route", "add", "10.77.0.0/24", "dev", bridge)):
                subprocess.run(["ip", *command], preexec_fn=self.daemon.enter_net, check=True)
            self.create("bare")
            self.call("POST", "/containers/server/start")
            server = int(self.call("GET", "/containers/server/json")["State"]["Pid"])
            subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % server, "ip", "route", "replace", "10.99.0.1", "dev", "eth0"],
                           check=True)
            self.assertServed()
            self.assertEqual(self.daemon.in_net(self.localnet, bridge), "0")
        finally:
            self.daemon.remove_containers()
            self.call("DELETE", "/networks/bare")


class Families(DaemonTestCase):
    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def tearDown(self):
        self.daemon.remove_containers()
        for name in ("four", "six", "dual"):
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    def assertBound(self, *addresses):
        """What is published on the host, and answers there."""
        seen = self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"]
        self.assertEqual(seen, {"80/tcp": [{"HostIp": address, "HostPort": "8000"} for address in addresses]})
        for address in addresses:
            target = {"0.0.0.0": "127.0.0.1", "::": "::1"}[address]
            wait_for(lambda: answer(self.daemon, target, 8000) == b"served\n", what="an answer at " + target)

    def test_each_by_the_network_that_leads_with_it(self):
        for name, v4, v6 in (("four", True, False), ("six", False, True), ("dual", True, True)):
            self.call("POST", "/networks/create", {"Name": name, "EnableIPv4": v4, "EnableIPv6": v6})
        self.call("POST", "/containers/create?name=server", {
            "Image": "kit", "Cmd": SERVER, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": "four", "PortBindings": {"80/tcp": [{"HostPort": "8000"}]}},
            "NetworkingConfig": {"EndpointsConfig": {"four": {}, "six": {}}}})
        self.call("POST", "/containers/server/start")
        self.assertBound("0.0.0.0", "::")
        self.assertCli(0, "network", "connect", "dual", "server")  # both families: leads for both
        self.assertBound("0.0.0.0", "::")
        self.assertCli(0, "network", "disconnect", "dual", "server")
        self.assertBound("0.0.0.0", "::")
        self.assertCli(0, "network", "disconnect", "six", "server")
        self.assertBound("0.0.0.0", "::")  # the host's IPv6 by the proxy
        self.assertCli(0, "network", "connect", "six", "server")
        self.assertCli(0, "network", "disconnect", "four", "server")
        self.assertBound("::")


class AnotherDaemon(Base):
    check_leaks = False  # a daemon that has just begun has not made all that it keeps

    def test_another_daemon_moves_them_as_well(self):
        self.create("one")
        self.connect("two")
        self.call("POST", "/containers/server/start")
        self.daemon.kill()
        self.daemon.start()
        self.assertServed()
        self.disconnect("one")
        self.assertServed()


if __name__ == "__main__":
    main()
