"""What an update and a network connect refuse because of what the container has already."""
import support  # noqa: F401

import rawhttp
from testcase import DaemonTestCase, main

NANO_QUOTA = "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
NANO_PERIOD = "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"
QUOTA_NANO = "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
PERIOD_NANO = "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
SWAP = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
NONE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
HOST = "cannot connect container to host network - container must be created in host network mode"


class Refusals(DaemonTestCase):
    def post(self, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call("POST", path, body)

    def create(self, name, **host):
        return self.post("/containers/create?name=" + name, {"Image": "kit", "Cmd": ["/payload", "pause"], "HostConfig": host})["Id"]

    def resources(self, name, *keys):
        with self.daemon.client("1.50") as client:
            host = client.get("/containers/%s/json" % name)["HostConfig"]
        return tuple(host[key] for key in keys)

    def refused(self, path, body):
        with self.assertRaises(rawhttp.HttpError, msg=(path, body)) as caught:
            self.post(path, body)
        return caught.exception.status, str(caught.exception)

    def test_processors_are_told_in_one_way(self):
        cases = (({"NanoCpus": 500000000}, {"CpuQuota": 80000}, NANO_QUOTA), ({"NanoCpus": 500000000}, {"CpuPeriod": 80000}, NANO_PERIOD),
                 ({"CpuQuota": 50000}, {"NanoCpus": 500000000}, QUOTA_NANO), ({"CpuPeriod": 50000}, {"NanoCpus": 500000000}, PERIOD_NANO))
        for number, (has, wants, text) in enumerate(cases):
            name = "cpus-%d" % number
            made = self.create(name, **has)
            status, message = self.refused("/containers/%s/update" % name, wants)
            self.assertEqual(status, 409)
            self.assertIn("Cannot update container %s: %s" % (made, text), message)
            self.assertEqual(self.resources(name, *has), tuple(has.values()))
        self.post("/containers/cpus-0/update", {"NanoCpus": 800000000})
        self.assertEqual(self.resources("cpus-0", "NanoCpus"), (800000000,))

    def test_memory_is_not_more_than_memory_with_swap(self):
        """Neither where the latter has no limit: that is not said in the request, so Docker does not take it as meant."""
        for name, has, wants in (("none", {}, 30 << 20), ("twice", {"Memory": 30 << 20}, 70 << 20),
                                 ("open", {"Memory": 30 << 20, "MemorySwap": -1}, 40 << 20)):
            self.create(name, **has)
            before = self.resources(name, "Memory", "MemorySwap")
            status, message = self.refused("/containers/%s/update" % name, {"Memory": wants})
            self.assertEqual((status, SWAP in message), (409, True), message)
            self.assertEqual(self.resources(name, "Memory", "MemorySwap"), before)
            self.post("/containers/%s/update" % name, {"Memory": wants, "MemorySwap": -1})
            self.assertEqual(self.resources(name, "Memory", "MemorySwap"), (wants, -1))

    def test_networks_that_exclude_each_other(self):
        self.post("/networks/create", {"Name": "ours"})
        self.create("alone", NetworkMode="none")
        self.create("on-host", NetworkMode="host")
        self.create("member", NetworkMode="ours")
        self.create("guest", NetworkMode="container:member")
        cases = (("ours", "alone", NONE), ("ours", "on-host", SHARED), ("none", "member", NONE), ("host", "member", HOST),
                 ("bridge", "guest", SHARED))
        for started in (False, True):
            for network, container, text in cases:
                status, message = self.refused("/networks/%s/connect" % network, {"Container": container})
                self.assertEqual((status, text in message), (400, True), (network, container, message))
            if not started:
                for name in ("alone", "on-host", "member", "guest"):
                    self.post("/containers/%s/start" % name)
        status, message = self.refused("/networks/host/connect", {"Container": "on-host"})
        self.assertEqual((status, "endpoint with name on-host already exists in network host" in message), (403, True), message)
        self.daemon.remove_containers()
        with self.daemon.client() as client:
            client.call("DELETE", "/networks/ours")


class Propagation(DaemonTestCase):
    def test_a_tmpfs_can_be_shared(self):
        """As for a bind; the default, private, has no mark in mountinfo."""
        look = "grep -c -e ' /a .* shared:[0-9]* - ' -e ' /b .* shared:[0-9]* - ' -e ' /c .* unbindable - ' -e ' /d [^ ]* - ' /proc/self/mountinfo"
        made = self.daemon.run("sh", "-c", "exit $(%s)" % look, host={
            "NetworkMode": "none", "Tmpfs": {"/a": "shared", "/b": "rshared,size=64k", "/c": "unbindable", "/d": ""}})
        with self.daemon.client() as client:
            self.assertEqual(client.post("/containers/%s/wait" % made)["StatusCode"], 4)


if __name__ == "__main__":
    main()
