"""What a create makes of its request: mounts of others, namespaces of others, addresses, ports."""
import support  # noqa: F401

import rawhttp
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

    def create(self, name, host, version="1.50", **config):
        body = dict(Image="kit", Cmd=["/payload", "pause"], HostConfig=host, **config)
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

    def test_a_refused_create_holds_no_volume(self):
        self.assertEqual(self.refused("one", {"Binds": ["kept:/v"], "Mounts": [
            {"Type": "volume", "Target": "/anonymous"}, {"Type": "bind", "Source": "/usr", "Target": "/v"}]}), 400)
        # The anonymous volume went with the container, the named one is free.
        self.assertEqual(self.volumes(), ["kept"])
        self.call("DELETE", "/volumes/kept")

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
