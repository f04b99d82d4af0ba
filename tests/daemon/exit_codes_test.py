"""`docker run` through the CLI: exit codes, standard input, terminals."""
import support

from testcase import DaemonTestCase, main


class ExitCodes(DaemonTestCase):
    def test_program_decides(self):
        self.assertCli(42, "run", "--rm", "kit", "sh", "-c", "exit 42")
        self.assertCli(0, "run", "--rm", "kit", "/payload", "exit", "0")
        self.assertCli(255, "run", "--rm", "kit", "/payload", "exit", "255")

    def test_signal_is_128_plus_number(self):
        self.assertCli(137, "run", "--rm", "kit", "sh", "-c", "/payload signal-self 9")
        self.assertCli(139, "run", "--rm", "kit", "sh", "-c", "/payload signal-self 11")

    def test_missing_command_is_127(self):
        done = self.assertCli(127, "run", "--rm", "kit", "no-such-program")
        self.assertIn(b'exec: "no-such-program": executable file not found in $PATH: unknown', done.stderr)

    def test_missing_path_is_127(self):
        done = self.assertCli(127, "run", "--rm", "kit", "/no/such/program")
        self.assertIn(b'exec: "/no/such/program": stat /no/such/program: no such file or directory', done.stderr)

    def test_not_executable_is_126(self):
        done = self.assertCli(126, "run", "--rm", "kit", "/etc/not-executable")
        self.assertIn(b'exec: "/etc/not-executable": permission denied', done.stderr)

    def test_folder_is_126(self):
        self.assertCli(126, "run", "--rm", "kit", "/etc")

    def test_daemon_error_is_125(self):
        done = self.assertCli(125, "run", "--rm", "--memory", "1m", "kit", "/payload", "exit", "0")
        self.assertIn(b"Minimum memory limit allowed is 6MB", done.stderr)
        self.assertCli(125, "run", "--rm", "--network", "no-such-network", "kit", "/payload", "exit", "0")

    def test_code_is_kept_after_the_end(self):
        self.assertCli(7, "run", "--name", "ended", "kit", "/payload", "exit", "7")
        self.assertCli(0, "inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "ended", stdout="7 exited\n")
        self.assertCli(0, "wait", "ended", stdout="7\n")

    def test_exec_code(self):
        self.assertCli(0, "run", "-d", "--name", "up", "kit", "/payload", "pause")
        self.assertCli(9, "exec", "up", "/payload", "exit", "9")
        self.assertCli(127, "exec", "up", "no-such-program")
        self.assertCli(126, "exec", "up", "/etc/not-executable")


class Input(DaemonTestCase):
    def test_stdin_arrives_and_ends(self):
        self.assertCli(0, "run", "--rm", "-i", "kit", "/payload", "cat-stdin", stdin=b"x\n", stdout="x\n")

    def test_no_stdin_without_i(self):
        self.assertCli(0, "run", "--rm", "kit", "/payload", "cat-stdin", stdin=b"x\n", stdout="")

    def test_large_stdin(self):
        data = bytes(range(256)) * 32768
        done = self.cli("run", "--rm", "-i", "kit", "/payload", "cat-stdin", stdin=data)
        self.assertEqual(len(done.stdout), len(data))
        self.assertEqual(done.stdout, data)

    def test_stdout_and_stderr_are_apart(self):
        done = self.assertCli(0, "run", "--rm", "kit", "/payload", "interleave", "1000")
        self.assertEqual(done.stdout.decode(), "".join("out %d\n" % i for i in range(0, 1000, 2)))
        self.assertEqual(done.stderr.decode(), "".join("err %d\n" % i for i in range(1, 1000, 2)))

    def test_exec_stdin(self):
        self.assertCli(0, "run", "-d", "--name", "up", "kit", "/payload", "pause")
        self.assertCli(0, "exec", "-i", "up", "/payload", "cat-stdin", stdin=b"to exec\n", stdout="to exec\n")


if __name__ == "__main__":
    main()
