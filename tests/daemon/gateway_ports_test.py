"""Published ports of a container on several networks: they are on the one that leads outside, wherever that is."""
import support  # noqa: F401

from daemon import wait_for
from served import SERVER, answer
from testcase import DaemonTestCase, main


class Base(DaemonTestCase):
    def setUp(self):
        super().setUp()
        for name, internal in (("one", False), ("two", False), ("inside", True)):
            self.call("POST", "/networks/create", {"Name": name, "Internal": internal})

    def tearDown(self):
        self.daemon.remove_containers()
        for name in ("one", "two", "inside"):
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def create(self, network):
        self.call("POST", "/containers/create?name=server", {
            "Image": "kit", "Cmd": SERVER, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": network, "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}})

    def connect(self, network, **config):
        self.call("POST", "/networks/%s/connect" % network, {"Container": "server", "EndpointConfig": config or None})

    def disconnect(self, network):
        self.call("POST", "/networks/%s/disconnect" % network, {"Container": "server"})

    def assertServed(self):
        # The program starts listening after the container has started.
        wait_for(lambda: answer(self.daemon, "127.0.0.1", 8080) == b"served\n", what="an answer")
        bound = self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"]
        self.assertEqual(bound, {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]})

    def assertNotServed(self, ports):
        self.assertIsNone(answer(self.daemon, "127.0.0.1", 8080))
        self.assertEqual(self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"], ports)


class GatewayPorts(Base):
    def test_a_port_is_published_once(self):
        self.create("one")
        self.connect("two")
        self.call("POST", "/containers/server/start")
        self.assertServed()
        self.disconnect("one")
        self.assertServed()
        self.disconnect("two")
        self.assertNotServed({})
        self.connect("one")
        self.assertServed()
        self.connect("two", GwPriority=1)  # takes the lead
        self.assertServed()
        self.disconnect("one")
        self.assertServed()

    def test_an_internal_network_publishes_nothing(self):
        self.create("inside")
        self.call("POST", "/containers/server/start")
        self.assertNotServed({})
        self.connect("two")
        self.assertServed()
        self.disconnect("two")
        self.assertNotServed({})


class Families(DaemonTestCase):
    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def tearDown(self):
        self.daemon.remove_containers()
        for name in ("four", "six", "dual"):
            self.call("DELETE", "/networks/" + name)
        super().tearDown()

    def assertBound(self, *addresses):
        """What is published on the host, and answers there."""
        seen = self.call("GET", "/containers/server/json")["NetworkSettings"]["Ports"]
        self.assertEqual(seen, {"80/tcp": [{"HostIp": address, "HostPort": "8000"} for address in addresses]})
        for address in addresses:
            target = {"0.0.0.0": "127.0.0.1", "::": "::1"}[address]
            wait_for(lambda: answer(self.daemon, target, 8000) == b"served\n", what="an answer at " + target)

    def test_each_by_the_network_that_leads_with_it(self):
        for name, v4, v6 in (("four", True, False), ("six", False, True), ("dual", True, True)):
            self.call("POST", "/networks/create", {"Name": name, "EnableIPv4": v4, "EnableIPv6": v6})
        self.call("POST", "/containers/create?name=server", {
            "Image": "kit", "Cmd": SERVER, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": "four", "PortBindings": {"80/tcp": [{"HostPort": "8000"}]}},
            "NetworkingConfig": {"EndpointsConfig": {"four": {}, "six": {}}}})
        self.call("POST", "/containers/server/start")
        self.assertBound("0.0.0.0", "::")
        self.assertCli(0, "network", "connect", "dual", "server")  # both families: leads for both
        self.assertBound("0.0.0.0", "::")
        self.assertCli(0, "network", "disconnect", "dual", "server")
        self.assertBound("0.0.0.0", "::")
        self.assertCli(0, "network", "disconnect", "six", "server")
        self.assertBound("0.0.0.0", "::")  # the host's IPv6 by the proxy
        self.assertCli(0, "network", "connect", "six", "server")
        self.assertCli(0, "network", "disconnect", "four", "server")
        self.assertBound("::")


class AnotherDaemon(Base):
    check_leaks = False  # a daemon that has just begun has not made all that it keeps

    def test_another_daemon_moves_them_as_well(self):
        self.create("one")
        self.connect("two")
        self.call("POST", "/containers/server/start")
        self.daemon.kill()
        self.daemon.start()
        self.assertServed()
        self.disconnect("one")
        self.assertServed()


if __name__ == "__main__":
    main()
