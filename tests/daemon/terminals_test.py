"""`docker run -t`, attach and detach as a person at a terminal does them."""
import subprocess

import support  # noqa: F401  (makes tests/support importable)

from daemon import wait_for
from terminal import Terminal
from testcase import DaemonTestCase, main

DETACH = "\x10\x11"  # ctrl-p ctrl-q


class Terminals(DaemonTestCase):
    def terminal(self, *arguments, rows=24, columns=80):
        opened = Terminal(["docker", *arguments], rows, columns, self.daemon.cli_environment())
        self.addCleanup(opened.close)
        return opened

    def status(self, name):
        return self.cli("inspect", "-f", "{{.State.Status}}", name).stdout.decode().strip()

    def test_size_is_the_terminals(self):
        shown = self.terminal("run", "--rm", "-it", "kit", "/payload", "tty-watch", rows=33, columns=101)
        # Up to API 1.41 the size may only come by the resize that follows the start.
        shown.expect(r"size rows=33 columns=101\r\n")
        shown.type("\x04")
        self.assertEqual(shown.wait(), 0)

    def test_resize_reaches_the_program(self):
        shown = self.terminal("run", "--rm", "-it", "kit", "/payload", "tty-watch", rows=30, columns=90)
        shown.expect(r"size rows=30 columns=90\r\n")
        # The CLI listens for SIGWINCH only some time after the program has begun to print, and a change before that is
        # its loss: so the size changes until one change arrives, which then has to arrive exactly.
        for rows in range(41, 61):
            shown.resize(rows, 77)
            try:
                shown.expect(r"size rows=%d columns=77\r\n" % rows, 1)
                break
            except AssertionError:
                self.assertLess(rows, 60, "no change of the size reached the program")
        shown.type("\x04")
        self.assertEqual(shown.wait(), 0)

    def test_all_three_are_terminals(self):
        shown = self.terminal("run", "--rm", "-it", "kit", "/payload", "tty-size")
        shown.expect(r"tty stdin=1 stdout=1 stderr=1\r\n")
        self.assertEqual(shown.wait(), 0)

    def test_terminal_is_the_controlling_one(self):
        shown = self.terminal("run", "--rm", "-it", "kit", "/payload", "proc")
        shown.expect(r"pid=1 ppid=0 sid=1 pgid=1 tty=1\r\n")
        self.assertEqual(shown.wait(), 0)

    def test_interrupt_reaches_the_program(self):
        shown = self.terminal("run", "--rm", "-it", "kit", "/payload", "pause")
        shown.expect("ready\r\n")
        shown.type("\x03")
        self.assertEqual(shown.wait(), 130)

    def test_shell_session(self):
        shown = self.terminal("run", "--rm", "-it", "kit", "sh")
        shown.expect("# ")
        shown.type("echo $((6*7))\n")
        shown.expect("\r\n42\r\n")
        shown.type("exit 3\n")
        self.assertEqual(shown.wait(), 3)

    def test_detach_leaves_it_running(self):
        shown = self.terminal("run", "-it", "--name", "detached", "kit", "sh")
        shown.expect("# ")
        shown.type(DETACH)
        self.assertEqual(shown.wait(), 0)
        self.assertEqual(self.status("detached"), "running")
        again = self.terminal("attach", "detached")
        again.type("echo back $((1+1))\n")
        again.expect("\r\nback 2\r\n")
        again.type("exit 5\n")
        self.assertEqual(again.wait(), 5)
        self.assertEqual(self.status("detached"), "exited")

    def test_own_detach_keys(self):
        shown = self.terminal("run", "-it", "--detach-keys", "ctrl-a,x", "--name", "keys", "kit", "sh")
        shown.expect("# ")
        shown.type("\x01x")
        self.assertEqual(shown.wait(), 0)
        self.assertEqual(self.status("keys"), "running")

    def test_attached_twice(self):
        self.assertCli(0, "run", "-dit", "--name", "shared", "kit", "/payload", "cat-stdin")
        first, second = self.terminal("attach", "shared"), self.terminal("attach", "shared")
        # The prompt of neither tells when both are attached: what is typed must come until both show it.
        for number in range(200):
            first.type("both %d\n" % number)
            first.expect("both %d\r\n" % number)
            try:
                second.expect("both %d\r\n" % number, seconds=0.1)
                break
            except AssertionError:
                continue
        second.type("from the second\n")
        first.expect("from the second\r\n")
        second.expect("from the second\r\n")
        first.type(DETACH)
        self.assertEqual(first.wait(), 1)  # attach, unlike run, ends with 1: "read escape sequence"
        second.type("still there\n")
        second.expect("still there\r\n")
        second.type("\x04")
        self.assertEqual(second.wait(), 0)
        self.assertEqual(wait_for(lambda: self.status("shared") == "exited"), True)

    def test_exec_terminal(self):
        self.assertCli(0, "run", "-d", "--name", "up", "kit", "/payload", "pause")
        shown = self.terminal("exec", "-it", "up", "/payload", "tty-watch", rows=20, columns=70)
        shown.expect(r"size rows=20 columns=70\r\n")
        shown.type("\x04")
        self.assertEqual(shown.wait(), 0)

    def test_output_before_attach_is_in_the_log(self):
        self.assertCli(0, "run", "-dt", "--name", "spoke", "kit", "/payload", "echo", "once")
        self.assertCli(0, "wait", "spoke", stdout="0\n")
        self.assertCli(0, "logs", "spoke", stdout="once\r\n")


