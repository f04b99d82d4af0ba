"""Networks that come and go, containers that join and leave them, and a daemon that is killed at any moment of it.

DOCKERD_CHURN="500:2000" asks for that many networks and connections, DOCKERD_CHURN_SEED=N for the run with that number.
"""
import ipaddress
import json
import os
import random
import subprocess
import threading

import support  # noqa: F401

import rawhttp
from daemon import wait_for
from testcase import DaemonTestCase, main

NETWORKS, CONNECTIONS = (int(number) for number in os.environ.get("DOCKERD_CHURN", "30:120").split(":"))
SEED = int(os.environ.get("DOCKERD_CHURN_SEED") or random.SystemRandom().randrange(1 << 32))
KILLS = max(8, CONNECTIONS // 20)
ROOM = 5  # containers of a /29, beside its gateway
MEMBERS = ["member%d" % number for number in range(ROOM + 1)]
AT_ONCE = 8  # networks
LONGEST = 0.02  # seconds from the beginning of a call to the death of the daemon
TIMES = 1000  # steps for each that is asked for, at the most: the choice is random, but not endless


class Churn(DaemonTestCase):
    def setUp(self):
        super().setUp()
        print("seed %d" % SEED, flush=True)
        self.random = random.Random(SEED)
        self.created, self.connected, self.killed = 0, 0, 0
        for name in MEMBERS:
            self.daemon.run("/payload", "pause", name=name)

    def tearDown(self):
        for name in self.networks():
            for member in MEMBERS:
                self.ask("POST", "/networks/%s/disconnect" % name, {"Container": member, "Force": True})
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    # -- calls ------------------------------------------------------------
    def ask(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.request(method, path, body)

    def call(self, method, path, body=None, status=(200, 201, 204)):
        answer = self.ask(method, path, body)
        self.assertIn(answer.status, status, "%s %s: %s" % (method, path, answer.message()))
        return answer.json() if answer.body else None

    def interrupted(self, *call):
        """The call, during which the daemon is killed; and the next daemon."""
        self.killed += 1
        killer = threading.Timer(self.random.uniform(0, LONGEST), self.daemon.process.kill)
        killer.start()
        try:
            self.ask(*call)
        except (OSError, rawhttp.HttpError):
            pass  # as was to be expected
        killer.join()
        self.daemon.process.wait()
        self.daemon.start()

    # -- what there is ----------------------------------------------------
    def networks(self):
        return sorted(one["Name"] for one in self.call("GET", "/networks") if one["Name"].startswith("churn"))

    def members_of(self, network):
        """{container: address} as the network has it; each address is in its subnet and given once."""
        seen = self.call("GET", "/networks/" + network)
        subnet = ipaddress.ip_network(seen["IPAM"]["Config"][0]["Subnet"])
        gateway = "%s/29" % subnet[1]
        out = {one["Name"]: one["IPv4Address"] for one in seen["Containers"].values()}
        self.assertEqual(len(set(out.values()) | {gateway}), len(out) + 1, "%s: %s" % (network, out))
        for address in out.values():
            self.assertIn(ipaddress.ip_interface(address).ip, subnet, network)
        return out

    def verify(self):
        """Networks, containers, namespaces and the host's links tell the same."""
        names = self.networks()
        by_network = {(member, name): address for name in names for member, address in self.members_of(name).items()}
        by_container, endpoints = {}, 0
        for member in MEMBERS:
            seen = self.call("GET", "/containers/%s/json" % member)
            self.assertTrue(seen["State"]["Running"], member)
            inside = subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % seen["State"]["Pid"], "ip", "-j", "-4", "address"],
                                    stdout=subprocess.PIPE, check=True)
            has = {"%s/%s" % (address["local"], address["prefixlen"]) for link in json.loads(inside.stdout)
                   for address in link["addr_info"] if link["ifname"] != "lo"}
            told = {"%s/%s" % (one["IPAddress"], one["IPPrefixLen"])
                    for one in seen["NetworkSettings"]["Networks"].values()}
            self.assertEqual(has, told, "what %s has and what it is said to have" % member)
            endpoints += len(told)
            by_container.update({(member, name): "%s/%s" % (one["IPAddress"], one["IPPrefixLen"])
                                 for name, one in seen["NetworkSettings"]["Networks"].items() if name != "bridge"})
        self.assertEqual(by_container, by_network)
        # A removed network's bridge goes a moment after the answer.
        wait_for(lambda: self.links("br-") == len(names), what="%d bridges" % len(names))
        self.assertEqual(self.links("veth"), endpoints)
        return by_network

    def links(self, prefix):
        """How many links of the host have such a name."""
        told = subprocess.run(["ip", "-o", "link"], preexec_fn=self.daemon.enter_net, stdout=subprocess.PIPE, check=True)
        return sum(line.split()[1].startswith(prefix) for line in told.stdout.decode().splitlines())

    # -- steps ------------------------------------------------------------
    def creation(self):
        number = self.created
        self.created += 1
        subnet = "10.90.%d.%d/29" % (number // 32, number % 32 * 8)
        return "POST", "/networks/create", {"Name": "churn%d" % number, "IPAM": {"Config": [{"Subnet": subnet}]}}

    def step(self, state):
        """A call that should be answered well where `state` is what there is, or None."""
        names = self.networks()
        choice = self.random.random()
        if choice < 0.1 and self.created < NETWORKS and len(names) < AT_ONCE:
            return self.creation()
        if choice < 0.2 and len(names) > 2 and (len(names) == AT_ONCE or self.created == NETWORKS):
            empty = [name for name in names if not any(of == name for _, of in state)]
            return ("DELETE", "/networks/" + self.random.choice(empty)) if empty else None
        if choice < 0.6 and names:
            name, member = self.random.choice(names), self.random.choice(MEMBERS)
            if (member, name) in state or sum(of == name for _, of in state) == ROOM:
                return None
            self.connected += 1
            return "POST", "/networks/%s/connect" % name, {"Container": member}
        if state:
            member, name = self.random.choice(sorted(state))
            return "POST", "/networks/%s/disconnect" % name, {"Container": member}
        return None

    def test_nothing_is_lost_or_given_twice(self):
        for _ in range(2):
            self.call(*self.creation())
        state = self.verify()
        for number in range(TIMES * (NETWORKS + CONNECTIONS)):
            if self.created == NETWORKS and self.connected >= CONNECTIONS and self.killed >= KILLS:
                break
            call = self.step(state)
            if call is None:
                continue
            wanted = KILLS * self.connected // CONNECTIONS
            if self.killed < wanted:
                self.interrupted(*call)
                state = self.verify()
            else:
                self.call(*call)
                state = {(member, name): address for name in self.networks()
                         for member, address in self.members_of(name).items()}
        self.assertEqual((self.created, self.connected >= CONNECTIONS), (NETWORKS, True), "after %d steps" % number)
        self.verify()
        self.assertAllAddressesAreThere()

    def assertAllAddressesAreThere(self):
        """Each network takes as many containers as it has room for, and says so to the one after them."""
        for name in self.networks():
            for member in self.members_of(name):
                self.call("POST", "/networks/%s/disconnect" % name, {"Container": member})
            for member in MEMBERS[:ROOM]:
                self.call("POST", "/networks/%s/connect" % name, {"Container": member})
            answer = self.ask("POST", "/networks/%s/connect" % name, {"Container": MEMBERS[ROOM]})
            self.assertIn("no available IPv4 addresses on this network's address pools: " + name, answer.message())
            self.assertEqual(len(self.members_of(name)), ROOM)
        self.verify()


if __name__ == "__main__":
    main()
