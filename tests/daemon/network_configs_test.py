"""Configuration networks: kept under a name, and what other networks are made with."""
import support  # noqa: F401

from testcase import DaemonTestCase, main

IPAM = {"Driver": "default", "Config": [{"Subnet": "10.81.0.0/24", "IPRange": "10.81.0.128/25", "Gateway": "10.81.0.3",
                                         "AuxiliaryAddresses": {"host": "10.81.0.4"}}]}


class ConfigurationNetworks(DaemonTestCase):
    def tearDown(self):
        self.daemon.remove_containers()
        self.daemon.remove_networks()
        super().tearDown()

    def create(self, name, **more):
        with self.daemon.client("1.50") as client:
            return client.post("/networks/create", dict(Name=name, **more))["Id"]

    def inspect(self, name):
        with self.daemon.client("1.50") as client:
            return client.get("/networks/" + name)

    def refused(self, status, text, method="POST", path="/networks/create", **body):
        with self.daemon.client("1.50") as client:
            answer = client.request(method, path, body or None)
        self.assertEqual((answer.status, answer.message()), (status, text))

    def configuration(self):
        return self.create("conf", ConfigOnly=True, IPAM=IPAM, Labels={"k": "v"},
                           Options={"com.docker.network.bridge.name": "confbr"})

    def test_holds_what_it_says_and_nothing_else(self):
        self.configuration()
        seen = self.inspect("conf")
        self.assertEqual((seen["Driver"], seen["Scope"], seen["ConfigOnly"], seen["Labels"], seen["Options"], seen["IPAM"]["Config"]),
                         ("null", "local", True, {"k": "v"}, {"com.docker.network.bridge.name": "confbr"}, IPAM["Config"]))
        # Its subnet is nobody's.
        self.create("other", IPAM={"Config": [{"Subnet": "10.81.0.0/24"}]})

    def test_others_are_made_with_it(self):
        self.configuration()
        self.create("user", ConfigFrom={"Network": "conf"})
        seen = self.inspect("user")
        self.assertEqual((seen["Driver"], seen["ConfigOnly"], seen["ConfigFrom"], seen["Labels"], seen["Options"], seen["IPAM"]["Config"]),
                         ("bridge", False, {"Network": "conf"}, {"k": "v"}, {"com.docker.network.bridge.name": "confbr"}, IPAM["Config"]))
        self.assertCli(0, "run", "-d", "--name", "one", "--network", "user", "kit")
        self.assertCli(0, "inspect", "-f", "{{.NetworkSettings.Networks.user.IPAddress}} {{.NetworkSettings.Networks.user.Gateway}}",
                       "one", stdout="10.81.0.128 10.81.0.3\n")
        self.refused(403, 'error while removing network: configuration network "conf" is in use', "DELETE", "/networks/conf")
        self.daemon.remove_containers()
        if self.check_leaks:
            self.daemon.restart()
            self.assertEqual(self.inspect("user"), seen)
            self.assertEqual(self.inspect("conf")["IPAM"]["Config"], IPAM["Config"])

    def test_scope_is_a_word_that_is_kept(self):
        self.create("wide", Scope="global")
        self.assertEqual(self.inspect("wide")["Scope"], "global")
        self.assertCli(0, "network", "ls", "--filter", "scope=global", "--format", "{{.Name}}", stdout="wide\n")
        if self.check_leaks:
            self.daemon.restart()
            self.assertEqual(self.inspect("wide")["Scope"], "global")
        self.refused(403, "cannot create a swarm scoped network when swarm is not active", Name="bad", Scope="swarm")

    def test_refused(self):
        self.configuration()
        self.refused(403, "configuration network can only contain network specific fields. Network operator fields like "
                     "[ ingress | internal | attachable | scope ] are not supported.", Name="bad", ConfigOnly=True, Internal=True)
        self.refused(403, "a configuration network cannot depend on another configuration network", Name="bad", ConfigOnly=True,
                     ConfigFrom={"Network": "conf"})
        self.refused(403, "user specified configurations are not supported if the network depends on a configuration network",
                     Name="bad", ConfigFrom={"Network": "conf"}, IPAM=IPAM)
        self.refused(403, "network driver options are not supported if the network depends on a configuration network",
                     Name="bad", ConfigFrom={"Network": "conf"}, Options={"a": "b"})
        self.refused(404, 'configuration network "nothing" does not exist', Name="bad", ConfigFrom={"Network": "nothing"})
        self.refused(409, "network with name conf already exists", Name="conf")
        done = self.assertCli(125, "run", "--rm", "--network", "conf", "kit")
        self.assertIn(b"cannot create endpoint on configuration-only network", done.stderr)


if __name__ == "__main__":
    main()
