"""The base of tests on the daemon's flags and configuration: daemons with arguments and a daemon.json of the test's choosing."""
import json
import os
import re
import signal
import subprocess
import unittest

import reports
from daemon import Daemon, wait_for
from testcase import require

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))


class FlagsCase(unittest.TestCase):
    def setUp(self):
        require(os.geteuid() == 0, "not root")

    def daemon(self, *arguments, file=None, defaults=None, environment=None, listen=()):
        """A daemon that is not started yet. file: daemon.json, as data or text; defaults: of --defaults-file."""
        out = Daemon(arguments, listen=listen)
        self.addCleanup(out.close)
        if file is not None:
            self.configure(out, file)
        if defaults is not None:
            out.defaults = out.base + "/defaults"
            with open(out.defaults, "w") as text:
                text.write(defaults)
        if environment:
            out.prefix = ["env"] + ["%s=%s" % entry for entry in environment.items()]
        return out

    @staticmethod
    def configure(daemon, file):
        with open(daemon.base + "/daemon.json", "w") as config:
            config.write(file if isinstance(file, str) else json.dumps(file))

    def refused(self, text, *arguments, file=None, **more):
        """The daemon ends with this text; only the end of it where a path of this run stands before."""
        daemon = self.daemon(*arguments, file=file, **more)
        try:
            daemon.start()
        except RuntimeError as error:
            daemon.process = None
            last = [line for line in str(error).splitlines() if line][-1]
            self.assertTrue(last.endswith(text), "%s: %s" % (arguments, last))
        else:
            self.fail("%s: started" % (arguments,))

    def spawn(self, daemon, prefix=(), environment=None, **more):
        """Starts a daemon that need not listen on the test's own socket, and waits until it serves."""
        with open(daemon.log_path, "ab") as log:
            daemon.process = subprocess.Popen(
                [*prefix, *daemon.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=dict(reports.environment(daemon.reports), **(environment or {})), preexec_fn=daemon.enter_net, **more)
        wait_for(lambda: "API listen on" in self.log(daemon) or daemon.process.poll() is not None, what="listening")
        self.assertIsNone(daemon.process.poll(), daemon.log_tail())
        return daemon

    def listening(self, daemon):
        """Where it says that it listens; all lines come at once, before anything else."""
        return re.findall(r'API listen on ([^"]*)"', self.log(daemon))

    @staticmethod
    def log(daemon):
        with open(daemon.log_path, errors="replace") as file:
            return file.read()

    def reload(self, daemon, file, wanted="Reloaded configuration"):
        """Changes daemon.json, sends SIGHUP, and waits for the wanted line, which it returns."""
        before = len(self.log(daemon))
        self.configure(daemon, file)
        os.kill(daemon.pid, signal.SIGHUP)
        lines = wait_for(lambda: [line for line in self.log(daemon)[before:].splitlines() if wanted in line], what=wanted)
        return lines[0]
