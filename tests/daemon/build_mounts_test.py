"""RUN --mount, and contexts and Dockerfiles that mean harm.

Docker's classic builder refuses RUN --mount; what is expected of it here is what BuildKit documents.
"""
import concurrent.futures
import glob
import os
import tarfile
import unittest

import support

from buildcase import BuildTestCase, layers, lines_of_tree
from testcase import main


def member(name, kind=tarfile.REGTYPE, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


@unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder refuses RUN --mount")
class Mounts(BuildTestCase):
    def output(self, text, files=None, **parameters):
        """What the commands print, or the error."""
        built = self.build(text, files, **parameters)
        if built.error:
            return built.error["message"]
        lines = built.text.splitlines()
        return [line for line in lines if not line.startswith((" --->", "Step ", "Successfully"))]

    def test_bind(self):
        files = {"d": None, "d/a": "in the context\n", "link": member("link", tarfile.SYMTYPE, "d")}
        self.assertEqual(self.output("FROM kit\nRUN --mount=target=/c cat /c/d/a && ls /c && ! touch /c/x 2>/dev/null\n",
                                     files), ["in the context", "Dockerfile", "d", "link"])
        self.assertEqual(self.output("FROM kit\nWORKDIR /w\nRUN --mount=type=bind,source=link,target=c cat /w/c/a\n",
                                     files), ["in the context"])
        dockerfile = ("FROM kit AS one\nRUN mkdir /d && echo staged > /d/a\nFROM kit\n"
                      "RUN --mount=from=one,source=/d,target=/c cat /c/a\nRUN --mount=from=kit,target=/k cat /k/data/seed\n")
        self.assertEqual(self.output(dockerfile), ["staged", "from the image"])
        self.assertIn(" ---> Using cache\n ---> ", self.build(dockerfile).text)
        changed = dockerfile.replace("echo staged", "echo changed")
        self.assertIn("\nchanged\n", self.build(changed).text, "the command is the same, what it sees is not")
        self.assertEqual(self.output("FROM kit\nRUN --mount=source=nope,target=/c true\n", files), '"/nope": not found')

    def top_layer(self, text, files=None):
        self.assertIsNone(self.build(text, files, t="top").error)
        with self.daemon.client() as connection:
            return lines_of_tree(layers(connection.get("/images/top/json"))[0])

    def test_mounts_leave_nothing_in_the_image(self):
        text = ("FROM kit\nRUN mkdir -p /keep/empty\n"
                "RUN --mount=target=/c --mount=type=tmpfs,target=/t/u/v,size=1m --mount=type=tmpfs,target=/t/u/w "
                "--mount=source=a,target=/t/file --mount=type=tmpfs,target=/keep/empty echo x > /t/u/v/a && echo %s > /out\n")
        self.assertEqual(self.top_layer(text % "1", {"a": "1"}), ["-rw-r--r-- 0:0 /out '1\\n'"])
        # What the command puts beside a mount stays, and with it what it is in.
        self.assertEqual(self.top_layer((text % "2").replace(" && echo", " && echo y > /t/u/own && echo"), {"a": "1"}),
                         ["-rw-r--r-- 0:0 /out '2\\n'", "drwxr-xr-x 0:0 /t", "drwxr-xr-x 0:0 /t/u",
                          "-rw-r--r-- 0:0 /t/u/own 'y\\n'"])

    def test_what_is_left_of_a_mount_is_not_looked_for_behind_links(self):
        # The way to the mount leads to an empty directory of the image by now (CVE-2024-23652).
        self.assertEqual(self.top_layer("FROM kit\nRUN mkdir -p /real/empty\n"
                                        "RUN --mount=type=tmpfs,target=/way/empty mv /way /moved && ln -s /real /way\n"),
                         ["drwxr-xr-x 0:0 /moved (replaced)", "lrwxrwxrwx 0:0 /way -> /real", "drwxr-xr-x 0:0 /moved/empty"])

    def test_cache(self):
        line = "FROM kit\nRUN --mount=type=cache,target=/k%s cat /k/n 2>/dev/null; echo %s >> /k/n\n"
        self.assertEqual(self.output(line % ("", "one")), [])
        self.assertEqual(self.output(line % ("", "two")), ["one"])
        self.assertEqual(self.output(line % (",id=other", "x")), [])
        self.assertEqual(self.output("FROM kit\nRUN --mount=type=cache,target=/k,readonly cat /k/n; ! touch /k/x 2>&-\n"),
                         ["one", "two"])
        self.assertEqual(self.output("FROM kit\nRUN --mount=type=cache,target=/z,uid=3,gid=4,mode=700 stat -c '%u:%g %a' /z\n"),
                         ["3:4 700"])
        with self.daemon.client() as connection:
            usage = connection.get("/system/df")["BuildCache"]
            self.assertEqual(sorted((entry["Type"], entry["Description"], entry["InUse"]) for entry in usage),
                             [("exec.cachemount", name, False) for name in ("/k", "/z", "other")])
            report = connection.post("/build/prune")
            self.assertEqual((sorted(report["CachesDeleted"]), report["SpaceReclaimed"]),
                             (sorted(entry["ID"] for entry in usage), sum(entry["Size"] for entry in usage)))
            self.assertEqual(connection.get("/system/df")["BuildCache"], [])
        self.assertEqual(self.output(line % ("", "one again")), [])
        with self.daemon.client() as connection:
            connection.post("/build/prune")

    def test_cache_that_begins_with_files(self):
        """Those of a stage or image, the first time; with other ones it is another cache."""
        line = ("FROM kit AS one\nRUN mkdir -p /d/in && echo %s > /d/in/a && chown 3:4 /d && chmod 750 /d\nFROM kit\n"
                "RUN --mount=type=cache,id=c,from=one,source=/d,target=/k stat -c '%%u:%%g %%a' /k; cat /k/in/a /k/n 2>/dev/null; "
                "echo %s >> /k/n\n")
        self.assertEqual(self.output(line % ("seed", "one")), ["3:4 750", "seed"])
        self.assertEqual(self.output(line % ("seed", "two")), ["3:4 750", "seed", "one"])
        self.assertEqual(self.output(line % ("other", "one")), ["3:4 750", "other"])
        self.assertEqual(self.output(line % ("seed", "three")), ["3:4 750", "seed", "one", "two"])
        # Nothing of it gets into what it was taken from.
        self.assertEqual(self.output("FROM kit\nRUN --mount=type=cache,from=kit,target=/k,source=data cat /k/seed; rm /k/seed\n"
                                     "RUN --mount=from=kit,source=data,target=/d cat /d/seed\n"), ["from the image"] * 2)
        for mount, message in (("source=/d", '"/d": not found'), ("from=kit,source=/nope", '"/nope": not found'),
                               ("from=kit,source=/payload", '"/payload": not a directory')):
            self.assertEqual(self.output("FROM kit\nRUN --mount=type=cache,target=/k,%s true\n" % mount), message)
        with self.daemon.client() as connection:
            connection.post("/build/prune")

    def test_locked_cache_lets_one_in(self):
        line = ("FROM kit\nRUN --mount=type=cache,sharing=locked,target=/k mkdir /k/here && sleep 0.3 && rmdir /k/here "
                "&& echo %d\n")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            results = list(pool.map(lambda number: self.output(line % number), range(3)))
        self.assertEqual(results, [["0"], ["1"], ["2"]])
        with self.daemon.client() as connection:
            connection.post("/build/prune")

    def test_secrets_are_left_out_unless_they_are_needed(self):
        self.assertEqual(self.output("FROM kit\nRUN --mount=type=secret,id=s ls /run/secrets 2>/dev/null; echo ran\n"), ["ran"])
        self.assertEqual(self.output("FROM kit\nRUN --mount=type=secret,id=s,required true\n"), "secret s: not found")
        self.assertEqual(self.output("FROM kit\nRUN --mount=type=ssh,required=true true\n"),
                         'no SSH key "default" forwarded from the client')

    def test_refused(self):
        for mount, message in (
                ("type=bnd,target=/x", 'unsupported mount type "bnd" (did you mean bind?)'),
                ("type=cache", "cache mount: target required"),
                ("type=cache,target=/", 'invalid mount target "/"'),
                ("target=/x,sze=1", "unexpected key 'sze' in 'sze=1' (did you mean size?)"),
                ("target=/x,size=1", "unexpected key 'size' for mount type 'bind'"),
                ("target=/x,mode=700", 'mode not allowed for "bind" type mounts'),
                ("type=tmpfs,target=/x,sharing=locked", "invalid cache sharing set for tmpfs mount"),
                ("type=bind,target", "invalid field 'target' must be a key=value pair")):
            self.assertEqual(self.output("FROM kit\nRUN --mount=%s true\n" % mount), message)

    # -- harm ---------------------------------------------------------------
    def test_links_of_a_context_stay_inside(self):
        target = self.daemon.log_path
        files = {"out": member("out", tarfile.SYMTYPE, target), "up": member("up", tarfile.SYMTYPE, "../../../../../../"),
                 "dir": member("dir", tarfile.SYMTYPE, os.path.dirname(target))}
        not_found = "COPY failed: file not found in build context or excluded by .dockerignore: stat %s: file does not exist"
        self.assertEqual(self.output("FROM kit\nCOPY out /x\n", files), not_found % "out")
        self.assertEqual(self.output("FROM kit\nCOPY dir/dockerd.log /x\n", files), not_found % "dir/dockerd.log")
        self.assertEqual(self.output("FROM kit\nRUN --mount=source=dir,target=/x ls /x\n", files), '"/dir": not found')
        # Up from the root is the root.
        self.assertEqual(self.output("FROM kit\nRUN --mount=source=up,target=/x ls /x\n", files),
                         ["Dockerfile", "dir", "out", "up"])
        self.assertEqual(self.output("FROM kit\nRUN --mount=source=../../..,target=/x ls /x\n", files),
                         ["Dockerfile", "dir", "out", "up"])
        self.assertEqual(self.build(None, {"Dockerfile": member("Dockerfile", tarfile.SYMTYPE, "/etc/passwd")}).error,
                         {"status": 500, "message": "Cannot locate specified Dockerfile: Dockerfile"})

    def test_links_of_an_image_stay_inside(self):
        self.build("FROM kit\nRUN ln -s %s /link && ln -s / /root-link\n" % self.daemon.base, t="linked")
        self.assertEqual(self.output("FROM linked\nCOPY a /link/x\nCOPY a /root-link/y\n", {"a": "1"}), [])
        self.assertFalse(os.path.exists(self.daemon.base + "/x"))
        self.assertFalse(os.path.exists("/y"))
        self.assertEqual(self.output("FROM kit\nCOPY --from=linked /link/docker.sock /x\n"),
                         "COPY failed: stat link/docker.sock: file does not exist")
        self.assertEqual(self.output("FROM kit\nRUN --mount=from=linked,source=/link,target=/x ls /x\n"), '"/link": not found')

    def test_network_of_a_step(self):
        """It is part of the step's key, and the host's is for who asks for it beside the Dockerfile."""
        text = "FROM kit\nRUN %sls /sys/class/net\n"
        self.assertEqual(self.output(text % "--network=none "), ["lo"])
        self.assertIn("eth0", self.output(text % ""))
        self.assertIn("Using cache", self.build(text % "--network=none ").text)
        refused = self.build(text % "--network=host ").error["message"]
        self.assertEqual(refused, "granting entitlement network.host is not allowed by build daemon configuration")
        self.assertIsNone(self.build(text % "--network=host ", networkmode="host").error)

    def test_devices_of_a_context_cannot_be_read(self):
        device = member("null", tarfile.CHRTYPE)
        device.devmajor, device.devminor = 1, 5  # /dev/zero
        self.assertEqual(self.output("FROM kit\nCOPY null /x\nRUN stat -c %F /x\n", {"null": device}),
                         ["character special file"])
        self.assertIn("read null", self.build(None, {"null": device}, dockerfile="null").error["message"])

    def test_names_that_climb_stay_inside(self):
        for number, name in enumerate(("../../climber", "a/../../climber", "/climber")):
            self.assertEqual(self.output("FROM kit\nCOPY climber /c\nRUN cat /c\n", {name: "%d\n" % number}), [str(number)])
        self.assertFalse(glob.glob(self.daemon.root + "/**/climber", recursive=True))

    def test_too_much_of_a_good_thing(self):
        stages = "".join("FROM scratch AS s%d\n" % number for number in range(2000))
        self.assertEqual(self.build(stages + "FROM kit\n", target="s1999").error["message"],
                         "No image was generated. Is your Dockerfile empty?")
        self.assertIn("failed to process", self.output("FROM kit\nENV a=%s\n" % ("${b-" * 10000)))
        self.assertEqual(self.output("FROM kit\nONBUILD ONBUILD RUN x\n"), "dockerfile parse error on line 2: Chaining "
                         "ONBUILD via `ONBUILD ONBUILD` isn't allowed")


if __name__ == "__main__":
    main()
