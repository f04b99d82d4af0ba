"""A private daemon for tests: own roots, socket, pid file, cgroup parent and network namespace.

DOCKERD_BIN names the daemon (any dockerd, also Docker's own), DOCKERD_ARGS further arguments.
"""
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import image
import netns
import rawhttp
import reports

_numbers = itertools.count()
# Where Docker's engine leaves cgroups to systemd.
SYSTEMD = os.path.exists("/sys/fs/cgroup/cgroup.controllers") and os.path.isdir("/run/systemd/system")


def find_daemon():
    """$DOCKERD_BIN, or the built daemon of the newest preset."""
    if os.environ.get("DOCKERD_BIN"):
        return os.environ["DOCKERD_BIN"]
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    built = [path for path in ("%s/build/%s/dockerd" % (top, preset) for preset in ("release", "dev", "asan", "tsan"))
             if os.path.isfile(path)]
    if not built:
        raise FileNotFoundError("dockerd is not built")
    return max(built, key=os.path.getmtime)


def descendants(pid):
    """The pids below pid, from /proc."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as file:
                    text = file.read()
            except OSError:
                continue
            children.setdefault(int(text[text.rindex(")") + 2:].split()[1]), []).append(int(entry))
    out, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            out.append(child)
            todo.append(child)
    return out


def wait_for(condition, seconds=20, what="condition"):
    """Polls until condition() is true and returns its value; for things without an event to wait on."""
    deadline = time.monotonic() + seconds * reports.PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError("%s did not come true within %s s" % (what, seconds))
        time.sleep(0.01)


class Daemon:
    """One daemon; a context manager that starts it and cleans up everything below its folder."""

    def __init__(self, arguments=(), binary=None, base=None, listen=(), prefix=(), scopes=False):
        """With `scopes` systemd makes the cgroups where it runs, as by default; else the daemon does."""
        self.binary = binary or find_daemon()
        self.base = tempfile.mkdtemp(prefix="dockerd-test-", dir=base or os.environ.get("DOCKERD_TEST_DIR"))
        os.chmod(self.base, 0o755)
        self.root, self.exec_root = self.base + "/root", self.base + "/exec"
        self.socket, self.log_path = self.base + "/docker.sock", self.base + "/dockerd.log"
        self.pidfile = self.base + "/docker.pid"
        self.reports = self.base + "/sanitizer"
        self.host = "unix://" + self.socket
        self.cgroup = "/dockerd-test-%d-%d" % (os.getpid(), next(_numbers))
        self.driver = []
        if SYSTEMD and scopes:
            self.cgroup = self.cgroup.replace("-", "_") + ".slice"  # a dash would be a slice within another
        elif SYSTEMD:
            self.driver = ["--exec-opt", "native.cgroupdriver=cgroupfs"]
        self.net = netns.make()
        self.arguments = list(arguments) + shlex.split(os.environ.get("DOCKERD_ARGS", ""))
        self.defaults = ""  # the file with DOCKER_OPTS; the machine's own is not this daemon's
        self.listen = [self.host] + list(listen)
        self.prefix = list(prefix)  # a command that executes the one after it
        self.process = None
        usage = subprocess.run([self.binary, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=reports.environment(self.reports))
        self.flags = usage.stdout

    # -- life -------------------------------------------------------------
    def command(self):
        command = [self.binary, "--data-root", self.root, "--exec-root", self.exec_root, "--pidfile", self.pidfile]
        for host in self.listen:
            command += ["-H", host]
        if "--cgroup-parent" in self.flags:
            command += ["--cgroup-parent", self.cgroup.removeprefix("/") if self.cgroup.endswith(".slice") else self.cgroup]
        if "--config-file" in self.flags and "--config-file" not in self.arguments:
            path = self.base + "/daemon.json"
            if not os.path.exists(path):
                with open(path, "w") as file:
                    file.write("{}\n")
            command += ["--config-file", path]
        if "--defaults-file" in self.flags:
            command.append("--defaults-file=" + self.defaults)
        return self.prefix + command + self.driver + self.arguments

    def start(self, timeout=60):
        """Starts the daemon and waits until it answers /_ping."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=reports.environment(self.reports),
                preexec_fn=lambda: netns.enter(self.net), pass_fds=(self.net,))
        deadline = time.monotonic() + timeout * reports.PATIENCE
        while True:
            try:
                with rawhttp.Connection(self.host, timeout=10) as connection:
                    if connection.request("GET", "/_ping").status == 200:
                        return self
            except (OSError, rawhttp.HttpError):
                pass
            if self.process.poll() is not None:
                raise RuntimeError("dockerd ended with %s:\n%s" % (self.process.returncode, self.log_tail()))
            if time.monotonic() > deadline:
                raise TimeoutError("dockerd does not answer:\n" + self.log_tail())
            time.sleep(0.005)

    def stop(self, timeout=60):
        """Ends it by SIGTERM and returns its exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout * reports.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.process = None

    def kill(self):
        """kill -9; the containers should not notice."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        code = self.stop()
        self.check_reports()
        if code:
            raise RuntimeError("dockerd ended with %s:\n%s" % (code, self.log_tail()))
        return self.start()

    @property
    def pid(self):
        return self.process.pid

    # -- talking to it ----------------------------------------------------
    def client(self, version=None, timeout=60):
        return rawhttp.Connection(self.host, version, timeout * reports.PATIENCE)

    def cli_environment(self):
        return dict(os.environ, DOCKER_HOST=self.host, DOCKER_CONFIG=self.base + "/cli", DOCKER_CLI_HINTS="false",
                    DOCKER_BUILDKIT="0")

    def cli(self, *arguments, stdin=b"", timeout=60):
        """Runs the docker CLI: a CompletedProcess with bytes."""
        return subprocess.run(["docker", *arguments], env=self.cli_environment(), input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * reports.PATIENCE)

    def enter_net(self):
        """For preexec_fn: the program runs in the daemon's network namespace."""
        netns.enter(self.net)

    def in_net(self, function, *arguments):
        """Calls the function in the daemon's network namespace."""
        return netns.inside(self.net, function, *arguments)

    def load_image(self, reference="kit:latest"):
        with self.client(timeout=120) as connection:
            return image.import_image(connection, reference, image.build_tar(), ['CMD ["/payload","pause"]'])

    def run(self, *command, image_name="kit", name=None, host=None, **config):
        """Creates and starts a container by the API and returns its id."""
        body = dict(Image=image_name, Cmd=list(command), HostConfig=dict(host or {}), **config)
        with self.client() as connection:
            made = connection.post("/containers/create" + ("?name=" + name if name else ""), body)["Id"]
            connection.post("/containers/%s/start" % made)
        return made

    def remove_containers(self):
        with self.client() as connection:
            for container in connection.get("/containers/json?all=1"):
                connection.request("DELETE", "/containers/%s?force=1&v=1" % container["Id"])

    def remove_networks(self):
        """The users' networks; those that others are made after come last."""
        with self.client("1.50") as client:
            made = [network for network in client.get("/networks") if network["Name"] not in ("bridge", "host", "none")]
            for network in sorted(made, key=lambda network: network["ConfigOnly"]):
                client.call("DELETE", "/networks/" + network["Id"])

    # -- the end ----------------------------------------------------------
    def log_tail(self, lines=60):
        try:
            with open(self.log_path, errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    def check_reports(self):
        """Fails when a sanitizer of the daemon has reported anything since the last call."""
        text = reports.take(self.reports)
        if text:
            raise AssertionError("sanitizer reports of the daemon:\n" + text)

    def leftovers(self):
        """Processes that belong to this daemon: they name its folder or live in its cgroups."""
        found = set()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open("/proc/%s/cmdline" % entry, "rb") as file:
                    words = file.read()
                with open("/proc/%s/cgroup" % entry) as file:
                    groups = file.read()
            except OSError:
                continue
            if self.base.encode() in words or self.cgroup + "/" in groups:
                found.add(int(entry))
        return found

    def close(self):
        """Removes everything, also after a failure: processes, mounts, cgroups, files.

        Fails when the daemon's end is not a good one: an exit code other than 0, or a sanitizer's report.
        """
        try:
            code = self.end()
            self.check_reports()
            if code:
                raise RuntimeError("dockerd ended with %s:\n%s" % (code, self.log_tail()))
        finally:
            shutil.rmtree(self.base, ignore_errors=True)

    def end(self):
        """Stops the daemon, takes away all but its files, and returns its exit code or None."""
        code = None
        if self.process is not None:
            try:
                self.remove_containers()
            except (OSError, rawhttp.HttpError):
                pass
            try:
                code = self.stop()
            except subprocess.TimeoutExpired:
                print("dockerd did not stop in time", file=sys.stderr)
        for pid in self.leftovers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        unmount_below(self.base)
        if self.cgroup.endswith(".slice"):
            subprocess.run(["systemctl", "stop", self.cgroup[1:]], check=False)
        remove_cgroups(self.cgroup)
        os.close(self.net)
        return code

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


def mounts_below(folder):
    """Mount points below the folder, deepest first."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file]
    return sorted((point for point in points if point.startswith(folder + "/")), reverse=True)


def unmount_below(folder):
    for point in mounts_below(folder):
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)


def cgroup_folders(parent):
    """The folder of the parent in every hierarchy."""
    tops = ["/sys/fs/cgroup"] + ["/sys/fs/cgroup/" + name for name in os.listdir("/sys/fs/cgroup")]
    return [top + parent for top in tops if os.path.isdir(top + parent)]


def remove_cgroups(parent):
    for folder in cgroup_folders(parent):
        for path, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass
