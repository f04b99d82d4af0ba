"""Attacks by what is sent or read: huge and odd numbers, names and files, and labels that would like to be settings."""
import os
import time
import unittest

import support  # noqa: F401  (makes tests/support importable)

import reports
from attack import AttackTestCase, Tree
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
# KiB by which a daemon may have grown; a sanitized one keeps what it has freed for a while.
SMALL = 4096 if reports.PATIENCE == 1 else 256 << 10


class Input(AttackTestCase):
    def resident(self):
        with open("/proc/%d/status" % self.daemon.pid) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    # -- CVE-2021-43784 ---------------------------------------------------------
    def test_long_fields_arrive_whole(self):
        # Around 16 bits, and what one argument may have at most (the kernel's MAX_ARG_STRLEN).
        for size in (0xfffe, 0xffff, 0x10000, 0x10001, 131071 - len("LONG=")):
            out = self.output("echo ${#LONG} ${#LABEL}; tail -c 3 /proc/self/environ | head -c 2; id -u; cat /proc/self/cgroup >/dev/null",
                              Env=["LONG=" + "x" * size, "LABEL=y", "END=zz"], Labels={"long": "/proc/1/ns/net" * (size // 8)})
            self.assertEqual(out.split()[:2], [str(size), "1"], size)
        container = self.background("/payload", "pause")
        for size in (0xffff, 0x10000, 0x10001):
            outcome = self.execute(container, "sh", "-c", "echo ${#LONG}", Env=["LONG=" + "x" * size])
            self.assertEqual(outcome.out, "%d\n" % size)

    def test_long_messages_arrive_whole(self):
        for count in (8, 10, 15):  # below, about and above 1 MiB in one message
            env = ["V%02d=%s" % (number, "x" * 99990) for number in range(count)]
            self.assertEqual(self.output("env | grep -c ^V; env | wc -c", Env=env).split()[0], str(count))
            container = self.background("/payload", "pause")
            outcome = self.execute(container, "sh", "-c", "env | grep -c ^V", Env=env)
            self.assertEqual(outcome.out, "%d\n" % count)
            self.remove(container)
        # Many small ones: paths that are hidden, and namespaces that stay what they are.
        paths = ["/proc/%s/%d" % ("n" * 200, number) for number in range(10000)]
        out = self.output("readlink /proc/self/ns/net; cat /proc/timer_list | wc -c",
                          host={"MaskedPaths": paths + ["/proc/timer_list"]})
        self.assertNotEqual(out.split()[0], os.readlink("/proc/self/ns/net"))
        self.assertEqual(out.split()[1], "0")

    def test_what_is_too_long_is_refused(self):
        outcome = self.shell("true", Env=["LONG=" + "x" * 131072])
        self.assertNotEqual(outcome.code, 0)
        self.assertIn("rgument list too long", outcome.error or outcome.out)
        outcome = self.shell("true", Env=["V%d=%s" % (number, "x" * 100000) for number in range(150)])
        self.assertNotEqual(outcome.code, 0)
        self.assertIn("rgument list too long", outcome.error or outcome.out)
        self.assertEqual(self.output("echo on"), "on\n")

    # -- CVE-2018-20699 -----------------------------------------------------------
    def test_ranges_of_processors_cost_nothing(self):
        many = ",".join(["0-8192"] * (1 if ORACLE else 20000))  # 20.10 takes five seconds
        with self.daemon.client() as client:
            client.get("/version")
            before = self.resident()
            for cpus, text in (("1-100000000000", "value of out range"), ("0-2147483647", "value of out range"),
                               ("0-9223372036854775807", "value of out range"), ("9223372036854775808", "invalid format"),
                               ("0-8193", "value of out range"), ("8192-0", "invalid format"), ("--1", "invalid format"),
                               ("-1", "invalid format"), ("0,,1", "invalid format"), ("0-", "invalid format"),
                               ("0-1-2", "invalid format"), ("0-8192", "Requested CPUs are not available"),
                               (many, "Requested CPUs are not available")):
                body = {"Image": "kit", "HostConfig": {"CpusetCpus": cpus}}
                took = []
                for _ in range(5):
                    began = time.monotonic()
                    answer = client.request("POST", "/containers/create", body)
                    took.append(time.monotonic() - began)
                self.assertEqual(answer.status, 400, cpus[:40])
                if not ORACLE:
                    self.assertIn(text, answer.message(), cpus[:40])
                # The long text is 140 kB to read; to count its processors out takes seconds.
                most = 0.010 if len(cpus) < 100 else 0.100
                self.assertLess(min(took), most * reports.PATIENCE, cpus[:40])
            self.assertLess(self.resident() - before, SMALL)

    # -- moby#38972, CVE-2026-47262, CVE-2024-9676 ----------------------------------
    @unittest.skipIf(ORACLE, "20.10 waits for a fifo for ever")
    def test_monstrous_user_files(self):
        lines = b"".join(b"group%d:x:%d:alice,root\n" % (number, number + 10000) for number in range(500000))
        trees = {"fifo": Tree().fifo("etc/passwd").fifo("etc/group"),
                 "zeros": Tree().link("etc/passwd", "/dev/zero").link("etc/group", "/dev/zero"),
                 "self": Tree().link("etc/passwd", "passwd").link("etc/group", "/proc/self/fd/0"),
                 "host": Tree().link("etc/passwd", "../../../../.." + self.canary + "/secret"),
                 "folder": Tree().folder("etc/passwd").folder("etc/group"),
                 "line": Tree().file("etc/passwd", b"x" * (20 << 20)).file("etc/group", b"y:" * (10 << 20)),
                 "groups": Tree().file("etc/group", lines)}
        self.output("true")
        for what, tree in trees.items():
            name = self.make_image("monster", tree)
            before = self.resident()
            with self.subTest(what=what):
                began = time.monotonic()
                # Root needs no entry; a name needs one; a number does not. More groups than the kernel takes are an error:
                # with fewer of them it could have rights that a group is denied.
                outcome = self.try_run("/payload", "ids", image_name=name)
                if what == "groups":
                    self.assertIn("unable to setup user: setgroups: invalid argument", outcome.error or "")
                else:
                    self.assertEqual(outcome.out.split()[:1], ["uid=0"], outcome)
                self.assertEqual(self.output("/payload ids", image_name=name, User="4321").split()[0], "uid=4321")
                outcome = self.shell("true", image_name=name, User="absent")
                self.assertIsNone(outcome.code)
                self.assertIn("unable to find user absent: no matching entries in passwd file", outcome.error)
                self.assertLess(time.monotonic() - began, 20 * reports.PATIENCE)
                self.assertLess(self.resident() - before, 10 * SMALL)

    @unittest.skipIf(ORACLE, "20.10 cannot start an exec any more")
    def test_a_passwd_that_grows_to_gigabytes(self):
        container = self.background("sh", "-c", "if [ -e /big ]; then exec /payload ids; fi; touch /big; "
                                    "cp /etc/passwd /etc/old; truncate -s 10G /etc/passwd; exec /payload pause")
        before = self.resident()
        outcome = self.execute(container, "/payload", "ids", User="absent")
        self.assertIn("unable to find user absent", outcome.error or outcome.out)
        self.assertEqual(self.execute(container, "/payload", "ids", User="alice").out.split()[0], "uid=1000")
        self.assertLess(self.resident() - before, SMALL)
        self.end(container)
        self.assertIsNone(self.start(container))
        self.assertEqual(self.finish(container).code, 0)

    # -- CVE-2026-53488, CVE-2026-53492, CVE-2025-23266 ------------------------------
    LABELS = {"com.docker.compose.project": "x", "io.kubernetes.cri.container-type": "sandbox", "cdi.k8s.io/x": "vendor.com/gpu=0",
              "org.dockerd.hook": "/bin/false", "org.dockerd.privileged": "true", "dockerd.monitor": "/bin/false",
              "devices.nri.io": "x", "desktop.docker.io/binds/0/Source": "/", "com.docker.network.bridge.name": "evil0",
              "io.containerd.runc.v2.group": "x", "run.oci.hooks.stderr": "/dev/null", "run.oci.keep_original_groups": "1",
              "org.opencontainers.image.stopSignal": "9", "org.criu.config": "/etc/x"}

    def test_labels_of_an_image_set_nothing(self):
        quoted = " ".join('"%s"="%s"' % pair for pair in self.LABELS.items())
        plain, labelled = self.make_image("plain"), self.make_image("labelled", changes=[
            "LABEL " + quoted, "ENV LD_PRELOAD=/evil.so", "ENV DOCKER_HOST=tcp://6.6.6.6:1"])
        documents = []
        for name in (plain, labelled):
            container = self.create("/payload", "caps", image_name=name)
            with self.daemon.client() as client:
                document = client.get("/containers/%s/json" % container)
            documents.append((document["HostConfig"], document["Mounts"], document["Driver"], document["Platform"]))
            if name == labelled:
                self.assertEqual(document["Config"]["Labels"], self.LABELS)  # told, and no more
        self.assertEqual(*documents)
        self.assertNotIn("Annotations", {key for key, value in documents[0][0].items() if value})
        self.assertEqual(self.try_run("/payload", "caps", image_name=labelled).out, self.try_run("/payload", "caps").out)
        look = "ls /dev; cat /proc/self/cgroup | wc -l; grep -c . /proc/self/mountinfo"
        self.assertEqual(self.output(look, image_name=labelled), self.output(look, image_name=plain))

    @unittest.skipIf(ORACLE, "20.10 knows no annotations")
    def test_annotations_run_nothing_and_add_no_device(self):
        look = "ls /dev; grep -c . /proc/self/mountinfo; /payload caps"
        self.assertEqual(self.output(look, host={"Annotations": self.LABELS}), self.output(look))

    # -- CVE-2025-52881: settings of an interface that are the host's ----------------
    @unittest.skipIf(ORACLE, "20.10 knows no such option")
    def test_settings_of_an_interface_are_no_other_settings(self):
        def outcome(setting):
            return self.shell("cat /proc/sys/net/ipv4/conf/eth0/forwarding", host={"NetworkMode": "bridge"}, NetworkingConfig={
                "EndpointsConfig": {"bridge": {"DriverOpts": {"com.docker.network.endpoint.sysctls": setting}}}})

        with open("/proc/sys/kernel/domainname") as file:
            before = file.read()
        self.assertEqual(outcome("net.ipv4.conf.IFNAME.forwarding=0").out, "0\n")
        self.assertEqual(outcome("net.ipv4.conf.IFNAME.forwarding=1").out, "1\n")
        refused = "unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', " \
                  "'X' must be 'ipv4', 'ipv6' or 'mpls'"
        for setting in ("kernel.domainname=evil", "net.ipv4.ip_forward=1", "kernel.domainname.x.IFNAME.y=evil",
                        "net.core.x.IFNAME.y=evil", "net.ipv4.conf.eth0.forwarding=1"):
            self.assertIn(refused % setting, outcome(setting).error)
        form = "expected sysctl '%s' to have format net.X.Y.IFNAME.Z"
        for setting in ("kernel.ipv4.x.IFNAME.domainname=evil", "net.ipv4.x.IFNAME.y.z=evil"):
            self.assertIn(form % setting, outcome(setting).error)
        self.assertIn("to have format name=value", outcome("net.ipv4.conf.IFNAME.forwarding").error)
        self.assertIn("/proc/sys/net/ipv4/conf/eth0/none is not a sysctl file", outcome("net.ipv4.conf.IFNAME.none=1").error)
        for setting in ("net.ipv4.conf.IFNAME./../../../../kernel/domainname=evil",
                        "net.ipv4./../../kernel.IFNAME.domainname=evil"):
            self.assertIsNone(outcome(setting).code)
        with open("/proc/sys/kernel/domainname") as file:
            self.assertEqual(file.read(), before)

    # -- names that would like to be lines ------------------------------------------------
    def test_names_add_no_lines(self):
        bad = "evil\n6.6.6.6\tbank"
        host = {"ExtraHosts": [bad + ":1.2.3.4", "cr\r\n6.6.6.6 bank:1.2.3.4"], "DnsSearch": ["a\nnameserver 6.6.6.6"],
                "DnsOptions": ["ndots:1\r\nnameserver 6.6.6.6"], "Dns": ["10.0.0.1"], "NetworkMode": "bridge"}
        script = "cat /etc/hosts /etc/hostname /etc/resolv.conf"
        plain = self.output(script, host={"ExtraHosts": ["evil:1.2.3.4", "cr:1.2.3.4"], "DnsSearch": ["a"], "Dns": ["10.0.0.1"],
                                          "DnsOptions": ["ndots:1"], "NetworkMode": "bridge"}, Hostname="h", Domainname="d")
        for network in ("bridge", "host"):
            host["NetworkMode"] = network
            config = {} if network == "host" else {"Hostname": "h\n6.6.6.6 bank", "Domainname": "d\n6.6.6.6 bank"}
            outcome = self.shell(script, host=host, **config)
            # Docker writes them as they are; here they end where the line does.
            if not ORACLE:
                self.assertEqual(outcome.code, 0, outcome)
                self.assertNotIn("6.6.6.6", outcome.out)
            if network == "bridge" and not ORACLE:
                self.assertEqual(len(outcome.out.splitlines()), len(plain.splitlines()))
        # A server's address is checked.
        outcome = self.shell(script, host={"Dns": ["10.0.0.1\nnameserver 6.6.6.6"], "NetworkMode": "bridge"})
        if not ORACLE:
            self.assertIn("bad nameserver address 10.0.0.1\nnameserver 6.6.6.6", outcome.error)


if __name__ == "__main__":
    main()
