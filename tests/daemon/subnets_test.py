"""Several subnets of a network, and where addresses come from."""
import subprocess

import support  # noqa: F401

from testcase import DaemonTestCase, main


class Base(DaemonTestCase):
    def tearDown(self):
        self.daemon.remove_containers()
        self.daemon.remove_networks()
        super().tearDown()

    def post(self, name, configs, **more):
        with self.daemon.client("1.50") as client:
            return client.request("POST", "/networks/create", dict({"Name": name, "IPAM": {"Config": configs}}, **more))

    def make(self, name, *configs, **more):
        answer = self.post(name, configs, **more)
        self.assertEqual(answer.status, 201, answer.body)
        return answer.json()["Id"]

    def refused(self, status, text, *configs, **more):
        answer = self.post("bad", configs, **more)
        self.assertEqual((answer.status, answer.message()), (status, text))

    def inspect(self, name):
        with self.daemon.client("1.50") as client:
            return client.get("/networks/" + name)

    def start(self, network, name, **config):
        """Makes and starts a container; the status and message of what refuses it."""
        endpoint = {"IPAMConfig": config} if config else {}
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/create?name=" + name, {
                "Image": "kit", "Cmd": ["/payload", "pause"], "HostConfig": {"NetworkMode": network},
                "NetworkingConfig": {"EndpointsConfig": {network: endpoint}}})
            if answer.status == 201:
                answer = client.request("POST", "/containers/%s/start" % name)
        return answer.status, answer.message() if answer.status >= 400 else ""

    def addresses(self, network, name):
        with self.daemon.client("1.50") as client:
            seen = client.get("/containers/%s/json" % name)["NetworkSettings"]["Networks"][network]
        return seen["IPAddress"], seen["IPPrefixLen"], seen["Gateway"]


