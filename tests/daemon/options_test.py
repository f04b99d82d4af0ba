"""Flags, daemon.json, DOCKER_OPTS and the environment: what is refused and in which words, and what a reload changes."""
import json
import os
import re
import subprocess
import tempfile
import time
import unittest

import support  # noqa: F401

from daemon import cgroup_folders, wait_for
from flagscase import ORACLE, FlagsCase
from testcase import main

MERGED = "merged configuration validation from file and command line flags failed: "


class Reload(FlagsCase):
    def events(self, daemon):
        with daemon.client() as client:
            text = client.request("GET", "/events?since=0&until=%d&filters=%%7B%%22type%%22%%3A%%5B%%22daemon%%22%%5D%%7D" %
                                  (time.time() + 1)).body
        return [json.loads(line) for line in text.splitlines()]

    def test_everything_reloadable(self):
        """One reload changes all that can be, tells so in one event and one line, and keeps what it does not name."""
        daemon = self.daemon("--default-shm-size", "96m", file={"labels": ["a=b"], "max-concurrent-uploads": 9}).start()
        file = {"debug": True, "labels": ["c=d", "e=f"], "registry-mirrors": ["https://mirror.test"],
                "insecure-registries": ["registry.test:5000"], "max-concurrent-downloads": 7, "max-download-attempts": 2,
                "shutdown-timeout": 33, "live-restore": True, "features": {"some": True}, "default-runtime": "other",
                "runtimes": {"other": {"path": "runc"}}, "default-ipc-mode": "shareable", "default-cgroupns-mode": "private"}
        line = self.reload(daemon, file)
        (event,) = self.events(daemon)
        attributes = event["Actor"]["Attributes"]
        attributes.pop("name")
        self.assertEqual((event["Action"], attributes), ("reload", {
            "debug": "true", "default-cgroupns-mode": "private", "default-ipc-mode": "shareable", "default-runtime": "other",
            "default-shm-size": "100663296", "features": "map[some:true]", "insecure-registries": '["registry.test:5000"]',
            "labels": '["c=d","e=f"]', "live-restore": "true", "max-concurrent-downloads": "7",
            "max-concurrent-uploads": "5", "max-download-attempts": "2", "registry-mirrors": '["https://mirror.test"]',
            "runtimes": "other:runc", "shutdown-timeout": "33"}))
        told = json.loads(json.loads(re.search(r'config=("(?:[^"\\]|\\.)*")', line).group(1)))
        self.assertEqual({key: told[key] for key in ("labels", "shutdown-timeout", "default-shm-size", "features", "data-root")},
                         {"labels": ["c=d", "e=f"], "shutdown-timeout": 33, "default-shm-size": 100663296,
                          "features": {"some": True}, "data-root": daemon.root})
        with daemon.client("1.50") as client:
            info = client.get("/info")
        self.assertEqual([info[key] for key in ("Debug", "Labels", "LiveRestoreEnabled", "DefaultRuntime")],
                         [True, ["c=d", "e=f"], True, "other"])
        self.assertEqual(info["Runtimes"]["other"]["path"], "runc")
        self.assertIn("registry.test:5000", info["RegistryConfig"]["IndexConfigs"])
        daemon.load_image()
        made = daemon.run("/payload", "pause", host={"NetworkMode": "none"})
        with daemon.client() as client:
            host = client.get("/containers/%s/json" % made)["HostConfig"]
        self.assertEqual([host[key] for key in ("IpcMode", "CgroupnsMode", "ShmSize", "Runtime")],
                         ["shareable", "private", 100663296, "other"])
        # Debug lines begin at once.
        self.assertIn("level=debug", self.log(daemon))
        self.reload(daemon, {})
        attributes = self.events(daemon)[1]["Actor"]["Attributes"]
        self.assertEqual([attributes[key] for key in ("labels", "features", "max-concurrent-downloads", "shutdown-timeout")],
                         ['["c=d","e=f"]', "map[]", "3", "33"])

    def test_a_bad_file_changes_nothing(self):
        daemon = self.daemon("--label", "a=b", file={"shutdown-timeout": 20}).start()
        where = "unable to configure the Docker daemon with file %s/daemon.json: " % daemon.base
        for file, why in (("{", where + "unexpected end of JSON input"),
                          ({"labels": ["c=d"]}, where + "the following directives are specified both as a flag and in the "
                           "configuration file: labels: (from flag: [a=b], from file: [c=d])"),
                          ({"debug": True, "max-concurrent-downloads": -1},
                           "file configuration validation failed: invalid max concurrent downloads: -1")):
            line = self.reload(daemon, file, "Error reloading configuration")
            self.assertIn('error="%s"' % why.replace('"', '\\"'), line)
        line = self.reload(daemon, {"default-runtime": "nowhere"}, "Error reconfiguring the daemon")
        self.assertIn("specified default runtime 'nowhere' does not exist", line)
        with daemon.client("1.50") as client:
            info = client.get("/info")
        self.assertEqual([info[key] for key in ("Labels", "Debug", "DefaultRuntime")], [["a=b"], False, "runc"])
        self.assertEqual(self.events(daemon), [])


