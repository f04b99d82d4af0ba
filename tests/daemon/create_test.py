"""What a create makes of its request: mounts of others, namespaces of others, addresses, ports."""
import json
import os
import time
from urllib.parse import quote

import support  # noqa: F401

import rawhttp
from daemon import wait_for
from testcase import DaemonTestCase, main


class Create(DaemonTestCase):
    def tearDown(self):
        self.daemon.remove_containers()
        for name in self.volumes():
            self.call("DELETE", "/volumes/" + name)
        super().tearDown()

    def call(self, method, path, body=None, version="1.50"):
        with self.daemon.client(version) as client:
            return client.call(method, path, body)

    def create(self, name, host, version="1.50", Cmd=("/payload", "pause"), **config):
        body = dict(Image="kit", Cmd=list(Cmd), HostConfig=host, **config)
        return self.call("POST", "/containers/create?name=" + name, body, version)["Id"]

    def inspect(self, name):
        return self.call("GET", "/containers/%s/json" % name)

    def refused(self, name, host):
        with self.assertRaises(rawhttp.HttpError) as caught:
            self.create(name, host)
        return caught.exception.status

    def mounts(self, name):
        return {mount["Destination"]: mount for mount in self.inspect(name)["Mounts"]}

    def volumes(self):
        return sorted(volume["Name"] for volume in self.call("GET", "/volumes")["Volumes"] or [])

    def test_mounts_of_another_container(self):
        self.create("one", {"Binds": ["ours:/v:nocopy", "/usr:/b:ro"]})
        self.create("two", {"VolumesFrom": ["one:ro"]})
        mounts = self.mounts("two")
        # The mode was the other's words; whether it can be written is what counts.
        self.assertEqual([(mounts[at]["Mode"], mounts[at]["RW"]) for at in ("/b", "/v")], [("", False), ("", False)])
        self.assertEqual(self.mounts("one")["/v"]["Mode"], "nocopy")

    def test_a_mount_in_place_of_anothers_frees_the_volume(self):
        self.create("one", {"Binds": ["theirs:/v"]})
        self.create("two", {"VolumesFrom": ["one"], "Binds": ["own:/v"]})
        self.assertEqual(self.mounts("two")["/v"]["Name"], "own")
        self.call("DELETE", "/containers/one")
        self.call("DELETE", "/volumes/theirs")
        self.assertEqual(self.volumes(), ["own"])

    def test_of_others_mounts_in_one_place_the_last_counts(self):
        for name in ("one", "two"):
            self.create(name, {"Binds": [name + "s:/v", "both:/b"]})
        self.create("three", {"VolumesFrom": ["one", "two"]})
        self.assertEqual([self.mounts("three")[at]["Name"] for at in ("/b", "/v")], ["both", "twos"])
        self.call("DELETE", "/containers/one")
        self.call("DELETE", "/containers/two")
        self.call("DELETE", "/volumes/ones")  # nobody has it any more
        for kept in ("both", "twos"):
            with self.assertRaises(rawhttp.HttpError) as caught:
                self.call("DELETE", "/volumes/" + kept)
            self.assertEqual(caught.exception.status, 409, kept)

    def test_a_refused_create_holds_no_volume(self):
        self.assertEqual(self.refused("one", {"Binds": ["kept:/v"], "Mounts": [
            {"Type": "volume", "Target": "/anonymous"}, {"Type": "bind", "Source": "/usr", "Target": "/v"}]}), 400)
        # The anonymous volume went with the container, the named one is free.
        self.assertEqual(self.volumes(), ["kept"])
        self.call("DELETE", "/volumes/kept")

    def start_refused(self, name):
        with self.assertRaises(rawhttp.HttpError) as caught:
            self.call("POST", "/containers/%s/start" % name)
        return caught.exception.status, str(caught.exception)

    def test_namespaces_that_cannot_be_joined(self):
        """Status and words say which namespace it was, and what is wrong with its container."""
        idle, donors = self.create("idle", {}), {}
        for mode in ("private", "none", "shareable"):
            donors[mode] = self.create("ipc-" + mode, {"IpcMode": mode})
            self.call("POST", "/containers/%s/start" % donors[mode])
        cases = (
            ("PidMode", "idle", 500, "failed to join PID namespace: container %s is not running" % idle),
            ("IpcMode", "idle", 409, "failed to join IPC namespace: container %s is not running" % idle),
            ("NetworkMode", "idle", 409, "cannot join network namespace of a non running container: container idle is created"),
            ("NetworkMode", "self", 500, "cannot join own network namespace"),
            ("IpcMode", "ipc-private", 400, "failed to join IPC namespace: container %s: non-shareable IPC (hint: use "
             "IpcMode:shareable for the donor container)" % donors["private"]),
            ("IpcMode", "ipc-none", 400, "failed to join IPC namespace: container %s: non-shareable IPC (hint: use "
             "IpcMode:shareable for the donor container)" % donors["none"]))
        for field, donor, status, text in cases:
            self.create("self", {field: "container:" + donor})
            self.assertEqual(self.start_refused("self")[0], status, (field, donor))
            self.assertIn(text, self.start_refused("self")[1])
            self.call("DELETE", "/containers/self")
        for field, status, text in (("PidMode", 500, "failed to join PID namespace: No such container: "),
                                    ("IpcMode", 400, "failed to join IPC namespace: No such container: "),
                                    ("NetworkMode", 500, "joining network namespace of container: No such container: ")):
            gone = self.create("gone", {})
            self.create("self", {field: "container:gone"})
            self.call("DELETE", "/containers/gone")
            self.assertEqual(self.start_refused("self")[0], status, field)
            self.assertIn(text + gone, self.start_refused("self")[1])
            self.call("DELETE", "/containers/self")

    def test_memory_is_shared_along_a_chain(self):
        """The third has the second's IPC namespace, which is the first's: /dev/shm has to be the first's, too."""
        self.create("first", {"IpcMode": "shareable"}, Cmd=["sh", "-c", "echo seen >/dev/shm/file; exec /payload pause"])
        self.create("second", {"IpcMode": "container:first"})
        self.create("third", {"IpcMode": "container:second"}, Cmd=["sh", "-c", "exit $(grep -c seen /dev/shm/file)"])
        for name in ("first", "second", "third"):
            self.call("POST", "/containers/%s/start" % name)
        self.assertEqual(self.call("POST", "/containers/third/wait")["StatusCode"], 1)

    def test_tmpfs_takes_the_place_of_the_images_volume(self):
        self.create("one", {"Tmpfs": {"/foo": "", "/bar": "size=64k"}}, Volumes={"/foo": {}, "/foo/": {}, "/bar": {}},
                    Cmd=["sh", "-c", "exit $(grep -c -e '^tmpfs /foo tmpfs' -e '^tmpfs /bar tmpfs' /proc/mounts)"])
        self.assertEqual(self.inspect("one")["Mounts"], [])
        self.assertEqual(self.volumes(), [])
        self.call("POST", "/containers/one/start")
        self.assertEqual(self.call("POST", "/containers/one/wait")["StatusCode"], 2)

    def test_a_network_is_kept_by_its_name(self):
        """Whatever it was called by: clients look for the name. A MAC address that was asked for outlives the run."""
        network = self.call("POST", "/networks/create", {"Name": "ours"})["Id"]
        for number, called in enumerate((network, network[:10])):
            name, mac = "on-%d" % number, "02:42:08:26:a9:5%d" % number
            self.create(name, {"NetworkMode": called}, NetworkingConfig={"EndpointsConfig": {called: {"MacAddress": mac}}})
            self.assertEqual(list(self.inspect(name)["NetworkSettings"]["Networks"]), ["ours"])
            for _ in range(2):
                self.call("POST", "/containers/%s/start" % name)
                self.assertEqual(self.inspect(name)["NetworkSettings"]["Networks"]["ours"]["MacAddress"], mac)
                self.assertEqual(self.call("GET", "/containers/%s/json" % name, version="1.43")["Config"]["MacAddress"], mac)
                self.call("POST", "/containers/%s/kill" % name)
                self.call("POST", "/containers/%s/wait" % name)
                self.assertEqual(self.inspect(name)["NetworkSettings"]["Networks"]["ours"]["MacAddress"], "")
            self.call("DELETE", "/containers/" + name)
        self.call("DELETE", "/networks/ours")

    def test_execs_of_a_container_that_has_ended(self):
        self.create("one", {})
        self.call("POST", "/containers/one/start")
        ran, never = (self.call("POST", "/containers/one/exec", {"Cmd": ["/payload", "pause"], "Tty": True})["Id"] for _ in "12")
        self.call("POST", "/exec/%s/start" % ran, {"Detach": True, "Tty": True})
        self.call("POST", "/containers/one/pause")
        self.assertEqual(self.exec_refused(ran, "resize?h=1&w=1")[0], 409)
        self.call("POST", "/containers/one/unpause")
        self.call("POST", "/containers/one/kill")
        self.call("POST", "/containers/one/wait")
        for call in ("resize?h=1&w=1", "start"):
            status, text = self.exec_refused(ran, call)
            self.assertEqual((status, "container %s is not running" % self.inspect("one")["Id"] in text), (409, True), text)
            status, text = self.exec_refused(never, call)
            self.assertEqual((status, "No such exec instance: " + never in text), (404, True), text)

    def test_an_exec_that_has_ended_is_not_resized(self):
        self.create("one", {"NetworkMode": "none"})
        self.call("POST", "/containers/one/start")
        made = self.call("POST", "/containers/one/exec", {"Cmd": ["/payload", "exit", "3"]})["Id"]
        self.call("POST", "/exec/%s/start" % made, {"Detach": True})
        wait_for(lambda: self.call("GET", "/exec/%s/json" % made)["ExitCode"] == 3, what="the end of the exec")
        status, text = self.exec_refused(made, "resize?h=1&w=1")
        self.assertEqual((status, "NotFound: process does not exist %s: not found" % made in text), (404, True), text)

    def test_a_label_stands_before_what_an_event_tells(self):
        since = time.time()
        self.create("one", {"NetworkMode": "none"}, Cmd=["/payload", "exit", "4"],
                    Labels={"exitCode": "mine", "name": "mine", "image": "mine"})
        self.call("POST", "/containers/one/start")
        self.call("POST", "/containers/one/wait")
        query = "since=%.9f&until=%.9f&filters=%s" % (since, time.time() + 1, quote(json.dumps({"event": ["die"]})))
        with self.daemon.client() as client:
            die = json.loads(client.request("GET", "/events?" + query).body)["Actor"]["Attributes"]
        # But the container's own name and image stand before both.
        self.assertEqual((die["exitCode"], die["name"], die["image"]), ("mine", "one", "kit"))

    def test_an_exec_is_gone_when_its_output_ends(self):
        self.create("one", {"NetworkMode": "none"})
        self.call("POST", "/containers/one/start")
        for _ in range(50):
            made = self.call("POST", "/containers/one/exec", {"Cmd": ["/payload", "echo", "x"], "AttachStdout": True})["Id"]
            with self.daemon.client() as client:
                client.request("POST", "/exec/%s/start" % made, {"Detach": False})
                self.assertEqual(client.get("/containers/one/json")["ExecIDs"], None)

    def exec_refused(self, exec_id, call):
        with self.assertRaises(rawhttp.HttpError) as caught:
            self.call("POST", "/exec/%s/%s" % (exec_id, call), {"Detach": True})
        return caught.exception.status, str(caught.exception)

    def test_the_part_of_a_volume_that_is_mounted_is_filled(self):
        """The image's /data goes where the container will look for it, not to the volume's top."""
        self.create("first", {"Binds": ["ours:/v"]}, Cmd=["sh", "-c", "mkdir -p /v/deep/part; echo here >/v/file"])
        self.call("POST", "/containers/first/start")
        self.assertEqual(self.call("POST", "/containers/first/wait")["StatusCode"], 0)

        def part(path):
            return {"Mounts": [{"Type": "volume", "Source": "ours", "Target": "/data", "VolumeOptions": {"Subpath": path}}]}
        self.create("second", part("deep/part"))
        top = self.call("GET", "/volumes/ours")["Mountpoint"]
        self.assertEqual(sorted(os.listdir(top)), ["deep", "file"])
        self.assertEqual(sorted(os.listdir(top + "/deep/part")), ["owned", "seed"])
        # What is not there yet cannot be filled; the start says so.
        self.create("third", part("absent"))
        self.assertEqual(sorted(os.listdir(top)), ["deep", "file"])
        # The image has a directory there, the volume a file.
        self.assertEqual(self.refused("fourth", part("file")), 500)

    def test_an_anonymous_volume_is_marked_in_the_labels_asked_for(self):
        self.create("one", {"Mounts": [
            {"Type": "volume", "Target": "/a", "VolumeOptions": {"Labels": {"k": "v"}}},
            {"Type": "volume", "Target": "/b"},
            {"Type": "volume", "Source": "named", "Target": "/c", "VolumeOptions": {"Labels": {"k": "v"}}}]})
        options = [mount.get("VolumeOptions") for mount in self.inspect("one")["HostConfig"]["Mounts"]]
        self.assertEqual(options, [{"Labels": {"com.docker.volume.anonymous": "", "k": "v"}}, None,
                                   {"Labels": {"k": "v"}}])

    def test_read_only_binds_of_old_clients_stop_at_mounts_below(self):
        bind = {"Type": "bind", "Source": "/usr", "Target": "/b", "ReadOnly": True, "BindOptions": {"Propagation": "private"}}
        shown = {}
        for version in ("1.43", "1.44"):
            self.create("v" + version, {"Mounts": [bind]}, version)
            shown[version] = self.inspect("v" + version)["HostConfig"]["Mounts"][0]["BindOptions"]
        self.assertEqual(shown, {"1.43": {"Propagation": "private", "ReadOnlyNonRecursive": True},
                                 "1.44": {"Propagation": "private"}})

    def test_shared_namespaces_follow_a_renamed_container(self):
        one = self.create("one", {"IpcMode": "shareable"})
        self.create("two", {"NetworkMode": "container:one", "PidMode": "container:one", "IpcMode": "container:one"})
        host = self.inspect("two")["HostConfig"]
        self.assertEqual([host[key] for key in ("NetworkMode", "PidMode", "IpcMode")], ["container:" + one] * 3)
        self.call("POST", "/containers/one/rename?name=other")
        self.call("POST", "/containers/other/start")
        self.call("POST", "/containers/two/start")
        self.assertTrue(self.inspect("two")["State"]["Running"])

    def test_the_address_asked_for_is_in_the_configuration_too(self):
        mac = "02:00:00:00:00:05"
        self.create("one", {"NetworkMode": "bridge"}, NetworkingConfig={"EndpointsConfig": {"bridge": {"MacAddress": mac}}})
        self.create("two", {"NetworkMode": "bridge"})
        self.assertEqual(self.inspect("one")["Config"].get("MacAddress"), mac)
        self.assertNotIn("MacAddress", self.inspect("two")["Config"])

    def test_exposed_ports_are_shown_where_something_can_reach_them(self):
        shown = {}
        for network in ("bridge", "none", "host"):
            self.create(network, {"NetworkMode": network}, ExposedPorts={"80/tcp": {}})
            self.call("POST", "/containers/%s/start" % network)
            shown[network] = self.inspect(network)["NetworkSettings"]["Ports"]
        self.assertEqual(shown, {"bridge": {"80/tcp": None}, "none": {}, "host": {}})

    def start(self, name):
        self.call("POST", "/containers/%s/start" % name)

    def address(self, name):
        return self.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    def hosts(self, name):
        """The addresses that the container's /etc/hosts has for "db"."""
        done = self.assertCli(0, "exec", name, "cat", "/etc/hosts")
        return [line.split("\t")[0] for line in done.stdout.decode().splitlines() if line.split("\t")[1].split()[0] == "db"]

    def test_links_survive_the_daemon_and_follow_the_address(self):
        self.create("one", {})
        self.create("two", {"Links": ["one:db"]})
        self.start("one")
        self.start("two")
        first = self.address("one")
        self.assertEqual(self.hosts("two"), [first])
        self.call("POST", "/containers/one/stop?t=0")
        # Somebody else takes the address meanwhile.
        for number in range(3):
            self.create("other%d" % number, {})
            self.start("other%d" % number)
        self.start("one")
        self.assertNotEqual(self.address("one"), first)
        self.assertEqual(self.hosts("two"), [self.address("one")])
        self.daemon.restart()
        self.assertEqual(self.inspect("two")["HostConfig"]["Links"], ["/one:/two/db"])
        self.assertEqual(self.inspect("two/db")["Name"], "/one")
        names = {row["Id"]: row["Names"] for row in self.call("GET", "/containers/json?all=1")}
        self.assertEqual(names[self.inspect("one")["Id"]], ["/one", "/two/db"])
        self.call("DELETE", "/containers/two?force=1")
        self.assertIsNone(self.inspect("one")["HostConfig"]["Links"])
        names = {row["Id"]: row["Names"] for row in self.call("GET", "/containers/json?all=1")}
        self.assertEqual(names[self.inspect("one")["Id"]], ["/one"])

    def test_a_hosts_file_that_a_container_has_filled_is_left_to_it(self):
        self.create("one", {})
        self.create("two", {"Links": ["one:db"]})
        self.start("one")
        self.start("two")
        first = self.address("one")
        self.assertCli(0, "exec", "two", "sh", "-c", "head -c 2097152 /dev/zero | tr '\\0' '#' >> /etc/hosts")
        self.call("POST", "/containers/one/stop?t=0")
        for number in range(3):
            self.create("other%d" % number, {})
            self.start("other%d" % number)
        self.start("one")
        self.assertNotEqual(self.address("one"), first)
        # Not read into memory, not rewritten: as the container left it.
        done = self.assertCli(0, "exec", "two", "sh", "-c", "grep -c '^%s.db' /etc/hosts; wc -c < /etc/hosts" % first)
        self.assertEqual(done.stdout.split()[0], b"1")
        self.assertGreater(int(done.stdout.split()[1]), 2097152)
        self.assertIn("hosts of container %s are too long" % self.inspect("two")["Id"], self.daemon.log_tail())


if __name__ == "__main__":
    main()