class SeveralSubnets(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for command in ("link add parent0 type veth peer name other0", "link set parent0 up", "link set other0 up"):
            subprocess.run(["ip", *command.split()], preexec_fn=cls.daemon.enter_net, check=True)

    def test_addresses_from_each(self):
        configs = ({"Subnet": "10.82.0.0/30"}, {"Subnet": "10.83.0.0/24", "IPRange": "10.83.0.128/31", "Gateway": "10.83.0.9",
                                                "AuxiliaryAddresses": {"router": "10.83.0.128"}})
        made = self.make("wide", *configs, Driver="macvlan", Options={"parent": "parent0"})
        self.assertEqual(self.inspect("wide")["IPAM"]["Config"], list(configs))
        # The first has one address beside its gateway, then the second's range gives one beside the auxiliary address.
        for name, expected in (("one", ("10.82.0.2", 30, "10.82.0.1")), ("two", ("10.83.0.129", 24, "10.83.0.9"))):
            self.assertEqual(self.start("wide", name), (204, ""))
            self.assertEqual(self.addresses("wide", name), expected)
        self.assertEqual(self.start("wide", "three"), (
            500, "failed to set up container networking: no available IPv4 addresses on this network's address pools: wide (%s)" % made))
        # Static ones come from the subnet they are in.
        self.assertEqual(self.start("wide", "four", IPv4Address="10.83.0.77"), (204, ""))
        self.assertEqual(self.addresses("wide", "four"), ("10.83.0.77", 24, "10.83.0.9"))
        self.assertEqual(self.start("wide", "five", IPv4Address="10.83.0.77"),
                         (403, "failed to set up container networking: Address already in use"))
        self.assertEqual(self.start("wide", "six", IPv4Address="10.84.0.5"), (
            400, "invalid config for network wide: invalid endpoint settings:\n"
            "no configured subnet or ip-range contain the IP address 10.84.0.5"))
        # What goes is free, whichever subnet it was of.
        for name, expected in (("one", ("10.82.0.2", 30, "10.82.0.1")), ("two", ("10.83.0.129", 24, "10.83.0.9"))):
            self.assertCli(0, "rm", "-f", name)
            self.assertEqual(self.start("wide", name), (204, ""))
            self.assertEqual(self.addresses("wide", name), expected)

    def test_both_families(self):
        self.make("wide", {"Subnet": "10.82.0.0/30"}, {"Subnet": "fd00:82::/126"}, {"Subnet": "10.83.0.0/24"},
                  {"Subnet": "fd00:83::/64", "Gateway": "fd00:83::9"},
                  Driver="macvlan", Options={"parent": "parent0"}, EnableIPv6=True)
        for name in ("one", "two", "three", "four"):
            self.assertEqual(self.start("wide", name), (204, ""))
        with self.daemon.client("1.50") as client:
            seen = client.get("/containers/four/json")["NetworkSettings"]["Networks"]["wide"]
        self.assertEqual((seen["IPAddress"], seen["GlobalIPv6Address"], seen["GlobalIPv6PrefixLen"], seen["IPv6Gateway"]),
                         ("10.83.0.4", "fd00:83::2", 64, "fd00:83::9"))
        routes = self.assertCli(0, "exec", "four", "ip", "-6", "route", "show", "default").stdout.decode().split()[:5]
        self.assertEqual(routes, ["default", "via", "fd00:83::9", "dev", "eth0"])

    def test_over_a_restart_of_the_daemon(self):
        self.make("wide", {"Subnet": "10.82.0.0/30"}, {"Subnet": "10.83.0.0/24"}, Driver="macvlan", Options={"parent": "parent0"})
        if self.check_leaks:
            self.assertEqual(self.start("wide", "one"), (204, ""))
            self.daemon.kill()
            self.daemon.start()
        else:
            self.daemon.restart()
            self.assertEqual(self.start("wide", "one"), (204, ""))
        seen = self.inspect("wide")
        # The gateways that were chosen are shown after a restart, and not before.
        self.assertEqual([(config["Subnet"], config["Gateway"]) for config in seen["IPAM"]["Config"]],
                         [("10.82.0.0/30", "10.82.0.1"), ("10.83.0.0/24", "10.83.0.1")])
        self.assertEqual(self.start("wide", "two"), (204, ""))
        self.assertEqual((self.addresses("wide", "one")[0], self.addresses("wide", "two")[0]), ("10.82.0.2", "10.83.0.2"))

    def test_networks_share_a_subnet_by_ranges(self):
        self.make("low", {"Subnet": "10.82.0.0/24", "IPRange": "10.82.0.0/25", "Gateway": "10.82.0.1"},
                  Driver="macvlan", Options={"parent": "parent0"})
        self.make("high", {"Subnet": "10.82.0.0/24", "IPRange": "10.82.0.128/25", "Gateway": "10.82.0.254"},
                  Driver="macvlan", Options={"parent": "parent0"})
        self.assertEqual((self.start("low", "one"), self.start("high", "two")), ((204, ""), (204, "")))
        self.assertEqual((self.addresses("low", "one"), self.addresses("high", "two")),
                         (("10.82.0.2", 24, "10.82.0.1"), ("10.82.0.128", 24, "10.82.0.254")))
        self.assertEqual(self.start("low", "three", IPv4Address="10.82.0.128"),
                         (403, "failed to set up container networking: Address already in use"))


class WithoutAddresses(Base):
    def test_refused_by_drivers_of_the_engines_own(self):
        self.refused(400, "ipv4 pool is empty", IPAM={"Driver": "null"})
        self.refused(400, "ipv6 pool is empty", IPAM={"Driver": "null"}, EnableIPv4=False, EnableIPv6=True)
        self.refused(400, "null ipam driver does not handle specific address pool requests",
                     IPAM={"Driver": "null", "Config": [{"Subnet": "10.82.0.0/24"}]})


class OneSubnetOfABridge(Base):
    def test_refused(self):
        overlap = "invalid pool request: Pool overlaps with other one on this address space"
        self.refused(403, "bridge driver doesn't support multiple subnets", {"Subnet": "10.82.0.0/24"}, {"Subnet": "10.83.0.0/24"})
        made = self.make("first", {"Subnet": "10.82.0.0/24"}, Options={"com.docker.network.bridge.name": "first0"})
        self.refused(403, overlap, {"Subnet": "10.82.0.0/16"})
        # Docker itself keeps the first of these.
        self.refused(403, overlap, {"Subnet": "10.84.0.0/24"}, {"Subnet": "10.84.0.0/25"}, Driver="macvlan")
        self.refused(500, "failed to allocate secondary ip address (a:10.83.0.1): Address already in use",
                     {"Subnet": "10.83.0.0/24", "AuxiliaryAddresses": {"a": "10.83.0.1"}})
        self.refused(500, "failed to allocate gateway (): no available addresses on this pool", {"Subnet": "10.83.0.0/24"},
                     {"Subnet": "fd00:83::/128"}, EnableIPv6=True)
        # Parts of a subnet are only the driver's to refuse; the new network's id is in the message.
        for config, options, why in (({"Subnet": "10.82.0.0/24", "IPRange": "10.82.0.128/25", "Gateway": "10.82.0.99"}, {}, "networks have overlapping IPv4"),
                                     ({"Subnet": "10.83.0.0/24"}, {"com.docker.network.bridge.name": "first0"}, "networks have same bridge name")):
            answer = self.post("bad", [config], Options=options)
            self.assertEqual(answer.status, 403)
            self.assertRegex(answer.message(), r"^cannot create network [0-9a-f]{64} \((br-[0-9a-f]{12}|first0)\): conflicts with network %s \(first0\): %s$" % (made, why))
        # What was refused holds nothing.
        self.make("second", {"Subnet": "10.83.0.0/24", "AuxiliaryAddresses": {"a": "10.83.0.2"}})
        if self.check_leaks:
            self.make("third", {"Subnet": "10.84.0.0/24"})

    def test_exhausted(self):
        made = self.make("small", {"Subnet": "10.82.0.0/30"})
        self.assertEqual(self.start("small", "one"), (204, ""))
        self.assertEqual(self.start("small", "two"), (
            500, "failed to set up container networking: no available IPv4 addresses on this network's address pools: small (%s)" % made))
        self.assertCli(0, "rm", "-f", "one")
        with self.daemon.client("1.50") as client:
            self.assertEqual(client.request("POST", "/containers/two/start").status, 204)
        self.assertEqual(self.addresses("small", "two"), ("10.82.0.2", 30, "10.82.0.1"))


if __name__ == "__main__":
    main()