class Refused(FlagsCase):
    def test_runtimes(self):
        start = "failed to start daemon: "
        self.refused(start + "specified default runtime 'x' does not exist", "--default-runtime", "x")
        self.refused(start + "runtime name 'runc' is reserved", file={"runtimes": {"runc": {"path": "/x"}}})
        self.refused(start + "runtime a: either a runtimeType or a path must be configured", file={"runtimes": {"a": {}}})
        self.refused(start + "runtime a: cannot configure both path and runtimeType for the same runtime",
                     file={"runtimes": {"a": {"path": "/x", "runtimeType": "io.containerd.runc.v2"}}})
        self.refused(start + "runtime a: args cannot be used with a runtimeType runtime",
                     file={"runtimes": {"a": {"runtimeType": "io.containerd.runc.v2", "runtimeArgs": ["-x"]}}})

    def test_storage(self):
        start = "failed to start daemon: error initializing graphdriver: "
        self.refused(start + "[graphdriver] ERROR: the aufs storage-driver has been deprecated and removed; visit "
                     "https://docs.docker.com/go/storage-driver/ for more information: aufs", "-s", "aufs")
        self.refused(start + "driver not supported: nothing", environment={"DOCKER_DRIVER": "nothing"})
        self.refused(start + "overlay2: unknown option overlay2.nothing: overlay2", "--storage-opt", "overlay2.nothing=1", "-s", "overlay2")
        if subprocess.run(["stat", "-fc", "%T", tempfile.gettempdir()], stdout=subprocess.PIPE).stdout == b"ext2/ext3\n":
            self.refused(start + "Storage Option overlay2.size only supported for backingFS XFS. Found extfs: overlay2",
                         "--storage-opt", "overlay2.size=1G", "-s", "overlay2")
        self.refused(start + "invalid size: 'big': overlay2", "--storage-opt", "overlay2.size=big", "-s", "overlay2")

    @unittest.skipIf(ORACLE, "Docker has these")
    def test_what_is_not_there(self):
        for argument, text in (("--userns-remap=default", "user namespaces (--userns-remap) are"),
                               ("--rootless", "rootless mode (--rootless) is"),
                               ("--feature=containerd-snapshotter=true",
                                "the containerd image store (--feature containerd-snapshotter) is")):
            self.refused(text + " not implemented by this daemon", argument)

    @unittest.skipIf(ORACLE, "Docker has these")
    def test_without_effect_but_not_in_silence(self):
        daemon = self.daemon("--selinux-enabled", "--cri-containerd", "--init-path=/x", "--network-control-plane-mtu=9000",
                             "--network-diagnostic-port=9999", "--node-generic-resource=a=b", "--swarm-default-advertise-addr=lo",
                             "--add-runtime=other=/usr/bin/other", "--exec-opt=native.cgroupdriver=systemd",
                             "--cgroup-parent=dockerd-test.slice", "--feature=buildkit=true", file={"builder": {"gc": {"enabled": True}}}).start()
        only_v1 = [] if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else ["--exec-opt native.cgroupdriver=systemd"]
        lines = [line for line in self.log(daemon).splitlines() if "has no effect" in line and "level=warning" in line]
        self.assertEqual([re.search(r'msg="(\S.*) has no effect', line).group(1) for line in lines],
                         ["--selinux-enabled", *only_v1, "--cri-containerd", "--init-path",
                          "--network-control-plane-mtu", "--network-diagnostic-port", "--node-generic-resource",
                          "--swarm-default-advertise-addr", "builder", "--feature buildkit", "--add-runtime other"])
        daemon.load_image()
        with daemon.client() as client:
            answer = client.request("POST", "/containers/create", {"Image": "kit", "HostConfig": {"Runtime": "other"}})
        self.assertEqual((answer.status, answer.message()), (
            501, 'runtime "other" is configured, but this engine runs containers itself and executes no other OCI runtime'))


