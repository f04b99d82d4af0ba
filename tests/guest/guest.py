"""A Debian guest under qemu: boot it, run commands in it, cut its power.

For what the test machine's own kernel set-up may not show: cgroup v2, systemd, a reboot, a power cut.
"""
import io
import json
import os
import re
import select
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time

from volatile_disk import VolatileDisk

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


# Instead of systemd, where only the disk or an init script matters: a shell as the first process, which takes leave of
# the dead. Boots in a third of the time.
PLAIN_INIT = (
    "export PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount -t proc p /proc; mount -t sysfs s /sys; mount -t cgroup2 c /sys/fs/cgroup; "
    "mountpoint -q /run || mount -t tmpfs r /run; mkdir -p /dev/pts /dev/shm /dev/virtio-ports; mount -t devpts d /dev/pts; "
    "modprobe virtio_console; modprobe virtio_rng; ip link set lo up; "
    "for p in /sys/class/virtio-ports/*; do ln -s /dev/${p##*/} /dev/virtio-ports/kit; done; /usr/local/sbin/guest-agent & wait")


class GuestError(Exception):
    pass


def libraries(program):
    """The shared libraries a program needs, with the paths the guest's loader will look at."""
    text = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return re.findall(r"=> (/\S+)", text)


def bundle(daemon, extra=()):
    """A tar of the daemon with its libraries, the docker CLI, the payload and the tests, to be unpacked at /."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        tar.add(daemon, "opt/kit/dockerd")
        cli = shutil.which("docker")
        tar.add(cli, "usr/local/bin/docker")
        payload = os.environ.get("DOCKERD_PAYLOAD") or os.path.join(os.path.dirname(daemon), "tests/support/payload")
        tar.add(payload, "opt/kit/payload")
        for library in sorted(set(libraries(daemon) + libraries(cli))):
            tar.add(library, "usr/lib/x86_64-linux-gnu/" + os.path.basename(library))
        for folder in ("tests/support", "tests/daemon", "tests/guest"):
            tar.add(os.path.join(TOP, folder), "opt/kit/" + folder,
                    filter=lambda info: None if "__pycache__" in info.name else info)
        for source, target in extra:
            tar.add(source, target)
    return out.getvalue()


class Guest:
    """One virtual machine on a disk of its own. A context manager: boots, and cuts the power at the end."""

    def __init__(self, daemon, images=None, memory=1536, extra=(), seed=None, systemd=True):
        """With a seed, what the guest has not flushed is lost at a power cut, or kept, by that chance."""
        self.systemd, self.unpacked = systemd, False
        self.images = images or os.environ.get("DOCKERD_GUEST") or TOP + "/build/guest"
        if not os.path.exists(self.images + "/disk.img"):
            raise GuestError("no guest image at %s: tests/guest/make-image makes it" % self.images)
        self.memory = memory
        self.folder = tempfile.mkdtemp(prefix="guest-", dir=self.images)
        self.disk = self.folder + "/disk.img"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.images + "/disk.img", self.disk], check=True)
        with open(self.folder + "/bundle.tar", "wb") as file:
            file.write(bundle(daemon, extra))
        self.process = self.port = self.volatile = None
        self.buffer = b""
        if seed is not None:
            self.volatile = VolatileDisk(self.disk, self.folder + "/disk", seed)

    def command(self):
        disk = "driver=nbd,server.type=unix,server.path=%s/disk,cache.direct=on,cache.no-flush=off" % self.folder
        if self.volatile is None:
            disk = "file=%s,format=raw,cache=writeback" % self.disk
        start = "" if self.systemd else ' init=/bin/sh -- -c "%s"' % PLAIN_INIT
        # The agent unpacks it, so it must be flushed by the test before the power is cut.
        tar = [] if self.unpacked else ["-drive", "file=%s/bundle.tar,format=raw,if=virtio,readonly=on" % self.folder]
        return [
            "qemu-system-x86_64", "-machine", "q35,accel=%s" % os.environ.get("DOCKERD_GUEST_ACCEL", "tcg"),
            "-cpu", os.environ.get("DOCKERD_GUEST_CPU", "Nehalem"), "-smp", "2", "-m", str(self.memory), "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", self.images + "/vmlinuz", "-initrd", self.images + "/initrd.img",
            "-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 net.ifnames=0 mitigations=off systemd.mask=modprobe@dm_mod.service systemd.mask=modprobe@loop.service systemd.mask=modprobe@efi_pstore.service systemd.mask=modprobe@fuse.service systemd.mask=modprobe@drm.service" + start,
            "-drive", disk + ",if=virtio",
            "-serial", "file:%s/console.log" % self.folder,
            "-chardev", "socket,id=kit,path=%s/port,server=on,wait=off" % self.folder,
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=kit,name=kit",
            "-device", "virtio-rng-pci", "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net", *tar]

    def boot(self, timeout=300):
        """Starts the machine and waits for the agent in it; returns the seconds it took."""
        begin = time.monotonic()
        if os.path.exists(self.folder + "/port"):
            os.unlink(self.folder + "/port")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, start_new_session=True)
        self.port, self.buffer = socket.socket(socket.AF_UNIX), b""
        while True:
            try:
                self.port.connect(self.folder + "/port")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - begin > 20:
                    raise GuestError("qemu did not start") from None
                time.sleep(0.05)
        self.answer(timeout, "boot")
        self.unpacked = True
        return time.monotonic() - begin

    def answer(self, timeout, what):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or self.process.poll() is not None:
                raise GuestError("no answer to %s; console:\n%s" % (what, self.console()))
            if select.select([self.port], [], [], min(left, 1))[0]:
                self.buffer += self.port.recv(65536)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def run(self, command, timeout=600):
        """Runs a shell command in the guest; returns (exit code, output)."""
        self.port.sendall(json.dumps({"command": command, "timeout": timeout}).encode() + b"\n")
        done = self.answer(timeout + 30, command)
        return done["code"], done["output"]

    def check(self, command, timeout=600):
        """As run, but a failure is an exception; returns the output."""
        code, output = self.run(command, timeout)
        if code != 0:
            raise GuestError("%s: exit code %d\n%s" % (command, code, output))
        return output

    def console(self):
        try:
            with open(self.folder + "/console.log", errors="replace") as file:
                return file.read()[-3000:]
        except OSError:
            return ""

    def power_cut(self):
        """What a power failure does: the machine stops between two instructions, the disk keeps what was flushed."""
        self.process.kill()
        self.process.wait()
        self.port.close()
        self.process = None
        if self.volatile:
            self.volatile.power_cut()

    def reboot(self, timeout=180):
        """systemd ends everything in order and the machine comes up again; returns the seconds of both."""
        begin = time.monotonic()
        self.port.sendall(json.dumps({"command": "systemctl reboot"}).encode() + b"\n")
        self.process.wait(timeout)  # qemu has -no-reboot
        self.port.close()
        self.process = None
        down = time.monotonic() - begin
        return down, self.boot()

    def shut_down(self):
        """An orderly end: systemd stops everything and the machine goes off."""
        self.port.sendall(json.dumps({"command": "systemctl poweroff"}).encode() + b"\n")
        self.process.wait(120)
        self.port.close()
        self.process = None

    def close(self):
        if self.process is not None:
            self.power_cut()
        if self.volatile:
            self.volatile.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            self.boot()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()
