"""Names: what containers on users' networks are answered by 127.0.0.11, and what is asked of others for them.

Every expectation holds for Docker 28.2.2 too, but for the tests marked as ours alone.
"""
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import support  # noqa: F401  (makes tests/support importable)

import dnskit
import netns
import own_mounts
from daemon import wait_for
from testcase import DaemonTestCase, main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
ours_alone = unittest.skipIf(ORACLE, "Docker does otherwise, see docs/api-coverage.md")
GATEWAY = {"front": "10.77.0.1", "back": "10.78.0.1", "inner": "10.79.0.1", "dual": "10.76.0.1"}
FIRST, SECOND, THIRD = "127.0.0.57", "127.0.0.58", "127.0.0.59"
SO_RCVBUFFORCE = 33
STUB = "127.0.0.53"  # systemd-resolved's


class Names(DaemonTestCase):
    """The daemon sees a resolv.conf of the test's own, and the nameservers in it are the test's, on its loopback."""

    own_mounts = True

    @classmethod
    def setUpClass(cls):
        file = tempfile.NamedTemporaryFile(mode="w", prefix="resolv-", suffix=".conf")
        cls.addClassCleanup(file.close)
        cls.resolv = file.name
        cls.write_resolv("nameserver %s\n" % FIRST)
        if cls.own_mounts:
            cls.prefix = own_mounts.PREFIX + ("sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', cls.resolv)
        super().setUpClass()
        with cls.daemon.client() as client:
            for name, gateway in GATEWAY.items():
                config = [{"Subnet": gateway[:-1] + "0/24", "Gateway": gateway}]
                if name == "dual":
                    config.append({"Subnet": "fd00:77::/64", "Gateway": "fd00:77::1"})
                client.post("/networks/create", {"Name": name, "Driver": "bridge", "Internal": name == "inner",
                                                 "EnableIPv6": name == "dual", "IPAM": {"Config": config}})

    @classmethod
    def write_resolv(cls, text):
        with open(cls.resolv, "w") as file:
            file.write(text)

    def setUp(self):
        super().setUp()
        self.write_resolv("nameserver %s\n" % FIRST)
        self.open = []

    def tearDown(self):
        # Before what is left of the containers is looked for: these hold namespaces and ports.
        for thing in reversed(self.open):
            thing.close()
        super().tearDown()

    # -- shorthands -------------------------------------------------------
    def nameserver(self, zone, address=FIRST, net=None):
        made = dnskit.Nameserver(self.daemon.net if net is None else net, address, zone)
        self.open.append(made)
        return made

    def start(self, name, network="front", host=None, networks=(), **settings):
        """A container on the network, and on more of them; returns a client in it. `settings` are of its endpoint."""
        hostname = settings.pop("Hostname", None)
        more = {"Hostname": hostname} if hostname else {}
        endpoints = {network: settings}
        endpoints.update({other: {} for other in networks})
        made = self.daemon.run("/payload", "pause", name=name, host=dict(host or {}, NetworkMode=network),
                               NetworkingConfig={"EndpointsConfig": endpoints}, **more)
        self.assertEqual(len(made), 64)
        return self.client_of(name)

    def client_of(self, name):
        client = dnskit.Client(self.inspect(name)["State"]["Pid"])
        self.open.append(client)
        return client

    def inspect(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)

    def address(self, name, network="front", key="IPAddress"):
        return self.inspect(name)["NetworkSettings"]["Networks"][network][key]

    def post(self, path, body=None):
        with self.daemon.client() as client:
            client.post(path, body)

    def connect(self, name, network, **settings):
        self.post("/networks/%s/connect" % network, {"Container": name, "EndpointConfig": settings})

    def disconnect(self, name, network):
        self.post("/networks/%s/disconnect" % network, {"Container": name})

    def file_in(self, name, path="/etc/resolv.conf"):
        return self.assertCli(0, "exec", name, "cat", path).stdout.decode()

    def assertData(self, client, question, data, kind="A", **more):
        answer = client.ask(question, kind, **more)
        self.assertEqual((answer.code, sorted(answer.data)), ("NOERROR", sorted(data)), "%s %s" % (kind, question))

    def assertCode(self, client, question, code, kind="A", **more):
        answer = client.ask(question, kind, **more)
        self.assertEqual((answer.code, answer.data), (code, []), "%s %s" % (kind, question))


class OwnNames(Names):
    def test_name_aliases_short_id_and_hostname(self):
        self.nameserver({})
        self.start("web", Aliases=["www", "Shop"], Hostname="inside")
        api = self.start("api")
        there = self.inspect("web")["NetworkSettings"]["Networks"]["front"]
        short = self.inspect("web")["Id"][:12]
        self.assertEqual(there["DNSNames"], ["web", "www", "Shop", short, "inside"])
        for name in ("web", "www", "shop", "SHOP", "Web", short, "inside", "web.front", "www.front", "WEB.front"):
            for tcp in (False, True):
                answer = api.ask(name, tcp=tcp)
                self.assertEqual((answer.code, answer.flag_names, answer.answers, answer.authority,
                                  answer.additional), ("NOERROR", "QR RD RA",
                                                       [(name + ".", "A", 600, there["IPAddress"])], [], []))
        # Itself too. Its id as a whole is no name, and networks' names keep their case.
        self.assertData(api, "api", [self.address("api")])
        self.assertCode(api, self.inspect("web")["Id"][:63], "NXDOMAIN")
        self.assertCode(api, "web.FRONT", "NXDOMAIN")
        self.assertCode(api, "web.back", "NXDOMAIN")

    def test_other_types_of_known_names(self):
        server = self.nameserver({("web.", "TXT"): [b"\4text"]})
        self.start("web")
        api = self.start("api")
        # No other family and no mail host, which is not "no such name"; nobody outside is asked.
        for kind in ("AAAA", "MX"):
            self.assertCode(api, "web", "NOERROR", kind)
        self.assertEqual(server.seen, [])
        # What the resolver does not know about is for others to say.
        self.assertData(api, "web", [b"\4text".hex()], "TXT")
        self.assertCode(api, "_http._tcp.web", "NXDOMAIN", "SRV")
        self.assertEqual(server.seen, [("web.", "TXT", "udp"), ("_http._tcp.web.", "SRV", "udp")])

    def test_names_of_addresses(self):
        server = self.nameserver({})
        self.start("web", Aliases=["www"])
        api = self.start("api")
        reverse = ".".join(reversed(self.address("web").split("."))) + ".in-addr.arpa"
        self.assertData(api, reverse, ["web.front."], "PTR")
        self.assertData(api, reverse, ["web.front."], "PTR", tcp=True)
        self.assertEqual(server.seen, [])
        self.assertCode(api, "9.9.9.10.in-addr.arpa", "NXDOMAIN", "PTR")
        self.assertCode(api, "web.front", "NXDOMAIN", "PTR")

    def test_two_families(self):
        self.nameserver({})
        self.start("web", "dual")
        api = self.start("api", "dual")
        six = self.address("web", "dual", "GlobalIPv6Address")
        self.assertTrue(six.startswith("fd00:77::"), six)
        self.assertData(api, "web", [six], "AAAA")
        self.assertData(api, "web", [self.address("web", "dual")])
        digits = socket.inet_pton(socket.AF_INET6, six).hex()
        self.assertData(api, ".".join(reversed(digits)) + ".ip6.arpa", ["web.dual."], "PTR")

    def test_only_the_askers_networks(self):
        self.nameserver({})
        web = self.start("web")
        db = self.start("db", "back")
        both = self.start("both", networks=["back"])
        self.assertCode(web, "db", "NXDOMAIN")
        self.assertCode(db, "web", "NXDOMAIN")
        self.assertData(both, "db", [self.address("db", "back")])
        self.assertData(both, "web", [self.address("web")])
        self.assertData(both, "both.back", [self.address("both", "back")])
        self.assertData(both, "both.front", [self.address("both")])
        # The default bridge has no names, even for one that is on a user's network as well.
        self.start("plain", "bridge")
        self.connect("both", "bridge")
        self.assertCode(both, "plain", "NXDOMAIN")

    def test_connect_and_disconnect(self):
        self.nameserver({})
        web = self.start("web")
        db = self.start("db", "back")
        self.connect("web", "back", Aliases=["cache"])
        self.assertData(web, "db", [self.address("db", "back")])
        for name in ("web", "cache", "web.back"):
            self.assertData(db, name, [self.address("web", "back")])
        # Each network has its own aliases.
        self.assertCode(web, "cache.front", "NXDOMAIN")
        self.disconnect("web", "back")
        self.assertCode(web, "db", "NXDOMAIN")
        for name in ("web", "cache", "web.back"):
            self.assertCode(db, name, "NXDOMAIN")

    def test_the_hosts_file_is_its_users(self):
        self.start("box", Hostname="here.example.org")
        before = self.file_in("box", "/etc/hosts")
        own = "%s\there.example.org here\n" % self.address("box")
        self.assertTrue(before.endswith(own), before)
        edited = before.replace("127.0.0.1\tlocalhost\n", "127.0.0.1\tlocalhost mine\n") + "# note\n10.9.9.9\tother\n"
        with open("/proc/%d/root/etc/hosts" % self.inspect("box")["State"]["Pid"], "w") as file:
            file.write(edited)
        self.connect("box", "dual")
        added = "".join("%s\there.example.org here\n" % self.address("box", "dual", key)
                        for key in ("IPAddress", "GlobalIPv6Address"))
        self.assertEqual(self.file_in("box", "/etc/hosts"), edited + added)
        self.disconnect("box", "dual")
        self.assertEqual(self.file_in("box", "/etc/hosts"), edited)
        self.disconnect("box", "front")
        self.assertEqual(self.file_in("box", "/etc/hosts"), edited.replace(own, ""))
        # The next start makes the file anew.
        self.post("/containers/box/restart?t=0")
        self.assertNotIn("mine", self.file_in("box", "/etc/hosts"))

    def test_the_hosts_file_on_the_hosts_network(self):
        self.daemon.run("/payload", "pause", name="plain", host={"NetworkMode": "host"})
        with open("/etc/hosts") as file:
            self.assertEqual(self.file_in("plain", "/etc/hosts"), file.read())
        # What the host calls something else must not hide the names that are given.
        self.daemon.run("/payload", "pause", name="named", host={"NetworkMode": "host", "ExtraHosts": ["db:10.0.0.9"]})
        text = self.file_in("named", "/etc/hosts")
        self.assertEqual((text.splitlines()[0], text.splitlines()[-1]), ("127.0.0.1\tlocalhost", "10.0.0.9\tdb"))
        self.assertEqual(len(text.splitlines()), 7)

    def test_links_are_the_containers_own(self):
        self.nameserver({})
        self.start("web")
        self.start("other", Aliases=["store"])
        api = self.start("api", Links=["web:store", "other"])
        neighbour = self.start("neighbour")
        self.assertData(api, "store", [self.address("web")])
        self.assertData(api, "store.front", [self.address("web")])
        self.assertData(api, "other", [self.address("other")])
        self.assertData(neighbour, "store", [self.address("other")])

    def test_a_link_by_the_cli(self):
        self.nameserver({})
        self.start("web")
        self.assertCli(0, "run", "-d", "--name", "api", "--network", "front", "--link", "web:store", "kit")
        self.assertData(self.client_of("api"), "store", [self.address("web")])

    def test_one_name_of_several_containers(self):
        self.nameserver({})
        asker = self.start("asker")
        for i in range(5):
            self.start("s%d" % i, Aliases=["service"])
        addresses = sorted(self.address("s%d" % i) for i in range(5))
        firsts = set()
        for _ in range(100):
            answer = asker.ask("service")
            self.assertEqual(sorted(answer.data), addresses)
            firsts.add(answer.data[0])
        # In turns by chance: that one of five is never first in 100 answers happens once in 10^9 runs.
        self.assertEqual(sorted(firsts), addresses)
        with self.daemon.client() as client:
            client.request("DELETE", "/containers/s0?force=1")
        self.assertEqual(len(asker.ask("service").data), 4)

    def test_answers_that_do_not_fit(self):
        self.nameserver({})
        asker = self.start("asker")
        for i in range(35):
            self.start("s%d" % i, Aliases=["service"])
        # 12 bytes of header, 13 of question, then 16 for each address: 30 of them fit into 512.
        answer = asker.ask("service")
        self.assertEqual((answer.truncated, len(answer.data), answer.size), (True, 30, 505))
        for more in ({"edns": 4096}, {"tcp": True}):
            answer = asker.ask("service", **more)
            self.assertEqual((answer.truncated, len(answer.data)), (False, 35))
        # Less than 512 bytes cannot be asked for, and the answer has no EDNS record of its own.
        answer = asker.ask("service", edns=100)
        self.assertEqual((answer.truncated, len(answer.data), answer.additional), (True, 30, []))

    def test_rename_stop_and_start(self):
        self.nameserver({})
        self.start("web", Aliases=["www"])
        api = self.start("api")
        old = self.address("web")
        self.post("/containers/web/rename?name=shop")
        self.assertCode(api, "web", "NXDOMAIN")
        for name in ("shop", "www", "shop.front"):
            self.assertData(api, name, [old])
        reverse = ".".join(reversed(old.split("."))) + ".in-addr.arpa"
        self.assertData(api, reverse, ["shop.front."], "PTR")
        self.assertEqual(self.inspect("shop")["NetworkSettings"]["Networks"]["front"]["DNSNames"][:2],
                         ["shop", "www"])
        self.post("/containers/shop/stop?t=0")
        for name in ("shop", "www"):
            self.assertCode(api, name, "NXDOMAIN")
        self.assertCode(api, reverse, "NXDOMAIN", "PTR")
        self.post("/containers/shop/start")
        self.assertData(api, "shop", [self.address("shop")])

    def test_names_are_there_before_the_program_starts(self):
        self.nameserver({})
        done = self.assertCli(0, "run", "--rm", "--network", "front", "--name", "first", "kit",
                              "sh", "-c", "nslookup first 127.0.0.11 | grep -c 10.77.0.")
        self.assertEqual(done.stdout, b"1\n")

    def test_a_network_shared_with_another_container(self):
        self.nameserver({})
        self.start("web")
        self.start("api")
        self.daemon.run("/payload", "pause", name="guest", host={"NetworkMode": "container:api"})
        self.assertData(self.client_of("guest"), "web", [self.address("web")])
        self.assertIn("nameserver 127.0.0.11\n", self.file_in("guest"))

    def test_port_53_is_the_containers(self):
        self.nameserver({})
        api = self.start("api")
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = api.socket(kind)
            self.open.append(sock)
            sock.bind(("0.0.0.0", 53))
            if kind == socket.SOCK_STREAM:
                sock.listen()
        # With a server of its own there, the container still reaches the resolver.
        self.assertData(api, "api", [self.address("api")])
        self.assertData(api, "api", [self.address("api")], tcp=True)

    def test_the_rules_are_dockers(self):
        self.nameserver({})
        api = self.start("api")
        saved = netns.inside(api.net, lambda: subprocess.run(["iptables-save", "-t", "nat"], stdout=subprocess.PIPE,
                                                             check=True, text=True).stdout)
        words = sorted(line for line in saved.splitlines() if line.startswith("-A"))
        ports = sorted({word.rsplit(":", 1)[1] for word in words if "DNAT" in word}, key=int)
        self.assertEqual(len(ports), 2)
        tcp = next(word.rsplit(":", 1)[1] for word in words if "-p tcp" in word and "DNAT" in word)
        udp = next(word.rsplit(":", 1)[1] for word in words if "-p udp" in word and "DNAT" in word)
        rule = "-A DOCKER_OUTPUT -d 127.0.0.11/32 -p %s -m %s --dport 53 -j DNAT --to-destination 127.0.0.11:%s"
        back = "-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p %s -m %s --sport %s -j SNAT --to-source :53"
        self.assertEqual(words, sorted([
            rule % ("tcp", "tcp", tcp), rule % ("udp", "udp", udp),
            back % ("tcp", "tcp", tcp), back % ("udp", "udp", udp),
            "-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT", "-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING"]))


class Messages(Names):
    """What is no proper query is answered as Docker's resolver does."""

    def setUp(self):
        super().setUp()
        self.server = self.nameserver({})
        self.web = self.start("web")

    def assertRefused(self, data, head, question=b""):
        """The answer is this header, with the query's id in front, and the question."""
        for tcp in (False, True):
            self.assertEqual(self.web.exchange(data, tcp).hex(), (data[:2] + bytes.fromhex(head) + question).hex())

    def test_what_cannot_be_read(self):
        good = dnskit.query("web")
        self.assertRefused(good[:15], "8101" "0000" "0000" "0000" "0000")
        # Two questions, an answer too many, a record without end.
        self.assertRefused(good[:4] + b"\0\2" + good[6:] + good[12:], "8101" "0000" "0000" "0000" "0000")
        self.assertRefused(good[:6] + b"\0\2" + good[8:], "8101" "0000" "0000" "0000" "0000")
        self.assertRefused(good[:10] + b"\0\1" + good[12:] + b"\0\0\x29\4\xd0\0\0\0\0\1\0",
                           "8101" "0001" "0000" "0000" "0000", good[12:])
        # An update (opcode 5) is not implemented.
        self.assertRefused(good[:2] + b"\x29\0" + good[4:], "a904" "0000" "0000" "0000" "0000")
        self.assertEqual(self.server.seen, [])

    def test_what_gets_no_answer(self):
        good = dnskit.query("web")
        for data in (b"", b"\x12", good[:11], good[:12], good[:2] + b"\x81\x80" + good[4:]):
            self.assertTrue(self.web.is_silent(data), data.hex())

    def test_two_queries_on_one_connection(self):
        with self.web.socket(socket.SOCK_STREAM) as sock:
            sock.connect(dnskit.RESOLVER)
            one, two = dnskit.query("web", number=1), dnskit.query("unknown", number=2)
            sock.sendall(b"".join(struct.pack("!H", len(q)) + q for q in (one, two)))
            answers = [dnskit.Message(dnskit.read_framed(sock)) for _ in (one, two)]
            self.assertEqual([(a.id, a.code) for a in answers], [(1, "NOERROR"), (2, "NXDOMAIN")])
            # In pieces, and the sending side closed before the answer.
            sock.sendall(b"\0")
            sock.sendall(struct.pack("!H", len(one))[1:] + one[:5])
            sock.sendall(one[5:])
            self.assertEqual(dnskit.Message(dnskit.read_framed(sock)).data, [self.address("web")])
            sock.sendall(struct.pack("!H", len(two)) + two)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(dnskit.Message(dnskit.read_framed(sock)).id, 2)
            self.assertEqual(sock.recv(1), b"")


class Forwarding(Names):
    def test_answers_are_passed_on(self):
        server = self.nameserver({("example.org.", "A"): ["192.0.2.1", "192.0.2.2"],
                                  ("example.org.", "AAAA"): ["2001:db8::1"],
                                  ("empty.org.", "A"): []})
        web = self.start("web")
        for tcp in (False, True):
            answer = web.ask("Example.org", tcp=tcp)
            self.assertEqual((answer.code, answer.flag_names, answer.question, answer.answers),
                             ("NOERROR", "QR RD RA", [("Example.org.", "A", 1)],
                              [("Example.org.", "A", 60, "192.0.2.1"), ("Example.org.", "A", 60, "192.0.2.2")]))
            self.assertData(web, "example.org", ["2001:db8::1"], "AAAA", tcp=tcp)
            self.assertCode(web, "empty.org", "NOERROR", tcp=tcp)
            self.assertCode(web, "nowhere.org", "NXDOMAIN", tcp=tcp)
            # One label is a name like others.
            self.assertCode(web, "unknown", "NXDOMAIN", tcp=tcp)
        self.assertEqual([entry[2] for entry in server.seen], ["udp"] * 5 + ["tcp"] * 5)

    def test_servers_are_asked_in_turn(self):
        self.write_resolv("nameserver %s\nnameserver %s\nnameserver %s\n" % (FIRST, SECOND, THIRD))
        first = self.nameserver({"*": "SERVFAIL", ("good.", "A"): ["192.0.2.1"], ("no.", "A"): "NXDOMAIN"})
        second = self.nameserver({"*": "REFUSED"}, SECOND)
        third = self.nameserver({"*": ["192.0.2.3"], ("bad.", "A"): "SERVFAIL"}, THIRD)
        web = self.start("web")
        for tcp in (False, True):
            self.assertData(web, "good", ["192.0.2.1"], tcp=tcp)
            self.assertCode(web, "no", "NXDOMAIN", tcp=tcp)
            self.assertData(web, "other", ["192.0.2.3"], tcp=tcp)
            answer = web.ask("bad", tcp=tcp)
            self.assertEqual((answer.code, answer.flag_names), ("SERVFAIL", "QR RD"))
        self.assertEqual([len(server.seen) for server in (first, second, third)], [8, 4, 4])

    def test_servers_that_do_not_listen_or_answer(self):
        self.write_resolv("nameserver %s\nnameserver %s\n" % (FIRST, SECOND))
        web = self.start("web")
        for tcp in (False, True):
            self.assertCode(web, "nobody", "SERVFAIL", tcp=tcp)  # at once: both ports are closed
        second = self.nameserver({"*": ["192.0.2.2"]}, SECOND)
        self.assertData(web, "second", ["192.0.2.2"])
        self.assertData(web, "second", ["192.0.2.2"], tcp=True)
        first = self.nameserver({"*": "silence"})
        began = time.monotonic()
        self.assertData(web, "late", ["192.0.2.2"])
        self.assertGreaterEqual(time.monotonic() - began, 3.9)  # a server has 4 seconds
        self.assertEqual((first.asked("late"), second.asked("late")), ([("late.", "A", "udp")],) * 2)

    def test_edns_and_unknown_bytes_pass(self):
        # What the client says to the server, and the server to the client, is not ours to change.
        def answer(data, _):
            return dnskit.reply(data, ["192.0.2.1"])[:10] + b"\0\1" + dnskit.reply(data, ["192.0.2.1"])[12:] + \
                b"\0\0\x29\x10\0\0\0\x80\0\0\0"
        server = self.nameserver({"*": answer})
        web = self.start("web")
        sent = dnskit.query("example.org", edns=1232, flags=0x0130)
        got = dnskit.Message(web.exchange(sent))
        self.assertEqual(server.raw[0][2:].hex(), sent[2:].hex())
        self.assertEqual((got.data, got.additional), (["192.0.2.1"], [(".", "OPT", 0, 4096)]))

    def test_long_and_truncated_answers(self):
        def truncated(data, protocol):
            full = dnskit.reply(data, ["192.0.2.%d" % i for i in range(200)])
            if protocol == "tcp":
                return full
            cut = dnskit.reply(data, [])
            return cut[:2] + bytes([cut[2] | 2]) + cut[3:]
        self.nameserver({("many.", "A"): truncated, ("long.", "A"): ["192.0.2.%d" % i for i in range(100)]})
        web = self.start("web")
        answer = web.ask("many")
        self.assertEqual((answer.truncated, answer.data), (True, []))
        answer = web.ask("many", tcp=True)
        self.assertEqual((answer.truncated, len(answer.data)), (False, 200))
        # A server that sends more than it may over UDP is not corrected.
        self.assertEqual(len(web.ask("long").data), 100)

    def test_the_containers_own_servers_are_asked_from_its_namespace(self):
        host = self.nameserver({"*": ["192.0.2.53"]})
        gateway = self.nameserver({"*": ["192.0.2.77"]}, GATEWAY["front"])
        web = self.start("web", host={"Dns": [GATEWAY["front"]]})
        self.assertData(web, "example.org", ["192.0.2.77"])
        self.assertEqual(host.seen, [])
        self.assertEqual(gateway.seen, [("example.org.", "A", "udp")])
        # Loopback is the container's own there, and 127.0.0.11 is not asked at all.
        own = self.start("own", host={"Dns": ["127.0.0.11", FIRST]})
        inside = self.nameserver({"*": ["192.0.2.99"]}, FIRST, net=own.net)
        self.assertData(own, "example.org", ["192.0.2.99"])
        self.assertData(own, "example.org", ["192.0.2.99"], tcp=True)
        self.assertEqual((len(inside.seen), host.seen), (2, []))

    def test_internal_networks_ask_nobody_outside(self):
        server = self.nameserver({"*": ["192.0.2.1"]})
        inner = self.start("inner1", "inner")
        self.start("inner2", "inner")
        self.assertData(inner, "inner2", [self.address("inner2", "inner")])
        for tcp in (False, True):
            self.assertCode(inner, "example.org", "SERVFAIL", tcp=tcp)
            self.assertCode(inner, "9.9.9.10.in-addr.arpa", "SERVFAIL", "PTR", tcp=tcp)
        self.assertEqual(server.seen, [])
        self.connect("inner1", "front")
        self.assertData(inner, "example.org", ["192.0.2.1"])
        self.disconnect("inner1", "front")
        self.assertCode(inner, "example.org", "SERVFAIL")
        self.assertEqual(len(server.seen), 1)

    def test_a_server_on_an_internal_network(self):
        place = self.start("place", "inner")
        near = self.nameserver({"*": ["192.0.2.8"]}, self.address("place", "inner"), net=place.net)
        web = self.start("web", "inner", host={"Dns": [self.address("place", "inner")]})
        self.assertData(web, "example.org", ["192.0.2.8"])
        self.assertEqual(near.seen, [("example.org.", "A", "udp")])

    def test_ndots_keeps_single_labels_inside(self):
        server = self.nameserver({"*": ["192.0.2.1"]})
        for name, options in (("two", ["ndots:2"]), ("zero", ["ndots:0"])):
            web = self.start(name, host={"DnsOptions": options})
            self.assertCode(web, "unknown", "NOERROR")
            self.assertCode(web, "unknown", "NOERROR", "AAAA")
            self.assertData(web, name, [self.address(name)])
            self.assertEqual(server.seen, [])
            self.assertData(web, "unknown.example", ["192.0.2.1"])
            server.seen.clear()
        # The host's own ndots counts too.
        self.write_resolv("nameserver %s\noptions ndots:1\n" % FIRST)
        self.assertCode(self.start("host"), "unknown", "NOERROR")
        self.assertEqual(server.seen, [])

    def test_search_domains_are_the_clients_matter(self):
        server = self.nameserver({("web.example.org.", "A"): ["192.0.2.1"]})
        self.write_resolv("nameserver %s\nsearch example.org\n" % FIRST)
        self.start("web")
        api = self.start("api")
        self.assertData(api, "web.example.org", ["192.0.2.1"])
        self.assertEqual(server.seen, [("web.example.org.", "A", "udp")])

    @ours_alone
    def test_ids_and_ports_cannot_be_foreseen(self):
        server = self.nameserver({"*": ["192.0.2.1"]})
        web = self.start("web")
        for i in range(64):
            self.assertData(web, "n%d" % i, ["192.0.2.1"], number=7)
        # Of 64 random ids out of 65536 three or more the same are a matter of 10^-5.
        self.assertGreaterEqual(len(set(server.ids)), 62)
        self.assertGreaterEqual(len(set(server.ports)), 60)
        self.assertLess(server.ids.count(7), 3)

    @ours_alone
    def test_only_the_answer_to_the_question_counts(self):
        def forged(data, _):
            other = dnskit.reply(dnskit.query("other", number=struct.unpack_from("!H", data)[0]), ["192.0.2.66"])
            wrong_id = bytes([data[0] ^ 1]) + dnskit.reply(data, ["192.0.2.67"])[1:]
            for answer in (other, wrong_id, b"", data, dnskit.reply(data, ["192.0.2.68"])[:-2]):
                server.udp.sendto(answer, (FIRST, server.ports[-1]))
            return dnskit.reply(data, ["192.0.2.1"])
        server = self.nameserver({"*": forged})
        self.assertData(self.start("web"), "example.org", ["192.0.2.1"])

    @ours_alone
    def test_the_hosts_servers_are_followed(self):
        first = self.nameserver({"*": ["192.0.2.1"]})
        second = self.nameserver({"*": ["192.0.2.2"]}, SECOND)
        web = self.start("web")
        self.assertData(web, "example.org", ["192.0.2.1"])
        self.write_resolv("# the host has moved\nnameserver %s\n" % SECOND)
        wait_for(lambda: web.ask("example.org").data == ["192.0.2.2"], what="the new nameserver is asked")
        self.assertEqual(len(second.seen), 1)
        count = len(first.seen)
        self.assertData(web, "again.org", ["192.0.2.2"])
        self.assertEqual(len(first.seen), count)


class Load(Names):
    def flood(self, client, count, name="slow%d"):
        """Sends that many queries at once and returns the socket."""
        sock = client.socket()
        self.open.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # no answer is lost here
        sock.connect(dnskit.RESOLVER)
        for i in range(count):
            sock.send(dnskit.query(name % i, number=i))
            if i % 100 == 99:  # the resolver's socket holds some 250: wait until these are taken
                client.ask("10.in-addr.arpa", "A", flags=0x2900)
        return sock

    def test_a_slow_server_delays_nobody_else(self):
        self.nameserver({"*": "silence"})
        slow = self.start("slow")
        self.nameserver({"*": ["192.0.2.2"]}, GATEWAY["front"])
        other = self.start("other", host={"Dns": [GATEWAY["front"]]})
        self.flood(slow, 200)
        began = time.monotonic()
        for i in range(50):
            self.assertData(other, "n%d.org" % i, ["192.0.2.2"])
            self.assertData(slow, "other", [self.address("other")])
        self.assertLess(time.monotonic() - began, 3)  # none of the 200 has been given up before

    @ours_alone
    def test_queries_under_way_are_bounded(self):
        self.nameserver({"*": "silence"})
        slow = self.start("slow")
        before = len(os.listdir("/proc/%d/fd" % self.daemon.pid))
        sock = self.flood(slow, 3000)
        # 1024 are asked, 1024 wait, the others are refused at once.
        refused = 0
        while refused < 3000 - 2048:
            answer = dnskit.Message(sock.recv(65535))
            self.assertEqual((answer.code, answer.flag_names), ("REFUSED", "QR RD"))
            refused += 1
        self.assertLessEqual(len(os.listdir("/proc/%d/fd" % self.daemon.pid)) - before, 1024 + 32)
        self.assertData(slow, "slow", [self.address("slow")])
        # What waited is refused, what was asked has failed; a query is never left without an answer.
        codes = {}
        for _ in range(2048):
            code = dnskit.Message(sock.recv(65535)).code
            codes[code] = codes.get(code, 0) + 1
        self.assertEqual(sum(codes.values()), 2048)
        self.assertLessEqual(set(codes), {"REFUSED", "SERVFAIL"})
        wait_for(lambda: len(os.listdir("/proc/%d/fd" % self.daemon.pid)) <= before + 8, what="sockets closed")

    @ours_alone
    def test_connections_are_bounded(self):
        self.nameserver({})
        web = self.start("web")
        before = len(os.listdir("/proc/%d/fd" % self.daemon.pid))
        held = []
        for _ in range(300):
            sock = web.socket(socket.SOCK_STREAM)
            self.open.append(sock)
            sock.connect(dnskit.RESOLVER)
            held.append(sock)
        self.assertLessEqual(len(os.listdir("/proc/%d/fd" % self.daemon.pid)) - before, 128 + 32)
        self.assertData(web, "web", [self.address("web")])
        # A connection that asks nothing is closed after two seconds.
        for sock in held:
            self.assertEqual(sock.recv(1), b"")
        self.assertData(web, "web", [self.address("web")], tcp=True)

    def test_many_askers_get_their_own_answers(self):
        self.nameserver({})
        clients = [self.start("c%d" % i) for i in range(8)]
        addresses = [self.address("c%d" % i) for i in range(8)]
        failures = []

        def ask(client):
            with client.socket() as sock:
                sock.connect(dnskit.RESOLVER)
                for number in range(2000):
                    sock.send(dnskit.query("c%d" % (number % 8), number=number))
                    answer = dnskit.Message(sock.recv(65535))
                    if (answer.id, answer.data) != (number, [addresses[number % 8]]):
                        failures.append((number, answer.short()))

        threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


class DaemonsEnd(Names):
    own_mounts = False  # the next daemon could not see the last one's mounts

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The name under which moby's own tests pass such a file to Docker.
        os.environ["DOCKER_TEST_RESOLV_CONF_PATH"] = cls.resolv
        cls.addClassCleanup(os.environ.pop, "DOCKER_TEST_RESOLV_CONF_PATH")
        cls.daemon.restart()

    @ours_alone
    def test_names_are_back_with_the_next_daemon(self):
        server = self.nameserver({"*": ["192.0.2.1"]})
        self.start("web", Aliases=["www"])
        api = self.start("api", Links=["www:store"], host={"DnsOptions": ["ndots:1"]})
        inner = self.start("inner1", "inner")
        self.post("/containers/web/rename?name=shop")

        def rules():
            return netns.inside(api.net, lambda: subprocess.run(["nft", "-s", "list", "ruleset"], stdout=subprocess.PIPE,
                                                                check=True).stdout)
        before = rules()
        address = self.address("shop")
        self.daemon.kill()
        # Nobody listens: the client hears so at once instead of waiting.
        with self.assertRaises(ConnectionRefusedError):
            api.ask("shop")
        self.assertEqual(rules(), before)
        self.daemon.start()
        for name in ("shop", "www", "store", "shop.front"):
            self.assertData(api, name, [address])
        self.assertData(api, "www", [address], tcp=True)
        self.assertCode(api, "unknown", "NOERROR")
        self.assertData(api, "example.org", ["192.0.2.1"])
        self.assertCode(inner, "example.org", "SERVFAIL")
        self.assertEqual(rules(), before)
        self.assertEqual(len(server.seen), 1)

    @ours_alone
    def test_a_port_that_was_taken_meanwhile(self):
        self.nameserver({})
        api = self.start("api")
        port = netns.inside(api.net, self.resolver_port)
        self.daemon.kill()
        thief = api.socket()
        self.open.append(thief)
        thief.bind(("127.0.0.11", port))
        self.daemon.start()
        self.assertNotEqual(netns.inside(api.net, self.resolver_port, port), port)
        for tcp in (False, True):
            self.assertData(api, "api", [self.address("api")], tcp=tcp)

    @staticmethod
    def resolver_port(other_than=None):
        """The UDP port bound to 127.0.0.11 in the thread's namespace."""
        with open("/proc/thread-self/net/udp") as table:
            ports = [int(line.split()[1].split(":")[1], 16) for line in table if "0B00007F" in line.split()[1]]
        return next(port for port in ports if port != other_than)


class ResolvConf(Names):
    def text(self, *lines):
        head = ("# Generated by Docker Engine.\n"
                "# This file can be edited; Docker Engine will not make further changes once it\n"
                "# has been modified.\n\n")
        return head + "".join(line + "\n" for line in lines)

    def test_on_a_users_network(self):
        self.write_resolv("nameserver %s\nnameserver 192.0.2.1\nsearch example.org\noptions rotate\n" % FIRST)
        self.start("plain")
        self.assertEqual(self.file_in("plain"), self.text(
            "nameserver 127.0.0.11", "search example.org", "options rotate ndots:0", "",
            "# Based on host file: '/etc/resolv.conf' (internal resolver)",
            "# ExtServers: [host(127.0.0.57) host(192.0.2.1)]", "# Overrides: []",
            "# Option ndots from: internal"))
        self.start("flags", host={"Dns": ["192.0.2.9", "2001:db8::9"], "DnsSearch": ["a.org", "b.org"],
                                  "DnsOptions": ["ndots:3", "edns0"]})
        self.assertEqual(self.file_in("flags"), self.text(
            "nameserver 127.0.0.11", "search a.org b.org", "options ndots:3 edns0", "",
            "# Based on host file: '/etc/resolv.conf' (internal resolver)",
            "# ExtServers: [192.0.2.9 2001:db8::9]", "# Overrides: [nameservers search options]",
            "# Option ndots from: override"))
        self.start("search", host={"DnsSearch": ["."]})
        self.assertEqual(self.file_in("search"), self.text(
            "nameserver 127.0.0.11", "options rotate ndots:0", "",
            "# Based on host file: '/etc/resolv.conf' (internal resolver)",
            "# ExtServers: [host(127.0.0.57) host(192.0.2.1)]", "# Overrides: [search]",
            "# Option ndots from: internal"))

    def test_the_stub_of_systemd_resolved_is_asked_from_the_host(self):
        self.write_resolv("nameserver %s\noptions edns0 trust-ad\n" % STUB)
        server = self.nameserver({"*": ["192.0.2.1"]}, STUB)
        web = self.start("web")
        self.assertEqual(self.file_in("web"), self.text(
            "nameserver 127.0.0.11", "options edns0 trust-ad ndots:0", "",
            "# Based on host file: '/etc/resolv.conf' (internal resolver)",
            "# ExtServers: [host(127.0.0.53)]", "# Overrides: []", "# Option ndots from: internal"))
        self.assertData(web, "example.org", ["192.0.2.1"])
        self.assertEqual(len(server.seen), 1)

    def test_without_servers_on_the_host(self):
        self.write_resolv("# none\n")
        web = self.start("web")
        self.assertEqual(self.file_in("web"), self.text(
            "nameserver 127.0.0.11", "options ndots:0", "",
            "# Based on host file: '/etc/resolv.conf' (internal resolver)",
            "# NO EXTERNAL NAMESERVERS DEFINED", "# Overrides: []", "# Option ndots from: internal"))
        self.assertCode(web, "example.org", "SERVFAIL")

    def test_on_networks_without_names(self):
        self.write_resolv("nameserver %s\nnameserver 2001:db8::1\nnameserver 192.0.2.1\nsearch example.org\n" % FIRST)
        # Neither the host's loopback nor, without IPv6, an IPv6 address can be reached.
        legacy = self.text("nameserver 192.0.2.1", "search example.org", "",
                           "# Based on host file: '/etc/resolv.conf' (legacy)", "# Overrides: []")
        for network in ("bridge", "none"):
            self.start("on-" + network, network)
            self.assertEqual(self.file_in("on-" + network), legacy)
        # What the user asks for is not judged.
        self.start("flags", "bridge", host={"Dns": ["127.0.0.1", "2001:db8::2"]})
        self.assertEqual(self.file_in("flags"), self.text(
            "nameserver 127.0.0.1", "nameserver 2001:db8::2", "search example.org", "",
            "# Based on host file: '/etc/resolv.conf' (legacy)", "# Overrides: [nameservers]"))
        self.start("on-host", "host")
        self.assertEqual(self.file_in("on-host"), self.text(
            "nameserver %s" % FIRST, "nameserver 2001:db8::1", "nameserver 192.0.2.1", "search example.org", "",
            "# Based on host file: '/etc/resolv.conf'", "# Overrides: []"))

    def test_from_the_default_bridge_to_a_users_network(self):
        self.nameserver({"*": ["192.0.2.1"]})
        self.write_resolv("nameserver %s\nnameserver 192.0.2.1\n" % FIRST)
        self.start("web", "bridge")
        legacy = self.text("nameserver 192.0.2.1", "", "# Based on host file: '/etc/resolv.conf' (legacy)",
                           "# Overrides: []")
        self.assertEqual(self.file_in("web"), legacy)
        self.connect("web", "front")
        internal = self.text("nameserver 127.0.0.11", "options ndots:0", "",
                             "# Based on host file: '/etc/resolv.conf' (internal resolver)",
                             "# ExtServers: [host(127.0.0.57) host(192.0.2.1)]", "# Overrides: []",
                             "# Option ndots from: internal")
        self.assertEqual(self.file_in("web"), internal)
        self.assertData(self.client_of("web"), "web", [self.address("web")])
        # From here on the file stays as it is, and so does the resolver.
        self.connect("web", "back")
        self.disconnect("web", "front")
        self.disconnect("web", "back")
        self.assertEqual(self.file_in("web"), internal)
        self.assertData(self.client_of("web"), "example.org", ["192.0.2.1"])

    def test_a_file_the_user_changed_is_left_alone(self):
        self.start("web", "bridge")
        self.assertCli(0, "exec", "web", "sh", "-c", "echo '# mine' > /etc/resolv.conf")
        self.connect("web", "front")
        self.assertEqual(self.file_in("web"), "# mine\n")
        self.start("api")
        self.assertCli(0, "exec", "api", "sh", "-c", "echo '# mine' > /etc/resolv.conf")
        self.connect("api", "back")
        self.assertEqual(self.file_in("api"), "# mine\n")


if __name__ == "__main__":
    main()
