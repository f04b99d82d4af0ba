"""docker build by the classic builder: cold, cached, and with a COPY of 200 MB."""
import os
import shutil
import tempfile
import time

STEPS = ("FROM %s\nENV N=%s\nRUN echo 1 > /a1\nRUN echo 2 > /a2\nRUN echo 3 > /a3\nCOPY f.txt /f.txt\nRUN echo 4 > /a4\n"
         "RUN echo 5 > /a5\nWORKDIR /w\nLABEL x=y\nCMD [\"true\"]\n")


def timed(side, *arguments):
    begin = time.perf_counter()
    side.cli("build", "-q", *arguments, environment={"DOCKER_BUILDKIT": "0"})
    return (time.perf_counter() - begin) * 1e3


def write(path, data):
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def measure(side, image):
    folder = tempfile.mkdtemp(prefix="bench-build-", dir=os.environ.get("DOCKERD_TEST_DIR"))
    try:
        for context in ("small", "large"):
            os.mkdir("%s/%s" % (folder, context))
        write(folder + "/small/f.txt", "x\n")
        write(folder + "/small/Dockerfile", STEPS % (image, time.time_ns()))  # nothing of an earlier round is cached
        write(folder + "/large/big", os.urandom(1 << 20) * 200)
        write(folder + "/large/Dockerfile", "FROM %s\nCOPY big /big\n" % image)
        os.sync()
        result = {"docker build, cold": timed(side, "-t", "bench/b", folder + "/small"),
                  "docker build, cached": timed(side, "-t", "bench/b", folder + "/small"),
                  "docker build, COPY of 200 MB": timed(side, "-t", "bench/c", "--no-cache", folder + "/large")}
        side.cli("rmi", "-f", "bench/b", "bench/c")
        return result
    finally:
        shutil.rmtree(folder)
