"""Volumes of legacy plugins: the protocol, what containers do with them, and what a bad plugin can do to the daemon."""
import concurrent.futures
import json
import os
import select
import shutil
import signal
import tempfile
import time
import unittest

import support  # noqa: F401

import rawhttp
from daemon import wait_for
from plugincase import ORACLE, PLUGINS, PluginTestCase
from reports import PATIENCE
from testcase import main
from volume_plugin import Plugin


class VolumePlugins(PluginTestCase):
    def setUp(self):
        self.data = tempfile.mkdtemp(prefix="dockerd-plugin-data-")
        self.addCleanup(shutil.rmtree, self.data)
        self.driver = self.plugin_name("p")
        self.plugin = Plugin(PLUGINS, self.driver, self.data)
        super().setUp()

    def tearDown(self):
        if not self.plugin.server:
            self.plugin.start()
        self.plugin.answers.clear()
        self.plugin.release.set()
        self.daemon.remove_containers()
        with self.daemon.client("1.50") as client:
            for volume in client.get("/volumes")["Volumes"]:
                client.request("DELETE", "/volumes/" + volume["Name"])
        self.plugin.stop()
        super().tearDown()

    def volume(self, name="data", **options):
        return self.call("POST", "/volumes/create", {"Name": name, "Driver": self.driver, "DriverOpts": options})

    def listed(self):
        """All volumes, and the warnings but those about plugins of earlier tests, which the daemon remembers."""
        answer = self.call("GET", "/volumes")
        return answer["Volumes"], [text for text in answer["Warnings"] or [] if self.driver in text]

    def create(self, *command, binds=("data:/data",), config=None, **host):
        return self.call("POST", "/containers/create", {
            **(config or {}), "Image": "kit", "Cmd": list(command or ("/payload", "pause")),
            "HostConfig": dict(host, Binds=list(binds), NetworkMode="none")})["Id"]

    def run_to_end(self, *command, **host):
        container = self.create(*command, **host)
        self.call("POST", "/containers/%s/start" % container)
        return container, self.call("POST", "/containers/%s/wait" % container)["StatusCode"]

    def events(self, kind, begin):
        with self.daemon.client("1.50") as client:
            answer = client.request("GET", '/events?since=%s&until=%s&filters={"type":["%s"]}' % (begin, now(), kind))
        return [json.loads(line) for line in answer.body.splitlines()]

    # -- volumes ----------------------------------------------------------
    def test_create_inspect_list_remove(self):
        begin = now()
        made = self.volume(colour="red")
        self.assertEqual(made, {"CreatedAt": "0001-01-01T00:00:00Z", "Driver": self.driver, "Labels": None,
                                "Mountpoint": "", "Name": "data", "Options": {"colour": "red"}, "Scope": "local"})
        self.assertEqual(self.plugin.calls[0], ("Plugin.Activate", None))
        self.assertIn(("VolumeDriver.Create", {"Name": "data", "Opts": {"colour": "red"}}), self.plugin.calls)
        place = self.data + "/data"
        with self.daemon.client("1.50") as client:
            raw = client.request("GET", "/volumes/data").body.decode()
        self.assertEqual(raw, '{"CreatedAt":"2020-02-03T04:05:06Z","Driver":"%s","Labels":null,"Mountpoint":"%s","Name":"data",'
                         '"Options":{"colour":"red"},"Scope":"local","Status":{"a":{"b":null,"y":true},"z":1}}\n'
                         % (self.driver, place))
        self.assertEqual(self.listed(), ([dict(made, Mountpoint=place)], []))
        self.assertEqual(self.call("GET", '/volumes?filters={"driver":["local"]}')["Volumes"], [])
        self.assertEqual(self.volume()["Options"], {"colour": "red"})  # it is there already
        self.assertIn(self.driver, self.call("GET", "/info")["Plugins"]["Volume"])
        self.call("DELETE", "/volumes/data")
        self.assertEqual(self.status("GET", "/volumes/data"), (404, "get data: no such volume"))
        self.assertEqual((self.plugin.count("Create"), self.plugin.count("Remove"), self.plugin.count("Mount")), (1, 1, 0))
        self.assertEqual([(event["Action"], event["Actor"]["Attributes"]) for event in self.events("volume", begin)],
                         [("create", {"driver": self.driver}), ("destroy", {"driver": self.driver})])

    def test_global_scope(self):
        self.plugin.scope = "GLOBAL"
        self.assertEqual(self.volume("one")["Scope"], "global")
        self.assertEqual(self.call("GET", "/volumes/one")["Scope"], "global")
        self.assertEqual(self.plugin.count("Capabilities"), 1)

    def test_names_are_unique(self):
        self.volume()
        self.assertEqual(self.status("POST", "/volumes/create", {"Name": "data", "Driver": "local"}),
                         (409, "create data: driver '%s' already has volume 'data': volume name must be unique" % self.driver))
        self.call("POST", "/volumes/create", {"Name": "here"})
        self.assertEqual(self.status("POST", "/volumes/create", {"Name": "here", "Driver": self.driver}),
                         (409, "create here: driver 'local' already has volume 'here': volume name must be unique"))
        # Gone behind the daemon's back: the name is free.
        self.plugin.volumes.clear()
        self.assertEqual(self.call("POST", "/volumes/create", {"Name": "data", "Driver": "local"})["Driver"], "local")

    def test_a_volume_made_by_others(self):
        self.volume("first")
        self.plugin.VolumeDriver_Create({"Name": "other", "Opts": None})
        self.assertEqual(self.call("GET", "/volumes/other")["Driver"], self.driver)
        self.assertEqual(self.call("POST", "/volumes/create", {"Name": "other"})["Driver"], self.driver)
        self.assertEqual(self.plugin.count("Create"), 1)

    def test_what_the_plugin_refuses(self):
        self.plugin.answers["VolumeDriver.Create"] = lambda _: {"Err": "no room"}
        create = ("POST", "/volumes/create", {"Name": "data", "Driver": self.driver})
        self.assertEqual(self.status(*create), (500, "create data: no room"))
        self.plugin.answers["VolumeDriver.Create"] = lambda _: (500, '{"Err": "told"}')
        self.assertEqual(self.status(*create), (500, "create data: VolumeDriver.Create: told"))
        self.plugin.answers["VolumeDriver.Create"] = lambda _: (500, "plain words")
        self.assertEqual(self.status(*create), (500, "create data: VolumeDriver.Create: plain words"))
        del self.plugin.answers["VolumeDriver.Create"]
        self.volume()
        self.plugin.answers["VolumeDriver.Remove"] = lambda _: {"Err": "still needed"}
        self.assertEqual(self.status("DELETE", "/volumes/data"), (500, "remove data: still needed"))
        # Neither an error nor a volume.
        self.plugin.answers["VolumeDriver.Get"] = lambda _: {}
        self.assertEqual(self.status("GET", "/volumes/data"), (404, "get data: no such volume"))

    def test_not_a_volume_plugin(self):
        self.plugin.answers["Plugin.Activate"] = lambda _: {"Implements": ["NetworkDriver"]}
        self.assertEqual(self.status("POST", "/volumes/create", {"Name": "data", "Driver": self.driver}), (
            500, 'create data: error looking up volume plugin %s: legacy plugin: Plugin does not implement the requested '
                 'driver: plugin="%s", requested implementation="VolumeDriver"' % (self.driver, self.driver)))

    # -- containers -------------------------------------------------------
    def test_a_container_uses_it(self):
        begin = now()
        container, code = self.run_to_end("/bin/sh", "-c", "echo hello > /data/file", VolumeDriver=self.driver)
        self.assertEqual(code, 0)
        with open(self.data + "/data/file") as file:
            self.assertEqual(file.read(), "hello\n")
        [mount] = self.call("GET", "/containers/%s/json" % container)["Mounts"]
        self.assertEqual(mount, {"Type": "volume", "Name": "data", "Source": self.data + "/data", "Destination": "/data",
                                 "Driver": self.driver, "Mode": "", "RW": True, "Propagation": ""})
        # /data is in the image: the create looked whether there is something to copy.
        self.assertEqual((self.plugin.count("Mount"), self.plugin.count("Unmount")), (2, 2))
        self.assertEqual(self.plugin.ids("Mount"), self.plugin.ids("Unmount"))
        seen = [(event["Action"], event["Actor"]["Attributes"]) for event in self.events("volume", begin)]
        self.assertEqual(seen, [
            ("create", {"driver": self.driver}),
            ("mount", {"driver": self.driver, "container": container, "destination": "/data", "read/write": "true",
                       "propagation": ""}),
            ("unmount", {"driver": self.driver, "container": container})])
        self.assertEqual(self.status("DELETE", "/volumes/data"), (409, "remove data: volume is in use - [%s]" % container))

    def test_copy_up_and_anonymous(self):
        container, _ = self.run_to_end("/bin/true", binds=(), VolumeDriver=self.driver,
                                       Mounts=[{"Type": "volume", "Target": "/data",
                                                "VolumeOptions": {"DriverConfig": {"Name": self.driver}}}])
        [name] = self.plugin.volumes
        self.assertTrue(os.path.exists(self.data + "/" + name + "/seed"))
        self.call("DELETE", "/containers/%s?v=1" % container)
        self.assertEqual(self.plugin.volumes, {})

    def test_two_mounts_have_two_names(self):
        containers = [self.create(binds=("data:/a", "data:/b"), VolumeDriver=self.driver) for _ in range(2)]
        for container in containers:
            self.call("POST", "/containers/%s/start" % container)
        self.assertEqual((len(set(self.plugin.ids("Mount"))), self.plugin.count("Unmount")), (4, 0))
        for container in containers:
            self.call("DELETE", "/containers/%s?force=1" % container)
        self.assertEqual(sorted(self.plugin.ids("Mount")), sorted(self.plugin.ids("Unmount")))

    def test_docker_cp_mounts_and_unmounts(self):
        container = self.create(binds=("data:/v",), VolumeDriver=self.driver)
        self.call("POST", "/containers/%s/start" % container)
        with self.daemon.client("1.50") as client:
            self.assertEqual(client.request("GET", "/containers/%s/archive?path=/etc/passwd" % container).status, 200)
        self.assertEqual((self.plugin.count("Mount"), self.plugin.count("Unmount")), (2, 1))

    def test_a_mount_that_fails(self):
        self.volume()
        container = self.create(binds=("data:/v",))
        self.plugin.answers["VolumeDriver.Mount"] = lambda _: {"Err": "cannot mount"}
        status, text = self.status("POST", "/containers/%s/start" % container)
        self.assertEqual((status, text.split(": ", 1)[1]), (500, "cannot mount"))
        self.assertTrue(text.startswith("error while mounting volume '"), text)
        self.assertEqual(self.plugin.count("Unmount"), 0)
        state = self.call("GET", "/containers/%s/json" % container)["State"]
        self.assertEqual((state["Status"], state["ExitCode"], state["Error"]), ("created", 128, text))
        del self.plugin.answers["VolumeDriver.Mount"]
        self.call("POST", "/containers/%s/start" % container)

    @unittest.skipIf(ORACLE, "Docker's engine stops containers with the daemon's socket")
    def test_over_a_restart_of_the_daemon(self):
        container = self.create(binds=("data:/v",), VolumeDriver=self.driver)
        self.call("POST", "/containers/%s/start" % container)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.call("GET", "/volumes/data")["Driver"], self.driver)
        self.assertEqual(self.status("DELETE", "/volumes/data")[0], 409)
        self.call("DELETE", "/containers/%s?force=1" % container)
        self.assertEqual(self.plugin.ids("Mount"), self.plugin.ids("Unmount"))

    def kill_container(self, container):
        """Ends a container's program while no daemon runs."""
        pid = self.call("GET", "/containers/%s/json" % container)["State"]["Pid"]
        end = os.pidfd_open(pid)
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        select.select([end], [], [])
        os.close(end)

    @unittest.skipIf(ORACLE, "Docker's engine stops containers with the daemon's socket")
    def test_a_container_that_ends_while_no_daemon_runs(self):
        ended = self.create(binds=("data:/v",), VolumeDriver=self.driver)
        again = self.create(binds=("data:/v",), VolumeDriver=self.driver, RestartPolicy={"Name": "always"})
        lives = self.create(binds=("data:/v",), VolumeDriver=self.driver)
        for container in (ended, again, lives):
            self.call("POST", "/containers/%s/start" % container)
        mounted = self.plugin.ids("Mount")
        again_pid = self.call("GET", "/containers/%s/json" % again)["State"]["Pid"]
        end = os.pidfd_open(again_pid)
        self.kill_container(ended)
        os.kill(again_pid, signal.SIGKILL)
        select.select([end], [], [])
        os.close(end)
        self.daemon.start()
        wait_for(lambda: self.plugin.count("Unmount") == 2, what="the ended containers' mounts to be given back")
        self.assertEqual(sorted(self.plugin.ids("Unmount")), sorted(mounted[:2]))
        # The one that started again has the mount it asked for last: it was given back before that.
        order = [method.split(".")[1] for method, request in self.plugin.calls
                 if request and request.get("ID") == mounted[1]]
        self.assertEqual(order, ["Mount", "Unmount", "Mount"])
        self.daemon.kill()
        self.daemon.start()
        self.daemon.remove_containers()
        self.assertEqual(sorted(self.plugin.ids("Unmount")), sorted(self.plugin.ids("Mount")))
        self.assertEqual(self.plugin.count("Mount"), 4)

    @unittest.skipIf(ORACLE, "Docker's engine gives nothing back")
    def test_a_daemon_that_dies_while_a_plugin_mounts(self):
        self.volume()
        container = self.create(binds=("data:/v",))
        self.plugin.held = {"VolumeDriver.Mount"}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            cut_off = pool.submit(self.call, "POST", "/containers/%s/start" % container)
            self.assertTrue(self.plugin.arrived.wait(20))
            self.daemon.kill()
            self.assertRaises(Exception, cut_off.result)
        self.plugin.held = set()
        self.plugin.release.set()
        self.daemon.start()
        wait_for(lambda: self.plugin.count("Unmount") == 1, what="the mount to be given back")
        self.assertEqual(self.plugin.ids("Unmount"), self.plugin.ids("Mount"))

    @unittest.skipIf(ORACLE, "Docker's engine stops containers with the daemon's socket")
    def test_mounts_by_options_and_images_end_with_their_container(self):
        self.call("POST", "/volumes/create", {"Name": "memory", "Driver": "local",
                                              "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}})
        container = self.call("POST", "/containers/create", {
            "Image": "kit", "Cmd": ["/payload", "pause"],
            "HostConfig": {"Binds": ["memory:/m"], "NetworkMode": "none",
                           "Mounts": [{"Type": "image", "Source": "kit", "Target": "/i"}]}})["Id"]
        self.call("POST", "/containers/%s/start" % container)
        place = "/volumes/memory/_data"
        self.assertEqual(len(self.mounts_with(place)), 1)
        self.assertEqual(len(self.mounts_with("/overlay2/")), 2)
        self.kill_container(container)
        self.daemon.start()
        wait_for(lambda: not self.mounts_with(place), what="the volume to be unmounted")
        self.assertEqual(self.mounts_with("/overlay2/"), [])

    def mounts_with(self, part):
        with open("/proc/%d/mounts" % self.daemon.pid) as file:
            return [line for line in file if part in line.split()[1]]

    @unittest.skipIf(ORACLE, "Docker's engine waits for its plugins")
    def test_the_daemon_ends_though_a_plugin_hangs(self):
        self.volume()
        running = [self.create(binds=("data:/v", "data:/w"), config={"StopSignal": "SIGKILL"}) for _ in range(2)]
        for container in running:
            self.call("POST", "/containers/%s/start" % container)
        stuck = self.create(binds=("other:/o",), VolumeDriver=self.driver)
        self.plugin.held = {"VolumeDriver.Mount", "VolumeDriver.Unmount"}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            start = pool.submit(self.status, "POST", "/containers/%s/start" % stuck)
            self.assertTrue(self.plugin.arrived.wait(20))
            self.plugin.arrived.clear()
            stop = pool.submit(self.status, "POST", "/containers/%s/stop?t=0" % running[0])
            self.assertTrue(self.plugin.arrived.wait(20))
            # Everybody else goes on.
            self.assertEqual(self.run_to_end("/bin/true", binds=())[1], 0)
            self.assertEqual(self.call("GET", "/containers/%s/json" % stuck)["State"]["Status"], "created")
            self.assertEqual(len(self.call("GET", "/containers/json")), 2)
            begin = time.monotonic()
            self.assertEqual(self.daemon.stop(), 0)
            took = time.monotonic() - begin
            self.assertEqual(start.result()[0], 500)
            self.assertEqual(stop.result()[0], 204)
        # One second for what hangs, for all of it together, and none for containers: they are killed at once.
        self.assertLess(took, 4 * PATIENCE)
        self.plugin.held = set()
        self.plugin.release.set()
        self.daemon.start()
        states = [self.call("GET", "/containers/%s/json" % container)["State"]["Status"] for container in running]
        self.assertEqual(states, ["exited", "exited"])

    # -- plugins that are not there, or do not answer ----------------------
    def test_no_such_plugin(self):
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits = pool.submit(self.status, "POST", "/volumes/create", {"Name": "lost", "Driver": "nosuch"})
            # Nobody else waits for it.
            self.call("POST", "/volumes/create", {"Name": "quick"})
            self.volume("quicker")
            self.assertFalse(waits.done())
            self.assertEqual(waits.result(), (
                404, 'create lost: error looking up volume plugin nosuch: plugin "nosuch" not found'))
        self.assertGreater(time.monotonic() - begin, 14)  # Docker's pauses: 1, 2, 4 and 8 seconds

    def test_a_plugin_that_comes_later(self):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits = pool.submit(self.call, "POST", "/volumes/create", {"Name": "late", "Driver": "latecomer"})
            self.assertRaises(concurrent.futures.TimeoutError, waits.result, 0.2)
            late = Plugin(PLUGINS, "latecomer", self.data)
            self.assertEqual(waits.result()["Driver"], "latecomer")
            self.call("DELETE", "/volumes/late")
            late.stop()

    @unittest.skipIf(ORACLE, "Docker's engine asks a dead plugin for fifteen seconds each time")
    def test_a_plugin_that_died(self):
        self.volume()
        self.plugin.stop()
        self.plugin.server = None
        begin = time.monotonic()
        volumes, warnings = self.listed()
        self.assertLess(time.monotonic() - begin, 5)
        dial = 'Post "http://plugin.moby.localhost/VolumeDriver.%s": dial unix /run/docker/plugins/' + self.driver + \
               ".sock: connect: no such file or directory"
        self.assertEqual(warnings, ["list %s: %s" % (self.driver, dial % "List")])
        self.assertEqual([(volume["Name"], volume["Driver"]) for volume in volumes], [("data", self.driver)])
        self.assertEqual(self.status("GET", "/volumes/data"), (
            500, 'get data: error while checking if volume "data" exists in driver "%s": %s' % (self.driver, dial % "Get")))
        self.plugin.start()
        self.assertEqual(self.call("GET", "/volumes/data")["Name"], "data")

    @unittest.skipIf(ORACLE, "Docker's engine lets those wait who inspect the container")
    def test_a_plugin_that_does_not_answer(self):
        self.volume()
        stuck = self.create(binds=("data:/v",))
        self.plugin.held = {"VolumeDriver.Mount"}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits = pool.submit(self.status, "POST", "/containers/%s/start" % stuck)
            self.assertTrue(self.plugin.arrived.wait(20))
            # All but this one start goes on: other containers, with and without the plugin's volumes, and readers.
            self.assertEqual(self.run_to_end("/bin/true", binds=("other:/o",))[1], 0)
            self.plugin.held = set()
            self.assertEqual(self.run_to_end("/bin/true", binds=("data:/v",))[1], 0)
            self.assertEqual(self.call("GET", "/containers/%s/json" % stuck)["State"]["Status"], "created")
            self.assertIn(stuck, [container["Id"] for container in self.call("GET", "/containers/json?all=1")])
            self.call("GET", "/volumes/data")
            self.assertFalse(waits.done())
            self.plugin.release.set()
            self.assertEqual(waits.result()[0], 204)

    @unittest.skipIf(ORACLE, "Docker's engine would take whatever comes")
    def test_answers_that_are_none(self):
        self.plugin.answers["VolumeDriver.Create"] = lambda _: (200, "not JSON")
        create = ("POST", "/volumes/create", {"Name": "data", "Driver": self.driver})
        self.assertEqual(self.status(*create), (500, 'create data: invalid answer of the plugin: "not JSON"'))
        deep = '{"Err": "", "Volume": {"Name": "data", "Status": {"a": %s1%s}}}' % ("[" * 100000, "]" * 100000)
        self.plugin.answers["VolumeDriver.Create"] = lambda _: (200, deep)
        status, text = self.status(*create)
        self.assertEqual(status, 500)
        self.assertTrue(text.startswith('create data: invalid answer of the plugin: "{'), text[:80])
        self.assertLess(len(text), 20000, "what a plugin says does not go into messages as a whole")
        self.plugin.answers["VolumeDriver.Create"] = lambda _: (200, " " * (17 << 20))
        status, text = self.status(*create)
        self.assertEqual(status, 500)
        self.assertIn("http: response body too large", text)
        self.plugin.answers["VolumeDriver.Mount"] = lambda _: {"Mountpoint": ""}
        del self.plugin.answers["VolumeDriver.Create"]
        self.volume()
        container = self.create(binds=("data:/v",))
        status, text = self.status("POST", "/containers/%s/start" % container)
        self.assertEqual((status, text.split("': ", 1)[1]), (500, "volume driver %s names no mount point" % self.driver))


def now():
    return "%.9f" % time.time()


if __name__ == "__main__":
    main()
