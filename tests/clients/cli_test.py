"""The docker CLI as people and scripts use it: a walk through the commands and their output."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from daemon import wait_for
from testcase import DaemonTestCase, main


class Commands(DaemonTestCase):
    def out(self, *arguments, **more):
        return self.assertCli(0, *arguments, **more).stdout.decode()

    def test_run_detached_prints_the_id(self):
        text = self.out("run", "-d", "--name", "one", "kit")
        self.assertRegex(text, r"^[0-9a-f]{64}\n$")
        self.assertEqual(self.out("ps", "-q", "--no-trunc"), text)
        self.assertEqual(self.out("ps", "--format", "{{.Names}} {{.Image}} {{.Command}}"), 'one kit "/payload pause"\n')
        self.assertEqual(self.out("stop", "one"), "one\n")
        self.assertEqual(self.out("ps", "-q"), "")
        self.assertRegex(self.out("ps", "-a", "--format", "{{.Status}}"), r"^Exited \(143\) ")
        self.assertEqual(self.out("start", "one"), "one\n")
        self.assertEqual(self.out("restart", "-t", "1", "one"), "one\n")
        self.assertEqual(self.out("kill", "one"), "one\n")
        self.assertEqual(self.out("wait", "one"), "137\n")
        self.assertEqual(self.out("rm", "one"), "one\n")

    def test_options_reach_the_program(self):
        self.assertEqual(self.out("run", "--rm", "-e", "A=b", "kit", "sh", "-c", "echo $A"), "b\n")
        self.assertEqual(self.out("run", "--rm", "-w", "/tmp", "kit", "/payload", "cwd"), "/tmp\n")
        self.assertEqual(self.out("run", "--rm", "-u", "alice", "kit", "/payload", "ids"),
                         "uid=1000 euid=1000 gid=1000 egid=1000 groups=1000,2000,2001\n")
        self.assertEqual(self.out("run", "--rm", "--entrypoint", "/payload", "kit", "args", "x"), "argc=1\nargv[0]=x\n")
        self.assertEqual(self.out("run", "--rm", "-h", "box", "kit", "hostname"), "box\n")
        self.assertEqual(self.out("run", "--rm", "--init", "kit", "/payload", "zombies", "5"), "zombies 0 of 5\n")

    def test_capabilities(self):
        def effective(*arguments):
            text = self.out("run", "--rm", *arguments, "kit", "/payload", "caps")
            return re.search(r"CapEff:\s+(\S+)", text).group(1)
        self.assertEqual(effective(), "00000000a80425fb")
        self.assertEqual(effective("--cap-drop", "ALL"), "0000000000000000")
        self.assertEqual(effective("--cap-add", "NET_ADMIN"), "00000000a80435fb")
        self.assertEqual(effective("--cap-drop", "MKNOD"), "00000000a00425fb")
        self.assertEqual(effective("-u", "alice"), "0000000000000000")

    def test_read_only_and_tmpfs(self):
        done = self.assertCli(1, "run", "--rm", "--read-only", "kit", "/payload", "write", "/x", "y")
        self.assertEqual(done.stderr, b"/x: errno EROFS\n")
        self.assertEqual(self.out("run", "--rm", "--read-only", "--tmpfs", "/t", "kit", "/payload", "write", "/t/x", "y"),
                         "wrote 1\n")

    def test_volumes_and_binds(self):
        folder = self.daemon.base + "/shared"
        os.mkdir(folder)
        self.out("run", "--rm", "-v", folder + ":/s", "kit", "/payload", "write", "/s/file", "text")
        with open(folder + "/file") as file:
            self.assertEqual(file.read(), "text")
        self.assertCli(1, "run", "--rm", "-v", folder + ":/s:ro", "kit", "/payload", "write", "/s/file", "no")
        # A new volume takes over what the image has there, with its owners.
        text = self.out("run", "--rm", "-v", "fresh:/data", "kit", "/payload", "stat", "/data/owned", "/data/seed")
        self.assertIn("/data/owned type=file mode=0600 uid=1000 gid=1000", text)
        self.assertEqual(self.out("volume", "ls", "-q"), "fresh\n")
        self.assertEqual(self.out("volume", "rm", "fresh"), "fresh\n")
        os.unlink(folder + "/file")
        os.rmdir(folder)

    def test_logs(self):
        self.out("run", "--name", "spoke", "kit", "/payload", "spam", "5", "12")
        lines = ["%08d ..\n" % i for i in range(5)]
        self.assertEqual(self.out("logs", "spoke"), "".join(lines))
        self.assertEqual(self.out("logs", "--tail", "2", "spoke"), "".join(lines[3:]))
        self.assertEqual(self.out("logs", "--since", "1h", "--until", "30m", "spoke"), "")
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z "
        self.assertRegex(self.out("logs", "-t", "--tail", "1", "spoke"), "^" + stamp + r"00000004 \.\.\n$")

    def test_exec_rename_pause_top(self):
        self.out("run", "-d", "--name", "up", "kit")
        self.assertEqual(self.out("exec", "-e", "A=b", "-w", "/tmp", "up", "sh", "-c", "echo $A $PWD"), "b /tmp\n")
        self.out("exec", "-d", "up", "/payload", "write", "/tmp/made", "x")
        wait_for(lambda: self.cli("exec", "up", "/payload", "cat", "/tmp/made").stdout == b"x", what="the detached exec")
        self.out("rename", "up", "renamed")
        self.out("pause", "renamed")
        self.assertRegex(self.out("ps", "--format", "{{.Status}}"), r"\(Paused\)\n$")
        self.out("unpause", "renamed")
        self.assertIn("/payload pause", self.out("top", "renamed"))

    def test_images(self):
        self.out("tag", "kit", "other:v1")
        self.assertIn("kit:latest\n", self.out("images", "--format", "{{.Repository}}:{{.Tag}}"))
        self.assertEqual(self.out("images", "-q", "kit"), self.out("images", "-q", "other"))
        path = self.daemon.base + "/saved.tar"
        self.out("save", "-o", path, "other:v1")
        self.assertEqual(self.out("rmi", "other:v1"), "Untagged: other:v1\n")
        self.assertEqual(self.out("load", "-i", path), "Loaded image: other:v1\n")
        os.unlink(path)
        self.assertEqual(self.out("run", "--rm", "other:v1", "/payload", "echo", "loaded"), "loaded\n")
        self.assertIn("Imported from -", self.out("history", "other:v1"))
        self.out("rmi", "other:v1")
        self.assertCli(1, "image", "inspect", "other:v1")

    def test_inspect_is_json(self):
        made = self.out("create", "--name", "seen", "--label", "k=v", "kit").strip()
        found = json.loads(self.out("inspect", "seen"))
        self.assertEqual([one["Id"] for one in found], [made])
        self.assertEqual(found[0]["Config"]["Labels"], {"k": "v"})
        self.assertEqual(self.out("ps", "-aq", "--no-trunc", "-f", "label=k=v"), made + "\n")
        self.assertEqual(self.out("ps", "-aq", "-f", "label=k=other"), "")
        self.assertCli(1, "inspect", "nobody", stdout="[]\n")

    def test_published_port(self):
        self.out("run", "-d", "--name", "web", "-p", "127.0.0.1:18081:80", "kit", "/payload", "listen", "80")
        self.assertEqual(self.out("port", "web"), "80/tcp -> 127.0.0.1:18081\n")
        self.assertTrue(self.daemon.in_net(self.ask, 18081).endswith(" ping\n"))
        done = self.assertCli(125, "run", "--rm", "-p", "127.0.0.1:18081:80", "kit", "/payload", "exit", "0")
        self.assertRegex(done.stderr.decode(), "port is already allocated")
        self.out("rm", "-f", "web")
        self.assertRaises(OSError, self.daemon.in_net, self.ask, 18081)

    @staticmethod
    def ask(port):
        import socket
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"ping\n")
            return sock.makefile().readline()

    def test_networks_of_the_machine(self):
        self.assertEqual(self.out("run", "--rm", "--network", "none", "kit", "/payload", "links").split("\n")[0], "link lo")
        inside = self.out("run", "--rm", "--network", "host", "kit", "/payload", "links")
        self.assertIn("link docker0\n", inside)
        self.assertRegex(self.out("run", "--rm", "kit", "/payload", "links"), r"address eth0 172\.17\.0\.\d+\n")

    def test_containers_reach_each_other(self):
        self.out("run", "-d", "--name", "server", "kit", "/payload", "listen", "7")
        address = self.out("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "server").strip()
        text = self.out("run", "--rm", "kit", "/payload", "connect", address, "7", "hello")
        self.assertRegex(text, r"^172\.17\.0\.\d+ hello\n$")

    def test_limits_are_set(self):
        self.out("run", "-d", "--name", "small", "-m", "64m", "--cpus", "0.5", "--pids-limit", "9", "kit")
        self.assertEqual(self.out("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "small"),
                         "67108864 500000000\n")
        self.assertRegex(self.out("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "small"), r"/ 64MiB 1\n$")
        self.assertCli(0, "run", "--rm", "--pids-limit", "9", "kit", "/payload", "fork", "20",
                       stdout="forked 8 of 20 errno EAGAIN\n")

    def test_events_are_told(self):
        since = self.out("info", "-f", "{{.SystemTime}}").strip()
        self.assertCli(2, "run", "--rm", "--name", "told", "--network", "none", "kit", "/payload", "exit", "2")
        until = self.out("info", "-f", "{{.SystemTime}}").strip()
        text = self.out("events", "--since", since, "--until", until, "--format", "{{.Action}}",
                        "-f", "container=told", "-f", "type=container")
        self.assertEqual(sorted(text.split()), sorted("create attach start die destroy".split()))


if __name__ == "__main__":
    main()
