"""Docker's own engine and ours in turn on one data root: each finds everything the other left, and goes on with it.

DOCKERD_PEER names Docker's daemon (Debian's by default); DOCKERD_SWAP_ROUNDS how often it is swapped both ways;
DOCKERD_BBOLT the tool of Docker's data base, whose check is then made of what each engine leaves.
"""
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import buildcase
import daemon
import debregistry
import image
import own_mounts
import rawhttp
import reports
import testcase

ROUNDS = int(os.environ.get("DOCKERD_SWAP_ROUNDS", "1"))
PEER = os.environ.get("DOCKERD_PEER", "/usr/sbin/dockerd")
BBOLT = os.environ.get("DOCKERD_BBOLT")

LINES = 'BEGIN { for (i = 1; i <= 1000; i++) print "line", i, "of many" }'

# The containers of each kind that are started once they are made.
STARTED = ("ended", "served", "joined", "always", "local", "anonymous", "six", "after", "linked", "mounted", "failing",
           "turned-json-file", "turned-local")

MARKED = "1.43"  # the first API whose engines mark images built here

DOCKERFILE = """FROM kit:%(tag)s
LABEL built=%(tag)s
RUN echo run-%(tag)s >/run-%(tag)s
COPY copied /copied/
WORKDIR /copied
ENV A=b PATH=$PATH:/more
CMD ["cat", "copied", "/run-%(tag)s"]
"""


# The newest API of each release.
API_OF = {"20": "1.41", "23": "1.42", "24": "1.43", "25": "1.44", "26": "1.45", "27": "1.47", "28": "1.50"}

# Keys of which an old release shows another value than 28 for the same thing on the disk, or none.
SINCE = {"DNSNames", "GwPriority", "EnableIPv4", "KernelMemory", "KernelMemoryTCP", "Container", "CreatedAt"}