class Validate(FlagsCase):
    def validate(self, *arguments, file="{}", **more):
        daemon = self.daemon("--validate", *arguments, file=file, **more)
        done = subprocess.run(daemon.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=daemon.enter_net)
        return done.returncode, done.stdout, done.stderr.replace(daemon.base, "")

    def test_says_ok_on_standard_error(self):
        self.assertEqual(self.validate(), (0, "", "configuration OK\n"))
        for text in (" \n", "\ufeff{}"):
            self.assertEqual(self.validate(file=text), (0, "", "configuration OK\n"))

    def test_utf_16(self):
        daemon = self.daemon("--validate")
        with open(daemon.base + "/daemon.json", "wb") as file:
            file.write('\ufeff{"mtu": -1}'.encode("utf-16-le"))
        done = subprocess.run(daemon.command(), stderr=subprocess.PIPE, text=True, preexec_fn=daemon.enter_net)
        self.assertEqual((done.returncode, done.stderr.replace(daemon.base, "")),
                         (1, "unable to configure the Docker daemon with file /daemon.json: %sinvalid default MTU: -1\n" % MERGED))

    def test_says_what_is_wrong(self):
        where = "unable to configure the Docker daemon with file /daemon.json: "
        for file, why in (('{"foo": 1}', "the following directives don't match any configuration option: foo"),
                          ('{"labels": ["a=b", "a=c"]}', MERGED + "conflict labels for a=c and a=b"),
                          ('{"log-format": "xml"}', MERGED + "invalid log format: xml")):
            code, out, text = self.validate(file=file)
            self.assertEqual((code, out, text), (1, "", where + why + "\n") if "labels" not in file else (code, out, text), file)
            self.assertEqual(code, 1)
        self.assertEqual(self.validate("--log-level", "loud")[0], 1)
        self.assertEqual(self.validate("--http-proxy", "http://u:p@a", file='{"proxies": {"http-proxy": "http://v:q@b"}}')[2],
                         where + "the following directives are specified both as a flag and in the configuration file: "
                         "http-proxy: (from flag: http://xxxxx:xxxxx@a, from file: http://xxxxx:xxxxx@b)\n")

    def test_minimal_api_version(self):
        self.assertEqual(self.validate(environment={"DOCKER_MIN_API_VERSION": "1.30"})[0], 0)
        self.assertEqual(self.validate(environment={"DOCKER_MIN_API_VERSION": "1.20"}),
                         (1, "", "invalid DOCKER_MIN_API_VERSION: minimum supported API version is 1.24: 1.20\n"))


