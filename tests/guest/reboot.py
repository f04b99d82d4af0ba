"""The daemon as a systemd service: socket activation, restarts, a death, an orderly reboot, and one with its power cut."""
import guest
from power import IMPORT, until

INSTALL = ("cp /opt/kit/dockerd /usr/sbin/dockerd && cp /opt/kit/packaging/systemd/docker.* /etc/systemd/system/ && "
           "groupadd -f docker && sync && systemctl daemon-reload && systemctl enable -q docker.service docker.socket && "
           "systemctl start docker.socket")
READY = until("curl -s -f -o /dev/null --unix-socket /run/docker.sock http://d/_ping")
ARRANGE = """
set -e
docker network create side
docker run -d --name always --restart always -p 8080:80 kit /payload listen 80
docker run -d --name unless --restart unless-stopped --network side -v data:/data kit sh -c 'echo x >>/data/runs; exec /payload pause'
docker run -d --name stopped --restart unless-stopped kit /payload pause
docker run -d --name failing --restart on-failure kit /payload pause
docker run -d --name plain kit /payload pause
docker run -d --name gone --rm kit /payload pause
docker run -d --name paused --restart always kit /payload pause
docker run --name ended kit /payload exit 7 || true
docker kill stopped
docker pause paused
"""
STATES = "for c in always unless stopped failing plain paused ended; do docker inspect -f '{{.Name}} {{.State.Status}} {{.State.ExitCode}}' $c; done"
PIDS = "for c in always unless failing plain paused; do docker inspect -f '{{.Name}} {{.State.Pid}}' $c; done"
RUNNING = "docker ps --format '{{.Names}}' | sort | xargs"
PORT = "echo ping | timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; cat >&3; head -n 1 <&3' | grep ping"
# One namespace file and one veth for each running container; nothing mounted, listed or bound for others.
COUNTS = ("echo $(ls /run/docker/netns | wc -l) $(ip -o link show type veth | wc -l) $(ls /run/docker/containers | wc -l) "
          "$(grep -c ' /var/lib/docker/overlay2/.*/merged ' /proc/self/mountinfo)")
# By that time every policy has been applied: these come back, and nothing else.
BACK = "always failing paused unless"


class Checks:
    def __init__(self, machine):
        self.machine, self.good = machine, True

    def equal(self, what, command, wanted):
        code, output = self.machine.run(command)
        ok = output.strip() == wanted.strip() if wanted is not None else code == 0
        self.good = self.good and ok
        print("%-62s %s" % (what, "ok" if ok else "WRONG: code %d, got\n%s\nwanted\n%s" % (code, output, wanted)), flush=True)

    def works(self, what, command):
        self.equal(what, command, None)


def after_boot(checks, name, plain):
    """What must be true when the machine is up again and the service has started by itself."""
    checks.works(name + ": the service is up by itself", READY)
    checks.works(name + ": restart policies", until('[ "$(%s)" = "%s" ]' % (RUNNING, BACK)))
    checks.equal(name + ": states", STATES, "/always running 0\n/unless running 0\n/stopped exited 137\n/failing running 0\n"
                 "/plain exited %d\n/paused running 0\n/ended exited 7" % plain)
    checks.works(name + ": --rm is gone", until("! docker inspect gone 2>/dev/null"))
    checks.equal(name + ": namespaces, veths, monitors, root mounts", COUNTS, "4 4 4 4")
    checks.works(name + ": published port answers", until(PORT))
    checks.works(name + ": exec in a container on a network of its own", "docker exec unless /payload echo alive | grep -x alive")


def nothing_failed(checks, name):
    checks.equal(name + ": nothing failed", "systemctl is-failed docker.service docker.socket | xargs", "active active")


def service(checks):
    checks.equal("the socket starts the service", "systemctl is-active docker.service; docker version -f x; systemctl is-active docker.service",
                 "inactive\nx\nactive")
    checks.equal("the socket's owner and mode", "stat -c '%U %G %a' /run/docker.sock", "root docker 660")
    checks.works("image", IMPORT)
    checks.works("containers", ARRANGE)
    checks.equal("states", STATES, "/always running 0\n/unless running 0\n/stopped exited 137\n/failing running 0\n"
                 "/plain running 0\n/paused paused 0\n/ended exited 7")
    checks.machine.check(PIDS + " >/root/pids")
    checks.equal("kill -9: the service comes back, containers never went",
                 "kill -9 $(systemctl show -p MainPID --value docker.service); sleep 0.2; " + READY + " && " + PIDS +
                 " | diff - /root/pids && systemctl show -p NRestarts --value docker.service", "1")
    checks.equal("SIGQUIT: the same", "systemctl kill -s QUIT --kill-who=main docker.service; sleep 0.2; " + READY + " && " + PIDS +
                 " | diff - /root/pids && systemctl show -p NRestarts --value docker.service", "2")
    checks.works("reload", "systemctl reload docker.service && docker version -f x")
    # These are more starts within a minute than the unit allows.
    again = "systemctl reset-failed docker.service && systemctl restart docker.service && "
    checks.equal("restart with live-restore: containers stay",
                 "mkdir -p /etc/docker && echo '{\"live-restore\": true}' >/etc/docker/daemon.json && systemctl reload docker.service && " +
                 again + READY + " && " + PIDS + " | diff - /root/pids && rm /etc/docker/daemon.json && " + again +
                 "docker info -f '{{.LiveRestoreEnabled}}'", "false")
    checks.equal("restart: policies", again + until('[ "$(%s)" = "%s" ]' % (RUNNING, BACK)) +
                 " && docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' plain", "exited 143")
    checks.machine.check("docker start plain && docker run -d --name gone --rm kit /payload pause && "
                         "cat /proc/sys/kernel/random/boot_id >/root/boot")


def run(daemon):
    folder = guest.TOP + "/packaging/systemd"
    machine = guest.Guest(daemon, seed=2, extra=[(folder, "opt/kit/packaging/systemd")])
    try:
        machine.boot()
        machine.check(INSTALL)
        checks = Checks(machine)
        service(checks)
        print("reboot: %.0f s down, %.0f s up" % machine.reboot(), flush=True)
        checks.works("reboot: another boot id", "! diff /root/boot /proc/sys/kernel/random/boot_id")
        after_boot(checks, "reboot", 143)
        nothing_failed(checks, "reboot")
        checks.machine.check("docker start plain && docker run -d --name gone --rm kit /payload pause")
        machine.power_cut()
        machine.boot()
        after_boot(checks, "power cut", 255)
        nothing_failed(checks, "power cut")
        return checks.good
    finally:
        machine.close()
