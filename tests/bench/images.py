"""The benchmark's image: load, save, push and pull of some 340 MB in five layers, with a docker-registry beside."""
import atexit
import contextlib
import functools
import io
import json
import os
import random
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time

import daemon
import registrydouble

NAME = "bench/big:latest"


def words(dice, size):
    """Text, of which gzip makes about a third."""
    known = [bytes(dice.choices(range(97, 123), k=dice.randint(3, 9))) for _ in range(5000)]
    out = b" ".join(dice.choices(known, k=size // 6))
    return out[:size]


def contents(dice):
    """What is in the layers: 9000 files of a system, many small ones, and what compresses badly, well and fully."""
    text = words(dice, 8 << 20)
    system = {}
    for number in range(9000):
        size = int(dice.lognormvariate(8.5, 1.6))
        at = dice.randrange(len(text))
        system["usr/lib/%d/file-%d" % (number % 97, number)] = (dice.randbytes(size // 3) + text[at:at + 2 * size // 3])
    yield system
    yield {"data/small/%d" % number: text[number * 2000:number * 2000 + 8200] for number in range(4000)}
    yield {"data/random": dice.randbytes(40 << 20)}
    yield {"data/text": words(dice, 56 << 20)}
    yield {"data/zeros": bytes(30 << 20)}


@functools.cache
def archive():
    """The path of the image's tar, made once for the whole benchmark."""
    folder = tempfile.mkdtemp(prefix="bench-image-", dir=os.environ.get("DOCKERD_TEST_DIR"))
    atexit.register(shutil.rmtree, folder)
    path = folder + "/big.tar"
    tars = [registrydouble.tar_of(files) for files in contents(random.Random(1))]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [registrydouble.digest(tar) for tar in tars]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [NAME],
                            "Layers": ["%d/layer.tar" % i for i in range(len(tars))]}]).encode()
    with tarfile.open(path, "w") as out:
        for name, data in [("%d/layer.tar" % i, tar) for i, tar in enumerate(tars)] + [
                ("config.json", config), ("manifest.json", manifest)]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def registry(pid):
    """An empty docker-registry in the daemon's network namespace: nothing is known to it, nothing can be mounted."""
    folder = tempfile.mkdtemp(prefix="bench-registry-", dir=os.environ.get("DOCKERD_TEST_DIR"))
    name = "127.0.0.1:%d" % free_port()
    with open(folder + "/config.json", "w") as file:
        json.dump({"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
                   "storage": {"filesystem": {"rootdirectory": folder + "/data"}}, "http": {"addr": name}}, file)
    enter = ["nsenter", "--net=/proc/%d/ns/net" % pid]
    served = subprocess.Popen([*enter, "docker-registry", "serve", folder + "/config.json"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        daemon.wait_for(lambda: subprocess.run([*enter, "curl", "-s", "http://%s/v2/" % name],
                                               stdout=subprocess.DEVNULL).returncode == 0, what="docker-registry")
        yield name
    finally:
        served.terminate()
        served.wait()
        shutil.rmtree(folder)


def forget(side, *names):
    for name in names:
        side.client.request("DELETE", "/images/%s?force=1" % name)


def timed(side, *arguments):
    # What went before is on the disk: each pays for its own writes.
    os.sync()
    begin = time.perf_counter()
    side.cli(*arguments)
    return (time.perf_counter() - begin) * 1e3


def measure(side, pid):
    path = archive()
    result = {}
    forget(side, NAME)
    result["docker load of 340 MB"] = timed(side, "load", "-q", "-i", path)
    result["docker save of 340 MB"] = timed(side, "save", "-o", path + ".saved", NAME)
    os.unlink(path + ".saved")
    with registry(pid) as name:
        pushed = name + "/" + NAME
        side.cli("tag", NAME, pushed)
        result["docker push of 340 MB"] = timed(side, "push", "-q", pushed)
        forget(side, pushed, NAME)
        time.sleep(1)  # layers are deleted in the background, by both
        result["docker pull of 340 MB"] = timed(side, "pull", "-q", pushed)
        forget(side, pushed)
    return result
