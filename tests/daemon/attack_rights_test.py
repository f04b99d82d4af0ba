"""Attacks by rights: capabilities, users, groups, descriptors, system calls, sockets and what an exec leaves open."""
import concurrent.futures
import os
import socket
import stat
import unittest

import support  # noqa: F401  (makes tests/support importable)

from attack import ROUNDS, AttackTestCase, Tree
from daemon import descendants, wait_for
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
# Docker's own engine starts nothing with every capability where the machine's root lacks one.
ALL = ["NET_ADMIN", "SYS_PTRACE", "SYS_ADMIN"] if ORACLE else ["ALL"]
RANGE = "uids and gids must be in range 0-2147483647"


class Rights(AttackTestCase):
    # -- CVE-2022-24769, CVE-2022-29162, CVE-2022-27650, CVE-2025-27612 --------
    def assertNothingInherited(self, text, what):
        lines = dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
        self.assertEqual(set(lines), {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}, what)
        self.assertEqual(lines["CapInh"], "0" * 16, what)
        self.assertEqual(lines["CapAmb"], "0" * 16, what)

    def test_no_capability_is_inherited(self):
        hosts = [{}, {"CapAdd": ALL}, {"CapAdd": ["NET_ADMIN", "SYS_PTRACE"]}, {"CapDrop": ["ALL"]},
                 {"SecurityOpt": ["no-new-privileges"]}, {"Init": True}]
        hosts += [] if ORACLE else [{"Privileged": True}]
        for host in hosts:
            for user in ("", "alice"):
                outcome = self.try_run("/payload", "caps", host=host, User=user)
                self.assertEqual(outcome.code, 0, outcome)
                self.assertNothingInherited(outcome.out, (host, user))
        container = self.background("/payload", "pause", host={"CapAdd": ALL})
        for config in ({}, {"User": "alice"}, {"User": "1000:2000"}, {"Privileged": not ORACLE}, {"Tty": True}):
            outcome = self.execute(container, "/payload", "caps", **config)
            self.assertNothingInherited(outcome.out.replace("\r", ""), config)

    def test_health_checks_inherit_no_capability(self):
        container = self.create("/payload", "pause", host={"CapAdd": ALL}, Healthcheck={
            "Test": ["CMD", "/payload", "caps"], "Interval": 10 ** 8, "Timeout": 10 ** 10})
        self.assertIsNone(self.start(container))

        def probed():
            with self.daemon.client() as client:
                return client.get("/containers/%s/json" % container)["State"]["Health"]["Log"]

        self.assertNothingInherited(wait_for(probed, what="a probe")[0]["Output"], "health check")

    # -- CVE-2022-36109, CVE-2023-25173 -------------------------------------------
    def test_groups_are_complete(self):
        # What group 2000 is denied, nobody else is: only those who are in it notice.
        tree = Tree().file("denied", b"secret\n", mode=0o604)
        info, _ = tree.entries["denied"]
        info.gid = 2000
        name = self.make_image("groups", tree)
        script = "/payload ids; cat /denied 2>/dev/null || echo denied"
        for user, add, groups in (
            ("", [], "uid=0 euid=0 gid=0 egid=0 groups=0,2001"),
            ("alice", [], "uid=1000 euid=1000 gid=1000 egid=1000 groups=1000,2000,2001"),
            ("1000", [], "uid=1000 euid=1000 gid=1000 egid=1000 groups=1000,2000,2001"),
            ("alice:alice", [], "uid=1000 euid=1000 gid=1000 egid=1000 groups=1000"),
            ("1000:2000", [], "uid=1000 euid=1000 gid=2000 egid=2000 groups=2000"),
            ("1234", ["2000"], "uid=1234 euid=1234 gid=0 egid=0 groups=0,2000"),
            ("1234", ["extra", "more"], "uid=1234 euid=1234 gid=0 egid=0 groups=0,2000,2001"),
            ("1234", [], "uid=1234 euid=1234 gid=0 egid=0 groups=0"),
        ):
            inside = user != "" and "2000" in groups
            expected = "%s\n%s\n" % (groups, "denied" if inside else "secret")
            with self.subTest(user=user, add=add):
                self.assertEqual(self.output(script, image_name=name, User=user, host={"GroupAdd": add}), expected)
                if add:
                    continue
                of_image = self.make_image("user", tree, ["USER " + user] if user else [])
                self.assertEqual(self.output(script, image_name=of_image), expected)
                container = self.background("/payload", "pause", image_name=name)
                self.assertEqual(self.execute(container, "sh", "-c", script, User=user).out, expected)
                self.remove(container)

    # -- CVE-2024-40635 ------------------------------------------------------------
    def test_user_numbers_do_not_wrap(self):
        users = [(user, RANGE) for user in ("2147483648", "4294967295", "4294967296", "-1", "0:4294967296", "1:2147483648", "0:-1")]
        users += [(user, "no matching entries in passwd file") for user in
                  ("0x0", "00x0", "18446744073709551616", "9223372036854775808", "0 ", "1e3")]
        tree = Tree().file("etc/passwd", b"root:x:0:0::/:/bin/sh\nwrap:x:4294967296:0::/:/bin/sh\nminus:x:-1:0::/:/bin/sh\n"
                           b"group:x:1000:4294967296::/:/bin/sh\n")
        entries = self.make_image("entries", tree)
        container = self.background("/payload", "pause")
        for user, text in users:
            with self.subTest(user=user):
                outcome = self.try_run("/payload", "ids", User=user)
                self.assertIsNone(outcome.code, outcome.out)
                self.assertIn(text, outcome.error)
                outcome = self.execute(container, "/payload", "ids", User=user)
                self.assertNotIn("uid=", outcome.out)
                self.assertIn(text, outcome.error or outcome.out)
        for user in () if ORACLE else ("wrap", "minus", "group", "4294967296", "-1"):  # 20.10 is open to this
            outcome = self.try_run("/payload", "ids", User=user, image_name=entries)
            self.assertEqual((outcome.code, outcome.out), (None, ""), user)
            self.assertIn(RANGE, outcome.error)
        of_image = self.make_image("user", changes=["USER 4294967296"])
        self.assertIn(RANGE, self.try_run("/payload", "ids", image_name=of_image).error)

    # -- CVE-2024-21626, F20 --------------------------------------------------------
    def test_descriptors_are_no_working_directory(self):
        # 0 to 2 are there and no directories; beyond them nothing is.
        numbers = sorted({*range(0, 40), *range(40, 1024, max(1, 20000 // ROUNDS))})
        container = self.background("/payload", "pause")
        for number in numbers:
            folder = "/proc/self/fd/%d" % number
            for outcome in (self.try_run("/payload", "cwd", WorkingDir=folder),
                            self.execute(container, "/payload", "cwd", WorkingDir=folder)):
                self.assertNotEqual(outcome.code, 0, outcome.out)
                if number > 2 or not ORACLE:
                    self.assertIn('chdir to cwd ("%s") set in config.json failed' % folder, outcome.error or outcome.out)
        for folder in ("/proc/1/cwd/../..", "/proc/self/root/../../..", "/proc/thread-self/cwd"):
            outcome = self.execute(container, "/payload", "cwd", WorkingDir=folder)
            self.assertEqual(outcome.out, "/\n", folder)  # inside

    def test_image_working_directory_is_no_descriptor(self):
        tree = Tree()
        for number in range(3, 41):
            tree.link("way%d" % number, "/proc/self/fd/%d" % number)
        script = "cd ..; cat .%s/secret ../..%s/secret" % (self.canary, self.canary)
        name = self.make_image("cwd", tree)
        for number in range(3, 41):
            for folder in ("/way%d" % number, "/way%d/../.." % number):
                outcome = self.shell(script, image_name=name, WorkingDir=folder)
                self.assertNotEqual(outcome.code, 0, folder)
                self.assertNotIn(self.SECRET, outcome.out)
        for folder in ("/proc/self/fd/7", "/way8"):
            outcome = self.shell(script, image_name=self.make_image("cwd", tree, ["WORKDIR " + folder]))
            # Where an image's own working directory is not there, it is made at create: not through such a link.
            self.assertRegex(outcome.error, "chdir to cwd \\(\"%s\"\\) set in config.json failed|mkdir %s: " % (folder, folder))

    def test_only_streams_are_open(self):
        streams = ["0", "1", "2"]
        of = lambda text: [line.split()[1] for line in text.replace("\r", "").splitlines()]
        for config in ({}, {"Tty": True}, {"OpenStdin": True}):
            self.assertEqual(of(self.try_run("/payload", "fds", **config).out), streams, config)
        for host in ({"Init": True}, {"NetworkMode": "host", "PidMode": "host", "IpcMode": "host"}):
            self.assertEqual(of(self.try_run("/payload", "fds", host=host).out), streams, host)
        container = self.background("/payload", "pause")
        for config in ({}, {"Tty": True}, {"AttachStdin": True}):
            self.assertEqual(of(self.execute(container, "/payload", "fds", **config).out), streams, config)

    # -- I7: what a container can hold up is its own ---------------------------------------
    @unittest.skipIf(ORACLE, "20.10 hangs")
    def test_frozen_execs_hold_nothing_else_up(self):
        # Before its program is executed, the process of an exec is one that root in the container may stop.
        container = self.background("/payload", "freeze")
        hanging = []

        def enough_are_frozen():
            with self.daemon.client() as client:
                made = client.post("/containers/%s/exec" % container, {"Cmd": ["/payload", "echo", "x"]})["Id"]
            hanging.append(self.daemon.client().open())
            hanging[-1].send("POST", "/exec/%s/start" % made, {"Detach": True})
            return self.logs(container).count("frozen") >= 4

        wait_for(enough_are_frozen, what="frozen execs")
        self.assertEqual(self.output("echo other"), "other\n")
        with self.daemon.client(timeout=10) as client:
            self.assertTrue(client.get("/containers/%s/json" % container)["State"]["Running"])
            self.assertEqual(client.request("POST", "/containers/%s/kill" % container).status, 204)
            self.assertEqual(client.post("/containers/%s/wait" % container)["StatusCode"], 137)
            self.assertEqual(client.request("DELETE", "/containers/%s" % container).status, 204)
        for connection in hanging:  # all are answered: started, or not any more
            self.assertIn(connection.head().status, (200, 500))
            connection.close()

    # -- CVE-2020-15257 ---------------------------------------------------------------
    @unittest.skipIf(ORACLE, "Go's resolver has one of its own")
    def test_no_socket_is_abstract_or_open_to_others(self):
        container = self.background("/payload", "pause", host={"NetworkMode": "host"})
        listed = self.execute(container, "cat", "/proc/net/unix").out
        ours = [line for line in listed.splitlines() if "@" in line]
        self.assertEqual(ours, [])  # the daemon's network namespace is its own: whoever is there is of the daemon
        folders = [path for path, _, names in os.walk(self.daemon.exec_root) if container in path
                   for name in names if stat.S_ISSOCK(os.lstat(os.path.join(path, name)).st_mode)]
        self.assertEqual(len(folders), 1)
        self.assertEqual(stat.S_IMODE(os.stat(folders[0]).st_mode), 0o700)
        name = [name for name in os.listdir(folders[0]) if stat.S_ISSOCK(os.lstat(os.path.join(folders[0], name)).st_mode)][0]
        self.assertEqual(self.talk_as(folders[0], name, 1000), "refused")
        self.assertIsNone(self.daemon.process.poll())
        self.assertEqual(self.execute(container, "/payload", "echo", "there").out, "there\n")

    def talk_as(self, folder, name, uid):
        """Whether a monitor serves somebody of another user who has got hold of its folder."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"served"
            try:
                # As if folder and mode were not enough.
                place = os.open(os.path.join(folder, name), os.O_PATH)
                os.chmod(os.path.join(folder, name), 0o777)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                client.connect("/proc/self/fd/%d" % place)
                client.settimeout(10)
                if client.recv(1) == b"":
                    answer = b"refused"
            except socket.timeout:
                pass  # it waits for a question
            except OSError as error:
                answer = str(error).encode()
            os.write(write, answer)
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as result:
            return result.read()

    # -- CVE-2022-0492 -------------------------------------------------------------------
    def test_cgroups_are_no_way_out(self):
        script = ("for f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/notify_on_release; do "
                  "[ -e $f ] && /payload write-into $f x; done; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null; "
                  "mount -t cgroup -o rdma cgroup /tmp; /payload syscall 272 0x10000000; /payload syscall 272 0x20000; true")
        out = self.output(script)
        writes = [line for line in out.splitlines() if line.startswith("write")]
        self.assertTrue(writes or not os.path.isdir("/sys/fs/cgroup/memory"), out)
        self.assertEqual({line.split()[-1] for line in writes} - {"EROFS", "EACCES"}, set(), out)
        self.assertIn("mount: permission denied", out)
        # unshare(CLONE_NEWUSER) and unshare(CLONE_NEWNS)
        self.assertEqual(out.count("syscall 272 errno EPERM"), 2, out)

    # -- CVE-2026-31431 -------------------------------------------------------------------
    def test_refused_system_calls(self):
        calls = {"socket AF_ALG": "41 38 5 0", "socket AF_VSOCK": "41 40 1 0", "io_uring_setup": "425 1 0",
                 "userfaultfd": "323 0", "keyctl": "250 0 0 0", "add_key": "248 0 0 0", "request_key": "249 0 0 0",
                 "bpf": "321 0 0 0", "perf_event_open": "298 0 0 0 0", "kexec_load": "246 0 0 0", "mount": "165 0 0 0 0",
                 "open_by_handle_at": "304 0 0 0", "setns": "308 0 0", "unshare user": "272 0x10000000",
                 "clone new user": "56 0x10000000 0 0 0 0", "move_mount": "429 0 0 0 0 0", "open_tree": "428 0 0 0",
                 "fsopen": "430 0 0", "reboot": "169 0 0 0", "swapon": "167 0 0", "init_module": "175 0 0 0",
                 "pivot_root": "155 0 0", "iopl": "172 3", "settimeofday": "164 0 0", "clock_settime": "227 0 0"}
        if ORACLE:
            for name in ("socket AF_ALG", "socket AF_VSOCK", "io_uring_setup"):  # let through by 20.10
                del calls[name]
        outcome = self.output(";".join("/payload syscall " + call for call in calls.values()))
        expected = ["syscall %s errno EPERM" % call.split()[0] for call in calls.values()]
        self.assertEqual(outcome.splitlines(), expected)
        # Neighbours of what is refused work, so it is the filter that speaks.
        out = self.output("/payload syscall 41 1 1 0; /payload syscall 41 16 3 0; /payload syscall 435 0 0")
        lines = out.splitlines()
        self.assertIn("result", lines[0])
        self.assertIn("result", lines[1])
        self.assertEqual(lines[2], "syscall 435 errno ENOSYS")  # clone3: the C library falls back

    # -- GHSA-7jxh-36q5-gcqv, CVE-2022-23471, CVE-2025-64329 -------------------------------
    def held(self):
        """Descriptors and threads of the daemon and its monitors, without the client's connections."""
        fds = threads = 0
        for pid in [self.daemon.pid] + [pid for pid in descendants(self.daemon.pid)
                                        if os.readlink("/proc/%d/exe" % pid).startswith("/memfd:")]:
            links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)
                     if os.path.islink("/proc/%d/fd/%s" % (pid, fd))]
            fds += len([link for link in links if not link.startswith("socket:")])
            threads += len(os.listdir("/proc/%d/task" % pid))
        return fds, threads

    @unittest.skipIf(ORACLE, "its monitors are other programs")
    def test_processes_that_keep_the_output_open_hold_no_reader(self):
        container = self.background("/payload", "pause")

        def execs(count):
            # At once: the end of each output is waited for as long as somebody might still write.
            with concurrent.futures.ThreadPoolExecutor(count) as pool:
                for done in pool.map(lambda _: self.execute(container, "/payload", "hold-output"), range(count)):
                    self.assertEqual((done.code, done.out), (0, "held\n"))

        execs(25)
        before = self.held()
        for _ in range(max(1, ROUNDS // 200)):
            execs(25)
        # Threads of pools come and go; per exec nothing may stay.
        wait_for(lambda: self.held()[0] <= before[0] + 4 and self.held()[1] <= before[1] + 8,
                 what="flat descriptors and threads, %s, now %s" % (before, self.held()))
        self.assertEqual(len(descendants(self.daemon.pid)), self.left_behind(container))

    def left_behind(self, container):
        """Processes there have to be: launcher, monitor, the container's own and those it keeps."""
        with self.daemon.client() as client:
            return 2 + len(client.get("/containers/%s/top" % container)["Processes"])


if __name__ == "__main__":
    main()