@unittest.skipIf(ORACLE, "Docker's engine does not read the file itself")
class Defaults(FlagsCase):
    def test_the_line_users_write(self):
        """The value as users have it, the program's name in front, on an address of the daemon's own network namespace."""
        daemon = self.daemon(defaults='# of an init script\nDOCKER_OPTS="dockerd -H tcp://127.0.0.1:2375 '
                             '--insecure-registry=192.168.100.99:5000 --tls=false --label \'a=b c\'"\n'
                             'export http_proxy="http://proxy.test:3128/"\n')
        daemon.start()
        with daemon.client("1.50") as client:
            info = client.get("/info")
        self.assertEqual((info["RegistryConfig"]["IndexConfigs"]["192.168.100.99:5000"]["Secure"], info["Labels"], info["HttpProxy"]),
                         (False, ["a=b c"], "http://proxy.test:3128/"))
        # The test gives -H on the command line, which replaces the list.
        self.assertIn("API listen on " + daemon.socket, self.log(daemon))
        self.assertNotIn("127.0.0.1:2375", self.log(daemon))

    def test_listens_where_it_says(self):
        daemon = self.daemon(defaults="DOCKER_OPTS='-H tcp://127.0.0.1:2375 --tls=false'\n")
        daemon.listen = []
        self.spawn(daemon)
        self.assertEqual(self.listening(daemon), ["127.0.0.1:2375"])
        version = daemon.in_net(subprocess.check_output, ["curl", "-s", "127.0.0.1:2375/version"])
        self.assertEqual(json.loads(version)["ApiVersion"], "1.50")
        self.assertEqual(daemon.stop(), 0)

    def test_conflicts_and_errors(self):
        self.refused("the following directives are specified both as a flag and in the configuration file: labels: "
                     "(from flag: [a=b], from file: [c=d])", file={"labels": ["c=d"]}, defaults='DOCKER_OPTS="--label a=b"')
        self.refused("/defaults: line 3: unterminated quote", defaults='# one\n# two\nDOCKER_OPTS="--debug\n')
        self.refused("/defaults: line 1: commands are not executed", defaults="DOCKER_OPTS=$(id)\n")
        self.refused("/defaults: DOCKER_OPTS: unknown flag: --nothing", defaults="DOCKER_OPTS=--nothing\n")
        # The same words from an init script as well, and another value there, which wins.
        daemon = self.daemon("--label", "c=d", "--mtu", "1400", defaults='DOCKER_OPTS="--label a=b --mtu 1300 --icc=false"').start()
        with daemon.client("1.50") as client:
            self.assertEqual(client.get("/info")["Labels"], ["c=d"])
            options = client.get("/networks/bridge")["Options"]
        self.assertEqual([options["com.docker.network." + key] for key in ("driver.mtu", "bridge.enable_icc")], ["1400", "false"])
        # Said where it came from: such a file may have been forgotten.
        self.assertIn('/defaults sets: --icc"', self.log(daemon))


