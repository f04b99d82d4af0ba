"""Power cuts: what the daemon has acknowledged is there after qemu was killed and the machine booted again."""
import guest

SERVE = ("systemd-run -q --unit=dockerd -p Delegate=yes -p KillMode=process /opt/kit/dockerd --data-root /var/lib/docker && "
         "for i in $(seq 600); do curl -s -f -o /dev/null --unix-socket /var/run/docker.sock http://d/_ping && exit 0; "
         "sleep 0.1; done; journalctl -u dockerd -n 30 --no-pager; exit 1")
IMPORT = "cd /opt/kit && DOCKERD_PAYLOAD=/opt/kit/payload python3 tests/support/image.py /tmp/kit.tar && docker import /tmp/kit.tar kit"

# Name, what is acknowledged right before the cut, and the check afterwards.
CUTS = [
    ("import", IMPORT, "docker image inspect -f '{{.RepoTags}}' kit | grep -F '[kit:latest]'"),
    ("create", "docker create --name made kit /payload exit 3", "docker inspect -f '{{.Name}} {{.State.Status}}' made | grep '^/made created$'"),
    ("tag", "docker tag kit again:v1", "docker image inspect -f '{{.RepoTags}}' kit | grep -F again:v1"),
    ("rename", "docker rename made renamed", "docker inspect -f '{{.Name}}' renamed | grep '^/renamed$' && ! docker inspect made"),
    ("exit code", "docker start -a renamed", "docker inspect -f '{{.State.ExitCode}}' renamed | grep '^3$'"),
    ("volume", "docker volume create kept", "docker volume inspect kept"),
    ("network", "docker network create kept", "docker network inspect kept"),
    ("running", "docker run -d --name ran kit /payload pause",
     "docker inspect -f '{{.State.Status}} {{.State.Running}}' ran | grep '^exited false$'"),
    ("restart policy", "docker run -d --restart always --name back kit /payload pause",
     "for i in $(seq 100); do docker ps --format '{{.Names}}' | grep -x back && exit 0; sleep 0.1; done; exit 1"),
    ("untag", "docker rmi again:v1", "! docker image inspect again:v1"),
    ("remove", "docker rm renamed", "! docker inspect renamed"),
]


def run(daemon):
    """Boots once per cut; true when nothing acknowledged was lost."""
    machine, good = guest.Guest(daemon), True
    try:
        machine.boot()
        machine.check(SERVE)
        machine.check("sync")  # the test's own files, which the agent unpacks at the first boot only
        for name, action, check in CUTS:
            code, output = machine.run(action)
            machine.power_cut()  # right behind the answer
            seconds = machine.boot()
            machine.check(SERVE)
            result, text = machine.run(check)
            # "start -a" ends with the container's own code.
            ok = result == 0 and code in (0, 3)
            good = good and ok
            print("power cut after %-15s %s (boot %.0f s)%s" % (
                name, "kept" if ok else "LOST", seconds, "" if ok else "\n%s\n%s" % (output, text)), flush=True)
    finally:
        machine.close()
    return good
