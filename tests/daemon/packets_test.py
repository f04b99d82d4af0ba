"""Packets from neighbours: what is not published to them stays out, whatever happens to the daemon or the firewall."""
import ipaddress
import os
import re
import subprocess
import time
import unittest

import support  # noqa: F401

import netns
import prober
from daemon import wait_for
from testcase import DaemonTestCase, main

HOST, NEIGHBOUR = "192.0.2.1", "192.0.2.2"
HOST6, NEIGHBOUR6 = "2001:db8::1", "2001:db8::2"
ROUNDS = 200  # tries of each way for a step


class Packets(DaemonTestCase):
    """A container with ports on one network, others on a second and on an internal one, and somebody on the host's LAN."""

    arguments = ("--live-restore",)
    check_leaks = False  # the containers stay for all steps, and the daemon changes

    def setUp(self):
        super().setUp()
        self.lan = netns.make()
        self.addCleanup(os.close, self.lan)
        self.ip("link", "add", "lan0", "type", "veth", "peer", "name", "far0", "netns", "/proc/self/fd/%d" % self.lan)
        self.ip("address", "add", HOST + "/24", "dev", "lan0")
        self.ip("link", "set", "lan0", "up")
        self.ip("address", "add", NEIGHBOUR + "/24", "dev", "far0", net=self.lan)
        self.ip("link", "set", "far0", "up", net=self.lan)
        self.ip("route", "add", "default", "via", HOST, net=self.lan)
        self.ip("address", "add", HOST6 + "/64", "dev", "lan0", "nodad")
        self.ip("address", "add", NEIGHBOUR6 + "/64", "dev", "far0", "nodad", net=self.lan)
        self.ip("route", "add", "default", "via", HOST6, net=self.lan)
        # Worse than hosts are as a rule: packets from outside for 127.0.0.0/8 are not dropped by the kernel.
        self.daemon.in_net(self.write, "/proc/sys/net/ipv4/conf/lan0/route_localnet", "1")
        self.daemon.in_net(self.write, "/proc/sys/net/ipv4/ip_forward", "1")
        for name, internal in (("one", False), ("two", False), ("inside", True)):
            self.call("POST", "/networks/create", {"Name": name, "Internal": internal, "EnableIPv6": True})
        published = {"7001/udp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}], "7005/udp": [{"HostPort": "8005"}]}
        self.make("target", "one", {"PortBindings": published}, ExposedPorts={port: {} for port in published})
        self.make("other", "two", {})
        self.make("inner", "inside", {})
        # As a container with NET_ADMIN could.
        for config in self.call("GET", "/networks/inside")["IPAM"]["Config"]:
            gateway = str(ipaddress.ip_network(config["Subnet"])[1])
            self.ip("route", "add", "default", "via", gateway, net=self.nets["inner"])

    def tearDown(self):
        self.daemon.remove_containers()
        for name in ("one", "two", "inside"):
            self.call("DELETE", "/networks/" + name)
        self.ip("link", "del", "lan0")
        super().tearDown()

    @staticmethod
    def write(path, text):
        with open(path, "w") as file:
            file.write(text)

    def ip(self, *arguments, net=None):
        net = self.daemon.net if net is None else net
        # The other namespace's descriptor is one of this process.
        arguments = [word.replace("/proc/self/", "/proc/%d/" % os.getpid()) for word in arguments]
        return subprocess.run(["ip", *arguments], preexec_fn=lambda: netns.enter(net), check=True, stdout=subprocess.PIPE,
                              text=True).stdout

    def nft(self, text):
        subprocess.run(["nft", "-f", "-"], input=text, preexec_fn=self.daemon.enter_net, check=True, text=True)

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    nets, addresses, addresses6 = {}, {}, {}

    def make(self, name, network, host, **config):
        made = self.daemon.run("/payload", "pause", name=name, host=dict(host, NetworkMode=network), **config)
        seen = self.call("GET", "/containers/%s/json" % made)
        endpoint = seen["NetworkSettings"]["Networks"][network]
        self.addresses[name], self.addresses6[name] = endpoint["IPAddress"], endpoint["GlobalIPv6Address"]
        self.nets[name] = prober.open_netns(seen["State"]["Pid"])
        self.addCleanup(os.close, self.nets[name])

    def mac(self, interface, net=None):
        found = re.search(r"link/ether (\S+)", self.ip("-o", "link", "show", interface, net=net))
        return bytes.fromhex(found[1].replace(":", ""))

    def ways(self):
        """What must stay closed, and what must be open (`self.open`): it shows that probes arrive where they may."""
        x, y, z = (self.nets[name] for name in ("target", "other", "inner"))
        macs = (self.mac("lan0"), self.mac("far0", self.lan))
        out = [prober.FrameWay("port on loopback from the LAN", self.lan, "far0", macs, NEIGHBOUR, ("127.0.0.1", 8001), x, 7001)]
        # A container that may make any packet; its network has a port that the host's loopback leads to.
        bridge = "br-" + self.call("GET", "/networks/one")["Id"][:12]
        macs = (self.mac(bridge), self.mac("eth0", x))
        gateway = re.search(r"inet (\S+)/", self.ip("-4", "address", "show", bridge))[1]
        out += [prober.FrameWay("loopback of the host from a container", x, "eth0", macs, self.addresses["target"],
                                ("127.0.0.1", 7008), self.daemon.net, 7008),
                prober.FrameWay("port of the host as from its loopback", x, "eth0", macs, "127.0.0.1",
                                (gateway, 7009), self.daemon.net, 7009)]
        for version, there, neighbour in ((4, self.addresses, NEIGHBOUR), (6, self.addresses6, NEIGHBOUR6)):
            out += [prober.Way("%s (IPv%d)" % (name, version), *way) for name, *way in (
                ("unpublished port from the LAN", self.lan, (there["target"], 7000), x, 7000),
                ("published port by its container's address", self.lan, (there["target"], 7005), x, 7005),
                ("other bridge", y, (there["target"], 7002), x, 7002),
                ("internal network from the LAN", self.lan, (there["inner"], 7003), z, 7003),
                ("internal network from a bridge", y, (there["inner"], 7004), z, 7004),
                ("LAN from the internal network", z, (neighbour, 7006), self.lan, 7006),
                ("bridge from the internal network", z, (there["other"], 7007), y, 7007))]
        self.open = [prober.Way("published port (IPv%d)" % version, self.lan, (address, 8005), x, 7005)
                     for version, address in ((4, HOST), (6, HOST6))]
        return out + self.open

    def opened(self, probes):
        """What got through of what should not: {way: when it was sent}."""
        return {way.name: way.arrived for way in probes.ways if way.arrived and way not in self.open}

    def probed(self, probes, action):
        """Does it while probes are under way; returns when it was begun."""
        probes.tried(ROUNDS)
        begin = time.monotonic()
        action()
        probes.tried(ROUNDS)
        # What is published arrives, so the others would have, too.
        for way in self.open:
            wait_for(lambda: way.arrived and way.arrived[-1] > begin, what="a probe of the " + way.name)
        return begin

    def again(self):
        """The daemon dies and the next one begins."""
        self.daemon.kill()
        self.daemon.start()

    def foreign_tables(self):
        self.nft("table inet theirs { chain c { type filter hook forward priority 5; counter; }; }")
        self.nft("flush table inet theirs")
        self.nft("delete table inet theirs")

    def users_chain(self):
        self.nft("add rule ip filter DOCKER-USER counter return")
        self.nft("flush chain ip filter DOCKER-USER")

    def networks_come_and_go(self):
        for _ in range(3):
            self.call("POST", "/networks/create", {"Name": "more"})
            self.cli("run", "--rm", "--network", "more", "-p", "127.0.0.1::80", "kit", "/payload", "echo", "x")
            self.call("DELETE", "/networks/more")

    def test_nothing_gets_through(self):
        with prober.Prober(self.ways()) as probes:
            for action in (lambda: None, self.foreign_tables, self.users_chain, self.networks_come_and_go, self.again,
                           self.daemon.restart):
                self.probed(probes, action)
        self.assertEqual(self.opened(probes), {})
        self.assertTrue(all(way.sent > 5 * ROUNDS for way in probes.ways), [(way.name, way.sent) for way in probes.ways])

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's rules are gone until its next start")
    def test_flush_of_everything(self):
        with prober.Prober(self.ways()) as probes:
            self.probed(probes, lambda: self.nft("flush ruleset"))
        open_for = {name: max(sent) - min(sent) for name, sent in self.opened(probes).items()}
        if os.environ.get("DOCKERD_TEST_VERBOSE"):
            print("open after the flush:", {name: "%.1f ms" % (1e3 * took) for name, took in open_for.items()})
        self.assertNotIn("port on loopback from the LAN", open_for)
        if tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 9):
            # Tables with an owner are not flushed: no container's address is reached from outside its bridge.
            self.assertEqual([name for name in open_for if "internal" not in name], [])
        # Healed within a second.
        self.assertEqual([name for name, took in open_for.items() if took > 1.0], [])


if __name__ == "__main__":
    main()
