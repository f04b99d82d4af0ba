"""Every field of a create has its effect, seen from inside the container or in what the kernel was told.

docs/api-coverage.md names the test of each field; fields with a test file of their own (health, logs, restart policies,
terminals, mounts through hostile paths) are not repeated here.
"""
import json
import os
import subprocess
import tempfile

import support  # noqa: F401

import daemon
import rawhttp
from daemon import wait_for
from testcase import DaemonTestCase, main

V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


class FieldsTestCase(DaemonTestCase):
    def tearDown(self):
        self.daemon.remove_containers()
        for volume in self.call("GET", "/volumes")["Volumes"] or []:
            self.call("DELETE", "/volumes/" + volume["Name"])
        for network in self.call("GET", "/networks"):
            if network["Name"] not in ("bridge", "host", "none"):
                self.call("DELETE", "/networks/" + network["Id"])
        daemon.remove_cgroups(self.daemon.cgroup + "/own")
        super().tearDown()

    def call(self, method, path, body=None, version="1.50"):
        with self.daemon.client(version) as client:
            return client.call(method, path, body)

    def create(self, command, host=None, name=None, version="1.50", query="", **config):
        """The id of a container of the image "kit", without a network unless `host` names one."""
        body = dict({"Image": "kit", "Cmd": command}, HostConfig=dict({"NetworkMode": "none"}, **(host or {})), **config)
        return self.call("POST", "/containers/create?name=%s%s" % (name or "", query), body, version)["Id"]

    def start(self, host=None, command=("/payload", "pause"), **more):
        made = self.create(list(command), host, **more)
        self.call("POST", "/containers/%s/start" % made)
        return made

    def shown(self, command, host=None, **more):
        """What the command printed in a new container."""
        made = self.start(host, command.split() if isinstance(command, str) else command, **more)
        self.call("POST", "/containers/%s/wait" % made)
        data = self.call("GET", "/containers/%s/logs?stdout=1&stderr=1" % made)
        return b"".join(piece for _, piece in rawhttp.frames(data)).decode()

    def inspect(self, name, version="1.50"):
        return self.call("GET", "/containers/%s/json" % name, version=version)

    def refused(self, status, text, host=None, command=("true",), version="1.50", **config):
        """The create is refused in these words."""
        body = dict({"Image": "kit", "Cmd": list(command)}, HostConfig=host or {}, **config)
        with self.daemon.client(version) as client:
            answer = client.request("POST", "/containers/create", body)
        self.assertEqual((answer.status, answer.message()), (status, text))

    def start_refused(self, status, pattern, host=None, **more):
        made = self.create(["true"], host, **more)
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/%s/start" % made)
        self.assertEqual(answer.status, status, answer.message())
        self.assertRegex(answer.message(), pattern)


