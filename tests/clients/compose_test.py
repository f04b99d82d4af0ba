"""docker-compose: five services on three networks, their names, and one scaled to five.

The first Compose is Debian's docker-compose; DOCKERD_COMPOSE names a second one's program, where there is one.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import dnskit
from testcase import DaemonTestCase, main

FILE = """
version: "3.8"
services:
  proxy:
    image: kit
    networks: [edge, app]
  web:
    image: kit
    networks:
      app:
        aliases: [site]
    links: ["api:backend"]
  api:
    image: kit
    networks: [app, data]
  db:
    image: kit
    networks:
      data:
        aliases: [store]
    volumes: ["rows:/rows"]
  jobs:
    image: kit
    command: ["sh", "-c", "echo at work; exec /payload pause"]
    networks: [data]
volumes:
  rows: {}
networks:
  edge: {}
  app: {}
  data: {internal: true}
"""


@unittest.skipUnless(shutil.which("docker-compose"), "docker-compose is not installed")
class First(DaemonTestCase):
    program = "docker-compose"
    joint = "_"  # in names of containers

    def setUp(self):
        super().setUp()
        base = tempfile.TemporaryDirectory()
        self.addCleanup(base.cleanup)
        self.folder = base.name + "/project"  # which names the project
        os.mkdir(self.folder)
        with open(self.folder + "/docker-compose.yml", "w") as file:
            file.write(FILE)

    def compose(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, env=self.daemon.cli_environment(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def containers(self, service):
        filters = quote(json.dumps({"label": ["com.docker.compose.service=" + service]}))
        with self.daemon.client() as client:
            return [one["Id"] for one in client.get("/containers/json?all=1&filters=" + filters)]

    def inspect(self, container):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % container)

    def addresses(self, service, network):
        return sorted(self.inspect(c)["NetworkSettings"]["Networks"]["project_" + network]["IPAddress"]
                      for c in self.containers(service))

    def ask(self, service, name):
        """What the first container of a service is answered: addresses, or the code."""
        with dnskit.Client(self.inspect(self.containers(service)[0])["State"]["Pid"]) as client:
            answer = client.ask(name)
            return sorted(answer.data) if answer.code == "NOERROR" else answer.code

    def reaches(self, service, name, target):
        """Whether a program in the one service reaches a port of the other by its name."""
        self.assertCli(0, "exec", "-d", self.containers(target)[0], "/payload", "listen", "80")
        done = self.cli("exec", self.containers(service)[0], "sh", "-c",
                        "for i in 1 2 3 4 5 6 7 8 9 10; do "
                        "echo hello | nc -w 2 %s 80 && exit 0; sleep 0.1; done; exit 1" % name)
        return done.returncode == 0

    def test_five_services_on_three_networks(self):
        self.compose("up", "-d")
        try:
            # By service, by alias, by container, by network; on the asker's networks and no others.
            self.assertEqual(self.ask("proxy", "web"), self.addresses("web", "app"))
            self.assertEqual(self.ask("proxy", "site"), self.addresses("web", "app"))
            self.assertEqual(self.ask("proxy", self.joint.join(("project", "web", "1"))), self.addresses("web", "app"))
            self.assertEqual(self.ask("proxy", "web.project_app"), self.addresses("web", "app"))
            self.assertEqual(self.ask("web", "backend"), self.addresses("api", "app"))
            self.assertEqual(self.ask("api", "store"), self.addresses("db", "data"))
            self.assertEqual(self.ask("api", "api.project_data"), self.addresses("api", "data"))
            for asker, name in (("web", "db"), ("db", "web"), ("proxy", "jobs"), ("jobs", "proxy"),
                                ("proxy", "backend")):
                self.assertIn(self.ask(asker, name), ("NXDOMAIN", "SERVFAIL"), "%s asks for %s" % (asker, name))
            self.assertTrue(self.reaches("proxy", "site", "web"))
            self.assertTrue(self.reaches("api", "db", "db"))
            # What has no name there is not reached by its address either.
            address = self.addresses("db", "data")[0]
            self.assertNotEqual(self.cli("exec", self.containers("web")[0], "sh", "-c",
                                         "echo hello | nc -w 1 %s 80" % address).returncode, 0)
            self.compose("up", "-d", "--scale", "web=5")
            everyone = self.addresses("web", "app")
            self.assertEqual(len(everyone), 5)
            self.assertEqual(self.ask("proxy", "web"), everyone)
            self.assertEqual(self.ask("proxy", "site"), everyone)
            with dnskit.Client(self.inspect(self.containers("proxy")[0])["State"]["Pid"]) as client:
                firsts = {client.ask("web").data[0] for _ in range(100)}
            self.assertEqual(sorted(firsts), everyone)
            self.compose("up", "-d", "--scale", "web=1")
            self.assertEqual(self.ask("proxy", "web"), self.addresses("web", "app"))
            self.life_of_the_project()
        finally:
            self.compose("down", "-v", "-t", "1")
        with self.daemon.client() as client:
            left = {"containers": client.get("/containers/json?all=1"), "volumes": client.get("/volumes")["Volumes"],
                    "networks": [one["Name"] for one in client.get("/networks")]}
        left["networks"].sort()
        self.assertEqual(left, {"containers": [], "volumes": [], "networks": ["bridge", "host", "none"]})

    def life_of_the_project(self):
        """ps, logs, exec and restart; what a volume holds and what names lead to stays."""
        shown = self.compose("ps")
        for service in ("proxy", "web", "api", "db", "jobs"):
            self.assertIn(self.joint.join(("project", service, "1")), shown)
        self.assertIn("at work", self.compose("logs", "jobs"))
        self.assertNotIn("at work", self.compose("logs", "web"))
        self.compose("exec", "-T", "db", "sh", "-c", "echo kept >/rows/one")
        before = {service: self.inspect(self.containers(service)[0])["State"]["StartedAt"] for service in ("db", "web")}
        self.compose("restart", "-t", "1", "db")
        after = {service: self.inspect(self.containers(service)[0])["State"]["StartedAt"] for service in ("db", "web")}
        self.assertNotEqual(before["db"], after["db"])
        self.assertEqual(before["web"], after["web"])
        self.assertTrue(self.compose("exec", "-T", "db", "cat", "/rows/one").endswith("kept\n"))
        self.assertEqual(self.ask("api", "store"), self.addresses("db", "data"))


@unittest.skipUnless(os.environ.get("DOCKERD_COMPOSE"), "DOCKERD_COMPOSE names no program")
class Second(First):
    program = os.environ.get("DOCKERD_COMPOSE")
    joint = "-"


if __name__ == "__main__":
    main()
