"""A network plugin for tests: its networks are pairs of links in the daemon's network namespace."""
import ipaddress
import subprocess

from volume_plugin import Plugin


class NetworkPlugin(Plugin):
    """Listens on FOLDER/NAME.sock. Each endpoint is a veth pair, whose other end "o" + ... stays outside, up.

    `net` is the daemon's network namespace, as a path. What a test wants otherwise it puts into `answers`.
    """

    KIND = "NetworkDriver"

    def __init__(self, folder, name, net):
        self.net = net
        self.mac = "02:11:22:33:44:55"
        self.gateway, self.routes = "", []
        super().__init__(folder, name, None)

    def ip(self, *arguments):
        return subprocess.run(("nsenter", "--net=" + self.net, "ip") + arguments, check=True, stdout=subprocess.PIPE,
                              universal_newlines=True).stdout

    def links(self):
        """The plugin's links that are in the daemon's namespace."""
        lines = self.ip("-brief", "link").splitlines()
        return sorted(name for name in (line.split()[0].split("@")[0] for line in lines) if name[:2] in ("in", "ou"))

    def requests(self, method):
        return [request for called, request in self.calls if called == "NetworkDriver." + method]

    def methods(self):
        """The methods that were called, without those about the plugin."""
        return [called.split(".")[1] for called, _ in self.calls
                if called not in ("Plugin.Activate", "NetworkDriver.GetCapabilities")]

    # -- the protocol -----------------------------------------------------
    def Plugin_Activate(self, _):
        return {"Implements": ["NetworkDriver"]}

    def NetworkDriver_GetCapabilities(self, _):
        return {"Scope": "local", "ConnectivityScope": "local"}

    def NetworkDriver_CreateNetwork(self, _):
        return {}

    def NetworkDriver_DeleteNetwork(self, _):
        return {}

    def NetworkDriver_CreateEndpoint(self, request):
        name = request["EndpointID"][:8]
        self.ip("link", "add", "in" + name, "type", "veth", "peer", "name", "ou" + name)
        self.ip("link", "set", "ou" + name, "up")
        return {"Interface": {} if request["Interface"]["MacAddress"] else {"MacAddress": self.mac}}

    def NetworkDriver_DeleteEndpoint(self, request):
        # Its other end goes along, wherever it is.
        self.ip("link", "delete", "ou" + request["EndpointID"][:8])
        return {}

    def NetworkDriver_Join(self, request):
        return {"InterfaceName": {"SrcName": "in" + request["EndpointID"][:8], "DstPrefix": "plug"},
                "Gateway": self.gateway, "StaticRoutes": self.routes, "DisableGatewayService": True}

    def NetworkDriver_Leave(self, _):
        return {}

    def NetworkDriver_EndpointOperInfo(self, _):
        return {"Value": {}}

    def NetworkDriver_ProgramExternalConnectivity(self, _):
        return {}

    def NetworkDriver_RevokeExternalConnectivity(self, _):
        return {}


class IpamPlugin(Plugin):
    """Gives addresses of 10.77.0.0/24, the lowest first, or of the subnet it is asked for.

    `pools` has, by pool, what is given of it. `capabilities` may be changed before the daemon asks.
    """

    def __init__(self, folder, name):
        self.capabilities, self.pools, self.offers = {}, {}, ["10.77.0.0/24"]
        super().__init__(folder, name, None)

    def requests(self, method):
        return [request for called, request in self.calls if called == "IpamDriver." + method]

    def methods(self):
        """The methods that were called, without those about the plugin."""
        return [called.split(".")[1] for called, _ in self.calls
                if called not in ("Plugin.Activate", "IpamDriver.GetCapabilities", "IpamDriver.GetDefaultAddressSpaces")]

    # -- the protocol -----------------------------------------------------
    def Plugin_Activate(self, _):
        return {"Implements": ["IpamDriver"]}

    def IpamDriver_GetCapabilities(self, _):
        return self.capabilities

    def IpamDriver_GetDefaultAddressSpaces(self, _):
        return {"LocalDefaultAddressSpace": "near", "GlobalDefaultAddressSpace": "far"}

    def IpamDriver_RequestPool(self, request):
        subnet = request["Pool"] or next((offer for offer in self.offers if offer not in self.pools), None)
        if subnet is None:
            return {"Error": "no pool left"}
        self.pools.setdefault(subnet, set())
        return {"PoolID": subnet, "Pool": subnet, "Data": {}}

    def IpamDriver_ReleasePool(self, request):
        del self.pools[request["PoolID"]]
        return {}

    def IpamDriver_RequestAddress(self, request):
        network = ipaddress.ip_network(request["PoolID"])
        given = self.pools[request["PoolID"]]
        address = request["Address"] or str(next(host for host in network.hosts() if str(host) not in given))
        if address in given:
            return {"Error": "%s is taken" % address}
        given.add(address)
        return {"Address": "%s/%d" % (address, network.prefixlen), "Data": {}}

    def IpamDriver_ReleaseAddress(self, request):
        self.pools[request["PoolID"]].remove(request["Address"])
        return {}
