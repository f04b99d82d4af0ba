"""What a container's end of a network is called, and what addresses it has."""
import os
import subprocess
import unittest

import support  # noqa: F401

from testcase import DaemonTestCase, main

IFNAME = "com.docker.network.endpoint.ifname"
RENAMING = '^failed to add interface veth[0-9a-f]{7} to sandbox: error renaming interface "veth[0-9a-f]{7}" to "%s": %s$'


class Endpoints(DaemonTestCase):
    def setUp(self):
        super().setUp()
        self.made = []

    def tearDown(self):
        self.daemon.remove_containers()
        for name in self.made:
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def network(self, name, subnet, **more):
        self.call("POST", "/networks/create", dict(more, Name=name, IPAM={"Config": [{"Subnet": subnet}]}))
        self.made.append(name)

    def start(self, name, host=None, **endpoints):
        first = next(iter(endpoints))
        self.daemon.run("/payload", "pause", name=name, host=dict(host or {}, NetworkMode=first),
                        NetworkingConfig={"EndpointsConfig": endpoints})

    def addresses(self, name):
        """{interface: its IPv4 address} as the container sees it."""
        lines = self.assertCli(0, "exec", name, "ip", "-o", "-4", "address").stdout.decode().splitlines()
        return {line.split()[1]: line.split()[3] for line in lines if line.split()[1] != "lo"}

    def test_interfaces_have_the_lowest_free_number(self):
        for number in range(3):
            self.network("net%d" % number, "10.81.%d.0/24" % number)
        # As moby's TestCustomIfnameWithMatchingDynamicPrefix has it.
        self.start("box", net0={"DriverOpts": {IFNAME: "eth1"}}, net1={})
        self.assertEqual(self.addresses("box"), {"eth0": "10.81.1.2/24", "eth1": "10.81.0.2/24"})
        self.assertCli(0, "network", "connect", "net2", "box")
        self.assertEqual(self.addresses("box")["eth2"], "10.81.2.2/24")
        self.assertCli(0, "network", "disconnect", "net1", "box")
        self.assertCli(0, "network", "disconnect", "net2", "box")
        self.assertCli(0, "network", "connect", "net2", "box")
        self.assertEqual(self.addresses("box"), {"eth0": "10.81.2.2/24", "eth1": "10.81.0.2/24"})

    def test_an_interface_that_is_there(self):
        self.network("net0", "10.81.0.0/24")
        self.network("net1", "10.81.1.0/24")
        self.start("box", net0={})
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/networks/net1/connect", {
                "Container": "box", "EndpointConfig": {"DriverOpts": {IFNAME: "eth0"}}})
        self.assertEqual(answer.status, 500)
        self.assertRegex(answer.message(), RENAMING % ("eth0", "file exists"))
        self.assertEqual(self.addresses("box"), {"eth0": "10.81.0.2/24"})
        self.assertEqual(list(self.call("GET", "/networks/net1")["Containers"]), [])

    def test_names_that_no_interface_can_have(self):
        self.network("net0", "10.81.0.0/24")
        for number, (name, why) in enumerate((("a/b", "invalid argument"), ("toolongifnamexxxx", "numerical result out of range"))):
            with self.daemon.client("1.50") as client:
                client.post("/containers/create?name=box%d" % number, {
                    "Image": "kit", "HostConfig": {"NetworkMode": "net0"},
                    "NetworkingConfig": {"EndpointsConfig": {"net0": {"DriverOpts": {IFNAME: name}}}}})
                answer = client.request("POST", "/containers/box%d/start" % number)
            self.assertRegex(answer.message(), "^failed to set up container networking: " + RENAMING[1:] % (name, why))
        self.assertEqual(list(self.call("GET", "/networks/net0")["Containers"]), [])

    def refused(self, network, text, container="box", **config):
        """By a connect; the container's networks stay as they are."""
        before = self.call("GET", "/containers/%s/json" % container)["NetworkSettings"]["Networks"]
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/networks/%s/connect" % network, {"Container": container, "EndpointConfig": config})
        self.assertEqual((answer.status, answer.message()), (400, text))
        self.assertEqual(self.call("GET", "/containers/%s/json" % container)["NetworkSettings"]["Networks"], before)

    def test_settings_that_a_connect_cannot_have(self):
        self.network("net0", "10.81.0.0/24")
        self.call("POST", "/networks/create", {"Name": "net1"})
        self.made.append("net1")
        self.start("box", net0={})
        self.call("POST", "/containers/create?name=still", {"Image": "kit", "HostConfig": {"NetworkMode": "net0"}})
        subnets = ("invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with "
                   "user configured subnets")
        for container in ("box", "still"):
            self.refused("net1", subnets, container, IPAMConfig={"IPv4Address": "172.30.0.9"})
            self.refused("net1", subnets, container, IPAMConfig={"IPv6Address": "fd00::9"})
            self.refused("net1", "invalid MAC address zz", container, MacAddress="zz")
            self.refused("net1", "invalid endpoint settings:\n* invalid IPv4 address: nonsense\n* " + subnets.split("\n")[1],
                         container, IPAMConfig={"IPv4Address": "nonsense"})
            self.refused("net1", "invalid endpoint settings:\nunrecognised network interface sysctl 'a=1'; represent "
                         "'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'", container,
                         DriverOpts={"com.docker.network.endpoint.sysctls": "a=1"})
            self.refused("bridge", "invalid endpoint settings:\n* user specified IP address is supported on user defined networks "
                         "only\n* network-scoped alias is supported only for containers in user defined networks\n* " +
                         subnets.split("\n")[1], container, IPAMConfig={"IPv4Address": "172.17.0.9"}, Aliases=["other"])
            # Before it is seen that the container is there already.
            self.refused("net0", "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.82.0.9",
                         container, IPAMConfig={"IPv4Address": "10.82.0.9"})

    def start_refused(self, name):
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/%s/start" % name)
        return answer.status, answer.message()

    def test_a_network_that_is_another_one_at_the_start(self):
        self.network("net0", "10.81.0.0/24")
        first = self.call("GET", "/networks/net0")["Id"]
        for name, address in (("ran", {}), ("still", {"IPv4Address": "10.81.0.9"})):
            self.call("POST", "/containers/create?name=" + name, {
                "Image": "kit", "Cmd": ["sh", "-c", "exit 7"], "HostConfig": {"NetworkMode": "net0"},
                "NetworkingConfig": {"EndpointsConfig": {"net0": {"IPAMConfig": address}}}})
        self.call("POST", "/containers/ran/start")
        self.assertEqual(self.call("POST", "/containers/ran/wait")["StatusCode"], 7)
        self.call("DELETE", "/networks/" + self.made.pop())
        self.call("POST", "/networks/create", {"Name": "net0"})
        self.made.append("net0")
        self.assertEqual(self.start_refused("ran"), (
            404, "failed to set up container networking: network %s not found" % first))
        # No program has ended since.
        state = self.call("GET", "/containers/ran/json")["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 7))
        # One that never ran takes the network of that name, if it can.
        self.assertEqual(self.start_refused("still"), (
            400, "failed to set up container networking: invalid endpoint settings:\nuser specified IP address is supported "
            "only when connecting to networks with user configured subnets"))

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker leaves it connected")
    def test_a_connection_that_cannot_be_written_down(self):
        self.network("net0", "10.81.0.0/24")
        self.network("net1", "10.81.1.0/24")
        self.start("box", net0={})
        self.call("POST", "/containers/create?name=stopped", {"Image": "kit", "HostConfig": {"NetworkMode": "net0"}})
        before = {name: self.call("GET", "/containers/%s/json" % name)["NetworkSettings"]["Networks"]
                  for name in ("box", "stopped")}
        hosts = self.assertCli(0, "exec", "box", "cat", "/etc/hosts").stdout
        # A limit on the size of files fails a write just as a full disk does.
        limit = ["prlimit", "--pid", str(self.daemon.pid)]
        state = "write %s: file too large" % self.call("GET", "/containers/box/json")["Id"]
        config = "write config.v2.json: file too large"
        try:
            for size, name, failure in ((600, "box", state), (2500, "box", config), (600, "stopped", config)):
                subprocess.run(limit + ["--fsize=%d:unlimited" % size], check=True)
                with self.subTest(name), self.daemon.client("1.50") as client:
                    answer = client.request("POST", "/networks/net1/connect", {"Container": name})
                    self.assertEqual((answer.status, answer.message()), (500, failure))
        finally:
            subprocess.run(limit + ["--fsize=unlimited:unlimited"], check=True)
        for name, networks in before.items():
            self.assertEqual(self.call("GET", "/containers/%s/json" % name)["NetworkSettings"]["Networks"], networks)
        self.assertEqual(self.addresses("box"), {"eth0": "10.81.0.2/24"})
        self.assertEqual(self.assertCli(0, "exec", "box", "cat", "/etc/hosts").stdout, hosts)
        self.assertEqual(self.call("GET", "/networks/net1")["Containers"], {})
        # Nothing of it stands in the way of the next attempt.
        self.assertCli(0, "network", "connect", "net1", "box")
        self.assertEqual(self.addresses("box")["eth1"], "10.81.1.2/24")

    def test_without_version_six_by_sysctl(self):
        self.network("six", "fd00:81::/64", EnableIPv6=True)
        off = {"Sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"}}
        self.start("with", six={})
        self.start("without", host=off, six={})
        there = {name: self.call("GET", "/containers/%s/json" % name)["NetworkSettings"]["Networks"]["six"]
                 for name in ("with", "without")}
        self.assertEqual((there["with"]["GlobalIPv6Address"], there["with"]["IPv6Gateway"]), ("fd00:81::2", "fd00:81::1"))
        self.assertEqual((there["without"]["GlobalIPv6Address"], there["without"]["IPv6Gateway"]), ("", ""))
        hosts = {name: self.assertCli(0, "exec", name, "cat", "/etc/hosts").stdout.decode() for name in there}
        self.assertIn("::1\tlocalhost ip6-localhost ip6-loopback\n", hosts["with"])
        self.assertNotIn(":", hosts["without"])
        # Nor is it given one by whoever connects it later.
        self.network("more", "fd00:82::/64", EnableIPv6=True)
        self.assertCli(0, "network", "connect", "more", "without")
        seen = self.call("GET", "/containers/without/json")["NetworkSettings"]["Networks"]["more"]
        self.assertEqual(seen["GlobalIPv6Address"], "")

    def test_what_a_network_is_asked_is_no_option_of_it(self):
        self.call("POST", "/networks/create", {"Name": "four", "EnableIPv6": False, "EnableIPv4": True, "Options": {
            "com.docker.network.enable_ipv6": "true", "com.docker.network.enable_ipv4": "false"}})
        self.made.append("four")
        seen = self.call("GET", "/networks/four")
        self.assertEqual((seen["EnableIPv4"], seen["EnableIPv6"], seen["Options"]), (True, False, {}))


if __name__ == "__main__":
    main()
