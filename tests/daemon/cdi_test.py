"""Devices by the Container Device Interface (--device vendor.com/class=name), and device requests nobody can serve."""
import json
import os
import shutil
import tempfile
import unittest

import support  # noqa: F401

import rawhttp
from testcase import DaemonTestCase, main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
FOLDER = tempfile.mkdtemp(prefix="dockerd-cdi-")
SPEC = """---
cdiVersion: 0.6.0
kind: vendor.com/class
devices:
- name: zero
  containerEdits:
    deviceNodes:
    - {path: /dev/cdi-zero, hostPath: /dev/zero, permissions: r, fileMode: 438}
    - {path: /dev/cdi-made, type: c, major: 1, minor: 3, uid: 1000, gid: 2000}
    env: [DEVICE=zero, PATH=/changed]
- name: nosuch
  containerEdits:
    deviceNodes: [{path: /dev/no-such-device}]
- name: hooked
  containerEdits:
    hooks: [{hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache]}]
containerEdits:
  env: [SPEC=yes]
  mounts:
  - {hostPath: %s/file, containerPath: /opt/file, options: [ro, nosuid, nodev, bind]}
""" % FOLDER


class Cdi(DaemonTestCase):
    arguments = ("--cdi-spec-dir", FOLDER)

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(shutil.rmtree, FOLDER)
        with open(FOLDER + "/vendor.yaml", "w") as file:
            file.write(SPEC)
        with open(FOLDER + "/file", "w") as file:
            file.write("from the host\n")
        super().setUpClass()

    def call(self, method, path, body=None):
        with self.daemon.client("1.50") as client:
            return client.call(method, path, body)

    def create(self, *command, request=None, **host):
        request = request or {"Driver": "cdi", "DeviceIDs": ["vendor.com/class=zero"]}
        return self.call("POST", "/containers/create", {
            "Image": "kit", "Cmd": list(command or ("/bin/true",)),
            "HostConfig": dict(host, DeviceRequests=[request], NetworkMode="none")})["Id"]

    def output(self, *command, **host):
        container = self.create(*command, **host)
        self.call("POST", "/containers/%s/start" % container)
        self.call("POST", "/containers/%s/wait" % container)
        with self.daemon.client("1.50") as client:
            logs = client.request("GET", "/containers/%s/logs?stdout=1&stderr=1" % container)
        return b"".join(data for _, data in rawhttp.frames(logs.body)).decode()

    def refused(self, **request):
        container = self.create(request=request)
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/%s/start" % container)
        return answer.status, answer.message()

    def test_device_nodes(self):
        show = "/bin/busybox stat -c '%n %F %t:%T %a %u:%g' /dev/cdi-zero /dev/cdi-made"
        self.assertEqual(self.output("/bin/busybox", "sh", "-c", show), "/dev/cdi-zero character special file 1:5 666 0:0\n"
                         "/dev/cdi-made character special file 1:3 666 1000:2000\n")

    def test_environment_and_mounts(self):
        show = "echo $SPEC $DEVICE $PATH; /bin/busybox cat /opt/file; echo x > /opt/file"
        self.assertEqual(self.output("/bin/busybox", "sh", "-c", show + " 2>&1").splitlines()[:2],
                         ["yes zero /changed", "from the host"])
        with open(FOLDER + "/file") as file:
            self.assertEqual(file.read(), "from the host\n")

    def test_the_users_mount_wins(self):
        own = FOLDER + "/own"
        with open(own, "w") as file:
            file.write("the user's\n")
        self.addCleanup(os.unlink, own)
        self.assertEqual(self.output("/bin/busybox", "cat", "/opt/file", Binds=[own + ":/opt/file"]), "the user's\n")

    def test_refused(self):
        self.assertEqual(self.refused(Driver="cdi", DeviceIDs=["vendor.com/class=zero", "vendor.com/class=x", "y"]),
                         (500, "CDI device injection failed: unresolvable CDI devices vendor.com/class=x, y"))
        self.assertEqual(self.refused(Driver="cdi", Count=1, DeviceIDs=["vendor.com/class=zero"]),
                         (500, "unexpected count in CDI device request"))
        self.assertEqual(self.refused(Driver="cdi", Options={"a": "b"}), (500, "unexpected options in CDI device request"))
        self.assertEqual(self.refused(Driver="cdi", DeviceIDs=["vendor.com/class=nosuch"]), (
            500, 'CDI device injection failed: failed to inject devices: failed to stat CDI host device '
                 '"/dev/no-such-device": no such file or directory'))

    def test_no_driver(self):
        self.assertEqual(self.refused(Capabilities=[["gpu"]], Count=-1),
                         (500, 'could not select device driver "" with capabilities: [[gpu]]'))
        self.assertEqual(self.refused(Driver="nvidia", Capabilities=[["gpu", "utility"], ["x"]], DeviceIDs=["0"]),
                         (500, 'could not select device driver "nvidia" with capabilities: [[gpu utility] [x]]'))

    @unittest.skipIf(ORACLE, "Docker's engine runs hooks")
    def test_hooks_are_not_run(self):
        self.assertEqual(self.refused(Driver="cdi", DeviceIDs=["vendor.com/class=hooked"]), (
            500, "CDI device injection failed: failed to inject devices: the hook /usr/bin/nvidia-cdi-hook (createContainer) "
                 "cannot be run: this engine runs no hooks"))

    def test_a_file_that_comes_and_goes(self):
        path = FOLDER + "/more.json"
        self.assertEqual(self.refused(Driver="cdi", DeviceIDs=["other.com/more=one"])[0], 500)
        with open(path + ".tmp", "w") as file:
            json.dump({"cdiVersion": "0.3.0", "kind": "other.com/more", "devices": [
                {"name": "one", "containerEdits": {"env": ["MORE=1"]}}]}, file)
        os.rename(path + ".tmp", path)
        self.addCleanup(os.unlink, path)
        request = {"Driver": "cdi", "DeviceIDs": ["other.com/more=one"]}
        self.assertEqual(self.output("/bin/busybox", "sh", "-c", "echo $MORE", request=request), "1\n")

    def test_info(self):
        with open(FOLDER + "/bad.json", "w") as file:
            file.write("{}")
        self.addCleanup(os.unlink, FOLDER + "/bad.json")
        info = self.call("GET", "/info")
        self.assertEqual(info["CDISpecDirs"], [FOLDER])
        self.assertEqual(info["DiscoveredDevices"], [{"Source": "cdi", "ID": "vendor.com/class=" + name}
                                                     for name in ("hooked", "nosuch", "zero")])
        self.assertIn("CDI: Error associated with spec file %s/bad.json: failed to load CDI Spec invalid CDI Spec: invalid "
                      'version ""' % FOLDER, info["Warnings"])


