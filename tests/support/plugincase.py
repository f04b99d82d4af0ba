"""The base of tests with legacy plugins: the daemon finds in /run/docker/plugins what the test puts into PLUGINS."""
import os
import shutil
import subprocess
import tempfile

import own_mounts
from testcase import DaemonTestCase

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
PLUGINS = tempfile.mkdtemp(prefix="dockerd-plugins-")
ENTER = 'mount -t tmpfs run /run && mkdir -p /run/docker/plugins && mount --bind "$0" /run/docker/plugins && echo && cat'


class PluginTestCase(DaemonTestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(shutil.rmtree, PLUGINS)
        # Holds the mount namespace, for every daemon of the class.
        holder = subprocess.Popen(own_mounts.PREFIX + ("sh", "-c", ENTER, PLUGINS), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        cls.addClassCleanup(holder.communicate)
        holder.stdout.readline()
        cls.prefix = ("nsenter", "--mount=/proc/%d/ns/mnt" % holder.pid)
        super().setUpClass()

    def plugin_name(self, kind):
        """A name of its own for each test: the daemon remembers plugins."""
        return kind + self.id().rsplit(".", 1)[-1][5:].replace("_", "-")

    def call(self, method, path, body=None):
        with self.daemon.client("1.50", timeout=120) as client:
            return client.call(method, path, body)

    def status(self, method, path, body=None):
        """The status and message of a refused call."""
        with self.daemon.client("1.50", timeout=120) as client:
            answer = client.request(method, path, body)
        return answer.status, answer.message() if answer.status >= 400 else ""
