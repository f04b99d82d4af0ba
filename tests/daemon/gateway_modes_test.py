"""Gateway modes and other options of bridge networks, shown by packets of a neighbour who routes by this host."""
import os
import socket
import subprocess

import support  # noqa: F401

import netns
from daemon import wait_for
from testcase import DaemonTestCase, main

MODE = "com.docker.network.bridge.gateway_mode_ipv"
NEIGHBOUR, HOST = "192.0.2.2", "192.0.2.1"
NEIGHBOUR6, HOST6 = "2001:db8::2", "2001:db8::1"
SERVER = ("sh", "-c", "for port in 80 81; do /payload listen $port & done; wait")


class Base(DaemonTestCase):
    """A neighbour on a link of the host, with the host as its router."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.addClassCleanup(holder.wait)
        cls.addClassCleanup(holder.stdin.close)
        holder.stdout.readline()
        holder.stdout.close()
        cls.neighbour = os.open("/proc/%d/ns/net" % holder.pid, os.O_RDONLY | os.O_CLOEXEC)
        cls.addClassCleanup(os.close, cls.neighbour)
        cls.ip("link", "add", "uplink", "type", "veth", "peer", "name", "near", "netns", str(holder.pid))
        for enter, link, four, six in ((cls.daemon.enter_net, "uplink", HOST, HOST6), (cls.enter_neighbour, "near", NEIGHBOUR, NEIGHBOUR6)):
            cls.ip("address", "add", four + "/24", "dev", link, enter=enter)
            cls.ip("address", "add", six + "/64", "dev", link, "nodad", enter=enter)
            cls.ip("link", "set", link, "up", enter=enter)
        cls.ip("link", "set", "lo", "up", enter=cls.enter_neighbour)
        cls.ip("route", "add", "default", "via", HOST, enter=cls.enter_neighbour)
        cls.ip("route", "add", "default", "via", HOST6, enter=cls.enter_neighbour)

    @classmethod
    def enter_neighbour(cls):
        netns.enter(cls.neighbour)

    @classmethod
    def ip(cls, *arguments, enter=None):
        return subprocess.run(["ip", *arguments], preexec_fn=enter or cls.daemon.enter_net, check=True, stdout=subprocess.PIPE, text=True).stdout

    def tearDown(self):
        self.daemon.remove_containers()
        self.daemon.remove_networks()
        super().tearDown()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def create(self, name="net", subnet="10.85.0.0/24", subnet6=None, options=None, **more):
        config = [{"Subnet": subnet}] + ([{"Subnet": subnet6}] if subnet6 else [])
        return self.call("POST", "/networks/create", dict({"Name": name, "IPAM": {"Config": config}, "EnableIPv6": bool(subnet6),
                                                           "Options": options or {}}, **more))["Id"]

    def refused(self, status, text, options, **more):
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/networks/create", dict({
                "Name": "bad", "Options": options, "IPAM": {"Config": [{"Subnet": "10.86.0.0/24"}]}}, **more))
        self.assertEqual((answer.status, answer.message()), (status, text))

    def serve(self, network="net", name="server", ports=None, command=SERVER):
        """A container that answers on ports 80 and 81, of which 80 is published; its endpoint."""
        self.call("POST", "/containers/create?name=" + name, {
            "Image": "kit", "Cmd": list(command), "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": network, "PortBindings": {"80/tcp": ports or []}}})
        self.call("POST", "/containers/%s/start" % name)
        return self.call("GET", "/containers/%s/json" % name)["NetworkSettings"]

    def ask(self, address, port, seconds=10):
        """Who the server sees, or what the client's system says."""
        try:
            with socket.create_connection((address, port), seconds) as client:
                client.sendall(b"ping\n")
                return client.makefile().readline().split()[0]
        except OSError as error:
            return type(error).__name__

    def outside(self, *arguments):
        return netns.inside(self.neighbour, self.ask, *arguments)

    def assertClosed(self, address, port):
        self.assertIn(self.outside(address, port, 0.5), ("TimeoutError", "timeout"), (address, port))

    def out_of(self, container, address=NEIGHBOUR, family=socket.AF_INET):
        """By which address the neighbour sees what the container sends."""
        def listen():
            out = socket.socket(family, socket.SOCK_DGRAM)
            out.bind((address, 0))
            return out
        def send():
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", receiver.getsockname()[:2])
        pid = self.call("GET", "/containers/%s/json" % container)["State"]["Pid"]
        inside = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with netns.inside(self.neighbour, listen) as receiver:
                receiver.settimeout(20)
                netns.inside(inside, send)
                return receiver.recvfrom(16)[1][0]
        finally:
            os.close(inside)

    def wait_served(self, address, port=80):
        """The program listens some time after the container has started; from the host it is reached in any mode."""
        for candidate in (port, 81):
            wait_for(lambda: not self.daemon.in_net(self.ask, address, candidate).endswith("Error"), what="a server")


class GatewayModes(Base):
    def test_nat(self):
        for mode in ({}, {MODE + "4": "nat"}):
            self.create(options=mode)
            seen = self.serve(ports=[{"HostIp": HOST, "HostPort": "8080"}])
            self.assertEqual(seen["Ports"], {"80/tcp": [{"HostIp": HOST, "HostPort": "8080"}]})
            address = seen["Networks"]["net"]["IPAddress"]
            self.wait_served(address)
            self.assertEqual(self.outside(HOST, 8080), NEIGHBOUR)
            self.assertClosed(address, 80)
            self.assertClosed(address, 81)
            self.assertCli(0, "rm", "-f", "server")
            self.call("DELETE", "/networks/net")

    def test_nat_unprotected(self):
        self.create(options={MODE + "4": "nat-unprotected"})
        seen = self.serve(ports=[{"HostIp": HOST, "HostPort": "8080"}])
        address = seen["Networks"]["net"]["IPAddress"]
        self.wait_served(address)
        self.assertEqual(self.outside(HOST, 8080), NEIGHBOUR)
        self.assertEqual(self.outside(address, 80), NEIGHBOUR)
        self.assertEqual(self.outside(address, 81), NEIGHBOUR)
        # Still another network.
        self.create("other", "10.86.0.0/24")
        done = self.cli("run", "--rm", "--network", "other", "kit", "nc", "-w", "1", address, "81")
        self.assertNotEqual(done.returncode, 0)

    def test_routed(self):
        self.create(options={MODE + "4": "routed"})
        seen = self.serve(ports=[{"HostIp": HOST, "HostPort": "8080"}])
        # No port of the host's: none is bound, and none of its addresses can be chosen. IPv6 is still the proxy's to bring.
        self.assertEqual(seen["Ports"], {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]})
        address = seen["Networks"]["net"]["IPAddress"]
        self.wait_served(address)
        self.assertEqual(self.outside(HOST, 8080), "ConnectionRefusedError")
        self.assertEqual(self.outside(address, 80), NEIGHBOUR)
        self.assertClosed(address, 81)
        self.assertEqual(subprocess.run(["busybox", "ping", "-c", "1", "-W", "2", address], preexec_fn=self.enter_neighbour,
                                        stdout=subprocess.DEVNULL).returncode, 0)
        # From another network its published port is reached, and it answers; nothing else is, and no way leads back.
        self.create("other", "10.86.0.0/24")
        other = self.serve("other", "client")["Networks"]["other"]["IPAddress"]
        self.wait_served(other)
        self.assertCli(0, "exec", "client", "/payload", "connect", address, "80", "x", stdout="10.85.0.1 x\n")
        self.assertNotEqual(self.cli("exec", "client", "nc", "-w", "1", address, "81").returncode, 0)
        self.assertNotEqual(self.cli("exec", "server", "nc", "-w", "1", other, "80").returncode, 0)
        # Outside, it is seen with its own address.
        self.assertEqual(self.out_of("server"), address)

    def test_routed_port_of_any_address(self):
        self.create(options={MODE + "4": "routed"})
        seen = self.serve(ports=[{"HostPort": "8080"}])
        self.assertEqual(seen["Ports"]["80/tcp"][0], {"HostIp": "0.0.0.0", "HostPort": ""})
        # The host's IPv6 comes by the proxy.
        self.assertEqual(seen["Ports"]["80/tcp"][1:], [{"HostIp": "::", "HostPort": "8080"}])
        listed = self.call("GET", "/containers/json")[0]["Ports"]
        self.assertIn({"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp"}, [
            {key: value for key, value in port.items() if key != "PublicPort" or value} for port in listed])
        self.wait_served(seen["Networks"]["net"]["IPAddress"])
        self.assertEqual(self.outside(HOST6, 8080), "10.85.0.1")
        self.assertEqual(self.outside(HOST, 8080), "ConnectionRefusedError")

    def test_routed_in_one_family(self):
        self.create(subnet6="fd00:85::/64", options={MODE + "6": "routed"})
        seen = self.serve(ports=[{"HostPort": "8080"}])
        self.assertEqual(seen["Ports"], {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": ""}]})
        four, six = (seen["Networks"]["net"][key] for key in ("IPAddress", "GlobalIPv6Address"))
        self.wait_served(four)
        self.wait_served(six)
        self.assertEqual(self.outside(HOST, 8080), NEIGHBOUR)
        self.assertClosed(four, 80)
        self.assertEqual(self.outside(six, 80), NEIGHBOUR6)
        self.assertClosed(six, 81)
        self.assertEqual(self.out_of("server"), HOST)
        self.assertEqual(self.out_of("server", NEIGHBOUR6, socket.AF_INET6), six)

    def test_isolated(self):
        self.refused(500, "gateway mode 'isolated' can only be used for an internal network", {MODE + "4": "isolated"})
        self.create(subnet6="fd00:85::/64", options={MODE + "4": "isolated", MODE + "6": "isolated",
                                                     "com.docker.network.bridge.name": "alone0"}, Internal=True)
        # The bridge has no address, so the first is a container's, and the host is not there.
        seen = self.serve()["Networks"]["net"]
        self.assertEqual((seen["IPAddress"], seen["Gateway"], seen["GlobalIPv6Address"], seen["IPv6Gateway"]),
                         ("10.85.0.1", "", "fd00:85::1", ""))
        self.assertEqual(self.ip("-o", "address", "show", "alone0"), "")
        self.serve(name="other")
        self.assertCli(0, "exec", "other", "ping", "-c", "1", "-W", "2", "10.85.0.1")
        self.assertEqual(self.daemon.in_net(self.ask, "10.85.0.1", 80), "OSError")

    def test_refused(self):
        for value in ("", "odd"):
            self.refused(400, "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: %s (unknown gateway mode %s)" % (value, value),
                         {MODE + "4": value})

    def test_over_a_restart_of_the_daemon(self):
        self.create(options={MODE + "4": "routed"})
        seen = self.serve(ports=[{"HostIp": HOST, "HostPort": "8080"}])
        address = seen["Networks"]["net"]["IPAddress"]
        self.daemon.kill()
        self.daemon.start()
        if not self.check_leaks:
            self.call("POST", "/containers/server/start")
        self.assertEqual(self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"], seen["Ports"])
        self.wait_served(address)
        self.assertEqual(self.outside(address, 80), NEIGHBOUR)
        self.assertClosed(address, 81)


class OtherOptions(Base):
    def test_trusted_interface(self):
        self.create(options={"com.docker.network.bridge.trusted_host_interfaces": "uplink:nothing"})
        seen = self.serve(ports=[{"HostPort": "8080"}])
        address = seen["Networks"]["net"]["IPAddress"]
        self.wait_served(address)
        # Let through by the guard; the filter opens published ports only.
        self.assertEqual(self.outside(address, 80), NEIGHBOUR)
        self.assertClosed(address, 81)

    def test_source_address(self):
        self.ip("address", "add", "192.0.2.7/24", "dev", "uplink")
        self.addCleanup(self.ip, "address", "del", "192.0.2.7/24", "dev", "uplink")
        self.create(options={"com.docker.network.host_ipv4": "192.0.2.7"})
        self.serve()
        self.assertEqual(self.out_of("server"), "192.0.2.7")

    def test_no_masquerade(self):
        self.create(options={"com.docker.network.bridge.enable_ip_masquerade": "false"})
        address = self.serve()["Networks"]["net"]["IPAddress"]
        self.assertEqual(self.out_of("server"), address)

    def test_default_masquerade(self):
        self.create()
        self.serve()
        self.assertEqual(self.out_of("server"), HOST)

    def test_inhibit_ipv4(self):
        self.create(options={"com.docker.network.bridge.inhibit_ipv4": "true", "com.docker.network.bridge.name": "quiet0"})
        seen = self.serve()["Networks"]["net"]
        # An address is set aside for a gateway that somebody else is.
        self.assertEqual((seen["IPAddress"], seen["Gateway"]), ("10.85.0.2", "10.85.0.1"))
        self.assertEqual(self.ip("-4", "-o", "address", "show", "quiet0"), "")
        self.create("inner", "10.86.0.0/24", options={"com.docker.network.bridge.inhibit_ipv4": "true"}, Internal=True)
        seen = self.serve("inner", "other")["Networks"]["inner"]
        self.assertEqual((seen["IPAddress"], seen["Gateway"]), ("10.86.0.1", ""))

    def test_interface_names_and_mtu(self):
        self.create(options={"com.docker.network.container_iface_prefix": "lan", "com.docker.network.driver.mtu": "1400",
                             "com.docker.network.bridge.name": "small0"})
        self.serve()
        self.assertIn("mtu 1400", self.ip("-o", "link", "show", "small0"))
        self.assertIn("mtu 1400", self.assertCli(0, "exec", "server", "ip", "link", "show", "lan0").stdout.decode())

    def test_binding_address(self):
        self.create(options={"com.docker.network.bridge.host_binding_ipv4": HOST})
        seen = self.serve(ports=[{"HostPort": "8080"}])
        self.assertEqual(seen["Ports"], {"80/tcp": [{"HostIp": HOST, "HostPort": "8080"}]})

    def test_without_icc(self):
        self.create(options={"com.docker.network.bridge.enable_icc": "false"})
        address = self.serve()["Networks"]["net"]["IPAddress"]
        self.wait_served(address)
        self.serve(name="other")
        # Frames between ports of a bridge meet the filter only with the kernel's module for it.
        if os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"):
            self.assertNotEqual(self.cli("exec", "other", "nc", "-w", "1", address, "80").returncode, 0)

    def test_refused(self):
        mtu = "com.docker.network.driver.mtu"
        self.refused(400, 'failed to parse %s value: 1400x (strconv.Atoi: parsing "1400x": invalid syntax)' % mtu, {mtu: "1400x"})
        self.refused(400, "invalid MTU number: -1", {mtu: "-1"})
        self.refused(400, 'failed to parse com.docker.network.bridge.inhibit_ipv4 value: x (strconv.ParseBool: parsing "x": invalid syntax)',
                     {"com.docker.network.bridge.inhibit_ipv4": "x"})
        self.refused(400, "failed to parse com.docker.network.host_ipv4 value: x (nil ip)", {"com.docker.network.host_ipv4": "x"})
        self.refused(400, "no gateway can be set on an internal bridge network", {}, Internal=True, IPAM={
            "Config": [{"Subnet": "10.86.0.0/24", "AuxiliaryAddresses": {"DefaultGatewayIPv4": "10.86.0.9"}}]})
        for subnet, text in (("ff02::/64", "multicast subnet 'ff02::1/64' is not allowed"),
                             ("fe80::/80", "'fe80::1/80' clashes with the Link-Local prefix 'fe80::/64'")):
            self.refused(400, text, {}, EnableIPv6=True, EnableIPv4=False, IPAM={"Config": [{"Subnet": subnet}]})


if __name__ == "__main__":
    main()
