"""Power cuts: what the daemon has acknowledged is there after qemu was killed and the machine booted again."""
import guest

SERVE = ("setsid /opt/kit/dockerd --data-root /var/lib/docker >/var/log/dockerd.log 2>&1 </dev/null & "
         "for i in $(seq 600); do curl -s -f -o /dev/null --unix-socket /var/run/docker.sock http://d/_ping && exit 0; "
         "sleep 0.1; done; tail -n 30 /var/log/dockerd.log; exit 1")
# An image with a file where a volume will be.
IMPORT = ("cd /opt/kit && DOCKERD_PAYLOAD=/opt/kit/payload python3 tests/support/image.py /tmp/kit.tar && mkdir -p /tmp/add/seed && "
          "head -c 300000 /dev/urandom >/tmp/add/seed/file && sha256sum </tmp/add/seed/file >/root/sum && "
          "tar -C /tmp/add -r -f /tmp/kit.tar seed && sync && docker import /tmp/kit.tar kit")


def state(name, template, wanted):
    return "docker inspect -f '{{%s}}' %s | grep -x -- '%s'" % ("}} {{".join(template.split()), name, wanted)


def until(command):
    return "( for i in $(seq 200); do %s && exit 0; sleep 0.1; done; exit 1 )" % command


# Before this boot: what was written down at the time, not what the next daemon made of it. The clock that a boot begins
# with has whole seconds only; the next daemon comes some seconds later.
EARLIER = ("t=$(docker inspect -f '{{.State.%s}}' %s) && [ $(date -d $t +%%s) -le $(date -d \"$(uptime -s)\" +%%s) ] && "
           "[ ${t%%%%-*} != 0001 ]")

# Name, what comes before, what is acknowledged right before the cut, and the check afterwards.
CUTS = [
    ("import", "", IMPORT, "docker image inspect -f '{{.RepoTags}}' kit | grep -F '[kit:latest]' && "
     "docker run --rm kit /payload echo whole"),
    ("load", "docker save -o /root/kit.tar kit && docker rmi kit && sync", "docker load -i /root/kit.tar",
     "docker run --rm kit sh -c 'cat /seed/file' | sha256sum | cmp - /root/sum"),
    # A large file of the context is in the layer by a link, small ones are copied; the save sums up all of them.
    ("build", "mkdir -p /root/c && cd /root/c && head -c 5000000 /dev/urandom >big && echo small >small && "
     "printf 'FROM kit\\nCOPY . /c/\\nRUN echo ran >/ran\\n' >Dockerfile && (cat big small; echo ran) | sha256sum >/root/built && sync",
     "DOCKER_BUILDKIT=0 docker build -q -t built /root/c",
     "docker run --rm built sh -c 'cat /c/big /c/small /ran' | sha256sum | cmp - /root/built && docker save built >/dev/null"),
    ("create", "", "docker create --name made kit /payload exit 3", state("made", ".Name .State.Status", "/made created")),
    ("create with volume", "", "docker create --name full -v filled:/seed kit /payload pause",
     "docker start full && docker exec full cat /seed/file | sha256sum | cmp - /root/sum && docker rm -f full"),
    ("tag", "", "docker tag kit again:v1", "docker image inspect -f '{{.RepoTags}}' kit | grep -F again:v1"),
    ("rename", "", "docker rename made renamed", "docker inspect renamed && ! docker inspect made"),
    ("exit code", "", "docker start -a renamed",
     state("renamed", ".State.Status .State.ExitCode", "exited 3") + " && " + EARLIER % ("FinishedAt", "renamed")),
    ("failed start", "docker create --name bad kit /none", "docker start bad",
     state("bad", ".State.Status .State.ExitCode", "created 127") + " && docker inspect -f '{{.State.Error}}' bad | grep none"),
    ("volume", "", "docker volume create kept", "docker volume inspect kept"),
    ("network", "", "docker network create kept", "docker network inspect kept"),
    ("running", "", "docker run -d --name ran kit /payload pause",
     state("ran", ".State.Status .State.Running .State.ExitCode", "exited false 255") + " && " + EARLIER % ("StartedAt", "ran")),
    ("restart always", "", "docker run -d --restart always --name back kit /payload pause",
     until("docker ps --format '{{.Names}}' | grep -x back")),
    ("auto-remove", "", "docker run -d --rm --name gone kit /payload pause", until("! docker inspect gone")),
    ("stop", "docker run -d --restart unless-stopped --name us kit /payload ticks 1000", "docker stop -t 0 us",
     until("docker ps --format '{{.Names}}' | grep -x back") + " && " + state("us", ".State.Status .State.ExitCode", "exited 137")),
    ("update", "", "docker update --restart always ran", "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' ran | grep -x always"),
    ("untag", "", "docker rmi again:v1", "! docker image inspect again:v1"),
    ("remove", "", "docker rm renamed", "! docker inspect renamed"),
    ("volume remove", "", "docker volume rm kept", "! docker volume inspect kept"),
    ("network remove", "", "docker network rm kept", "! docker network inspect kept"),
]
# Commands that end with their container's code, or are to fail.
CODES = {"exit code": 3, "failed start": 1}


def cut(machine, name, before, action, check):
    """One power cut; true when what came before it was kept."""
    if before:
        machine.check(before)
    code, output = machine.run(action)
    machine.power_cut()  # right behind the answer
    seconds = machine.boot()
    machine.check(SERVE)
    result, text = machine.run("( %s )" % check)
    ok = result == 0 and code == CODES.get(name, 0)
    lost = "" if machine.volatile is None else ", %d blocks in the disk's cache lost, %d not" % (
        machine.volatile.lost, machine.volatile.kept)
    print("power cut after %-20s %s (boot %.0f s%s)%s" % (
        name, "kept" if ok else "LOST", seconds, lost, "" if ok else "\n%s\n%s" % (output, text)), flush=True)
    return ok


def disk_forgets(machine):
    """Whether the cut of power takes what was written and not flushed: else nothing here proves anything."""
    machine.check("dd if=/dev/zero of=/root/probe bs=4k count=200 && sync")
    machine.check("tr '\\0' x </root/probe >/run/probe && dd if=/run/probe of=/root/probe bs=4k oflag=direct conv=notrunc")
    machine.power_cut()
    lost, kept = machine.volatile.lost, machine.volatile.kept
    machine.boot()
    found = int(machine.check("tr -cd x </root/probe | wc -c")) // 4096
    print("written to the disk and not flushed: %d blocks lost, %d not; %d of 200 found" % (lost, kept, found), flush=True)
    return 50 < found < 150 and lost >= 200 - found


def run(daemon, seed=1):
    """Boots once per cut; true when nothing acknowledged was lost."""
    machine = guest.Guest(daemon, seed=seed, systemd=False)
    try:
        machine.boot()
        machine.check("sync")  # the test's own files, which the agent unpacks at the first boot only
        good = disk_forgets(machine)
        machine.check(SERVE)
        for name, before, action, check in CUTS:
            good = cut(machine, name, before, action, check) and good
    finally:
        machine.close()
    return good
