"""The daemon's flags for its default bridge and its address pools: what the network is then, or why the daemon does not start."""
import subprocess

import support  # noqa: F401

from flagscase import FlagsCase
from testcase import main

POOL = "--default-address-pool"
NETWORK = "failed to start daemon: Error initializing network controller: "
BRIDGE = NETWORK + 'error creating default "bridge" network: '
SPACE = NETWORK + "error obtaining controller instance: could not construct local address space: network at index 0 "
CONFIG = "merged configuration validation from file and command line flags failed: "
USERS = ("link add br0 type bridge", "addr add 10.5.0.1/24 dev br0", "addr add 10.6.0.1/24 dev br0", "addr add fd00:5::1/64 dev br0 nodad",
         "link set br0 up")


class Flags(FlagsCase):
    def daemon(self, *arguments, links=(), **more):
        out = super().daemon(*arguments, **more)
        for command in links:
            self.ip(out, *command.split())
        return out

    def ip(self, daemon, *arguments):
        return subprocess.run(["ip", *arguments], preexec_fn=daemon.enter_net, check=True, stdout=subprocess.PIPE, text=True).stdout

    def config(self, daemon, network="bridge"):
        with daemon.client("1.50") as client:
            return client.get("/networks/" + network)["IPAM"]["Config"]

    def started(self, subnets, addresses, *arguments, links=(), container=None):
        """The network's configuration, what the bridge device has, and a container's addresses and gateways."""
        daemon = self.daemon(*arguments, links=links).start()
        self.assertEqual(self.config(daemon), subnets, arguments)
        device = "br0" if "-b" in arguments else "docker0"
        shown = [line.split()[3] for line in self.ip(daemon, "-o", "address", "show", device).splitlines()]
        self.assertEqual(sorted(address for address in shown if not address.startswith("fe80")), sorted(addresses), arguments)
        if container:
            daemon.load_image()
            with daemon.client("1.50") as client:
                client.post("/containers/create?name=one", {"Image": "kit", "Cmd": ["/payload", "pause"]})
                client.post("/containers/one/start")
                seen = client.get("/containers/one/json")["NetworkSettings"]["Networks"]["bridge"]
            self.assertEqual(tuple(seen[key] for key in ("IPAddress", "Gateway", "GlobalIPv6Address", "IPv6Gateway")), container, arguments)
            daemon.remove_containers()
        daemon.stop()


