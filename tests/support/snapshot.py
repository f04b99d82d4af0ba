"""What a daemon and its containers hold on a machine, as sets of lines that can be compared."""
import collections
import os
import re
import shutil
import subprocess
import time

import daemon as daemon_module
import reports

# Files a daemon may write as it goes on, without a container being to blame.
KEPT_FILES = re.compile(r"(dockerd\.log|/sanitizer|/containerd/|\.db$|/buildkit/|/network/files|/swarm/|/engine-id$|/cli/|/tmp$)")
# What differs from one run to the next in the names of descriptors.
NUMBERS = re.compile(r"\b[0-9a-f]{64}\b|\d+")


class Target:
    """Whom to look at: the daemon's pid, the folder of its roots, the parent of its cgroups."""

    def __init__(self, pid, base, cgroup=None):
        self.pid, self.base, self.cgroup = pid, os.path.realpath(base), cgroup


def _read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def processes(target):
    """Processes that are the daemon's: below it, naming its folder, in its cgroups or rooted in it."""
    found = {target.pid, *daemon_module.descendants(target.pid)}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        folder = "/proc/" + entry
        groups = _read(folder + "/cgroup")
        if (target.base + "/" in _read(folder + "/cmdline") or target.base in _link(folder + "/root")
                or (target.cgroup and target.cgroup + "/" in groups)):
            found.add(int(entry))
    # Whoever looks, looks from outside: this process and those it was started by are not the daemon's.
    looking = os.getpid()
    while looking > 1:
        found.discard(looking)
        text = _read("/proc/%d/stat" % looking)
        looking = int(text[text.rindex(")") + 2:].split()[1]) if text else 1
    return found


def _process_lines(target):
    out = collections.Counter()
    for pid in processes(target):
        state = _read("/proc/%d/stat" % pid)
        if state:
            words = _read("/proc/%d/cmdline" % pid).replace("\0", " ").strip()[:80] or _read("/proc/%d/comm" % pid).strip()
            zombie = " zombie" if state[state.rindex(")") + 2] == "Z" else ""
            out[words + zombie] += 1
    return out


def _mount_lines(target):
    """Mounts below the daemon's folder in every mount namespace of the machine that is not a container's own."""
    out, seen = collections.Counter(), set()
    pids = ["self", str(target.pid)] + [str(pid) for pid in processes(target)]
    for pid in pids:
        namespace = _link("/proc/%s/ns/mnt" % pid)
        if not namespace or namespace in seen:
            continue
        seen.add(namespace)
        for line in _read("/proc/%s/mountinfo" % pid).splitlines():
            point = line.split()[4]
            if point.startswith(target.base):
                out["%s %s" % (line.split(" - ")[1].split()[0], point[len(target.base):])] += 1
    return out


def _link_lines(target):
    lines = _read("/proc/%d/net/dev" % target.pid).splitlines()[2:]
    return collections.Counter(line.split(":")[0].strip() for line in lines)


def _firewall_lines(target):
    if not shutil.which("nft"):
        return collections.Counter()
    result = subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % target.pid, "nft", "-s", "list", "ruleset"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out, table, chain = collections.Counter(), "", ""
    for line in result.stdout.splitlines():
        text = re.sub(r"counter packets \d+ bytes \d+", "counter", line.strip())
        if text.startswith("table"):
            table, chain = text.split("{")[0], ""
        elif text.startswith("chain"):
            chain = text.split()[1]
        elif text and text != "}":
            if chain == "FORWARD":
                # With the first network of a family the engine switches its forwarding on, and drops what is others'. That stays.
                text = re.sub(r"policy (accept|drop);", "policy of the machine;", text)
            out["%s%s: %s" % (table, chain, text)] += 1
    return out


def _address_lines(target):
    """Routes and bound sockets of the daemon's network namespace."""
    out = collections.Counter()
    for line in _read("/proc/%d/net/route" % target.pid).splitlines()[1:]:
        out["route " + " ".join(line.split()[:3])] += 1
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in _read("/proc/%d/net/%s" % (target.pid, name)).splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" or name.startswith("udp"):
                out["%s listener %s" % (name, words[1])] += 1
    return out


def _cgroup_lines(target):
    out = collections.Counter()
    for folder in daemon_module.cgroup_folders(target.cgroup) if target.cgroup else []:
        for path, folders, _ in os.walk(folder):
            for name in folders:
                out[os.path.join(path, name)] += 1
    return out


def _descriptor_lines(target):
    out = collections.Counter()
    try:
        entries = os.listdir("/proc/%d/fd" % target.pid)
    except OSError:
        return out
    for entry in entries:
        text = _link("/proc/%d/fd/%s" % (target.pid, entry))
        if text:
            out[NUMBERS.sub("N", text.replace(target.base, ""))] += 1
    return out


def _file_lines(target):
    out = collections.Counter()
    skip = {point for point in daemon_module.mounts_below(target.base)}
    for path, folders, files in os.walk(target.base):
        folders[:] = [name for name in folders if os.path.join(path, name) not in skip]
        for name in files + folders:
            full = os.path.join(path, name)[len(target.base):]
            if not KEPT_FILES.search(full):
                out[full] += 1
    return out


PARTS = {"process": _process_lines, "mount": _mount_lines, "link": _link_lines, "firewall": _firewall_lines,
         "network": _address_lines, "cgroup": _cgroup_lines, "descriptor": _descriptor_lines, "file": _file_lines}


def take(target):
    """Everything at once: {part: {line: count}}; threads as one number."""
    result = {part: dict(function(target)) for part, function in PARTS.items()}
    try:
        result["threads"] = {"threads": len(os.listdir("/proc/%d/task" % target.pid)), "pid": target.pid}
    except OSError:
        result["threads"] = {}
    return result


def difference(before, after, threads_slack=0):
    """Lines that came or went, as text."""
    out = []
    # Another daemon process has descriptors and threads of its own: nothing to compare.
    same_process = before["threads"].get("pid") == after["threads"].get("pid")
    for part in PARTS:
        if part == "descriptor" and not same_process:
            continue
        old, new = before.get(part, {}), after.get(part, {})
        for line in sorted(set(old) | set(new)):
            change = new.get(line, 0) - old.get(line, 0)
            if change:
                out.append("%s: %+d %s" % (part, change, line))
    grown = after["threads"].get("threads", 0) - before["threads"].get("threads", 0)
    if same_process and grown > threads_slack:
        out.append("threads: %+d" % grown)
    return out


def wait_without_containers(target, seconds):
    """Waits until no container's monitor is left, nor its interface in the daemon's network namespace."""
    deadline = time.monotonic() + seconds * reports.PATIENCE
    while time.monotonic() < deadline and (any("veth" in line for line in _link_lines(target))
                                           or "docker-monitor" in _process_lines(target)):
        time.sleep(0.02)


def take_settled(target, seconds):
    """A snapshot that holds still: what is deleted behind an answer is gone in it."""
    deadline = time.monotonic() + seconds * reports.PATIENCE
    last = take(target)
    while True:
        time.sleep(0.05)
        state = take(target)
        if state == last or time.monotonic() > deadline:
            return state
        last = state


def settle(target, before, seconds=10, threads_slack=0):
    """The differences that remain: clean-up behind an answer gets that long to finish."""
    deadline = time.monotonic() + seconds * reports.PATIENCE
    while True:
        left = difference(before, take(target), threads_slack)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