def as_of_old(value):
    """The document without what the releases show differently."""
    if isinstance(value, list):
        return [as_of_old(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: as_of_old(item) for key, item in value.items() if key not in SINCE}
    if "GraphDriver" in value:
        value["GraphDriver"]["Data"].pop("ID", None)
        if "RepoTags" in value:
            value["Config"]["Hostname"] = value["Config"]["Image"] = ""
    if "Aliases" in value:
        value["Aliases"] = [name for name in value["Aliases"] or () if name.startswith("other-")]
    if "IPAM" in value:
        value["IPAM"]["Config"] = value["IPAM"]["Config"] or None
        if value["Name"] == "bridge":
            value["IPAM"]["Config"][0]["Gateway"] = "172.17.0.1"
    return value


def layers_saved(tar):
    """The sums of the layers in what `docker save` gave, in order, by image name."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        found = {}
        for entry in manifest:
            sums = [hashlib.sha256(archive.extractfile(layer).read()).hexdigest() for layer in entry["Layers"]]
            for name in entry["RepoTags"] or [entry["Config"]]:
                found[name] = sums
        return found


class Engines:
    """Two daemons, of which one at a time runs, on one root and in one network namespace."""

    def __init__(self, test):
        self.ours, self.docker = daemon.Daemon(), daemon.Daemon(
            binary=PEER, prefix=own_mounts.prefix_below_chroot())
        test.addCleanup(self.close)
        os.close(self.docker.net)
        self.docker.net = os.dup(self.ours.net)
        self.docker.root = self.ours.root
        self.current = None

    def switch(self, to):
        """Ends the one that runs, and starts the other."""
        if self.current:
            self.stop()
            self.check_root()
        self.current = to
        to.start()
        return to

    def check_root(self):
        """--check-data-root finds nothing wrong, whoever used the root last."""
        done = subprocess.run([self.ours.binary, "--check-data-root", "--data-root", self.ours.root], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode or not done.stdout.endswith("No problems found.\n"):
            raise AssertionError(done.stdout)
        for name in ("volumes/metadata.db", "network/files/local-kv.db") if BBOLT else ():
            subprocess.run([BBOLT, "check", "%s/%s" % (self.ours.root, name)], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        one, self.current = self.current, None
        code = one.stop()
        if code:
            raise AssertionError("%s ended with %s:\n%s" % (one.binary, code, one.log_tail()))

    def kill(self):
        """As a machine that goes down with all that runs: neither takes over what runs under the other."""
        one, self.current = self.current, None
        one.kill()
        while True:
            pids = one.leftovers()
            if not pids:
                break
            for pid in pids:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
        daemon.unmount_below(one.root)
        daemon.unmount_below(one.exec_root)
        shutil.rmtree(one.exec_root)

    def close(self):
        if self.current:
            try:
                self.current.remove_containers()
            finally:
                self.stop()
        self.docker.close()
        self.ours.close()


class Swap(unittest.TestCase):
    def setUp(self):
        testcase.require(os.geteuid() == 0, "not root")
        testcase.require(os.path.exists(PEER), "no daemon of Docker's")
        self.engines = Engines(self)
        self.addCleanup(self.say)
        self.registry = debregistry.Registry(self.engines.ours)
        self.addCleanup(self.registry.close)
        self.pushed = {}  # the digest of each name
        version = subprocess.run([PEER, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.version = API_OF[re.search(r"version (\d+)", version)[1]]

    def say(self):
        for one in (self.engines.ours, self.engines.docker):
            print("--- end of the log of %s\n%s---" % (one.binary, one.log_tail(25)), file=sys.stderr)

    def api(self):
        return self.engines.current.client(self.version)

    # -- what one engine adds ---------------------------------------------
    def add(self, tag):
        """Images, volumes, networks and containers in every state, named after the tag."""
        one = self.engines.current
        with self.api() as api:
            image.import_image(api, "kit:" + tag, image.build_tar(), ['CMD ["/payload","pause"]', "LABEL side=" + tag,
                                                                       "ENV SIDE=" + tag, "EXPOSE 80/tcp"])
            api.post("/volumes/create", {"Name": "vol-" + tag, "Labels": {"side": tag}})
            api.post("/volumes/create", {"Name": "tmp-" + tag, "Driver": "local", "DriverOpts": {
                "type": "tmpfs", "device": "tmpfs", "o": "size=1m"}})
            number = self.number = getattr(self, "number", 0) + 1
            api.post("/networks/create", {"Name": "net-" + tag, "Labels": {"side": tag}, "Attachable": True, "IPAM": {
                "Config": [{"Subnet": "10.%d.0.0/16" % number, "IPRange": "10.%d.1.0/24" % number,
                            "Gateway": "10.%d.0.9" % number, "AuxiliaryAddresses": {"router": "10.%d.0.5" % number}}]},
                "Options": {"com.docker.network.bridge.name": "br%s" % tag, "com.docker.network.driver.mtu": "1400"}})
            api.post("/networks/create", {"Name": "plain-" + tag, "Internal": True})
            api.post("/networks/create", {"Name": "six-" + tag, "EnableIPv6": True, "IPAM": {"Config": [
                {"Subnet": "10.%d.0.0/16" % (number + 100)}, {"Subnet": "fd00:%x::/64" % number}]}})
            api.post("/networks/create", {"Name": "model-" + tag, "ConfigOnly": True, "IPAM": {"Config": [
                {"Subnet": "10.%d.0.0/16" % (number + 50)}]}, "Options": {"com.docker.network.driver.mtu": "1300"}})
            api.post("/networks/create", {"Name": "after-" + tag, "ConfigFrom": {"Network": "model-" + tag}})

            def make(name, command, host=None, network=None, **config):
                body = dict(Image="kit:" + tag, Cmd=command, HostConfig=dict(host or {}, Dns=[], DnsOptions=[], DnsSearch=[]), **config)
                if network:
                    body["HostConfig"]["NetworkMode"] = network
                    body["NetworkingConfig"] = {"EndpointsConfig": {network: {
                        "Aliases": ["other-" + name], "IPAMConfig": {"IPv4Address": "10.%d.1.77" % number}}}}
                api.post("/containers/create?name=%s-%s" % (name, tag), body)

            make("created", ["/payload", "echo", "made"])
            make("ended", ["sh", "-c", "echo out; echo err >&2; exit 3"])
            make("served", ["/payload", "pause"], {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
                                                   "Binds": ["vol-%s:/vol" % tag], "RestartPolicy": {
                                                       "Name": "unless-stopped"}, "Memory": 64 << 20, "CpuShares": 512},
                 ExposedPorts={"80/tcp": {}}, Labels={"side": tag},
                 Healthcheck={"Test": ["CMD", "true"], "Interval": 10 ** 9})
            make("joined", ["/payload", "pause"], network="net-" + tag, Hostname="host-" + tag, User="alice")
            make("always", ["/payload", "pause"], {"RestartPolicy": {"Name": "always"}, "Init": False})
            make("local", ["sh", "-c", "for i in 1 2 3; do echo line $i; done"], {"LogConfig": {
                "Type": "local", "Config": {"max-size": "1m"}}})
            make("anonymous", ["sh", "-c", "echo data >/data/made"], Volumes={"/data": {}})
            make("six", ["sh", "-c", "ip -6 addr show dev eth0 | grep fd00"], {"NetworkMode": "six-" + tag})
            make("after", ["cat", "/sys/class/net/eth0/mtu"], {"NetworkMode": "after-" + tag})
            make("linked", ["grep", "always", "/etc/hosts"], {"Links": ["always-%s:friend" % tag]})
            make("mounted", ["sh", "-c", "cat /vol/file && touch /tmp/t && mount | grep ' /tmp .*size=64k'"], {
                "VolumesFrom": ["served-%s:ro" % tag], "Tmpfs": {"/tmp": "size=64k"}, "ReadonlyRootfs": True})
            make("failing", ["sh", "-c", "echo try; exit 7"], {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}})
            for kind in ("json-file", "local"):
                make("turned-" + kind, ["awk", LINES], {"LogConfig": {"Type": kind, "Config": {
                    "max-size": "40k", "max-file": "3", "compress": "true"}}})
            for name in STARTED:
                api.post("/containers/%s-%s/start" % (name, tag))
            for name in set(STARTED) - {"served", "joined", "always"}:
                daemon.wait_for(lambda: self.at_rest(api, "%s-%s" % (name, tag)), what=name)
        done = one.cli("exec", "served-" + tag, "sh", "-c", "echo kept-%s >/vol/file; echo mine-%s >/written" % (tag, tag))
        self.assertEqual(done.returncode, 0, done.stderr)
        with self.api() as api:
            for name in ("served", "joined"):
                api.post("/containers/%s-%s/stop?t=1" % (name, tag))
            api.post("/commit?container=ended-%s&repo=commit&tag=%s&author=me&comment=of+%s" % (tag, tag, tag), {})
            api.post("/images/kit:%s/tag?repo=example.org:5000/team/kit&tag=%s" % (tag, tag))
        self.build(tag)
        for name in ("kit", "commit", "built"):
            self.push(name, tag)

    def at_rest(self, api, name):
        """Whether it has run, and will not run again."""
        state = api.get("/containers/%s/json" % name)
        return state["State"]["Status"] == "exited" and state["RestartCount"] == (2 if name.startswith("failing") else 0)

    def build(self, tag):
        """Builds it, or finds it built before: its id and whether each step came from the cache."""
        with self.api() as api:
            done = buildcase.Build(api.request("POST", "/build?t=built:" + tag, buildcase.context(
                {"Dockerfile": DOCKERFILE % {"tag": tag}, "copied": "copied " + tag}), headers=[("Content-Type", "application/x-tar")]))
        self.assertIsNone(done.error, done.text)
        return done.aux[-1], done.text.count("Using cache")

    def push(self, name, tag):
        """Pushes it; whichever engine pushes it later must come to the same digest."""
        with self.api() as api:
            target = self.registry.name + "/team/" + name
            api.post("/images/%s:%s/tag?repo=%s&tag=%s" % (name, tag, target, tag))
            answer = api.request("POST", "/images/%s/push?tag=%s" % (target, tag), b"", headers=[("X-Registry-Auth", "e30=")])
            last = [json.loads(line) for line in answer.body.splitlines()][-1]
            self.assertIn("aux", last, answer.body[-500:])
            self.assertEqual(self.pushed.setdefault((name, tag), last["aux"]["Digest"]), last["aux"]["Digest"], (name, tag))

    def pull(self, name, tag):
        """Takes it away and fetches it again: the same image."""
        with self.api() as api:
            target = "%s/team/%s" % (self.registry.name, name)
            before = api.get("/images/%s:%s/json" % (target, tag))["Id"]
            api.call("DELETE", "/images/%s:%s" % (target, tag))
            answer = api.request("POST", "/images/create?fromImage=%s&tag=%s" % (target, tag), b"")
            self.assertIn(("Digest: " + self.pushed[name, tag]).encode(), answer.body)
            self.assertEqual(api.get("/images/%s@%s/json" % (target, self.pushed[name, tag]))["Id"], before)

    # -- what is there -----------------------------------------------------
    def everything(self):
        """Every object's inspect document, without what is different for a reason."""
        found = {}
        with self.api() as api:
            for one in api.get("/images/json?all=1"):
                document = api.get("/images/%s/json" % one["Id"])
                document["RepoTags"].sort()
                found["image " + one["Id"]] = document
                history = found["history " + one["Id"]] = api.get("/images/%s/history" % one["Id"])
                for step in history:
                    step["Tags"] = sorted(step["Tags"] or ())
            for one in api.get("/containers/json?all=1"):
                document = api.get("/containers/%s/json" % one["Id"])
                running = document["State"]["Running"]
                if running:
                    document["State"] = {"Running": True}
                    document["NetworkSettings"] = None
                    for key in ("ResolvConfPath", "HostnamePath", "HostsPath"):
                        document.pop(key)
                document["Mounts"] = sorted(document["Mounts"], key=lambda mount: mount["Destination"])
                found["container " + document["Name"]] = document
                found["changes " + document["Name"]] = sorted(
                    (change["Path"], change["Kind"]) for change in api.get("/containers/%s/changes" % one["Id"]) or ())
                if running:
                    continue
                logs = api.request("GET", "/containers/%s/logs?stdout=1&stderr=1&timestamps=1" % one["Id"])
                found["logs " + document["Name"]] = logs.body
            for one in api.get("/volumes")["Volumes"]:
                found["volume " + one["Name"]] = api.get("/volumes/" + one["Name"])
            for one in api.get("/networks"):
                document = api.get("/networks/" + one["Id"])
                document["Containers"] = None
                if one["Name"] == "bridge":
                    document["Id"] = document["Created"] = None  # Docker makes it anew with each start
                if one["Name"].startswith(("six-", "after-")):
                    for config in document["IPAM"]["Config"]:
                        config.pop("Gateway", None)  # Docker shows it from its next start on
                found["network " + one["Name"]] = document
        return found if self.version == "1.50" else {name: as_of_old(document) for name, document in found.items()}

    def assertSame(self, before, after):
        self.maxDiff = None
        self.assertEqual(sorted(before), sorted(after))
        different = []
        for name in before:
            differences(name, before[name], after[name], different)
        self.assertEqual(different, [], "\n" + "\n".join(map(str, different)))

    def check(self):
        """Everything works: containers start, with their data; images are saved bit by bit."""
        with self.api() as api:
            tags = [name.split("-", 1)[1] for name in
                    (one["Names"][0] for one in api.get("/containers/json?all=1")) if name.startswith("/served-")]
            for tag in tags:
                for name in ("created", *STARTED):
                    if name != "always":
                        api.post("/containers/%s-%s/start" % (name, tag))
                for name, code in (("created", 0), ("ended", 3), ("local", 0), ("anonymous", 0), ("six", 0), ("after", 0),
                                   ("linked", 0), ("mounted", 0), ("turned-json-file", 0), ("turned-local", 0)):
                    self.assertEqual(api.post("/containers/%s-%s/wait" % (name, tag))["StatusCode"], code, name + tag)
                daemon.wait_for(lambda: self.at_rest(api, "failing-" + tag), what="the last try")
                document = api.get("/containers/joined-%s/json" % tag)
                address = document["NetworkSettings"]["Networks"]["net-" + tag]["IPAddress"]
                self.assertEqual(address.split(".")[2:], ["1", "77"])
                self.assertTrue(api.get("/containers/always-%s/json" % tag)["State"]["Running"], tag)
                port = api.get("/containers/served-%s/json" % tag)["NetworkSettings"]["Ports"]["80/tcp"][0]
                self.assertEqual(port["HostIp"], "127.0.0.1")
                self.assertRegex(json.dumps(api.get("/networks/six-%s" % tag)["IPAM"]["Config"]),
                                 r'"Gateway": "10.1\d+.0.1".*"Gateway": "fd00:[0-9a-f]+::1"')
        for tag in tags:
            done = self.engines.current.cli("exec", "served-" + tag, "cat", "/vol/file", "/written")
            self.assertEqual(done.stdout.decode(), "kept-%s\nmine-%s\n" % (tag, tag), done.stderr)
            done = self.engines.current.cli("logs", "ended-" + tag)
            self.assertEqual(set((done.stdout + done.stderr).split()), {b"out", b"err"})
            for kind in ("json-file", "local"):
                lines = self.engines.current.cli("logs", "turned-%s-%s" % (kind, tag)).stdout.split(b"\n")[:-1]
                # Of two or more runs, by either engine, the end is there without a gap.
                self.assertEqual(lines[-300:], [b"line %d of many" % number for number in range(701, 1001)], kind)
                for line, next in zip(lines, lines[1:]):
                    self.assertEqual(int(next.split()[1]), int(line.split()[1]) % 1000 + 1, kind)
            self.assertEqual(self.engines.current.cli("logs", "after-" + tag).stdout.split()[-1], b"1300")
            # Old releases do not mark what they build, and unmarked images are no cache for newer ones.
            if self.version >= MARKED or self.engines.current is self.engines.docker or tag.startswith("o"):
                built = self.images()
                self.assertEqual(self.build(tag)[1], 6, "the other engine's steps are found")
                self.assertEqual(self.images(), built)
            for name in ("kit", "commit", "built"):
                self.push(name, tag)
                self.pull(name, tag)
            with self.api() as api:
                for name in ("served", "joined"):
                    api.post("/containers/%s-%s/stop?t=1" % (name, tag))
        saved = {}
        for tag in tags:
            with self.engines.current.client(self.version, timeout=120) as api:
                saved.update(layers_saved(api.request("GET", "/images/kit:%s/get" % tag).body))
                saved.update(layers_saved(api.request("GET", "/images/commit:%s/get" % tag).body))
                for name in ("kit:" + tag, "commit:" + tag):
                    document = api.get("/images/%s/json" % name)
                    self.assertEqual(["sha256:" + sum for sum in saved[name]], document["RootFS"]["Layers"], name)

    def images(self):
        with self.api() as api:
            return {one["Id"] for one in api.get("/images/json?all=1")}

    def swaps(self):
        engines = self.engines
        for number in range(ROUNDS):
            for one, side in ((engines.docker, "d"), (engines.ours, "o")):
                if engines.current is None:
                    engines.switch(one)
                else:
                    before = self.everything()
                    engines.switch(one)
                    self.assertSame(before, self.everything())
                    self.check()
                self.add("%s%d" % (side, number))
        before = self.everything()
        engines.switch(engines.docker)
        self.assertSame(before, self.everything())
        self.check()

    def test_in_turn(self):
        self.swaps()

    def test_after_kills(self):
        """kill -9 of either in the middle of work: what it acknowledged is there for the other one."""
        engines, known = self.engines, {"container": {}, "volume": set(), "image": set()}
        for number in range(2 * ROUNDS):
            one, side = ((engines.docker, "d"), (engines.ours, "o"))[number % 2]
            engines.switch(one)
            self.compare_known(known)
            with self.api() as api:
                image.import_image(api, "kit:latest", image.build_tar(), ['CMD ["/payload","echo","ran"]'])
            stop, workers = threading.Event(), []
            for worker in range(4):
                name = "%s%d-%d" % (side, number, worker)
                workers.append(threading.Thread(target=self.work, args=(stop, name, known)))
                workers[-1].start()
            # Enough of each; then in the middle of whatever comes next.
            daemon.wait_for(lambda: len(known["volume"]) >= 20 * (number + 1), what="work")
            engines.kill()
            stop.set()
            for thread in workers:
                thread.join()
        engines.switch(engines.docker)
        self.compare_known(known)
        with self.api() as api:
            for id in list(known["container"])[:20]:
                api.post("/containers/%s/start" % id)
                self.assertEqual(api.post("/containers/%s/wait" % id)["StatusCode"], 0)

    def work(self, stop, name, known):
        """Adds objects until the engine dies, and notes each that is acknowledged."""
        try:
            with self.api() as api:
                for number in itertools.count():
                    label = "%s-%d" % (name, number)
                    api.post("/volumes/create", {"Name": label, "Labels": {"l": label}})
                    known["volume"].add(label)
                    id = api.post("/containers/create?name=" + label, {
                        "Image": "kit", "HostConfig": {"Binds": [label + ":/vol"]}})["Id"]
                    known["container"][id] = "/" + label
                    if number % 3 == 0:
                        api.post("/containers/%s/start" % id)
                    api.post("/images/kit/tag?repo=tagged&tag=" + label)
                    known["image"].add("tagged:" + label)
                    if stop.is_set():
                        return
        except (OSError, rawhttp.HttpError):
            pass  # it is dead

    def compare_known(self, known):
        with self.api() as api:
            containers = {one["Id"]: one["Names"][0] for one in api.get("/containers/json?all=1")}
            self.assertEqual({id: containers.get(id) for id in known["container"]}, known["container"])
            volumes = {one["Name"]: one["Labels"] for one in api.get("/volumes")["Volumes"]}
            for name in known["volume"]:
                self.assertEqual(volumes.get(name), {"l": name})
            tags = {tag for one in api.get("/images/json") for tag in one["RepoTags"] or ()}
            self.assertLessEqual(known["image"], tags)

    def test_one_engine_at_a_time(self):
        """A root in use, and containers that another engine left running, keep the daemon from starting."""
        engines = self.engines
        engines.docker.arguments.append("--live-restore")
        engines.switch(engines.docker)
        with self.api() as api:
            image.import_image(api, "kit:latest", image.build_tar(), ['CMD ["/payload","pause"]'])
            id = api.post("/containers/create?name=lives", {"Image": "kit"})["Id"]
            api.post("/containers/%s/start" % id)
            pid = api.get("/containers/lives/json")["State"]["Pid"]
        self.assertIn("metadata.db is locked: another engine is running on this data root", self.refused())
        engines.stop()
        self.assertIn("container lives (%s) is still run by another engine, as process %d: stop it there, or end the "
                      "process, before this daemon starts" % (id[:12], pid), self.refused())
        self.assertTrue(os.path.exists("/proc/%d" % pid))
        engines.switch(engines.docker)
        with self.api() as api:
            state = api.get("/containers/lives/json")["State"]
            self.assertEqual((state["Running"], state["Pid"]), (True, pid))
            api.post("/containers/lives/kill")
            api.post("/containers/lives/wait")
        engines.switch(engines.ours)
        with self.api() as api:
            self.assertEqual(api.get("/containers/lives/json")["State"]["ExitCode"], 137)

    def refused(self):
        """What our daemon says when it does not start."""
        done = subprocess.run(self.engines.ours.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60 * reports.PATIENCE, preexec_fn=self.engines.ours.enter_net)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stdout


def differences(name, one, other, found):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            differences("%s.%s" % (name, key), one.get(key, "(absent)"), other.get(key, "(absent)"), found)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other)):
            differences("%s[%d]" % (name, index), a, b, found)
    elif one != other:
        found.append((name, one, other))


if __name__ == "__main__":
    testcase.main()
