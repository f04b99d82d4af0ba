"""Networks of the drivers macvlan and ipvlan: containers on a link of the host."""
import socket
import subprocess

import support  # noqa: F401

from testcase import DaemonTestCase, main

ETH_P_ARP = 0x0806


class Sublinks(DaemonTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The parent, and on its other end somebody in the same segment.
        for command in ("link add parent0 type veth peer name other0", "link set parent0 up", "link set other0 up",
                        "address add 10.79.0.1/24 dev other0", "link add parent1 type veth peer name other1"):
            cls.ip(*command.split())
        cls.has_ipvlan = cls.ip("link", "add", "link", "parent1", "name", "probe", "type", "ipvlan", check=False) == 0
        if cls.has_ipvlan:
            cls.ip("link", "del", "probe")

    @classmethod
    def ip(cls, *arguments, check=True):
        return subprocess.run(["ip", *arguments], preexec_fn=cls.daemon.enter_net, check=check, stderr=subprocess.DEVNULL).returncode

    def tearDown(self):
        self.daemon.remove_containers()
        self.daemon.remove_networks()
        super().tearDown()

    def make(self, name, driver="macvlan", subnet="10.79.0.0/24", **options):
        body = {"Name": name, "Driver": driver, "Options": options, "IPAM": {"Config": [{"Subnet": subnet}]}}
        with self.daemon.client("1.50") as client:
            return client.post("/networks/create", body)["Id"]

    def refused(self, text, name="bad", **more):
        body = {"Name": name, "IPAM": {"Config": [{"Subnet": "10.80.0.0/24"}]}}
        body.update(more)
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/networks/create", body)
        self.assertEqual((answer.status, answer.message()), (500, text))

    def seen(self, container, network):
        with self.daemon.client("1.50") as client:
            return client.get("/containers/%s/json" % container)["NetworkSettings"]["Networks"][network]

    def run_on(self, network, name, *command, **settings):
        with self.daemon.client("1.50") as client:
            client.post("/containers/create?name=" + name, {
                "Image": "kit", "Cmd": list(command) or ["/payload", "pause"], "HostConfig": {"NetworkMode": network},
                "NetworkingConfig": {"EndpointsConfig": {network: settings}}})
            client.post("/containers/%s/start" % name)

    def links(self, container):
        with self.daemon.client("1.50") as client:
            pid = client.get("/containers/%s/json" % container)["State"]["Pid"]
        return subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % pid, "ip", "-d", "-o", "link", "show", "eth0"],
                              stdout=subprocess.PIPE, check=True, text=True).stdout

    def test_macvlan_in_the_parents_segment(self):
        self.make("seg", parent="parent0")
        self.run_on("seg", "server", "/payload", "listen", "7", IPAMConfig={"IPv4Address": "10.79.0.77"},
                    MacAddress="02:42:0a:4f:00:4d")
        seen = self.seen("server", "seg")
        self.assertEqual((seen["IPAddress"], seen["IPPrefixLen"], seen["Gateway"], seen["MacAddress"]),
                         ("10.79.0.77", 24, "10.79.0.1", "02:42:0a:4f:00:4d"))
        self.run_on("seg", "client")
        self.assertEqual(self.seen("client", "seg")["IPAddress"], "10.79.0.2")
        done = self.assertCli(0, "exec", "client", "/payload", "connect", "10.79.0.77", "7", "hello")
        self.assertEqual(done.stdout, b"10.79.0.2 hello\n")
        # From outside, and by name.
        self.assertEqual(self.daemon.in_net(self.ask, "10.79.0.77", 7), "10.79.0.1 ping\n")
        done = self.assertCli(0, "exec", "client", "/payload", "connect", "10.79.0.77", "7", "x")
        self.assertEqual(self.assertCli(0, "exec", "client", "ip", "route", "show", "default").stdout.decode().split()[:5],
                         ["default", "via", "10.79.0.1", "dev", "eth0"])
        self.assertIn("Address: 10.79.0.77", self.assertCli(0, "exec", "client", "nslookup", "server").stdout.decode())

    @staticmethod
    def ask(address, port):
        with socket.create_connection((address, port), 10) as sock:
            sock.sendall(b"ping\n")
            return sock.makefile().readline()

    def announced(self, address):
        """Waits for the request of the address's new owner for itself."""
        target = socket.inet_aton(address)
        with self.ears:
            while True:
                frame = self.ears.recv(100)
                if frame[28:32] == target and frame[38:42] == target:
                    return

    def test_macvlan_tells_its_segment_of_itself(self):
        self.ears = self.daemon.in_net(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        self.ears.bind(("other0", ETH_P_ARP))
        self.ears.settimeout(30)
        self.make("seg", parent="parent0")
        self.run_on("seg", "one")
        self.announced("10.79.0.2")

    def test_macvlan_address_is_free_when_its_container_is_gone(self):
        self.make("seg", parent="parent0")
        for _ in range(3):
            self.run_on("seg", "one", IPAMConfig={"IPv4Address": "10.79.0.9"}, MacAddress="02:42:0a:4f:00:09")
            self.assertCli(0, "exec", "one", "ping", "-c", "1", "10.79.0.1")
            self.assertCli(0, "rm", "-f", "one")

    def test_connect_and_disconnect(self):
        self.make("seg", parent="parent0")
        self.assertCli(0, "run", "-d", "--name", "one", "kit")
        self.assertCli(0, "network", "connect", "--ip", "10.79.0.8", "seg", "one")
        self.assertIn("10.79.0.8/24", self.assertCli(0, "exec", "one", "ip", "-o", "addr", "show", "eth1").stdout.decode())
        self.assertCli(0, "network", "disconnect", "seg", "one")
        self.assertNotEqual(self.cli("exec", "one", "ip", "link", "show", "eth1").returncode, 0)

    def test_over_a_restart_of_the_daemon(self):
        if not self.check_leaks:
            self.skipTest("Docker ends its containers")
        self.make("seg", parent="parent0", macvlan_mode="private")
        self.run_on("seg", "one")
        before = self.seen("one", "seg")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.seen("one", "seg"), before)
        self.run_on("seg", "two")
        self.assertEqual(self.seen("two", "seg")["IPAddress"], "10.79.0.3")
        self.assertIn("macvlan mode private", self.links("two"))

    def test_modes(self):
        for mode in ("bridge", "private", "vepa", "passthru"):
            self.make("m-" + mode, parent="parent1", macvlan_mode=mode)
            self.run_on("m-" + mode, "one")
            self.assertIn("macvlan mode " + mode, self.links("one"))
            self.assertCli(0, "rm", "-f", "one")
            self.assertCli(0, "network", "rm", "m-" + mode)

    def test_refused_macvlan(self):
        self.refused("requested macvlan mode 'odd' is not valid, 'bridge' mode is the macvlan driver default",
                     Driver="macvlan", Options={"parent": "parent0", "macvlan_mode": "odd"})
        self.refused("loopback interface is not a valid macvlan parent link", Driver="macvlan", Options={"parent": "lo"})
        self.refused("invalid subinterface vlan name nothing, example formatting is eth0.10", Driver="macvlan",
                     Options={"parent": "nothing"})
        self.refused("-o parent interface was not found on the host: nothing", Driver="macvlan", Options={"parent": "nothing.7"})
        self.refused("vlan id must be between 1-4094, received: 4095", Driver="macvlan", Options={"parent": "parent0.4095"})
        announced = "com.docker.network.advertise_addr_nmsgs"
        for kind in ({"Driver": "macvlan"}, {"Driver": "ipvlan"}, {"ConfigOnly": True}):
            self.refused(announced + " must be in the range 0 to 3", Options={announced: "4"}, **kind)
        made = self.make("first", parent="parent0")
        self.refused("cannot use mode passthru, macvlan network %s is already using parent interface parent0" % made,
                     Driver="macvlan", Options={"parent": "parent0", "macvlan_mode": "passthru"})
        # What was refused holds nothing: neither name nor subnet.
        self.make("bad", subnet="10.80.0.0/24", parent="parent0")

    def test_ipvlan(self):
        self.refused("requested ipvlan mode 'odd' is not valid, 'l2' mode is the ipvlan driver default",
                     Driver="ipvlan", Options={"parent": "parent1", "ipvlan_mode": "odd"})
        self.refused("requested ipvlan flag 'odd' is not valid, 'bridge' is the ipvlan driver default",
                     Driver="ipvlan", Options={"parent": "parent1", "ipvlan_flag": "odd"})
        made = self.make("seg", driver="ipvlan", parent="parent1")
        self.refused("network di-%s is already using parent interface parent1" % made[:12], Driver="ipvlan",
                     Options={"parent": "parent1"})
        if not self.has_ipvlan:
            done = self.assertCli(125, "run", "--rm", "--network", "seg", "kit")
            self.assertRegex(done.stderr.decode(), "failed to create the ipvlan port: .*operation not supported")
            return
        self.run_on("seg", "one")
        self.assertIn("ipvlan  mode l2 bridge", self.links("one"))
        self.assertEqual((self.seen("one", "seg")["Gateway"], self.seen("one", "seg")["MacAddress"]), ("10.79.0.1", ""))
        done = self.assertCli(125, "run", "--rm", "--network", "seg", "--mac-address", "02:42:0a:4f:00:4d", "kit")
        self.assertIn(b"ipvlan interfaces do not support custom mac address assignment", done.stderr)
        self.assertCli(0, "rm", "-f", "one")
        self.assertCli(0, "network", "rm", "seg")
        self.make("seg", driver="ipvlan", parent="parent1", ipvlan_mode="l3")
        self.run_on("seg", "one")
        self.assertEqual(self.seen("one", "seg")["Gateway"], "")
        self.assertEqual(self.assertCli(0, "exec", "one", "ip", "route", "show", "default").stdout.decode().split()[:3],
                         ["default", "dev", "eth0"])

    def test_ipvlan_leads_by_its_link(self):
        if not self.has_ipvlan:
            self.skipTest("the kernel has no ipvlan")
        self.make("seg", driver="ipvlan", parent="parent1", ipvlan_mode="l3")
        self.assertCli(0, "run", "-d", "--name", "one", "kit")
        with self.daemon.client("1.50") as client:
            client.call("POST", "/networks/seg/connect", {"Container": "one", "EndpointConfig": {"GwPriority": 1}})
        self.assertEqual(self.assertCli(0, "exec", "one", "ip", "route", "show", "default").stdout.decode().split()[:3],
                         ["default", "dev", "eth1"])
        self.assertCli(0, "network", "disconnect", "seg", "one")
        self.assertEqual(self.assertCli(0, "exec", "one", "ip", "route", "show", "default").stdout.decode().split()[3:5],
                         ["dev", "eth0"])


if __name__ == "__main__":
    main()
