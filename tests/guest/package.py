"""The Debian package on a machine with systemd and on one without: installed, upgraded under a container, removed, a reboot."""
import guest
from power import IMPORT, until
from reboot import ARRANGE, BACK, PIDS, READY, RUNNING, Checks, after_boot

INSTALL = "dpkg -i --force-depends /opt/kit/dockerd.deb"  # its libraries are there, but not as packages
PID = "docker inspect -f '{{.State.Pid}}' keeps"
DAEMON = "systemctl show -p MainPID --value docker.service"
UNITS = "systemctl is-enabled docker.service docker.socket | xargs; systemctl is-active docker.service docker.socket | xargs"
SERVED = "enabled enabled\nactive active"


def service(checks):
    """Every word of `service docker`."""
    checks.works("service: containers", "docker rm -f keeps" + ARRANGE)
    checks.machine.check("cat /run/docker.pid >/root/daemon; " + PIDS + " >/root/pids")
    checks.works("service: start of what runs changes nothing", "service docker start; diff /run/docker.pid /root/daemon && " +
                 PIDS + " | diff - /root/pids")
    checks.works("service: stop", "service docker stop")
    # 3: not running. Source: Linux Standard Base, Init Script Actions.
    checks.equal("service: status when stopped, no process is left", "service docker status >/dev/null; echo $?; ls /run/docker.pid 2>/dev/null; "
                 "ps -eo comm= | grep -E '^(payload|dockerd|docker-monitor|docker-launcher)'", "3")
    checks.works("service: stop of what is stopped", "service docker stop")
    checks.works("service: start", "service docker start && service docker status && " + READY)
    checks.works("service: start, restart policies", until('[ "$(%s)" = "%s" ]' % (RUNNING, BACK)))
    checks.machine.check("cat /run/docker.pid >/root/daemon")
    checks.works("service: restart", "service docker restart && service docker status && " + READY +
                 " && ! diff /run/docker.pid /root/daemon && " + until('[ "$(%s)" = "%s" ]' % (RUNNING, BACK)))


def with_init_script(daemon, package):
    machine = guest.Guest(daemon, extra=[(package, "opt/kit/dockerd.deb")], systemd=False)
    try:
        machine.boot()
        machine.check("groupadd -f docker; printf '#!/bin/sh\\nexit 0\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
        checks = Checks(machine)
        checks.works("init script: installed", INSTALL + " && " + READY + " && service docker status")
        checks.works("init script: a container", IMPORT + " && docker run -d --name keeps --restart always kit /payload pause")
        machine.check("%s >/root/pid; cat /run/docker.pid >/root/daemon" % PID)
        checks.works("init script: upgraded, another daemon", INSTALL + " && " + READY + " && ! diff /run/docker.pid /root/daemon")
        checks.equal("init script: upgraded, the container did not notice", PID + " | diff - /root/pid && docker exec keeps /payload echo lives", "lives")
        machine.check("sync")
        machine.power_cut()
        machine.boot()
        checks.works("init script: started after a power cut", "service docker start && " + until("docker exec keeps /payload echo lives"))
        service(checks)
        machine.check("docker start plain && docker run -d --name gone --rm kit /payload pause")
        # What a reboot does by the links in /etc/rc?.d, with the power cut where the machine would have gone off.
        machine.check("service docker stop && sync")
        machine.power_cut()
        machine.boot()
        checks.works("init script: reboot, the service starts", "service docker start")
        after_boot(checks, "init script: reboot", 143)
        return checks.good
    finally:
        machine.close()


def with_systemd(daemon, package):
    machine = guest.Guest(daemon, extra=[(package, "opt/kit/dockerd.deb")])
    try:
        machine.boot()
        machine.check("groupadd -f docker")
        checks = Checks(machine)
        checks.works("package: installed", INSTALL + " && " + READY)
        checks.equal("package: units", UNITS, SERVED)
        checks.equal("package: the socket's owner and mode", "stat -c '%U %G %a' /run/docker.sock", "root docker 660")
        checks.works("package: a container", IMPORT + " && docker run -d --name keeps --restart always kit /payload pause")
        machine.check("%s >/root/pid; %s >/root/daemon" % (PID, DAEMON))
        checks.works("package: upgraded, another daemon", INSTALL + " && " + READY + " && ! %s | diff - /root/daemon" % DAEMON)
        checks.equal("package: upgraded, the container did not notice", PID + " | diff - /root/pid && docker exec keeps /payload echo lives", "lives")
        checks.equal("package: upgraded, units", UNITS, SERVED)
        checks.equal("package: removed", "dpkg -r dockerd >/dev/null; systemctl is-active docker.service docker.socket | xargs; "
                     "ls /usr/sbin/dockerd 2>/dev/null || true", "inactive inactive")
        checks.works("package: installed again, the policy counts",
                     INSTALL + " && " + READY + " && " + until("docker exec keeps /payload echo lives"))
        machine.check("sync")
        machine.reboot()
        checks.works("package: reboot, the service is up by itself", READY)
        checks.works("package: reboot, the container as well", until("docker exec keeps /payload echo lives"))
        return checks.good
    finally:
        machine.close()


def run(daemon, package):
    good = with_systemd(daemon, package)
    return with_init_script(daemon, package) and good