class Config(FieldsTestCase):
    def test_hostname_and_domainname(self):
        text = self.shown(["sh", "-c", "hostname; cat /proc/sys/kernel/domainname; tail -1 /etc/hosts"],
                          {"NetworkMode": "bridge"}, Hostname="box", Domainname="example.org")
        lines = text.split("\n")
        self.assertEqual(lines[:2], ["box", "example.org"])
        self.assertRegex(lines[2], r"^172\.17\.\d+\.\d+\tbox\.example\.org box$")
        # The kernel keeps 64 characters.
        self.assertEqual(self.shown("cat /proc/sys/kernel/domainname", Domainname="d" * 70), "d" * 64 + "\n")

    def test_hostname_is_the_id_without_one(self):
        made = self.start(None, ["hostname"])
        self.assertEqual(self.inspect(made)["Config"]["Hostname"], made[:12])

    def test_user_and_groups(self):
        self.assertEqual(self.shown("/payload ids", {"GroupAdd": ["77", "extra"]}, User="alice"),
                         "uid=1000 euid=1000 gid=1000 egid=1000 groups=77,1000,2000,2001\n")
        self.assertEqual(self.shown("/payload ids", User="1234:4321"), "uid=1234 euid=1234 gid=4321 egid=4321 groups=4321\n")

    def test_names_are_the_images_and_homes_what_is_mounted_says(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in (("passwd", "alice:x:77:77::/seven:/bin/sh\nzed:x:1000:5::/thousand:/bin/sh\nmine:x:5:5::/:/bin/sh\n"),
                           ("group", "root:x:0:\nmines:x:99:alice\n")):
            with open(os.path.join(folder.name, name), "w") as file:
                file.write(text)
        host = {"Binds": ["%s/%s:/etc/%s:ro" % (folder.name, name, name) for name in ("passwd", "group")]}
        command = ["sh", "-c", "/payload ids; echo $HOME"]
        alice = "uid=1000 euid=1000 gid=1000 egid=1000 groups=1000,2000,2001\n/thousand\n"
        self.assertEqual(self.shown(command, host, User="alice"), alice)
        self.assertEqual(self.shown(command, host, User="77"), "uid=77 euid=77 gid=0 egid=0 groups=0\n/seven\n")
        self.assertEqual(self.shown(command, host, User="0"), "uid=0 euid=0 gid=0 egid=0 groups=0,2001\n/\n")
        self.start_refused(500, "unable to find user mine: no matching entries in passwd file", host, User="mine")
        self.start_refused(500, "unable to find group mines: no matching entries in group file", host, User="0:mines")
        running = self.start(host)
        made = self.call("POST", "/containers/%s/exec" % running, {"AttachStdout": True, "Cmd": command, "User": "alice"})["Id"]
        with self.daemon.client("1.50") as stream:
            stream.hijack("/exec/%s/start" % made, {"Detach": False, "Tty": False})
            self.assertEqual(b"".join(rawhttp.streams(stream.read_to_end())).decode(), alice)

    def test_command_entrypoint_environment_and_folder(self):
        self.assertEqual(self.shown(["a b", "c"], Entrypoint=["/payload", "args"]), "argc=2\nargv[0]=a b\nargv[1]=c\n")
        text = self.shown("env", Env=["A=b c", "EMPTY=", "PATH=/bin"])
        self.assertEqual([line for line in text.split("\n") if line.startswith(("A=", "EMPTY", "PATH"))],
                         ["PATH=/bin", "A=b c", "EMPTY="])
        # A folder that is not there is made.
        self.assertEqual(self.shown("pwd", WorkingDir="/not/there/yet"), "/not/there/yet\n")
        self.refused(400, "the working directory 'relative' is invalid, it needs to be an absolute path", WorkingDir="relative")

    def test_stdin_once(self):
        for once, ends in ((True, True), (False, False)):
            made = self.create(["sh", "-c", "cat; echo ended"], OpenStdin=True, StdinOnce=once, AttachStdin=True)
            self.call("POST", "/containers/%s/start" % made)
            with self.daemon.client("1.50") as stream:
                stream.hijack("/containers/%s/attach?stream=1&stdin=1&stdout=1" % made)
                stream.sock.sendall(b"text\n")
                while b"text" not in stream.buffer:
                    self.assertTrue(stream.fill())
                stream.half_close()
                stream.read_to_end()
            if ends:
                self.assertEqual(self.call("POST", "/containers/%s/wait" % made)["StatusCode"], 0)
                log = self.call("GET", "/containers/%s/logs?stdout=1" % made)
                self.assertEqual(rawhttp.streams(log)[0], b"text\nended\n")
            else:
                # Another client goes on where the first left.
                with self.daemon.client("1.50") as stream:
                    stream.hijack("/containers/%s/attach?stream=1&stdin=1&stdout=1" % made)
                    stream.sock.sendall(b"more\n")
                    while b"more" not in stream.buffer:
                        self.assertTrue(stream.fill())
                self.assertTrue(self.inspect(made)["State"]["Running"])

    def test_volumes_of_the_configuration(self):
        made = self.start(Volumes={"/data": {}, "/fresh": {}})
        mounts = {mount["Destination"]: mount for mount in self.inspect(made)["Mounts"]}
        self.assertEqual(sorted(mounts), ["/data", "/fresh"])
        self.assertEqual({(m["Type"], m["Driver"], m["RW"], len(m["Name"])) for m in mounts.values()},
                         {("volume", "local", True, 64)})
        with open(mounts["/data"]["Source"] + "/seed") as file:
            self.assertEqual(file.read(), "from the image\n")

    def test_network_disabled(self):
        text = self.shown("/payload links", {"NetworkMode": "bridge"}, NetworkDisabled=True)
        self.assertEqual([line for line in text.split("\n") if line.startswith("link ")], ["link lo"])

    def test_mac_address(self):
        read = "cat /sys/class/net/eth0/address"
        self.assertEqual(self.shown(read, {"NetworkMode": "bridge"}, MacAddress="02:42:0a:00:00:07", version="1.43"),
                         "02:42:0a:00:00:07\n")
        self.assertEqual(self.shown(read, {"NetworkMode": "bridge"}, NetworkingConfig={
            "EndpointsConfig": {"bridge": {"MacAddress": "02:42:0a:00:00:08"}}}), "02:42:0a:00:00:08\n")

    def test_labels_shell_on_build_and_args_escaped_are_kept(self):
        made = self.create(["true"], Labels={"k": "v"}, Shell=["/bin/sh", "-ec"], OnBuild=["RUN true"], ArgsEscaped=True)
        config = self.inspect(made)["Config"]
        self.assertEqual((config["Labels"], config["Shell"], config["OnBuild"], config["ArgsEscaped"]),
                         ({"k": "v"}, ["/bin/sh", "-ec"], ["RUN true"], True))
        found = self.call("GET", "/containers/json?all=1&filters=" + json.dumps({"label": ["k=v"]}).replace(" ", ""))
        self.assertEqual([one["Id"] for one in found], [made])

    def test_name_and_platform(self):
        made = self.create(["true"], name="one", query="&platform=linux/amd64")
        self.assertEqual((self.inspect("one")["Id"], self.inspect("one")["Platform"]), (made, "linux"))
        generated = self.inspect(self.create(["true"]))["Name"]
        self.assertRegex(generated, r"^/[a-z]+_[a-z]+$")
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/create?platform=linux/s390x", {"Image": "kit"})
        self.assertEqual(answer.status, 404)
        self.assertRegex(answer.message(), "platform")


class Namespaces(FieldsTestCase):
    def spaces(self, made):
        pid = self.inspect(made)["State"]["Pid"]
        return {kind: os.readlink("/proc/%d/ns/%s" % (pid, kind)) for kind in ("pid", "ipc", "uts", "net", "mnt", "user", "cgroup")}

    def host(self):
        return {kind: os.readlink("/proc/self/ns/" + kind) for kind in ("pid", "ipc", "uts", "net", "mnt", "user", "cgroup")}

    def shared_with(self, other, host):
        spaces = self.spaces(self.start(host))
        return sorted(kind for kind in spaces if spaces[kind] == other[kind])

    def test_of_the_host(self):
        daemon = self.host()
        daemon["net"] = os.readlink("/proc/%d/ns/net" % self.daemon.pid)
        own = ["user"] if V2 else ["cgroup", "user"]
        self.assertEqual(self.shared_with(daemon, {}), own)
        for field, kind in (("PidMode", "pid"), ("IpcMode", "ipc"), ("UTSMode", "uts"), ("NetworkMode", "net")):
            self.assertEqual(self.shared_with(daemon, {field: "host"}), sorted(own + [kind]), field)
        self.assertEqual(self.shared_with(daemon, {"CgroupnsMode": "host"}), ["cgroup", "user"])
        self.assertEqual(self.shared_with(daemon, {"CgroupnsMode": "private"}), ["user"])
        self.assertEqual(self.shared_with(daemon, {"UsernsMode": "host"}), own)

    def test_of_another_container(self):
        first = self.start({"IpcMode": "shareable"}, name="first")
        spaces = self.spaces(first)
        own = ["user"] if V2 else ["cgroup", "user"]
        for field, kind in (("PidMode", "pid"), ("IpcMode", "ipc"), ("NetworkMode", "net")):
            # The name of the host belongs to the network's container.
            self.assertEqual(self.shared_with(spaces, {field: "container:first"}), sorted(own + [kind]), field)

    def test_another_containers_network_has_its_host_name(self):
        self.start({}, name="first", Hostname="inner", Domainname="example.org")
        second = self.start({"NetworkMode": "container:first"}, name="second")
        self.assertCli(0, "exec", "second", "hostname", stdout="inner\n")
        config = self.inspect(second)["Config"]
        self.assertEqual((config["Hostname"], config["Domainname"]), ("inner", "example.org"))

    def test_ipc_modes(self):
        self.start({"IpcMode": "private"}, name="private")
        made = self.inspect("private")["Id"]
        self.start_refused(400, "^failed to join IPC namespace: container %s: non-shareable IPC \\(hint: use "
                           "IpcMode:shareable for the donor container\\)$" % made, {"IpcMode": "container:private"})
        # What the donor has from the host or from a third is passed on.
        self.start({"IpcMode": "host"}, name="hosts")
        self.start({"IpcMode": "container:hosts"}, name="second")
        shm = "stat -c %d /dev/shm"
        self.assertEqual(self.shown(shm, {"IpcMode": "container:second"}), "%d\n" % os.stat("/dev/shm").st_dev)
        self.call("POST", "/containers/second/kill")
        wait_for(lambda: not self.inspect("second")["State"]["Running"], what="the end")
        made = self.inspect("second")["Id"]
        self.start_refused(409, "^failed to join IPC namespace: container %s is not running$" % made,
                           {"IpcMode": "container:second"})
        self.start_refused(500, "^failed to join PID namespace: container %s is not running$" % made,
                           {"PidMode": "container:second"})
        self.start_refused(409, "^cannot join network namespace of a non running container: container second is exited$",
                           {"NetworkMode": "container:second"})
        # Without an own /dev/shm.
        self.assertEqual(self.shown(["sh", "-c", "grep -c /dev/shm /proc/mounts"], {"IpcMode": "none"}), "0\n")
        self.refused(400, "invalid IPC mode: nothing", {"IpcMode": "nothing"})

    def test_refused(self):
        self.refused(400, "invalid PID mode: other", {"PidMode": "other"})
        self.refused(400, "invalid UTS mode: other", {"UTSMode": "other"})
        self.refused(400, "invalid cgroup namespace mode: other", {"CgroupnsMode": "other"})
        # As with Docker, a mode of user namespaces that no one knows is none.
        self.create(["true"], {"UsernsMode": "other"})
        self.refused(400, "conflicting options: hostname and the network mode",
                     {"NetworkMode": "container:one"}, Hostname="box")


class Files(FieldsTestCase):
    def test_shm_size(self):
        self.assertRegex(self.shown(["sh", "-c", "df -k /dev/shm | tail -1"]), r"\s65536\s")
        self.assertRegex(self.shown(["sh", "-c", "df -k /dev/shm | tail -1"], {"ShmSize": 1 << 20}), r"\s1024\s")
        self.refused(400, "SHM size can not be less than 0", {"ShmSize": -1})

    def test_tmpfs(self):
        text = self.shown(["grep", " /t ", "/proc/mounts"], {"Tmpfs": {"/t": "size=1m,mode=0700,uid=1000,exec"}})
        self.assertRegex(text, r"^tmpfs /t tmpfs rw,nosuid,nodev,relatime,size=1024k,mode=700,uid=1000")
        self.assertRegex(self.shown(["grep", " /t ", "/proc/mounts"], {"Mounts": [
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o750, "Options": [["noexec"]]}}]}),
            r"^tmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k,mode=750")
        # The mode of the folder it covers; a mount point that was not there makes it /tmp's.
        self.assertEqual(self.shown("stat -c %a /new /etc", {"Tmpfs": {"/new": "", "/etc": ""}}), "1777\n755\n")
        self.start_refused(500, r'invalid tmpfs option \["nonsense"\]', {"Tmpfs": {"/t": "nonsense"}})

    def test_binds_and_volume_driver(self):
        folder = self.daemon.base + "/bound"
        os.mkdir(folder)
        made = self.start({"Binds": [folder + ":/b:ro", "named:/n"], "VolumeDriver": "local"},
                          ["sh", "-c", "echo a > /b/x; echo b > /n/x"])
        self.call("POST", "/containers/%s/wait" % made)
        self.assertEqual(os.listdir(folder), [])
        volume = self.call("GET", "/volumes/named")
        self.assertEqual(volume["Driver"], "local")
        with open(volume["Mountpoint"] + "/x") as file:
            self.assertEqual(file.read(), "b\n")
        self.refused(500, "invalid mode: odd", {"Binds": [folder + ":/b:odd"]})
        os.rmdir(folder)

    def test_bind_options(self):
        folder = self.daemon.base + "/tree"
        os.mkdir(folder)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        subprocess.run(["mount", "--make-shared", folder], check=True)
        os.mkdir(folder + "/below")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder + "/below"], check=True)
        try:
            def mounts(read_only=False, **options):
                text = self.shown(["grep", " /b[ /]", "/proc/self/mountinfo"], {"Mounts": [
                    {"Type": "bind", "Source": folder, "Target": "/b", "ReadOnly": read_only, "BindOptions": options}]})
                return [(fields[4], fields[5].split(",")[0], fields[6].split(":")[0])
                        for fields in (line.split() for line in text.strip().split("\n"))]
            self.assertEqual(mounts(), [("/b", "rw", "-"), ("/b/below", "rw", "-")])
            self.assertEqual(mounts(Propagation="rslave"), [("/b", "rw", "master"), ("/b/below", "rw", "master")])
            self.assertEqual(mounts(Propagation="rshared"), [("/b", "rw", "shared"), ("/b/below", "rw", "shared")])
            self.assertEqual(mounts(NonRecursive=True), [("/b", "rw", "-")])
            self.assertEqual(mounts(True), [("/b", "ro", "-"), ("/b/below", "ro", "-")])
            self.assertEqual(mounts(True, ReadOnlyNonRecursive=True), [("/b", "ro", "-"), ("/b/below", "rw", "-")])
            self.assertEqual(mounts(True, ReadOnlyForceRecursive=True, Propagation="rprivate"),
                             [("/b", "ro", "-"), ("/b/below", "ro", "-")])
        finally:
            subprocess.run(["umount", folder + "/below", folder], check=True)
        missing = {"Type": "bind", "Source": folder + "/made", "Target": "/b"}
        self.refused(400, 'invalid mount config for type "bind": bind source path does not exist: %s/made' % folder, {"Mounts": [missing]})
        self.start({"Mounts": [dict(missing, BindOptions={"CreateMountpoint": True})]})
        self.daemon.remove_containers()
        os.rmdir(folder + "/made")
        os.rmdir(folder)

    def test_volume_options(self):
        def listed(**options):
            return self.shown(["ls", "/data"], {"Mounts": [
                {"Type": "volume", "Source": "vv", "Target": "/data", "VolumeOptions": options}]}).split()
        self.assertEqual(listed(NoCopy=True), [])
        self.assertEqual(listed(), ["owned", "seed"])
        os.mkdir(self.call("GET", "/volumes/vv")["Mountpoint"] + "/sub")
        self.assertEqual(listed(Subpath="sub"), ["owned", "seed"])
        self.start_refused(404, "cannot access path .*/none: lstat .*/none: no such file or directory", {"Mounts": [
            {"Type": "volume", "Source": "empty", "Target": "/data", "VolumeOptions": {"Subpath": "none"}}]})
        self.assertEqual(os.listdir(self.call("GET", "/volumes/empty")["Mountpoint"]), [])
        made = self.create(["true"], {"Mounts": [{"Type": "volume", "Source": "ww", "Target": "/w", "VolumeOptions": {
            "Labels": {"k": "v"}, "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}}}}]})
        volume = self.call("GET", "/volumes/ww")
        self.assertEqual((volume["Labels"], volume["Options"]), ({"k": "v"}, {"type": "tmpfs", "device": "tmpfs"}))
        self.call("DELETE", "/containers/" + made)

    def test_volumes_that_are_mounts(self):
        folder = self.daemon.base + "/device"
        os.mkdir(folder)
        self.call("POST", "/volumes/create", {"Name": "bb", "DriverOpts": {"type": "none", "o": "bind", "device": folder}})
        self.call("POST", "/volumes/create", {"Name": "tt", "DriverOpts": {"type": "tmpfs", "o": "size=1m,uid=1000", "device": "tmpfs"}})
        text = self.shown(["sh", "-c", "echo x > /b/made; grep ' /t ' /proc/mounts"], {"Binds": ["bb:/b", "tt:/t"]})
        self.assertRegex(text, r"^tmpfs /t tmpfs rw,relatime,size=1024k,uid=1000")
        self.assertEqual(os.listdir(folder), ["made"])
        # With its last container the mount goes.
        self.daemon.remove_containers()
        with open("/proc/%d/mounts" % self.daemon.pid) as mounts:
            self.assertNotIn("/volumes/tt/_data", mounts.read())
        self.call("POST", "/volumes/create", {"Name": "gone", "DriverOpts": {"type": "none", "o": "bind", "device": folder + "/no"}})
        self.start_refused(500, "failed to mount local volume: mount %s/no:.*/gone/_data, flags: 0x1000: no such file or "
                           "directory" % folder, {"Binds": ["gone:/g"]})
        os.unlink(folder + "/made")
        os.rmdir(folder)

    def test_read_only_root(self):
        self.assertEqual(self.shown(["sh", "-c", "echo y > /dev/shm/y && echo written; (echo x > /x) 2>/dev/null || echo refused"],
                                    {"ReadonlyRootfs": True}), "written\nrefused\n")

    def test_masked_and_read_only_paths(self):
        self.assertEqual(self.shown(["sh", "-c", "wc -c < /etc/passwd; (echo x >> /etc/group) 2>/dev/null || echo refused"],
                                    {"MaskedPaths": ["/etc/passwd"], "ReadonlyPaths": ["/etc"]}), "0\nrefused\n")
        text = self.shown(["sh", "-c", "grep -c ' /proc/' /proc/mounts"], {"MaskedPaths": [], "ReadonlyPaths": []})
        self.assertEqual(text, "0\n")

    def test_names_of_hosts_and_resolver(self):
        text = self.shown(["sh", "-c", "cat /etc/hosts /etc/resolv.conf"], {
            "NetworkMode": "bridge", "ExtraHosts": ["one:10.0.0.1", "six:fd00::1"], "Dns": ["10.1.1.1"],
            "DnsSearch": ["example.org"], "DnsOptions": ["ndots:3"]})
        for line in ("10.0.0.1\tone", "fd00::1\tsix", "nameserver 10.1.1.1", "search example.org", "options ndots:3"):
            self.assertIn(line + "\n", text)
        self.refused(400, 'invalid IP address in add-host: "nowhere"', {"ExtraHosts": ["one:nowhere"]})
        self.refused(400, "bad format for add-host: \"one\"", {"ExtraHosts": ["one"]})

    def test_storage_options(self):
        self.refused(500, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
                     {"StorageOpt": {"size": "10G"}})


class Rights(FieldsTestCase):
    def caps(self, host, **config):
        return [line.split()[1] for line in self.shown("/payload caps", host, **config).split("\n") if line.startswith("CapEff")][0]

    def test_capabilities(self):
        self.assertEqual(self.caps({}), "00000000a80425fb")
        self.assertEqual(self.caps({"CapAdd": ["NET_ADMIN"], "CapDrop": ["cap_mknod"]}), "00000000a00435fb")
        self.assertEqual(self.caps({"CapDrop": ["ALL"], "CapAdd": ["CHOWN"]}), "0000000000000001")
        self.refused(400, 'invalid CapAdd: unknown capability: "CAP_NOTHING"', {"CapAdd": ["NOTHING"]})

    def test_privileged(self):
        text = self.shown(["sh", "-c", "grep -E 'CapEff|Seccomp:' /proc/self/status; ls /dev/loop-control /dev/net/tun 2>&1;"
                           "grep -c ' /proc/.* ro' /proc/mounts"], {"Privileged": True})
        with open("/proc/self/status") as status:
            everything = [line for line in status if line.startswith("CapBnd")][0].split()[1]
        # Docker leaves out what the daemon has not itself.
        self.assertRegex(text, r"^CapEff:\s+%s\nSeccomp:\s+0\n" % everything)
        self.assertTrue(text.endswith("\n0\n"), text)

    def test_security_options(self):
        def status(options):
            text = self.shown(["grep", "-E", "NoNewPrivs|Seccomp:", "/proc/self/status"], {"SecurityOpt": options})
            return [line.split()[1] for line in text.strip().split("\n")]
        self.assertEqual(status([]), ["0", "2"])
        self.assertEqual(status(["no-new-privileges"]), ["1", "2"])
        self.assertEqual(status(["no-new-privileges=false", "seccomp=unconfined"]), ["0", "0"])
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}
        self.assertRegex(self.shown(["hostname", "other"], {"SecurityOpt": ["seccomp=" + json.dumps(profile)],
                                                           "CapAdd": ["SYS_ADMIN"]}), "Function not implemented")
        # The CLI's "systempaths=unconfined" is two empty lists for the daemon, which does not know the word.
        self.refused(500, 'invalid --security-opt 2: "systempaths=unconfined"', {"SecurityOpt": ["systempaths=unconfined"]})

    def test_sysctls(self):
        self.assertEqual(self.shown("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
                                    {"Sysctls": {"net.ipv4.ip_forward": "1", "kernel.msgmax": "9999"}}), "1\n9999\n")
        self.start_refused(500, 'sysctl "vm.swappiness" is not in a separate kernel namespace', {"Sysctls": {"vm.swappiness": "1"}})

    def test_ulimits(self):
        self.assertEqual(self.shown(["sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c"],
                                    {"Ulimits": [{"Name": "nofile", "Soft": 99, "Hard": 111}, {"Name": "core", "Soft": 0, "Hard": 0}]}),
                         "99\n111\n0\n")
        self.start_refused(500, "error setting rlimits for ready process: error setting rlimit type 7: invalid argument|invalid argument",
                           {"Ulimits": [{"Name": "nofile", "Soft": 2, "Hard": 1}]})

    def test_oom_score(self):
        self.assertEqual(self.shown("cat /proc/self/oom_score_adj", {"OomScoreAdj": 321}), "321\n")
        self.refused(400, "Invalid value 1001, range for oom score adj is [-1000, 1000]", {"OomScoreAdj": 1001})

    def test_init(self):
        self.assertEqual(self.shown("/payload zombies 5", {"Init": True}), "zombies 0 of 5\n")
        self.assertEqual(self.shown("/payload zombies 5", {"Init": False}), "zombies 5 of 5\n")
        self.assertEqual(self.shown(["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"], {"Init": True}).strip(),
                         "/sbin/docker-init -- sh -c tr '\\0' ' ' < /proc/1/cmdline")

    def test_devices_and_rules(self):
        self.assertEqual(self.shown(["sh", "-c", "dd if=/dev/mine bs=1 count=1 2>/dev/null | wc -c; echo x > /dev/mine"],
                                    {"Devices": [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/mine",
                                                  "CgroupPermissions": "r"}]}).split("\n")[0], "1")
        probe = ["/payload", "mkdev", "/tmp/loop", "10", "237"]
        self.assertEqual(self.shown(probe), "open: errno EPERM\n")
        self.assertEqual(self.shown(probe, {"DeviceCgroupRules": ["c 10:237 rwm"]}), "opened\n")
        self.start_refused(500, "invalid device cgroup rule format: 'x 1:1 r'", {"DeviceCgroupRules": ["x 1:1 r"]})
        self.start_refused(500, 'error gathering device information while adding custom device "/dev/not-there": no such '
                           "file or directory", {"Devices": [{"PathOnHost": "/dev/not-there", "PathInContainer": "/dev/x",
                                                              "CgroupPermissions": "rwm"}]})

    def test_device_requests(self):
        gpu = {"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
        self.start_refused(500, '^could not select device driver "" with capabilities: \\[\\[gpu\\]\\]$', {"DeviceRequests": [gpu]})
        self.start_refused(500, '^could not select device driver "mine" with capabilities: \\[\\[one two\\]\\]$',
                           {"DeviceRequests": [dict(gpu, Driver="mine", Capabilities=[["one", "two"]])]})

    def test_runtimes(self):
        for runtime in ("", "runc", "io.containerd.runc.v2"):
            self.assertEqual(self.shown("echo ran", {"Runtime": runtime}), "ran\n", runtime)
        made = self.create(["true"])
        self.assertEqual(self.inspect(made)["HostConfig"]["Runtime"], "runc")

    def test_annotations_isolation_and_what_windows_has(self):
        made = self.create(["true"], {"Annotations": {"a": "b"}, "Isolation": "default", "CpuCount": 3, "CpuPercent": 5,
                                      "ContainerIDFile": "/x", "ConsoleSize": [24, 80]})
        host = self.inspect(made)["HostConfig"]
        self.assertEqual([host[key] for key in ("Annotations", "Isolation", "CpuCount", "CpuPercent", "ContainerIDFile",
                                                "ConsoleSize")], [{"a": "b"}, "default", 3, 0, "/x", [24, 80]])
        self.refused(400, "invalid option: QoS maximum bandwidth configuration is not supported on linux", {"IOMaximumBandwidth": 9})
        self.refused(400, "invalid option: QoS maximum IOPs configuration is not supported on linux", {"IOMaximumIOps": 7})
        self.refused(400, "invalid isolation (hyperv): linux only supports 'default'", {"Isolation": "hyperv"})


class Resources(FieldsTestCase):
    def value(self, made, controller, file):
        """A file of the container's cgroup, of v1's controller or v2's one tree."""
        pid = self.inspect(made)["State"]["Pid"]
        with open("/proc/%d/cgroup" % pid) as lines:
            for line in lines:
                _, names, path = line.strip().split(":", 2)
                if names == "" and V2:
                    folder = "/sys/fs/cgroup" + path
                elif controller in names.split(",") and not V2:
                    folder = "/sys/fs/cgroup/" + controller + path
                else:
                    continue
                with open(folder + "/" + file) as content:
                    return content.read().strip()
        raise AssertionError("no cgroup for " + controller)

    def test_memory(self):
        if V2:
            self.skipTest("tests/guest/limits_test.py has v2's files")
        made = self.start({"Memory": 64 << 20, "MemorySwap": 96 << 20, "MemoryReservation": 32 << 20, "MemorySwappiness": 7,
                           "OomKillDisable": True})
        self.assertEqual(self.value(made, "memory", "memory.limit_in_bytes"), str(64 << 20))
        self.assertEqual(self.value(made, "memory", "memory.soft_limit_in_bytes"), str(32 << 20))
        self.assertEqual(self.value(made, "memory", "memory.swappiness"), "7")
        self.assertIn("oom_kill_disable 1", self.value(made, "memory", "memory.oom_control"))
        self.refused(400, "Minimum memory limit allowed is 6MB", {"Memory": 1000})

    def test_memory_of_the_kernel_and_real_time(self):
        made = self.create(["true"], {"KernelMemory": 64 << 20}, version="1.41")
        self.assertEqual(self.inspect(made)["HostConfig"].get("KernelMemory", 0), 0 if V2 else 64 << 20)
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/create", {"Image": "kit", "HostConfig": {"KernelMemoryTCP": 64 << 20}})
        self.assertEqual(answer.status, 201)
        if not os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"):
            self.refused(400, "kernel does not support CPU real-time scheduler", {"CpuRealtimePeriod": 1000000})
            self.refused(400, "kernel does not support CPU real-time scheduler", {"CpuRealtimeRuntime": 950000})

    def test_processors(self):
        made = self.start({"CpuShares": 512, "CpuPeriod": 50000, "CpuQuota": 25000, "CpusetCpus": "0", "CpusetMems": "0"})
        if not V2:
            self.assertEqual(self.value(made, "cpu", "cpu.shares"), "512")
            self.assertEqual(self.value(made, "cpu", "cpu.cfs_period_us"), "50000")
            self.assertEqual(self.value(made, "cpu", "cpu.cfs_quota_us"), "25000")
        self.assertEqual(self.value(made, "cpuset", "cpuset.cpus"), "0")
        self.assertEqual(self.value(made, "cpuset", "cpuset.mems"), "0")
        made = self.start({"NanoCpus": 1500000000})
        if not V2:
            self.assertEqual(self.value(made, "cpu", "cpu.cfs_quota_us"), "150000")
        self.refused(400, "Conflicting options: Nano CPUs and CPU Period cannot both be set",
                     {"NanoCpus": 1, "CpuPeriod": 50000})

    def test_pids_limit(self):
        self.assertEqual(self.value(self.start({"PidsLimit": 9}), "pids", "pids.max"), "9")
        self.assertEqual(self.value(self.start({"PidsLimit": -1}), "pids", "pids.max"), "max")

    def test_cgroup_parent(self):
        parent = self.daemon.cgroup + "/own"
        made = self.start({"CgroupParent": parent})
        with open("/proc/%d/cgroup" % self.inspect(made)["State"]["Pid"]) as lines:
            paths = {line.strip().split(":", 2)[2] for line in lines if line.split(":")[1] == "" or "pids" in line}
        self.assertIn(parent + "/" + made, paths)

    def test_io(self):
        device = "/dev/" + sorted(name for name in os.listdir("/sys/block") if name.startswith(("vd", "sd", "loop")))[-1]
        with open("/sys/block/%s/dev" % os.path.basename(device)) as file:
            number = file.read().strip()
        made = self.start({field: [{"Path": device, "Rate": 1 << 20}] for field in (
            "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps")})
        if V2:
            self.assertEqual(self.value(made, "io", "io.max"), "%s rbps=1048576 wbps=1048576 riops=1048576 wiops=1048576" % number)
        else:
            for kind in ("read_bps", "write_bps", "read_iops", "write_iops"):
                self.assertEqual(self.value(made, "blkio", "blkio.throttle.%s_device" % kind), "%s 1048576" % number)
        with self.daemon.client("1.50") as client:
            answer = client.request("POST", "/containers/create", {"Image": "kit", "HostConfig": {"BlkioWeight": 5}})
        if answer.status == 400:
            self.assertEqual(answer.message(), "Range of blkio weight is from 10 to 1000")
        else:
            self.assertEqual(answer.json()["Warnings"], ["Your kernel does not support Block I/O weight or the cgroup is not "
                                                         "mounted. Weight discarded."])
        self.start_refused(500, "no such file or directory", {"BlkioDeviceReadBps": [{"Path": "/dev/not-there", "Rate": 1}]})


class Networks(FieldsTestCase):
    def test_ports(self):
        made = self.start({"NetworkMode": "bridge", "PortBindings": {
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18199"}], "82/tcp": [{"HostPort": "18200"}]}},
            ExposedPorts={"80/tcp": {}, "81/tcp": {}, "3000-3005/udp": {}})
        # What is not exposed is not published either; a range, as compose files have it, is no port.
        self.assertEqual(self.inspect(made)["NetworkSettings"]["Ports"],
                         {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18199"}], "81/tcp": None, "0/udp": None})
        made = self.start({"NetworkMode": "bridge", "PublishAllPorts": True}, ExposedPorts={"81/tcp": {}})
        bound = self.inspect(made)["NetworkSettings"]["Ports"]["81/tcp"]
        self.assertTrue(32768 <= int(bound[0]["HostPort"]) <= 60999, bound)

    def test_addresses_of_version_six(self):
        self.call("POST", "/networks/create", {"Name": "six", "EnableIPv6": True, "IPAM": {"Config": [
            {"Subnet": "10.78.0.0/24"}, {"Subnet": "fd00:78::/64"}]}})
        made = self.start({"NetworkMode": "six"}, NetworkingConfig={"EndpointsConfig": {"six": {
            "IPAMConfig": {"IPv6Address": "fd00:78::78", "LinkLocalIPs": ["169.254.34.68"]}}}}, name="one")
        seen = self.inspect(made)["NetworkSettings"]["Networks"]["six"]
        self.assertEqual((seen["GlobalIPv6Address"], seen["GlobalIPv6PrefixLen"], seen["IPv6Gateway"], seen["IPPrefixLen"]),
                         ("fd00:78::78", 64, "fd00:78::1", 24))
        text = self.assertCli(0, "exec", "one", "ip", "-o", "addr", "show", "eth0").stdout.decode()
        self.assertIn("fd00:78::78/64", text)
        self.assertIn("169.254.34.68/16", text)

    def test_endpoint_settings(self):
        network = self.call("POST", "/networks/create", {"Name": "own", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}})["Id"]
        made = self.start({"NetworkMode": "own"}, NetworkingConfig={"EndpointsConfig": {"own": {
            "IPAMConfig": {"IPv4Address": "10.77.0.77"}, "Aliases": ["other"], "GwPriority": 3,
            "DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"}}}}, name="one")
        seen = self.inspect(made)["NetworkSettings"]["Networks"]["own"]
        self.assertEqual((seen["IPAddress"], seen["NetworkID"], seen["GwPriority"], seen["Gateway"]),
                         ("10.77.0.77", network, 3, "10.77.0.1"))
        self.assertEqual(seen["DNSNames"], ["one", "other", made[:12]])
        done = self.assertCli(0, "exec", "one", "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians")
        self.assertEqual(done.stdout, b"1\n")

    def test_links(self):
        self.start({"NetworkMode": "bridge"}, name="server")
        text = self.shown(["sh", "-c", "env; cat /etc/hosts"], {"NetworkMode": "bridge", "Links": ["server:db"]})
        self.assertRegex(text, r"\tdb [0-9a-f]{12} server\n")
        self.assertRegex(text, r"DB_NAME=/[a-z_]+/db\n")


class Exec(FieldsTestCase):
    """The fields of POST /containers/{name}/exec."""

    def test_all(self):
        self.start(name="one")
        def run(**config):
            made = self.call("POST", "/containers/one/exec", dict({"AttachStdout": True, "AttachStderr": True}, **config))["Id"]
            with self.daemon.client("1.50") as stream:
                stream.hijack("/exec/%s/start" % made, {"Detach": False, "Tty": config.get("Tty", False)})
                data = stream.read_to_end()
            text = data.decode() if config.get("Tty") else b"".join(rawhttp.streams(data)).decode()
            state = self.call("GET", "/exec/%s/json" % made)
            return text, state["ExitCode"]
        self.assertEqual(run(Cmd=["sh", "-c", "echo $A; pwd; exit 7"], Env=["A=b"], WorkingDir="/tmp"), ("b\n/tmp\n", 7))
        self.assertEqual(run(Cmd=["/payload", "ids"], User="alice")[0],
                         "uid=1000 euid=1000 gid=1000 egid=1000 groups=1000,2000,2001\n")
        with open("/proc/self/status") as status:
            everything = [line for line in status if line.startswith("CapBnd")][0].split()[1]
        self.assertIn("CapEff:\t" + everything, run(Cmd=["cat", "/proc/self/status"], Privileged=True)[0])
        self.assertEqual(run(Cmd=["tty"], Tty=True)[0], "/dev/pts/0\r\n")
        # Without a stream the answer does not wait for the end.
        self.assertEqual(run(Cmd=["sh", "-c", "echo lost"], AttachStdout=False, AttachStderr=False)[0], "")


if __name__ == "__main__":
    main()