class NoFolders(DaemonTestCase):
    config = tempfile.NamedTemporaryFile("w", prefix="dockerd-cdi-", suffix=".json")
    arguments = ("--config-file", config.name)

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.config.close)
        cls.config.write('{"cdi-spec-dirs": []}')
        cls.config.flush()
        super().setUpClass()

    def test_an_empty_list_means_none(self):
        with self.daemon.client("1.50") as client:
            info = client.get("/info")
            self.assertEqual((info["CDISpecDirs"], info.get("DiscoveredDevices", [])), ([], []))
            self.assertIn("CDI cache initialization failed: no CDI specification directories specified", info["Warnings"])
            made = client.post("/containers/create", {"Image": "kit", "Cmd": ["/bin/true"], "HostConfig": {
                "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["vendor.com/class=zero"]}]}})["Id"]
            answer = client.request("POST", "/containers/%s/start" % made)
            self.assertEqual((answer.status, answer.message()), (
                500, "CDI device injection failed: no CDI specification directories specified"))


class NoCdi(DaemonTestCase):
    arguments = ("--feature", "cdi=false")

    def test_switched_off(self):
        with self.daemon.client("1.50") as client:
            self.assertEqual(client.get("/info")["CDISpecDirs"], [])
            made = client.post("/containers/create", {"Image": "kit", "Cmd": ["/bin/true"], "HostConfig": {
                "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["vendor.com/class=zero"]}]}})["Id"]
            answer = client.request("POST", "/containers/%s/start" % made)
            self.assertEqual((answer.status, answer.message()),
                             (500, 'could not select device driver "cdi" with capabilities: []'))


if __name__ == "__main__":
    main()
