"""A daemon that dies in the middle of a connect or disconnect: the next one ends what was begun, and nothing else."""
import glob
import json
import subprocess

import support  # noqa: F401

from daemon import wait_for
from served import SERVER, answer
from testcase import DaemonTestCase, main


class Base(DaemonTestCase):
    check_leaks = False  # a daemon that has just begun has not made all that it keeps

    def setUp(self):
        super().setUp()
        for name in ("one", "two"):
            self.call("POST", "/networks/create", {"Name": name})

    def tearDown(self):
        self.daemon.remove_containers()
        for name in ("one", "two"):
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def serve(self, *networks):
        self.call("POST", "/containers/create?name=server", {
            "Image": "kit", "Cmd": SERVER, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": networks[0], "CapAdd": ["NET_ADMIN"],
                           "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
            "NetworkingConfig": {"EndpointsConfig": {name: {} for name in networks}}})
        self.call("POST", "/containers/server/start")

    def seen(self):
        return self.call("GET", "/containers/server/json")

    def inside(self, *command):
        return subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % self.seen()["State"]["Pid"], "ip", "-j", *command],
                              stdout=subprocess.PIPE, check=True).stdout

    def links(self):
        return sorted(link["ifname"] for link in json.loads(self.inside("link")))

    def gateway(self):
        return [route["gateway"] for route in json.loads(self.inside("-4", "route", "show", "default"))]

    def hosts(self):
        """The addresses under which the container knows itself, without loopback's."""
        with open(self.seen()["HostsPath"]) as file:
            lines = [line.split() for line in file]
        return [line[0] for line in lines if len(line) > 1 and line[1] == self.seen()["Config"]["Hostname"]]

    def forget(self, network):
        """The container's file as it is from before a connect's answer, or after a disconnect's first step."""
        path, = glob.glob(self.daemon.root + "/containers/%s/config.v2.json" % self.container)
        with open(path) as file:
            record = json.load(file)
        del record["NetworkSettings"]["Networks"][network]
        with open(path, "w") as file:
            json.dump(record, file)

    def dies(self, network, *then):
        self.container = self.seen()["Id"]
        self.daemon.kill()
        self.forget(network)
        if then:
            subprocess.run(then, preexec_fn=self.daemon.enter_net, check=True)
        self.daemon.start()

    def assertLeadsBy(self, network):
        networks = self.seen()["NetworkSettings"]["Networks"]
        self.assertEqual(list(networks), [network])
        self.assertEqual(self.gateway(), [networks[network]["Gateway"]])
        self.assertEqual(self.hosts(), [networks[network]["IPAddress"]])
        wait_for(lambda: answer(self.daemon, "127.0.0.1", 8080) == b"served\n", what="an answer")


class CutOff(Base):
    def test_at_the_beginning_of_a_disconnect(self):
        self.serve("one", "two")
        self.dies("one")
        self.assertLeadsBy("two")

    def test_in_the_middle_of_a_disconnect(self):
        self.serve("one", "two")
        links = subprocess.run(["ip", "-j", "link", "show", "type", "veth"], preexec_fn=self.daemon.enter_net,
                               stdout=subprocess.PIPE, check=True).stdout
        bridge = "br-" + self.seen()["NetworkSettings"]["Networks"]["one"]["NetworkID"][:12]
        link, = [one["ifname"] for one in json.loads(links) if one.get("master") == bridge]
        self.dies("one", "ip", "link", "del", link)
        self.assertLeadsBy("two")
        self.assertEqual(len(self.links()), 2)

    def test_at_the_end_of_a_connect(self):
        self.serve("two")
        self.call("POST", "/networks/one/connect", {"Container": "server"})  # takes the lead
        self.dies("one")
        self.assertLeadsBy("two")
        self.assertEqual(self.links(), ["eth0", "lo"])


class OwnDoing(Base):
    def test_a_deleted_link_is_there_after_the_next_start(self):
        self.serve("one")
        self.assertCli(0, "exec", "server", "ip", "link", "del", "eth0")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(list(self.seen()["NetworkSettings"]["Networks"]), ["one"])
        self.call("POST", "/containers/server/restart?t=0")
        self.assertEqual(self.links(), ["eth0", "lo"])
        self.assertLeadsBy("one")

    def test_a_default_route_of_its_own_is_left(self):
        self.serve("one", "two")
        self.inside("route", "del", "default")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.gateway(), [])


if __name__ == "__main__":
    main()