class Streams(DaemonTestCase):
    def test_two_followers_see_the_same(self):
        self.assertCli(0, "run", "-d", "--name", "talker", "kit", "/payload", "ticks", "5", "100")
        followers = [subprocess.Popen(["docker", "logs", "-f", "talker"], env=self.daemon.cli_environment(),
                                      stdout=subprocess.PIPE) for _ in range(2)]
        want = "".join("tick %08d\n" % i for i in range(100))
        for follower in followers:
            out, _ = follower.communicate(timeout=30)
            self.assertEqual(out.decode(), want)
            self.assertEqual(follower.returncode, 0)

    def test_attached_client_that_dies_disturbs_nobody(self):
        self.assertCli(0, "run", "-d", "--name", "talker", "kit", "/payload", "ticks", "2", "500")
        client = subprocess.Popen(["docker", "attach", "--no-stdin", "--sig-proxy=false", "talker"],
                                  env=self.daemon.cli_environment(), stdout=subprocess.PIPE)
        client.stdout.read(10)
        client.kill()
        client.wait()
        client.stdout.close()
        self.assertCli(0, "wait", "talker", stdout="0\n")
        self.assertCli(0, "logs", "talker", stdout="".join("tick %08d\n" % i for i in range(500)))

    def test_who_saw_the_streams_end_sees_how_it_ended(self):
        for number in range(20):
            made = "ended-%d" % number
            self.assertCli(0, "create", "--name", made, "kit", "/payload", "exit", "7")
            with self.daemon.client("1.50") as attached, self.daemon.client("1.50") as other:
                attached.hijack("/containers/%s/attach?stream=1&stdout=1&stderr=1" % made)
                other.post("/containers/%s/start" % made)
                attached.read_to_end()
                state = other.get("/containers/%s/json" % made)["State"]
                self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 7))

    def test_a_websocket_has_no_frames_of_the_streams(self):
        self.daemon.run("sh", "-c", "echo one; echo two >&2; exec cat", name="log", OpenStdin=True)
        wait_for(lambda: len(self.cli("logs", "log").stdout + self.cli("logs", "log").stderr) == 8, what="the output")
        with self.daemon.client("1.50", timeout=20) as client:
            client.send("GET", "/containers/log/attach/ws?stream=1&logs=1&stdin=1&stdout=1&stderr=1", headers=(
                ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")))
            self.assertEqual(client.head().status, 101)
            client.sock.sendall(b"\x81\x84\0\0\0\0end\n")  # a text whose mask changes nothing
            data = b""
            while not data.endswith(b"end\n"):
                length = client.take(2)[1]
                data += client.take(length)
            self.assertEqual(sorted(data.split()), [b"end", b"one", b"two"])


if __name__ == "__main__":
    main()
