"""--icc=false keeps containers of the default bridge apart, but for linked ones and the ports that are exposed."""
import os
import re
import socket
import subprocess
import unittest

import support  # noqa: F401

import netns
from daemon import wait_for
from testcase import DaemonTestCase, main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
SERVER = "/payload listen 80 & exec /payload listen 81"


class LinkRules(DaemonTestCase):
    arguments = ("--icc=false",)

    def tearDown(self):
        self.daemon.remove_containers()
        if not ORACLE:  # Docker's engine leaves those whose child ended first
            self.assertEqual(self.rules(), [])  # they went with the containers
        super().tearDown()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def run_one(self, name, command, host=None, **config):
        self.daemon.run(*command, name=name, host=dict(host or {}, NetworkMode="bridge"), **config)
        return self.address(name)

    def address(self, name):
        return self.call("GET", "/containers/%s/json" % name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    def server(self):
        return self.run_one("server", ("sh", "-c", SERVER), ExposedPorts={"80/tcp": {}})

    def client(self, name, *links):
        return self.run_one(name, ("/payload", "pause"), {"Links": list(links)})

    def rules(self):
        """What is accepted between two addresses, as iptables shows it."""
        shown = subprocess.run(("iptables", "-S", "DOCKER"), preexec_fn=self.daemon.enter_net, stdout=subprocess.PIPE,
                               check=True, text=True).stdout
        return sorted(line for line in shown.splitlines() if re.search(r"-s \S+ -d \S+ ", line))

    @staticmethod
    def between(parent, child, port=80):
        rule = "-A DOCKER -s %s/32 -d %s/32 -i docker0 -o docker0 -p tcp -m tcp --%s %d -j ACCEPT"
        return sorted([rule % (parent, child, "dport", port), rule % (child, parent, "sport", port)])

    def reaches(self, name, address, port):
        """Whether the container is answered, with a connection or a refusal."""
        def ask():
            try:
                with socket.create_connection((address, port), timeout=1):
                    return True
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                return False
        with open("/proc/%d/ns/net" % self.call("GET", "/containers/%s/json" % name)["State"]["Pid"]) as space:
            return netns.inside(space.fileno(), ask)

    def test_only_linked_ones_and_only_what_is_exposed(self):
        server, client, stranger = self.server(), self.client("client", "server:web"), self.client("stranger")
        self.assertEqual(self.rules(), self.between(client, server))
        self.assertEqual([self.reaches("client", server, port) for port in (80, 81)], [True, False])
        self.assertEqual([self.reaches("stranger", server, 80), self.reaches("server", client, 80)], [False, False])
        self.assertFalse(self.reaches("stranger", client, 80))

    def test_rules_follow_the_containers(self):
        server, client = self.server(), self.client("client", "server:web")
        # A network more moves nothing.
        self.call("POST", "/networks/create", {"Name": "more"})
        self.call("POST", "/networks/more/connect", {"Container": "client"})
        self.assertEqual(self.rules(), self.between(client, server))
        self.call("POST", "/networks/more/disconnect", {"Container": "client"})
        self.call("DELETE", "/networks/more")
        self.assertEqual(self.rules(), self.between(client, server))
        # Without the link there is no way any more.
        self.call("DELETE", "/containers/client/web?link=1")
        self.assertEqual(self.rules(), [])

    @unittest.skipIf(ORACLE, "Docker's engine leaves the old address's rules, and has none for the new one")
    def test_another_address_of_the_server(self):
        server, client = self.server(), self.client("client", "server:web")
        self.call("POST", "/containers/server/stop?t=0")
        self.assertEqual(self.rules(), [])  # the address may be another container's next
        self.assertEqual(self.client("other"), server)
        self.call("POST", "/containers/server/start")
        self.assertNotEqual(self.address("server"), server)
        self.assertEqual(self.rules(), self.between(client, self.address("server")))

    def test_over_a_flush_and_a_restart_of_the_daemon(self):
        server, client = self.server(), self.client("client", "server:web")
        subprocess.run(("iptables", "-F", "DOCKER"), preexec_fn=self.daemon.enter_net, check=True)
        if not ORACLE:  # Docker's engine does not notice
            wait_for(lambda: self.rules() == self.between(client, server), what="the rules after a flush")
            self.daemon.kill()
            self.daemon.start()
            self.assertEqual(self.rules(), self.between(client, server))
        self.assertTrue(self.reaches("client", server, 80) or ORACLE)


if __name__ == "__main__":
    main()