class DefaultBridge(Flags):
    def test_addresses_of_docker0(self):
        for subnets, addresses, arguments, container in (
                ([{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}], ["10.9.0.1/24"], ("--bip", "10.9.0.1/24"), None),
                ([{"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.128/25", "Gateway": "10.9.0.1"}], ["10.9.0.1/24"],
                 ("--bip", "10.9.0.1/24", "--fixed-cidr", "10.9.0.128/25"), ("10.9.0.128", "10.9.0.1", "", "")),
                ([{"Subnet": "10.9.0.0/24", "IPRange": "10.0.0.0/8", "Gateway": "10.9.0.1"}], ["10.9.0.1/24"],
                 ("--bip", "10.9.0.1/24", "--fixed-cidr", "10.0.0.0/8"), ("10.9.0.2", "10.9.0.1", "", "")),
                ([{"Subnet": "10.9.0.128/25", "IPRange": "10.9.0.128/25"}], ["10.9.0.129/25"], ("--fixed-cidr", "10.9.0.128/25"), None),
                ([{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1", "AuxiliaryAddresses": {"DefaultGatewayIPv4": "10.9.0.7"}}],
                 ["10.9.0.1/24"], ("--bip", "10.9.0.1/24", "--default-gateway", "10.9.0.7"), ("10.9.0.2", "10.9.0.7", "", "")),
                ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}], ["172.17.0.1/16"], ("--default-gateway", "172.17.0.7"),
                 ("172.17.0.2", "172.17.0.7", "", "")),
                ([{"Subnet": "fd00:9::/64", "Gateway": "fd00:9::7"}, {"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}],
                 ["172.17.0.1/16", "fd00:9::7/64"], ("--ipv6", "--bip6", "fd00:9::7/64"),
                 ("172.17.0.2", "172.17.0.1", "fd00:9::1", "fd00:9::7")),
                ([{"Subnet": "fd00:9::/80", "IPRange": "fd00:9::/80"}, {"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}],
                 ["172.17.0.1/16", "fd00:9::1/80"], ("--ipv6", "--fixed-cidr-v6", "fd00:9::/80"), None),
                ([{"Subnet": "fd00:9::/64", "IPRange": "fd00:9:0:0:1::/80", "Gateway": "fd00:9::7",
                   "AuxiliaryAddresses": {"DefaultGatewayIPv6": "fd00:9::9"}}, {"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}],
                 ["172.17.0.1/16", "fd00:9::7/64"],
                 ("--ipv6", "--fixed-cidr-v6", "fd00:9:0:0:1::/80", "--bip6", "fd00:9::7/64", "--default-gateway-v6", "fd00:9::9"),
                 ("172.17.0.2", "172.17.0.1", "fd00:9:0:0:1::", "fd00:9::9"))):
            self.started(subnets, addresses, *arguments, container=container)

    def test_users_bridge(self):
        has = ["10.5.0.1/24", "10.6.0.1/24", "fd00:5::1/64"]
        for subnets, arguments in (
                ([{"Subnet": "10.5.0.0/24", "Gateway": "10.5.0.1"}], ()),
                ([{"Subnet": "10.6.0.0/24", "IPRange": "10.6.0.128/25", "Gateway": "10.6.0.1"}], ("--fixed-cidr", "10.6.0.128/25")),
                ([{"Subnet": "10.5.0.0/24", "Gateway": "10.5.0.1"}], ("--fixed-cidr", "10.7.0.128/25")),
                ([{"Subnet": "10.5.0.0/24", "Gateway": "10.5.0.1"}, {"Subnet": "fd00:5::/64", "Gateway": "fd00:5::1"}], ("--ipv6",))):
            self.started(subnets, has, "-b", "br0", *arguments, links=USERS)

    def test_refused(self):
        for text, arguments in (
                (BRIDGE + "failed to allocate gateway (10.9.0.0): Address already in use", ("--bip", "10.9.0.0/24")),
                (NETWORK + "parse bip failed: invalid CIDR address: 10.9.0.1", ("--bip", "10.9.0.1")),
                (NETWORK + "parse fixed-cidr failed: invalid CIDR address: x", ("--fixed-cidr", "x")),
                (NETWORK + "parse bip6 failed: invalid CIDR address: x", ("--ipv6", "--bip6", "x")),
                (BRIDGE + "auxiliary address: (DefaultGatewayIPv4:10.10.0.7) must belong to the master pool: 10.9.0.0/24",
                 ("--bip", "10.9.0.1/24", "--default-gateway", "10.10.0.7")),
                (BRIDGE + "failed to allocate secondary ip address (DefaultGatewayIPv4:10.9.0.1): Address already in use",
                 ("--bip", "10.9.0.1/24", "--default-gateway", "10.9.0.1")),
                (BRIDGE + "failed to allocate gateway (fd00::1): cannot find address pool for poolID:fd00::/64/invalid Prefix", ("--bip", "fd00::1/64")),
                (BRIDGE + "bridge device with non default name br9 must be created manually", ("-b", "br9")),
                (BRIDGE + "existing interface lo is not a bridge", ("-b", "lo")),
                (CONFIG + "invalid fixed-cidr-v6: invalid fixed-cidr-v6: multicast subnet 'ff02::/64' is not allowed", ("--fixed-cidr-v6", "ff02::/64")),
                (CONFIG + "only one IPv4 host gateway IP address can be specified", ("--host-gateway-ip", "1.2.3.4", "--host-gateway-ip", "1.2.3.5")),
                (CONFIG + "invalid userland-proxy-path: must be an absolute path: proxy", ("--userland-proxy-path", "proxy")),
                (CONFIG + "invalid default MTU: -1", ("--mtu", "-1"))):
            self.refused(text, *arguments)

    def test_a_range_outside(self):
        daemon = self.daemon("--bip", "10.9.0.1/24", "--fixed-cidr", "10.10.0.0/25").start()
        daemon.load_image()
        with daemon.client("1.50") as client:
            client.post("/containers/create?name=one", {"Image": "kit", "Cmd": ["/payload", "pause"]})
            answer = client.request("POST", "/containers/one/start")
        self.assertEqual((answer.status, answer.message()), (
            500, "failed to set up container networking: add-any, range '10.10.0.0/25' is not in subnet '10.9.0.0/24'"))
        daemon.remove_containers()

    def test_options_of_the_network(self):
        daemon = self.daemon("--mtu", "1300", "--ip", "127.0.0.1", "--iptables=false").start()
        with daemon.client("1.50") as client:
            options = client.get("/networks/bridge")["Options"]
        self.assertEqual(options, {
            "com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.enable_icc": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "false", "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
            "com.docker.network.bridge.name": "docker0", "com.docker.network.driver.mtu": "1300"})
        self.assertIn("mtu 1300", self.ip(daemon, "link", "show", "docker0"))

    def test_default_network_options(self):
        daemon = self.daemon("--default-network-opt", "bridge=com.docker.network.driver.mtu=1234").start()
        with daemon.client("1.50") as client:
            client.post("/networks/create", {"Name": "net"})
            self.assertEqual(client.get("/networks/net")["Options"], {"com.docker.network.driver.mtu": "1234"})
            self.assertEqual(client.get("/networks/bridge")["Options"]["com.docker.network.driver.mtu"], "1500")
            client.request("DELETE", "/networks/net")


class AddressPools(Flags):
    def test_sorted_and_without_what_lies_in_another(self):
        daemon = self.daemon(POOL, "base=10.0.0.0/16,size=24", POOL, "base=10.0.0.0/24,size=26", POOL, "base=9.0.0.0/24,size=24",
                             POOL, "base=fd00:7::/48,size=64").start()
        self.assertEqual(self.config(daemon), [{"Subnet": "9.0.0.0/24", "Gateway": "9.0.0.1"}])
        with daemon.client("1.50") as client:
            client.post("/networks/create", {"Name": "both", "EnableIPv6": True})
            client.post("/networks/create", {"Name": "six", "EnableIPv6": True, "EnableIPv4": False})
        self.assertEqual(self.config(daemon, "both"), [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"},
                                                       {"Subnet": "fd00:7::/64", "Gateway": "fd00:7::1"}])
        self.assertEqual(self.config(daemon, "six"), [{"Subnet": "fd00:7:0:1::/64", "Gateway": "fd00:7:0:1::1"}])
        with daemon.client("1.50") as client:
            for name in ("both", "six"):
                client.request("DELETE", "/networks/" + name)

    def test_a_container_with_ipv6_only(self):
        daemon = self.daemon(POOL, "base=10.0.0.0/16,size=24", POOL, "base=fd00:7::/48,size=64").start()
        daemon.load_image()
        with daemon.client("1.50") as client:
            client.post("/networks/create", {"Name": "six", "EnableIPv6": True, "EnableIPv4": False})
            client.post("/containers/create?name=one", {"Image": "kit", "Cmd": ["/payload", "pause"], "HostConfig": {"NetworkMode": "six"}})
            client.post("/containers/one/start")
            seen = client.get("/containers/one/json")["NetworkSettings"]["Networks"]["six"]
        self.assertEqual(tuple(seen[key] for key in ("IPAddress", "Gateway", "GlobalIPv6Address", "IPv6Gateway")), ("", "", "fd00:7::2", "fd00:7::1"))
        self.assertEqual(daemon.cli("exec", "one", "ip", "-4", "-o", "address", "show", "eth0").stdout, b"")
        self.assertEqual(daemon.cli("exec", "one", "ping", "-c", "1", "-W", "5", "fd00:7::1").returncode, 0)
        daemon.remove_containers()
        with daemon.client("1.50") as client:
            client.request("DELETE", "/networks/six")

    def test_ipv6_of_the_engines_own(self):
        daemon = self.daemon("--ipv6").start()
        config = self.config(daemon)
        self.assertEqual(config[0], {"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"})
        self.assertRegex(config[1]["Subnet"], "^fd[0-9a-f:]*::/64$")
        # It is made of the engine's id, and so the same the next time.
        import hashlib
        with daemon.client() as client:
            digest = hashlib.sha256(client.get("/info")["ID"].encode()).hexdigest()[6:16]
        import ipaddress
        self.assertEqual(ipaddress.ip_network(config[1]["Subnet"]), ipaddress.ip_network("fd%s:%s:%s::/64" % (digest[:2], digest[2:6], digest[6:])))

    def test_subnets_of_the_host_are_left_alone(self):
        daemon = self.daemon(links=("link add other type bridge", "addr add 172.17.0.1/24 dev other", "link set other up")).start()
        self.assertEqual(self.config(daemon), [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}])

    def test_other_pools_take_effect(self):
        daemon = self.daemon().start()
        self.assertEqual(self.config(daemon)[0]["Subnet"], "172.17.0.0/16")
        daemon.arguments += [POOL, "base=10.0.0.0/16,size=24"]
        daemon.restart()
        self.assertEqual(self.config(daemon)[0]["Subnet"], "10.0.0.0/24")

    def test_the_default_bridge_keeps_its_subnet(self):
        # Also when a boot has taken the device; and a network that has what docker0 would choose keeps that.
        daemon = self.daemon("--bip", "10.9.0.1/24").start()
        with daemon.client("1.50") as client:
            client.post("/networks/create", {"Name": "net"})
        self.assertEqual(self.config(daemon, "net")[0]["Subnet"], "172.17.0.0/16")
        daemon.stop()
        self.ip(daemon, "link", "del", "docker0")
        daemon.arguments = []
        daemon.start()
        self.assertEqual((self.config(daemon)[0]["Subnet"], self.config(daemon, "net")[0]["Subnet"]), ("10.9.0.0/24", "172.17.0.0/16"))
        with daemon.client("1.50") as client:
            client.request("DELETE", "/networks/net")

    def test_refused(self):
        for text, arguments, file in (
                (SPACE + "(&{10.0.0.0/16 8}) has a smaller prefix (/16) than the target size of that pool (/8)", (POOL, "base=10.0.0.0/16,size=8"), None),
                (SPACE + "(&{10.0.0.0/16 -1}) has a smaller prefix (/16) than the target size of that pool (/-1)", (POOL, "base=10.0.0.0/16,size=-1"), None),
                (SPACE + "(&{10.0.0.0/16 0}) is not in canonical form", (POOL, "base=10.0.0.0/16"), None),
                (SPACE + "(&{invalid Prefix 24}) is not in canonical form", (POOL, "size=24"), None),
                (SPACE + "(&{invalid Prefix 24}) is not in canonical form", (), {"default-address-pools": [{"base": "", "size": 24}]}),
                (BRIDGE + "failed to allocate gateway (): invalid pool id: LocalDefault/invalid Prefix", (POOL, "base=10.0.0.0/16,size=40"), None),
                (BRIDGE + "all predefined address pools have been fully subnetted", (POOL, "base=fd00::/48,size=64"), None),
                ("daemon.json: netip.ParsePrefix(\"10.0.0.0\"): no '/'", (), {"default-address-pools": [{"base": "10.0.0.0", "size": 24}]})):
            self.refused(text, *arguments, file=file)


if __name__ == "__main__":
    main()
