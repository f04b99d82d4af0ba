"""Network namespaces without `ip netns exec`, whose fresh /sys hides the cgroup mounts."""
import ctypes
import fcntl
import os
import socket
import struct
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))


def enter(fd):
    """Moves the calling thread into the namespace; also fit for preexec_fn."""
    _check(_libc.setns(fd, CLONE_NEWNET), "setns")


def _up(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", name.encode(), 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(sock, 0x8914, request)  # SIOCSIFFLAGS


def make():
    """A descriptor of a new network namespace with its loopback up; it lives as long as somebody holds it."""
    result = []

    def work():
        try:
            _check(_libc.unshare(CLONE_NEWNET), "unshare")
            _up("lo")
            result.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def inside(fd, function, *arguments):
    """Calls the function in a thread of its own inside the namespace: sockets made there belong there."""
    result = []

    def work():
        try:
            enter(fd)
            result.append((function(*arguments), None))
        except BaseException as error:  # handed to the caller below
            result.append((None, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    value, error = result[0]
    if error is not None:
        raise error
    return value
