"""Attacks by paths: what an image, a volume or the root file system puts where the engine mounts, masks and copies."""
import os
import unittest

import support  # noqa: F401  (makes tests/support importable)

from attack import AttackTestCase, Tree
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
NOT_PROC = "cannot be mounted because it is not of type proc"
INSIDE = "cannot be mounted because it is inside /proc"
ORDINARY = "must be mounted on ordinary directory"


class Paths(AttackTestCase):
    def host(self, path):
        """The canary's path without the leading slash, as seen from a container's root."""
        return path.lstrip("/")

    def assertRefused(self, outcome, text, what):
        self.assertIsNone(outcome.code, "%s: started, and printed %r" % (what, outcome.out))
        self.assertIn(text, outcome.error, what)

    # -- CVE-2019-16884, 2019-19921, 2023-27561, 2023-28642 -----------------
    def test_nothing_covers_proc(self):
        source = self.source("plain")
        tmpfs = lambda path: {"Tmpfs": {path: ""}}
        bind = lambda source, path: {"Binds": ["%s:%s" % (source, path)]}
        for host, text in (
            (bind("vol", "/proc"), NOT_PROC),
            (bind(self.canary, "/proc"), NOT_PROC),
            (tmpfs("/proc"), NOT_PROC),
            (tmpfs("/proc/"), NOT_PROC),
            (tmpfs("/x/../proc/."), NOT_PROC),
            (bind("vol", "/proc/sys"), INSIDE),
            (bind("vol", "/proc/self/attr"), INSIDE),
            (bind(source, "/proc/timer_list"), INSIDE),
            (bind(source, "/proc/cpuinfo/x"), INSIDE),
            (tmpfs("/proc/sys/kernel"), INSIDE),
        ):
            if not (ORACLE and "Tmpfs" in host):  # runc 1.1 looks at binds only
                self.assertRefused(self.shell("true", host=host), text, host)

    def test_words_are_dockers(self):
        error = self.shell("true", host={"Binds": [self.canary + ":/proc/sys"]}).error
        place = r"%s/overlay2/[0-9a-f]{64}/merged/proc/sys" % self.daemon.root
        # As runc 1.2 and later say it.
        check = "" if ORACLE else "create mountpoint for /proc/sys mount: check proc-safety of /proc/sys mount: "
        self.assertRegex(error, "runc create failed: unable to start container process: error during container init: "
                                'error mounting "%s" to rootfs at "/proc/sys": %s"%s" %s'
                                % (self.canary, check, place, INSIDE))

    def test_what_may_lie_in_proc(self):
        # A whole procfs may; so may the files that lxcfs puts in place of the kernel's.
        self.assertEqual(self.output("cat /proc/1/comm", host={"Binds": ["/proc:/proc"]}),
                         open("/proc/1/comm").read())
        source = self.source("meminfo", "emulated\n")
        for name in ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg"):
            with self.subTest(name=name):
                self.assertEqual(self.output("cat /proc/" + name, host={"Binds": ["%s:/proc/%s:ro" % (source, name)]}),
                                 "emulated\n")

    def test_hidden_paths_stay_hidden_below_the_hosts_proc(self):
        script = "wc -c </proc/timer_list; ls /proc/acpi | wc -l; echo 1 2>/dev/null >/proc/sys/vm/drop_caches || echo ro"
        self.assertEqual(self.output(script, host={"Binds": ["/proc:/proc"]}).split()[0::2], ["0", "ro"])

    def test_image_volumes_over_proc(self):
        for path, text in (("/proc", NOT_PROC), ("/proc/sys", INSIDE), ("/../proc", NOT_PROC)):
            name = self.make_image("hostile", changes=['VOLUME ["%s"]' % path])
            self.assertRefused(self.shell("true", image_name=name), text, path)

    def test_links_to_proc(self):
        tree = Tree().link("door", "/proc").link("inner", "proc/sys").link("up", "../../../../proc/self")
        tree.folder("deep").link("deep/door", "../proc")
        name = self.make_image("hostile", tree)
        for path, text in (("/door", NOT_PROC), ("/door/sys/kernel", INSIDE), ("/inner", INSIDE), ("/up/attr", INSIDE),
                           ("/deep/door", NOT_PROC), ("/deep/door/irq", INSIDE)):
            self.assertRefused(self.shell("true", image_name=name, host={"Binds": ["vol:" + path]}), text, path)
            if not ORACLE:
                self.assertRefused(self.shell("true", image_name=name, host={"Tmpfs": {path: ""}}), text, path)

    def plant(self, tree, script, **how):
        """Runs a script in a container that got the tree's entries before its start."""
        container = self.create("sh", "-c", script, **how)
        self.put(container, tree)
        return self.go(container)

    def test_linked_proc_and_sys(self):
        check = "cat /proc/self/attr/current >/dev/null 2>&1; head -c 1 /proc/timer_list | wc -c; grep -c ' /proc ' /proc/mounts"
        for target in ("/tmp", "/data", self.canary, "tmp", "../../../.." + self.canary):
            for place in ("proc", "sys"):
                with self.subTest(place=place, target=target):
                    outcome = self.plant(Tree().link(place, target), "true")
                    self.assertRefused(outcome, ORDINARY, place)
                    # The engine's own layer makes directories of what an image has there.
                    name = self.make_image("hostile", Tree().link(place, target))
                    self.assertEqual(self.output(check, image_name=name), "0\n1\n")

    # -- CVE-2024-45310, 2026-41579; 2015-3629: links in the root file system --
    @unittest.skipIf(ORACLE, "runc 1.1.5 is open to this")
    def test_mount_points_through_links(self):
        targets = (self.canary, "../../../../../../.." + self.canary)
        check = ("[ -c /dev/null -a -c /dev/pts/ptmx -a -s /etc/hosts -a -d /dev/shm ] || exit 9;"
                 "grep -q ' /dev tmpfs\\| %s tmpfs' /proc/mounts || exit 8; cat %s/secret" % (self.canary, self.canary))
        for place in ("dev", "dev/pts", "dev/shm", "dev/console", "etc", "etc/hosts", "etc/resolv.conf", "run", "run/user"):
            for target in targets:
                with self.subTest(place=place, target=target):
                    tree = Tree().link(place, target)
                    if place.startswith("etc/"):
                        tree.link(place, target + "/" + os.path.basename(place))
                    if place.startswith("run/"):
                        tree.folder("run")
                    host = {"Binds": ["vol:/run/user/0/made"], "Tmpfs": {"/run/lock": ""}}
                    how = {"image_name": self.make_image("hostile", tree), "host": host}
                    outcomes = [self.shell(check, **how), self.shell(check, Tty=True, **how)]
                    if not place.startswith("run"):  # the view of a copy has mounts there
                        outcomes.append(self.plant(tree, check, host=host))
                    for outcome in outcomes:
                        # All of it was made inside: the program started, and found no secret.
                        self.assertEqual((outcome.code, outcome.error), (1, None), outcome.out)
                        self.assertNotIn(self.SECRET, outcome.out)

    def test_restart_after_the_root_turned_hostile(self):
        script = ("if [ -e /again ]; then cat %s/secret; exit 7; fi; touch /again; mkdir -p /run; "
                  "mv /etc /old; ln -s %s /etc; rm -rf /run; ln -s ../../../..%s /run; ln -s /proc/self/exe /sbin; exit 3"
                  % (self.canary, self.canary, self.canary))
        container = self.create("sh", "-c", script, host={"Tmpfs": {"/run/lock": ""}})
        self.assertIsNone(self.start(container))
        self.assertEqual(self.finish(container).code, 3)
        for _ in range(3):
            self.assertIsNone(self.start(container))
            outcome = self.finish(container)
            self.assertEqual(outcome.code, 7, outcome.out)
            self.assertNotIn(self.SECRET, outcome.out)

    # -- CVE-2022-23648: VOLUME ------------------------------------------------
    def test_image_volumes_copy_from_the_image_only(self):
        marker = Tree().file("etc/marker", b"of the image\n")
        marker.link("link", self.canary).link("relative", "../../../../.." + self.canary).link("self", "/proc/self/root")
        for path in ("/../../etc", "/link/../../../etc", "/data/../../../../etc"):
            name = self.make_image("hostile", marker, ['VOLUME ["%s"]' % path])
            self.assertEqual(self.output("cat /etc/marker; ls -A %s 2>/dev/null; true" % self.canary, image_name=name,
                                         host={"Binds": []}), "of the image\n", path)
        for path in ("/link", "/relative", "/self" + self.canary, "/self/../.." + self.canary):
            name = self.make_image("hostile", marker, ['VOLUME ["%s"]' % path])
            outcome = self.shell("cat %s/secret /self%s/secret; ls -A %s; true" % (path, self.canary, path), image_name=name)
            self.assertNotIn("secret\n", outcome.out.replace("/secret", ""), path)
            self.assertNotIn(self.SECRET, outcome.out, path)

    def mount_of_subpath(self, subpath):
        return {"Mounts": [{"Type": "volume", "Source": "shared", "Target": "/sub",
                            "VolumeOptions": {"Subpath": subpath}}]}

    @unittest.skipIf(ORACLE, "20.10 knows no subpaths")
    def test_volume_subpaths_do_not_leave_the_volume(self):
        self.output("cd /v; mkdir -p real/x; echo inside >real/file; ln -s real good; ln -s %s out; ln -s ../../../../../../..%s up;"
                    "ln -s /proc/self/root self; ln -s / top" % (self.canary, self.canary),
                    host={"Binds": ["shared:/v"]})
        self.assertEqual(self.output("cat /sub/file", host=self.mount_of_subpath("real"), version="1.45"), "inside\n")
        self.assertEqual(self.output("cat /sub/file", host=self.mount_of_subpath("good"), version="1.45"), "inside\n")
        self.assertEqual(self.output("cat /sub", host=self.mount_of_subpath("good/file"), version="1.45"), "inside\n")
        for subpath in ("out", "up", "out/secret", "top", "self", "self" + self.canary, "top" + self.canary):
            outcome = self.shell("cat /sub/secret /sub", host=self.mount_of_subpath(subpath), version="1.45")
            self.assertRefused(outcome, "path concatenation escapes the base directory", subpath)
        for subpath in ("absent", "real/absent"):
            outcome = self.shell("true", host=self.mount_of_subpath(subpath), version="1.45")
            self.assertRefused(outcome, "cannot access path ", subpath)

    @unittest.skipIf(ORACLE, "20.10 is open to this")
    def test_copying_into_a_volume_follows_no_links(self):
        # Another container that has the volume puts links to the host in the place of what is being copied.
        tree = Tree().folder("filled")
        for number in range(300):
            tree.file("filled/%d" % number, b"x" * 100, mode=0o666)
        name = self.make_image("filled", tree)
        replaced = 0
        for number in range(30):
            if number >= 3 and replaced > 10:
                break
            binds = {"Binds": ["race%d:/filled" % number]}
            attacker = self.background("/payload", "replace", "/filled", self.canary + "/secret", host=binds)
            outcome = self.shell("true", image_name=name, host=binds)
            self.assertIn("failed to populate volume" if outcome.error else "", outcome.error or "")
            replaced += int(self.end(attacker).split("replaced ")[1])
        self.assertGreater(replaced, 10)

    # -- CVE-2025-31133, GHSA-6fw5-f8r9-fgfm, GHSA-jq35-85cj-fj4p --------------
    def masked_paths(self):
        """Moby's list. Source: v28.2.2 oci/defaults.go, defaultLinuxMaskedPaths."""
        paths = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                 "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                 "/sys/devices/virtual/powercap"]
        for cpu in range(os.cpu_count()):
            path = "/sys/devices/system/cpu/cpu%d/thermal_throttle" % cpu
            if os.path.exists(path):
                paths.append(path)
        return paths

    @unittest.skipIf(ORACLE, "20.10 has a shorter list")
    def test_masked_paths_are_mobys(self):
        container = self.create("true")
        with self.daemon.client() as client:
            host = client.get("/containers/%s/json" % container)["HostConfig"]
        self.assertEqual(host["MaskedPaths"], self.masked_paths())
        self.assertEqual(host["ReadonlyPaths"],
                         ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"])

    # Prints nothing when every path of MASKED is absent, an empty file or an empty folder.
    UNREADABLE = "for p in %s; do [ -e $p ] || continue; if [ -d $p ]; then ls -A $p; else head -c 1 $p | wc -c | grep -v 0; fi; done; true"

    def test_masked_paths_are_unreadable(self):
        paths = [path for path in self.masked_paths() if not ORACLE or path.startswith("/proc/")]
        paths = [path for path in paths if not ORACLE or path != "/proc/interrupts"]
        there = [path for path in paths if os.path.exists(path)]
        self.assertIn("/proc/timer_list", there)
        self.assertEqual(self.output(self.UNREADABLE % " ".join(there)), "")
        self.assertNotEqual(self.output(self.UNREADABLE % " ".join(there), host={"Privileged": True}) if not ORACLE else "x", "")

    def test_masks_do_not_use_what_the_image_calls_null(self):
        there = " ".join(path for path in self.masked_paths()[:10] if os.path.exists(path) and "interrupts" not in path)
        for tree in (Tree().folder("dev").link("dev/null", self.canary + "/secret"),
                     Tree().folder("dev").file("dev/null", b"attack")):
            name = self.make_image("hostile", tree)
            self.assertEqual(self.output(self.UNREADABLE % there, image_name=name), "")
        # A /dev of the user's own stays as it is, so here the image's null is there when masks are made.
        self.output("cd /v; ln -s %s/secret null; mkdir pts shm mqueue; echo x >zero" % self.canary,
                    host={"Binds": ["fake:/v"]})
        outcome = self.shell(self.UNREADABLE % there, host={"Binds": ["fake:/dev"]})
        if outcome.error is None:
            self.assertEqual(outcome.out, "")


if __name__ == "__main__":
    main()
