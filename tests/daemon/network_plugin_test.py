"""Networks of legacy plugins, and addresses of theirs: the protocol, containers, what is undone, plugins that do not answer."""
import concurrent.futures
import json
import subprocess
import time
import unittest

import support  # noqa: F401  (makes tests/support importable)

from network_plugin import IpamPlugin, NetworkPlugin
from plugincase import ORACLE, PLUGINS, PluginTestCase
from reports import PATIENCE
from testcase import main

SUBNET = {"Subnet": "10.66.0.0/24", "Gateway": "10.66.0.1"}


class NetworkPlugins(PluginTestCase):
    def setUp(self):
        self.driver = self.plugin_name("n")
        self.plugin = NetworkPlugin(PLUGINS, self.driver, "/proc/%d/ns/net" % self.daemon.pid)
        super().setUp()

    def tearDown(self):
        self.plugin.answers.clear()
        self.plugin.held = set()
        self.plugin.release.set()
        self.daemon.remove_containers()
        self.daemon.remove_networks()
        self.plugin.stop()
        self.assertEqual(self.plugin.links(), [])
        super().tearDown()

    def network(self, name="plugged", **more):
        request = {"Name": name, "Driver": self.driver, "IPAM": {"Config": [SUBNET]}, **more}
        return self.call("POST", "/networks/create", request)["Id"]

    def create(self, network="plugged", **config):
        host = config.pop("HostConfig", {})
        return self.call("POST", "/containers/create", {
            **config, "Image": "kit", "Cmd": ["/payload", "pause"], "HostConfig": dict(host, NetworkMode=network)})["Id"]

    def start(self, network="plugged", **config):
        container = self.create(network, **config)
        self.call("POST", "/containers/%s/start" % container)
        return container

    def refused_start(self):
        """The message of a start that fails, without what is before the network's part."""
        container = self.create()
        status, text = self.status("POST", "/containers/%s/start" % container)
        self.call("DELETE", "/containers/%s?force=1" % container)
        self.assertEqual((status, text.split(": ", 1)[0]), (500, "failed to set up container networking"))
        return text.split(": ", 1)[1]

    def inspect(self, container):
        return self.call("GET", "/containers/%s/json" % container)

    def seen_in(self, container, *command):
        pid = self.inspect(container)["State"]["Pid"]
        return subprocess.run(("nsenter", "--net=/proc/%d/ns/net" % pid, "ip") + command, check=True,
                              stdout=subprocess.PIPE, universal_newlines=True).stdout

    # -- networks ---------------------------------------------------------
    def test_create_inspect_remove(self):
        made = self.network(Options={"foo": "bar"}, Internal=True, IPAM={"Config": [
            dict(SUBNET, AuxiliaryAddresses={"x": "10.66.0.9"})]})
        self.assertEqual(self.plugin.requests("GetCapabilities"), [None])
        self.assertEqual(self.plugin.requests("CreateNetwork"), [{
            "NetworkID": made, "Options": {
                "com.docker.network.enable_ipv4": True, "com.docker.network.enable_ipv6": False,
                "com.docker.network.generic": {"foo": "bar"}, "com.docker.network.internal": True},
            "IPv4Data": [{"AddressSpace": "LocalDefault", "Pool": "10.66.0.0/24", "Gateway": "10.66.0.1/24",
                          "AuxAddresses": {"x": "10.66.0.9/24"}}],
            "IPv6Data": []}])
        shown = self.call("GET", "/networks/plugged")
        self.assertEqual((shown["Driver"], shown["Scope"], shown["Options"], shown["IPAM"]["Driver"]),
                         (self.driver, "local", {"foo": "bar"}, "default"))
        self.call("DELETE", "/networks/plugged")
        self.assertEqual(self.plugin.requests("DeleteNetwork"), [{"NetworkID": made}])
        self.assertEqual(self.status("GET", "/networks/plugged")[0], 404)

    def test_what_the_plugin_refuses(self):
        create = ("POST", "/networks/create", {"Name": "plugged", "Driver": self.driver, "IPAM": {"Config": [SUBNET]}})
        self.plugin.answers["NetworkDriver.CreateNetwork"] = lambda _: {"Err": "no way"}
        self.assertEqual(self.status(*create), (500, "remote: no way"))
        self.plugin.answers["NetworkDriver.CreateNetwork"] = lambda _: (500, "boom")
        self.assertEqual(self.status(*create), (500, "NetworkDriver.CreateNetwork: boom"))
        del self.plugin.answers["NetworkDriver.CreateNetwork"]
        self.assertEqual(self.plugin.requests("DeleteNetwork"), [])
        self.network()  # name and addresses are free
        # What it says to a removal changes nothing.
        self.plugin.answers["NetworkDriver.DeleteNetwork"] = lambda _: {"Err": "stays"}
        self.assertEqual(self.status("DELETE", "/networks/plugged")[0], 204)
        self.assertEqual(self.status("GET", "/networks/plugged")[0], 404)

    def test_no_network_plugin(self):
        self.plugin.answers["Plugin.Activate"] = lambda _: {"Implements": ["VolumeDriver"]}
        status, text = self.status("POST", "/networks/create", {"Name": "plugged", "Driver": self.driver})
        self.assertEqual((status, text), (
            500, 'legacy plugin: Plugin does not implement the requested driver: plugin="%s", requested '
                 'implementation="NetworkDriver"' % self.driver))

    # -- containers -------------------------------------------------------
    def test_a_container_on_it(self):
        self.plugin.gateway = "10.66.0.1"
        self.plugin.routes = [{"Destination": "10.200.0.0/16", "RouteType": 1, "NextHop": ""},
                              {"Destination": "10.201.0.0/16", "RouteType": 0, "NextHop": "10.66.0.3"}]
        network = self.network()
        container = self.start(ExposedPorts={"80/tcp": {}, "53/udp": {}},
                               HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}})
        state = self.inspect(container)["NetworkSettings"]
        place = state["Networks"]["plugged"]
        endpoint = place["EndpointID"]
        self.assertEqual((place["NetworkID"], place["IPAddress"], place["IPPrefixLen"], place["Gateway"], place["MacAddress"]),
                         (network, "10.66.0.2", 24, "10.66.0.1", self.plugin.mac))
        ids = {"NetworkID": network, "EndpointID": endpoint}
        exposed = [{"Proto": 17, "Port": 53}, {"Proto": 6, "Port": 80}]
        bound = [{"Proto": 6, "IP": "", "Port": 80, "HostIP": "127.0.0.1", "HostPort": 8080, "HostPortEnd": 8080}]
        [made] = self.plugin.requests("CreateEndpoint")
        options = made["Options"]
        self.assertEqual(made, {**ids, "Interface": {"Address": "10.66.0.2/24", "AddressIPv6": "", "MacAddress": ""},
                                "Options": options})
        ports = sorted(options["com.docker.network.endpoint.exposedports"], key=lambda port: port["Port"])
        self.assertEqual((ports, options["com.docker.network.portmap"]), (exposed, bound))
        [joined] = self.plugin.requests("Join")
        self.assertEqual(joined, {**ids, "SandboxKey": state["SandboxKey"], "Options": joined["Options"]})
        self.assertEqual(self.plugin.methods(), ["CreateNetwork", "CreateEndpoint", "Join", "ProgramExternalConnectivity",
                                                 "EndpointOperInfo"])
        # The link that the plugin named is the container's now.
        self.assertEqual(self.plugin.links(), ["ou" + endpoint[:8]])
        [link] = [line for line in json.loads(self.seen_in(container, "-j", "address")) if line["ifname"] == "plug0"]
        self.assertEqual((link["address"], [(a["local"], a["prefixlen"]) for a in link["addr_info"] if a["family"] == "inet"]),
                         (self.plugin.mac, [("10.66.0.2", 24)]))
        routes = {(route["dst"], route.get("gateway")) for route in json.loads(self.seen_in(container, "-j", "route"))}
        self.assertEqual(routes, {("default", "10.66.0.1"), ("10.66.0.0/24", None), ("10.200.0.0/16", None),
                                  ("10.201.0.0/16", "10.66.0.3")})
        members = self.call("GET", "/networks/plugged")["Containers"]
        self.assertEqual((members[container]["EndpointID"], members[container]["IPv4Address"], members[container]["MacAddress"]),
                         (endpoint, "10.66.0.2/24", self.plugin.mac))
        self.assertEqual(self.status("DELETE", "/networks/plugged")[0], 403)
        del self.plugin.calls[:]
        self.call("POST", "/containers/%s/stop?t=0" % container)
        self.assertEqual([(called.split(".")[1], request) for called, request in self.plugin.calls], [
            ("RevokeExternalConnectivity", ids), ("Leave", ids), ("DeleteEndpoint", ids)])

    def test_connect_and_disconnect(self):
        self.network()
        container = self.start("none")
        self.call("POST", "/networks/none/disconnect", {"Container": container})
        self.call("POST", "/networks/plugged/connect", {"Container": container, "EndpointConfig": {
            "DriverOpts": {"q": "w"}, "IPAMConfig": {"IPv4Address": "10.66.0.77"}}})
        [made] = self.plugin.requests("CreateEndpoint")
        self.assertEqual(made["Interface"], {"Address": "10.66.0.77/24", "AddressIPv6": "", "MacAddress": ""})
        self.assertEqual(made["Options"]["q"], "w")
        endpoint = made["EndpointID"]
        self.assertEqual(self.plugin.links(), ["ou" + endpoint[:8]])
        # No gateway, so it is not told to lead outside.
        self.assertEqual(self.plugin.methods()[1:], ["CreateEndpoint", "Join", "EndpointOperInfo"])
        # The link is the plugin's again, by its name, before that hears of the end.
        names = []
        delete = self.plugin.NetworkDriver_DeleteEndpoint
        self.plugin.answers["NetworkDriver.DeleteEndpoint"] = lambda request: names.extend(self.plugin.links()) or delete(request)
        self.call("POST", "/networks/plugged/disconnect", {"Container": container})
        self.assertEqual(names, ["in" + endpoint[:8], "ou" + endpoint[:8]])
        self.assertEqual(self.plugin.methods()[4:], ["Leave", "DeleteEndpoint"])

    def test_a_wanted_mac_address(self):
        self.network()
        wanted = "02:00:00:00:00:07"
        container = self.start(NetworkingConfig={"EndpointsConfig": {"plugged": {"MacAddress": wanted}}})
        [made] = self.plugin.requests("CreateEndpoint")
        self.assertEqual(made["Interface"]["MacAddress"], wanted)
        self.assertEqual(self.inspect(container)["NetworkSettings"]["Networks"]["plugged"]["MacAddress"], wanted)
        self.assertIn(wanted, self.seen_in(container, "link"))

    def test_failed_joins_are_undone(self):
        self.network()

        def fails(method, answer, *undone):
            del self.plugin.calls[:]
            self.plugin.answers["NetworkDriver." + method] = answer
            text = self.refused_start()
            del self.plugin.answers["NetworkDriver." + method]
            methods = self.plugin.methods()
            self.assertEqual(methods[methods.index(method) + 1:], list(undone))
            self.assertEqual(self.call("GET", "/networks/plugged")["Containers"], {})
            return text

        def changed(request):
            self.plugin.NetworkDriver_CreateEndpoint(request)
            return {"Interface": {"Address": "10.1.1.1/24"}}

        self.assertRegex(fails("CreateEndpoint", lambda _: {"Err": "no room"}),
                         "^failed to create endpoint [a-z_]+ on network plugged: remote: no room$")
        self.assertRegex(fails("CreateEndpoint", changed, "DeleteEndpoint"),
                         r"^failed to create endpoint [a-z_]+ on network plugged: driver modified interface address: endpoint "
                         r"interface IP present \(10.66.0.2/24\). Cannot be modified with \(10.1.1.1/24\).; rolled back$")
        self.assertEqual(fails("Join", lambda _: {"Err": "no join"}, "DeleteEndpoint"), "remote: no join")
        self.assertEqual(fails("Join", lambda _: {"Gateway": "bad"}, "Leave", "DeleteEndpoint"),
                         'unable to parse Gateway "bad"; rolled back')
        self.assertEqual(fails("Join", lambda _: {"InterfaceName": {"SrcName": "nosuch", "DstPrefix": "x"}}, "Leave",
                               "DeleteEndpoint"),
                         'failed to add interface nosuch to sandbox: failed to get link by name "nosuch": Link not found')
        self.plugin.gateway = "10.66.0.1"
        # The address of all these is still the first.
        self.assertEqual(self.inspect(self.start())["NetworkSettings"]["Networks"]["plugged"]["IPAddress"], "10.66.0.2")

    def test_a_method_that_need_not_be_there(self):
        self.network()
        self.plugin.gateway = "10.66.0.1"
        for method in ("ProgramExternalConnectivity", "RevokeExternalConnectivity"):
            self.plugin.answers["NetworkDriver." + method] = lambda _: (404, "page not found")
        container = self.start()
        self.call("POST", "/containers/%s/stop?t=0" % container)

    @unittest.skipIf(ORACLE, "Docker's engine stops containers with the daemon's socket")
    def test_over_a_restart_of_the_daemon(self):
        network = self.network()
        container = self.start()
        place = self.inspect(container)["NetworkSettings"]["Networks"]["plugged"]
        self.daemon.kill()
        self.daemon.start()
        self.plugin.net = "/proc/%d/ns/net" % self.daemon.pid
        del self.plugin.calls[:]
        self.assertEqual(self.inspect(container)["NetworkSettings"]["Networks"]["plugged"], place)
        self.assertEqual(list(self.call("GET", "/networks/plugged")["Containers"]), [container])
        other = self.start()
        self.assertEqual(self.inspect(other)["NetworkSettings"]["Networks"]["plugged"]["IPAddress"], "10.66.0.3")
        del self.plugin.calls[:]
        self.call("DELETE", "/containers/%s?force=1" % container)
        ids = {"NetworkID": network, "EndpointID": place["EndpointID"]}
        self.assertEqual(self.plugin.calls, [("NetworkDriver.Leave", ids), ("NetworkDriver.DeleteEndpoint", ids)])

    # -- addresses --------------------------------------------------------
    def ipam(self, **capabilities):
        plugin = IpamPlugin(PLUGINS, "a" + self.driver)
        self.addCleanup(plugin.stop)
        plugin.capabilities = capabilities
        return plugin

    def ipam_network(self, plugin, driver="bridge", *configs, **more):
        request = {"Name": "plugged", "Driver": driver, "IPAM": {"Driver": plugin.name, "Config": list(configs), "Options": {"k": "v"}}}
        return self.call("POST", "/networks/create", {**request, **more})["Id"]

    def address_of(self, container):
        place = self.inspect(container)["NetworkSettings"]["Networks"]["plugged"]
        return place["IPAddress"], place["IPPrefixLen"], place["Gateway"]

    def test_addresses_of_a_plugin(self):
        ipam = self.ipam()
        self.ipam_network(ipam)
        pool = {"PoolID": "10.77.0.0/24"}
        self.assertEqual(ipam.calls[-2:], [
            ("IpamDriver.RequestPool", {"AddressSpace": "near", "Pool": "", "SubPool": "", "Options": {"k": "v"}, "V6": False}),
            ("IpamDriver.RequestAddress", {**pool, "Address": "", "Options": {
                "RequestAddressType": "com.docker.network.gateway"}})])
        self.assertEqual(self.call("GET", "/networks/plugged")["IPAM"], {
            "Driver": ipam.name, "Options": {"k": "v"}, "Config": [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]})
        del ipam.calls[:]
        container = self.start()
        self.assertEqual(self.address_of(container), ("10.77.0.2", 24, "10.77.0.1"))
        self.assertEqual(ipam.calls, [("IpamDriver.RequestAddress", {**pool, "Address": "", "Options": None})])
        self.call("DELETE", "/containers/%s?force=1" % container)
        self.assertEqual(ipam.calls[1:], [("IpamDriver.ReleaseAddress", {**pool, "Address": "10.77.0.2"})])
        del ipam.calls[:]
        self.call("DELETE", "/networks/plugged")
        self.assertEqual(ipam.calls, [("IpamDriver.ReleaseAddress", {**pool, "Address": "10.77.0.1"}),
                                      ("IpamDriver.ReleasePool", pool)])
        self.assertEqual(ipam.pools, {})

    def test_addresses_that_are_asked_for(self):
        ipam = self.ipam(RequiresMACAddress=True)
        self.ipam_network(ipam, "bridge", {"Subnet": "10.78.0.0/24", "IPRange": "10.78.0.128/25", "Gateway": "10.78.0.9",
                                           "AuxiliaryAddresses": {"x": "10.78.0.10"}})
        [pool] = ipam.requests("RequestPool")
        self.assertEqual((pool["Pool"], pool["SubPool"]), ("10.78.0.0/24", "10.78.0.128/25"))
        self.assertEqual([(asked["Address"], asked["Options"]) for asked in ipam.requests("RequestAddress")], [
            ("10.78.0.9", {"RequestAddressType": "com.docker.network.gateway"}), ("10.78.0.10", None)])
        mac = "02:00:00:00:00:0a"
        container = self.start(NetworkingConfig={"EndpointsConfig": {"plugged": {
            "IPAMConfig": {"IPv4Address": "10.78.0.77"}, "MacAddress": mac}}})
        self.assertEqual(self.address_of(container), ("10.78.0.77", 24, "10.78.0.9"))
        self.assertEqual((ipam.requests("RequestAddress")[-1]["Address"], ipam.requests("RequestAddress")[-1]["Options"]),
                         ("10.78.0.77", {"com.docker.network.endpoint.macaddress": mac}))
        other = self.start()
        chosen = self.inspect(other)["NetworkSettings"]["Networks"]["plugged"]["MacAddress"]
        self.assertEqual(ipam.requests("RequestAddress")[-1]["Options"], {"com.docker.network.endpoint.macaddress": chosen})
        self.assertIn(chosen, self.seen_in(other, "link"))

    def test_pools_that_overlap_are_let_go(self):
        ipam = self.ipam()
        [link] = [line.split() for line in self.plugin.ip("-brief", "-4", "address", "show", "docker0").splitlines()]
        taken = link[2].rsplit(".", 2)[0] + ".0.0/24"  # of the default bridge
        ipam.offers = [taken, "10.77.0.0/24"]
        self.ipam_network(ipam)
        self.assertEqual(list(ipam.pools), ["10.77.0.0/24"])
        self.assertEqual(ipam.requests("ReleasePool"), [{"PoolID": taken}])

    def test_what_a_plugin_of_addresses_refuses(self):
        ipam = self.ipam()
        create = ("POST", "/networks/create", {"Name": "plugged", "IPAM": {"Driver": ipam.name}})
        ipam.answers["IpamDriver.RequestPool"] = lambda _: {"Error": "no pool"}
        self.assertEqual(self.status(*create), (500, "remote: no pool"))
        del ipam.answers["IpamDriver.RequestPool"]
        ipam.answers["IpamDriver.RequestAddress"] = lambda _: {"Error": "no way"}
        self.assertEqual(self.status(*create), (500, "failed to allocate gateway (): remote: no way"))
        self.assertEqual(ipam.pools, {})
        del ipam.answers["IpamDriver.RequestAddress"]
        self.ipam_network(ipam)
        for answer, text in (({"Error": "none left"}, "remote: none left"), ({"Address": ""}, "no address returned")):
            ipam.answers["IpamDriver.RequestAddress"] = lambda _: answer
            container = self.create()
            status, told = self.status("POST", "/containers/%s/start" % container)
            self.assertEqual((status, told), (500 if "Error" in answer else 503, "failed to set up container networking: " + text))
        del ipam.answers["IpamDriver.RequestAddress"]
        self.assertEqual(ipam.pools, {"10.77.0.0/24": {"10.77.0.1"}})

    def test_a_plugin_for_each(self):
        ipam = self.ipam()
        self.ipam_network(ipam, self.driver)
        [made] = self.plugin.requests("CreateNetwork")
        self.assertEqual(made["IPv4Data"], [{"AddressSpace": "near", "Pool": "10.77.0.0/24", "Gateway": "10.77.0.1/24"}])
        container = self.start()
        self.assertEqual(self.address_of(container)[:2], ("10.77.0.2", 24))
        self.call("POST", "/networks/plugged/disconnect", {"Container": container, "Force": True})
        self.assertEqual(ipam.pools, {"10.77.0.0/24": {"10.77.0.1"}})

    @unittest.skipIf(ORACLE, "Docker's engine stops containers with the daemon's socket")
    def test_addresses_over_a_restart_of_the_daemon(self):
        ipam = self.ipam(RequiresRequestReplay=True)
        self.ipam_network(ipam, "bridge", {"Subnet": "10.78.0.0/24", "AuxiliaryAddresses": {"x": "10.78.0.10"}})
        container = self.start()
        place = self.address_of(container)
        self.daemon.kill()
        del ipam.calls[:]
        ipam.pools.clear()
        self.daemon.start()
        self.plugin.net = "/proc/%d/ns/net" % self.daemon.pid
        # It is told again what it gave.
        self.assertEqual(ipam.pools, {"10.78.0.0/24": {"10.78.0.1", "10.78.0.10", "10.78.0.2"}})
        self.assertEqual(self.address_of(container), place)
        self.assertEqual(self.address_of(self.start())[0], "10.78.0.3")

    # -- plugins that do not answer ----------------------------------------
    @unittest.skipIf(ORACLE, "Docker's engine lets others wait")
    def test_a_plugin_that_does_not_answer(self):
        self.network()
        self.plugin.held = {"NetworkDriver.Join", "NetworkDriver.CreateNetwork"}
        stuck = self.create()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            start = pool.submit(self.status, "POST", "/containers/%s/start" % stuck)
            self.assertTrue(self.plugin.arrived.wait(20))
            self.plugin.arrived.clear()
            create = pool.submit(self.status, "POST", "/networks/create", {"Name": "late", "Driver": self.driver})
            self.assertTrue(self.plugin.arrived.wait(20))
            # The name is taken, everybody else goes on, and readers do not wait.
            self.assertEqual(self.status("POST", "/networks/create", {"Name": "late"}),
                             (409, "network with name late already exists"))
            self.call("POST", "/networks/create", {"Name": "quick"})
            self.start("quick")
            self.assertEqual(self.inspect(stuck)["State"]["Status"], "created")
            self.call("GET", "/networks")
            begin = time.monotonic()
            self.assertEqual(self.daemon.stop(), 0)
            # The container that runs needs no more than ten seconds, the plugin one.
            self.assertLess(time.monotonic() - begin, 14 * PATIENCE)
            self.assertEqual((start.result()[0], create.result()[0]), (500, 500))
        self.plugin.held = set()
        self.plugin.release.set()
        self.daemon.start()
        self.plugin.net = "/proc/%d/ns/net" % self.daemon.pid
        self.assertEqual(len(self.plugin.requests("Join")), 1)
        for name in self.plugin.links():
            if name.startswith("ou"):
                self.plugin.ip("link", "delete", name)


if __name__ == "__main__":
    main()