class Containers(FlagsCase):
    def test_containers_get_what_the_flags_say(self):
        daemon = self.daemon("--default-ulimit", "nofile=123:456", "--dns", "192.0.2.7", "--dns-opt", "ndots:3", "--dns-search", "a.test",
                             "--default-ipc-mode", "shareable", "--no-new-privileges", "--seccomp-profile", "unconfined", "--init",
                             "--log-driver", "local", "--log-opt", "max-size=1m", "--ip", "127.0.0.1", "--host-gateway-ip", "192.0.2.9",
                             "--default-shm-size", "32m", "--mtu", "1400", "--exec-opt", "native.cgroupdriver=cgroupfs").start()
        daemon.load_image()
        made = daemon.run("/payload", "pause", name="one", host={"PortBindings": {"80/tcp": [{}]}, "ExtraHosts": ["gate:host-gateway"]},
                          ExposedPorts={"80/tcp": {}})
        with daemon.client("1.50") as client:
            found = client.get("/containers/%s/json" % made)
            host = found["HostConfig"]
            info = client.get("/info")
        self.assertEqual((host["IpcMode"], host["LogConfig"], host["ShmSize"]),
                         ("shareable", {"Type": "local", "Config": {"max-size": "1m"}}, 32 << 20))
        self.assertEqual(found["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"], "127.0.0.1")
        self.assertEqual((info["LoggingDriver"], info["CgroupDriver"]), ("local", "cgroupfs"))
        for option in ("name=no-new-privileges", "name=seccomp,profile=unconfined"):
            self.assertIn(option, info["SecurityOptions"])

        def inside(*command):
            return daemon.cli("exec", "one", *command).stdout.decode()
        self.assertIn("Max open files            123                  456", inside("cat", "/proc/1/limits"))
        self.assertEqual([line for line in inside("cat", "/etc/resolv.conf").splitlines() if not line.startswith("#") and line],
                         ["nameserver 192.0.2.7", "search a.test", "options ndots:3"])
        self.assertRegex(inside("cat", "/etc/hosts"), r"(?m)^192\.0\.2\.9\s+gate$")
        status = inside("cat", "/proc/1/status")
        self.assertRegex(status, r"(?m)^NoNewPrivs:\s+1$")
        self.assertRegex(status, r"(?m)^Seccomp:\s+0$")
        self.assertRegex(status, r"(?m)^Name:\s+docker-init$")
        self.assertEqual(inside("cat", "/sys/class/net/eth0/mtu"), "1400\n")
        self.assertTrue(any(os.path.isdir(path) for path in cgroup_folders(daemon.cgroup)))

    def test_the_network_is_left_alone(self):
        daemon = self.daemon("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false", "--bip=10.9.0.1/16",
                             "--ip-masq=false").start()
        rules = daemon.in_net(subprocess.check_output, ["nft", "list", "ruleset"]).decode()
        self.assertNotIn("chain", rules)
        forwards = daemon.in_net(subprocess.check_output, ["cat", "/proc/sys/net/ipv4/ip_forward"]).decode()
        self.assertEqual(forwards, "0\n")

    def test_masquerading_and_forwarding(self):
        daemon = self.daemon("--ip-masq=false").start()
        rules = daemon.in_net(subprocess.check_output, ["nft", "list", "ruleset"]).decode()
        self.assertIn("chain", rules)
        # What comes from the host's own loopback is no container's.
        self.assertNotRegex("".join(line for line in rules.splitlines(True) if "127.0.0.0/8" not in line), "masquerade|MASQUERADE")
        self.assertEqual(daemon.in_net(subprocess.check_output, ["cat", "/proc/sys/net/ipv4/ip_forward"]), b"1\n")
        self.assertRegex(rules, "hook forward priority filter; policy drop;")
        daemon = self.daemon("--ip-forward-no-drop").start()
        rules = daemon.in_net(subprocess.check_output, ["nft", "list", "ruleset"]).decode()
        self.assertNotIn("policy drop", rules)
        self.assertRegex(rules, "masquerade|MASQUERADE")

    def test_proxies_and_experiments(self):
        daemon = self.daemon("--https-proxy", "http://a:b@one.test", "--no-proxy=two.test", "--experimental",
                             environment={"HTTP_PROXY": "http://three.test", "NO_PROXY": "four.test"}).start()
        with daemon.client("1.50") as client:
            info = client.get("/info")
            self.assertEqual(client.request("GET", "/_ping").header("Docker-Experimental"), "true")
        self.assertEqual([info[key] for key in ("HttpProxy", "HttpsProxy", "NoProxy", "ExperimentalBuild")],
                         ["http://three.test", "http://xxxxx:xxxxx@one.test", "two.test", True])
        self.assertIn("Running with experimental features enabled", self.log(daemon))
        self.assertIn('level=warning msg="overriding existing proxy variable with value from configuration" name=NO_PROXY '
                      "new-value=two.test old-value=four.test\n", self.log(daemon))


class Deprecated(FlagsCase):
    def test_are_told_and_taken(self):
        daemon = self.daemon("--allow-nondistributable-artifacts", "x", "--restart=false")
        daemon.start()
        lines = self.log(daemon).splitlines()
        self.assertEqual(lines[:2], [
            "Flag --allow-nondistributable-artifacts has been deprecated, Pushing nondistributable artifacts is now enabled by default. ",
            "Flag --restart has been deprecated, Please use a restart policy on docker run"])
        self.refused('DEPRECATED: The "api-cors-header" config parameter and the dockerd "--api-cors-header" option have been '
                     "removed; use a reverse proxy if you need CORS headers", "--api-cors-header", "*")


class LogForms(FlagsCase):
    def test_json(self):
        daemon = self.daemon("--log-format", "json", "-D").start()
        with daemon.client() as client:
            self.assertEqual(client.request("GET", "/containers/nothing/json").status, 404)
        wait_for(lambda: "error response for GET request" in self.log(daemon), what="the debug line")
        lines = [json.loads(line) for line in self.log(daemon).splitlines() if line.startswith("{")]
        answer = next(line for line in lines if line["msg"] == "error response for GET request")
        self.assertEqual([answer[key] for key in ("level", "method", "module", "request-url", "error-response")],
                         ["debug", "GET", "api", "/containers/nothing/json", "No such container: nothing"])
        self.assertEqual(int(answer["status"]), 404)
        self.assertTrue(any(line["msg"] == "Daemon has completed initialization" for line in lines))

    def test_level(self):
        daemon = self.daemon("--log-level", "error").start()
        self.assertEqual([line for line in self.log(daemon).splitlines() if "level=info" in line], [])


if __name__ == "__main__":
    main()
