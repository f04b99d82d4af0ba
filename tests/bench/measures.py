"""The parts of the benchmark: each takes a Side and returns {metric: milliseconds or MiB}."""
import os
import queue
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time

import builds
import daemon
import image
import images
import rawhttp

IMAGE = "bench:latest"


def now():
    return time.perf_counter() * 1e3


class Side:
    """A daemon under measurement, with the image it needs."""

    def __init__(self, name, host, count):
        self.name, self.host, self.count = name, host, count
        self.client = rawhttp.Connection(host, "1.41", timeout=120)
        if self.client.request("GET", "/images/%s/json" % IMAGE).status != 200:
            image.import_image(self.client, IMAGE, image.build_tar())
        # The first container of a daemon's life makes bridges and caches.
        for network in ("bridge", "none", "host"):
            self.remove(self.started("true", network=network))

    def create(self, *command, network="none", client=None):
        body = {"Image": IMAGE, "Cmd": list(command), "HostConfig": {"NetworkMode": network}}
        return (client or self.client).post("/containers/create", body)["Id"]

    def started(self, *command, network="none", client=None):
        made = self.create(*command, network=network, client=client)
        (client or self.client).post("/containers/%s/start" % made)
        return made

    def remove(self, container, client=None):
        (client or self.client).delete("/containers/%s?force=1&v=1" % container)

    def cli(self, *arguments, environment={}):
        done = subprocess.run(["docker", *arguments], env=dict(os.environ, DOCKER_HOST=self.host, **environment),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError("docker %s: %s" % (" ".join(arguments), done.stderr.decode()))


def start(side):
    """Start alone, of a container that goes on; and the whole life of one that ends at once."""
    result = {}
    for network in ("bridge", "none", "host"):
        times = []
        for _ in range(side.count):
            made = side.create("sleep", "1000", network=network)
            begin = now()
            side.client.post("/containers/%s/start" % made)
            times.append(now() - begin)
            side.remove(made)
        result["API start, " + network] = statistics.median(times)
    for network in ("bridge", "none"):
        times = []
        for _ in range(side.count):
            begin = now()
            made = side.started("true", network=network)
            side.client.post("/containers/%s/wait" % made)
            side.client.delete("/containers/%s" % made)
            times.append(now() - begin)
        result["create+start+wait+remove, " + network] = statistics.median(times)
    return result


def exec_once(side, container):
    made = side.client.post("/containers/%s/exec" % container, {"Cmd": ["true"], "AttachStdout": True})["Id"]
    with rawhttp.Connection(side.host, "1.41") as stream:
        stream.hijack("/exec/%s/start" % made, {"Detach": False, "Tty": False})
        stream.read_to_end()


def execs(side):
    container = side.started("sleep", "1000")
    exec_once(side, container)
    close, quiet = [], []
    for _ in range(side.count * 2):
        begin = now()
        exec_once(side, container)
        close.append(now() - begin)
    for _ in range(3):
        time.sleep(1)  # the quiet second that is measured
        begin = now()
        exec_once(side, container)
        quiet.append(now() - begin)
    side.remove(container)
    return {"exec, back to back": statistics.median(close), "exec, after a quiet second": statistics.median(quiet)}


def cli(side):
    runs, inside = [], []
    for _ in range(side.count):
        begin = now()
        side.cli("run", "--rm", IMAGE, "true")
        runs.append(now() - begin)
    container = side.started("sleep", "1000")
    for _ in range(side.count):
        begin = now()
        side.cli("exec", container, "true")
        inside.append(now() - begin)
    side.remove(container)
    return {"docker run --rm": statistics.median(runs), "docker exec": statistics.median(inside)}


def parallel(side, items, function, clients=8):
    """Calls function(client, item) from several threads with a connection each; returns the milliseconds."""
    todo, errors = queue.Queue(), []
    for item in items:
        todo.put(item)

    def work():
        with rawhttp.Connection(side.host, "1.41", timeout=120) as client:
            while True:
                try:
                    function(client, todo.get_nowait())
                except queue.Empty:
                    return
                except Exception as error:
                    errors.append(error)
                    return

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begin = now()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return now() - begin


def burst(side):
    made = []
    up = parallel(side, range(50), lambda client, _: made.append(
        side.started("sleep", "1000", network="bridge", client=client)))
    down = parallel(side, list(made), lambda client, container: side.remove(container, client))
    return {"50 starts by 8 clients": up, "removal of the 50": down}


def peer(host):
    """The pid of the process behind a unix socket."""
    with rawhttp.connect(host) as sock:
        return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def parent(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            text = file.read()
    except OSError:
        return 1
    return int(text[text.rindex(")") + 2:].split()[1])


def engine_processes(side, inits):
    """The daemon with everything below it and every ancestor of a container (shims, monitors), not the containers."""
    found = {peer(side.host), *daemon.descendants(peer(side.host))}
    for init in inits:
        above = parent(init)
        if above > 1:
            found.add(above)
    for init in inits:
        found -= {init, *daemon.descendants(init)}
    return found


def memory(pids, key):
    """The sum over the processes of a value of smaps_rollup, in MiB."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(key + ":"))
        except OSError:
            pass
    return total / 1024


def idle(side):
    time.sleep(3)  # memory of what went before is given back
    return {"idle memory (RSS)": memory(engine_processes(side, []), "Rss")}


def density(side):
    """Memory and reading latency with 100 running."""
    made = []
    parallel(side, range(100), lambda client, _: made.append(side.started("sleep", "100000", network="bridge", client=client)))
    time.sleep(3)
    inits = [side.client.get("/containers/%s/json" % container)["State"]["Pid"] for container in made]
    result = {"memory with 100 running (PSS)": memory(engine_processes(side, inits), "Pss")}
    result["GET /version"] = latency(side, "/v1.41/version", 300)
    result["list of 100 containers"] = latency(side, "/v1.41/containers/json", 100)
    result["inspect"] = latency(side, "/v1.41/containers/%s/json" % made[0], 100)
    parallel(side, made, lambda client, container: side.remove(container, client))
    return result


def latency(side, path, count):
    """The median time of an answer on a kept connection, with as little of Python in it as possible."""
    request = ("GET %s HTTP/1.1\r\nHost: docker\r\n\r\n" % path).encode()
    times = []
    with rawhttp.connect(side.host) as sock:
        for _ in range(count):
            begin = time.perf_counter()
            sock.sendall(request)
            data = sock.recv(1 << 20)
            while not complete(data):
                data += sock.recv(1 << 20)
            times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def complete(data):
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    position = head.lower().find(b"content-length: ")
    if position >= 0:
        return len(body) >= int(head[position + 16:].split(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")


LINES = 1000000  # of 100 bytes


def wait(side, container):
    side.client.post("/containers/%s/wait" % container)


def drained(side, path):
    """The bytes of an answer, read as they come."""
    with rawhttp.Connection(side.host, "1.41", timeout=120) as client:
        client.send("GET", path)
        return sum(len(chunk) for chunk in client.chunks(client.head()))


def logs(side):
    """A million lines through the json-file driver, read back, and output that nobody keeps."""
    container = side.create("sh", "-c", "yes %s | head -n %d" % ("x" * 99, LINES))
    begin = now()
    side.client.post("/containers/%s/start" % container)
    wait(side, container)
    written = now() - begin
    begin = now()
    size = drained(side, "/containers/%s/logs?stdout=1&stderr=1" % container)
    read = now() - begin
    side.remove(container)
    if size < LINES * 100:
        raise RuntimeError("%d bytes of a log of %d lines" % (size, LINES))
    begin = now()
    side.cli("run", "--rm", "--network", "none", "--log-driver", "none", IMAGE, "dd", "if=/dev/zero", "bs=1M", "count=500")
    return {"a million lines to the log": written, "the log by the API": read, "500 MiB attached, no log": now() - begin}


def copies(side):
    """docker cp of a large file both ways."""
    container = side.started("sleep", "1000")
    with tempfile.TemporaryDirectory(dir=os.environ.get("DOCKERD_TEST_DIR")) as folder:
        with open(folder + "/file", "wb") as file:
            for _ in range(200):
                file.write(os.urandom(1 << 20))
        begin = now()
        side.cli("cp", folder + "/file", container + ":/file")
        into = now() - begin
        begin = now()
        side.cli("cp", container + ":/file", folder + "/back")
        out = now() - begin
    side.remove(container)
    return {"docker cp of 200 MiB in": into, "docker cp of 200 MiB out": out}


def statistics_of_many(side):
    """docker stats over 50 containers, and one sample of one."""
    made = []
    parallel(side, range(50), lambda client, _: made.append(side.started("sleep", "100000", client=client)))
    begin = now()
    side.cli("stats", "--no-stream")
    many = now() - begin
    single = []
    for _ in range(5):
        begin = now()
        side.client.get("/containers/%s/stats?stream=0&one-shot=1" % made[0])
        single.append(now() - begin)
    parallel(side, made, lambda client, container: side.remove(container, client))
    return {"docker stats of 50": many, "one sample of stats": statistics.median(single)}


HEALTH_SECONDS = 20


class Account:
    """A cgroup for processes whose processor time, with all they fork, is to be known to the nanosecond.

    What joins a container's cgroup leaves this one. Per process there are only ticks, and of 200 that work a fifth of a
    millisecond each second these say nothing."""

    def __init__(self, pids):
        top = "/sys/fs/cgroup/cpuacct" if os.path.isdir("/sys/fs/cgroup/cpuacct") else "/sys/fs/cgroup"
        self.folder, self.before = "%s/bench-engine-%d" % (top, os.getpid()), top
        os.mkdir(self.folder)
        self.move(pids, self.folder)

    @staticmethod
    def move(pids, folder):
        for pid in pids:
            try:
                with open(folder + "/cgroup.procs", "w") as file:
                    file.write(str(pid))
            except ProcessLookupError:  # a check that was under way
                continue

    def seconds(self):
        try:
            with open(self.folder + "/cpuacct.usage") as file:
                return int(file.read()) / 1e9
        except FileNotFoundError:
            with open(self.folder + "/cpu.stat") as file:
                return int(file.readline().split()[1]) / 1e6

    def close(self):
        def empty():
            with open(self.folder + "/cgroup.procs") as file:
                pids = file.read().split()
            self.move(pids, self.before)
            return not pids
        daemon.wait_for(empty, what="an empty cgroup")
        os.rmdir(self.folder)


def health(side):
    """The engine's processor time for a health check: all of it but what happens in the containers' cgroups.

    200 containers are checked every second, 20 where each check needs processes of its own besides. That a check fails
    says how many there were.
    """
    number = 200 if side.name == "ours" else 20
    second = 10 ** 9
    body = {"Image": IMAGE, "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": "none"},
            "Healthcheck": {"Test": ["CMD", "/payload", "exit", "1"], "Interval": second, "Timeout": 30 * second, "Retries": 10 ** 6}}
    made = []

    def begin(client, _):
        made.append(client.post("/containers/create", body)["Id"])
        client.post("/containers/%s/start" % made[-1])

    def checks():
        return sum(side.client.get("/containers/%s/json" % container)["State"]["Health"]["FailingStreak"] for container in made)

    parallel(side, range(number), begin)
    daemon.wait_for(lambda: checks() >= 2 * number, seconds=60, what="the first checks")
    inits = [side.client.get("/containers/%s/json" % container)["State"]["Pid"] for container in made]
    account = Account(engine_processes(side, inits))
    before, seconds = checks(), account.seconds()
    time.sleep(HEALTH_SECONDS)  # the time that is measured
    used, done = account.seconds() - seconds, checks() - before
    account.close()
    parallel(side, made, lambda client, container: side.remove(container, client))
    if done < 0.8 * number * HEALTH_SECONDS:
        raise RuntimeError("%d checks of %d containers in %d s" % (done, number, HEALTH_SECONDS))
    return {"a health check, beyond its process": used / done * 1e3}


def asked(side, askers, name, address, count, window):
    """Milliseconds for a thousand answers, each of which is the right one."""
    begin = now()
    running = [subprocess.Popen(["docker", "exec", asker, "/payload", "ask-names", name, address, str(count), str(window)],
                                env=dict(os.environ, DOCKER_HOST=side.host), stdout=subprocess.PIPE, text=True)
               for asker in askers]
    longest = 0
    for process in running:
        words = process.communicate()[0].split()
        numbers = dict(zip(words[::2], map(int, words[1::2])))
        if (numbers.get("answers"), numbers.get("wrong")) != (count, 0):
            raise RuntimeError(" ".join(words))
        longest = max(longest, numbers["microseconds"])
    if len(askers) > 1:
        longest = (now() - begin) * 1e3  # all of them, with their starts
    return longest / (count * len(askers))


def names(side):
    """Queries to the resolver of a user's network: a thousand at once under way in turn, and one at a time."""
    side.client.request("DELETE", "/networks/bench-names")
    network = side.client.post("/networks/create", {"Name": "bench-names"})["Id"]
    web, *askers = (side.started("/payload", "pause", network="bench-names") for _ in range(5))
    result = {}
    try:
        address = side.client.get("/containers/%s/json" % web)["NetworkSettings"]["Networks"]["bench-names"]["IPAddress"]
        for title, number, count, window in (("one at a time", 1, 2000, 1), ("64 at a time", 1, 20000, 64),
                                             ("4 containers", 4, 25000, 64)):
            result["1000 names, " + title] = asked(side, askers[:number], web[:12], address, count, window)
        times = []
        for _ in range(side.count):
            made = side.create("sleep", "1000", network="bench-names")
            begin = now()
            side.client.post("/containers/%s/start" % made)
            times.append(now() - begin)
            side.remove(made)
        result["API start, user's network"] = statistics.median(times)
    finally:
        for container in (web, *askers):
            side.remove(container)
        side.client.delete("/networks/%s" % network)
    return result


def of_images(side):
    return images.measure(side, peer(side.host))


def of_builds(side):
    return builds.measure(side, IMAGE)


def networks(side):
    """Networks made and removed, and containers with ten published ports."""
    made, removed, up, down = [], [], [], []
    ports = ["%d/tcp" % port for port in range(80, 90)]
    for _ in range(side.count):
        begin = now()
        network = side.client.post("/networks/create", {"Name": "bench-network"})["Id"]
        made.append(now() - begin)
        begin = now()
        side.client.delete("/networks/" + network)
        removed.append(now() - begin)
        container = side.client.post("/containers/create", {
            "Image": IMAGE, "Cmd": ["sleep", "1000"], "ExposedPorts": {port: {} for port in ports},
            "HostConfig": {"PortBindings": {port: [{"HostPort": ""}] for port in ports}}})["Id"]
        begin = now()
        side.client.post("/containers/%s/start" % container)
        up.append(now() - begin)
        begin = now()
        side.remove(container)
        down.append(now() - begin)
    return {"network create": statistics.median(made), "network remove": statistics.median(removed),
            "start with ten ports": statistics.median(up), "removal with ten ports": statistics.median(down)}


def round_trips(address, port, count=2000):
    """The median time of a few bytes to an echo and back, on one connection."""
    with socket.create_connection((address, port), 20) as echo:
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        for _ in range(count):
            begin = now()
            echo.sendall(b"ping")
            if echo.recv(16) != b"ping":
                raise RuntimeError("no echo of port %d" % port)
            times.append(now() - begin)
    return statistics.median(times)


def published(side):
    """An echo behind a published port, by 127.0.0.1, ::1 (a proxy) and an address of the host's (the kernel).

    Only where this runs in the daemons' network namespace."""
    container = side.client.post("/containers/create", {
        "Image": IMAGE, "Cmd": ["nc", "-ll", "-p", "7", "-e", "cat"], "ExposedPorts": {"7/tcp": {}},
        "HostConfig": {"PortBindings": {"7/tcp": [{"HostPort": ""}]}}})["Id"]
    side.client.post("/containers/%s/start" % container)
    settings = side.client.get("/containers/%s/json" % container)["NetworkSettings"]
    port = int(settings["Ports"]["7/tcp"][0]["HostPort"])
    gateway = settings["Networks"]["bridge"]["Gateway"]
    daemon.wait_for(lambda: listens(gateway, port), what="an echo")
    result = {"round trip by 127.0.0.1": round_trips("127.0.0.1", port), "round trip by ::1": round_trips("::1", port),
              "round trip by the kernel": round_trips(gateway, port)}
    side.remove(container)
    return result


def listens(address, port):
    try:
        round_trips(address, port, 1)
        return True
    except OSError:
        return False


# Part -> (function, whether once is enough however many rounds are asked for).
PARTS = {"idle": (idle, True), "start": (start, False), "exec": (execs, False), "networks": (networks, False), "published": (published, False), "cli": (cli, False),
         "burst": (burst, False), "density": (density, True), "names": (names, False),
         "logs": (logs, False), "copies": (copies, False), "stats": (statistics_of_many, False), "health": (health, True), "images": (of_images, False), "builds": (of_builds, False)}
