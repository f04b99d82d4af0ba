"""Images from Dockerfiles by POST /build, the classic builder.

Every text was compared with that of Docker 28.2.2.
"""
import concurrent.futures
import io
import os
import re
import shutil
import socket
import tarfile
import tempfile
import unittest

import support

from buildcase import BuildTestCase, context
from daemon import wait_for
from testcase import main

SH = "/bin/sh -c "
NOP = SH + "#(nop) "


def archive(names, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = 1, 5, 6
            tar.addfile(info, io.BytesIO(b"x"))
    return out.getvalue()


class Builds(BuildTestCase):
    def files(self, image, *paths):
        """What `stat` says of paths in the image, and the content of files."""
        script = 'for f in "$@"; do stat -c "%n %F %a %u:%g" "$f"; [ -f "$f" ] && cat "$f"; done'
        done = self.cli("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script, "sh", *paths)
        return (done.stdout + done.stderr).decode(errors="replace").splitlines()

    def test_steps_and_their_log(self):
        built = self.build("FROM kit\nRUN echo out && echo err >&2 && echo hi > /x\nCOPY a /dst/\nENV A=b C='d e'\n"
                           "CMD [\"/bin/sh\"]\n", {"a": "text"}, t=["one:two", "one:two", "x"])
        self.assertEqual(built.error, None)
        # Standard error comes in red; the two streams may overtake each other.
        text = built.log.replace("\x1b[91merr\n\x1b[0mout\n", "out\n\x1b[91merr\n\x1b[0m")
        self.assertEqual(text, """Step 1/5 : FROM kit
 ---> <1>
Step 2/5 : RUN echo out && echo err >&2 && echo hi > /x
 ---> Running in <2>
out
\x1b[91merr
\x1b[0m ---> Removed intermediate container <2>
 ---> <3>
Step 3/5 : COPY a /dst/
 ---> <4>
Step 4/5 : ENV A=b C='d e'
 ---> Running in <5>
 ---> Removed intermediate container <5>
 ---> <6>
Step 5/5 : CMD ["/bin/sh"]
 ---> Running in <7>
 ---> Removed intermediate container <7>
 ---> <8>
Successfully built <8>
Successfully tagged one:two
Successfully tagged x:latest
""")
        self.assertEqual([message["stream"] for message in built.messages[:3]],
                         ["Step 1/5 : FROM kit", "\n", built.messages[2]["stream"]])
        with self.daemon.client() as connection:
            identity = connection.get("/images/x/json")["Id"]
        self.assertEqual(built.aux, [identity])
        config = self.config("one:two")
        self.assertEqual(config["Env"][1:], ["A=b", "C=d e"])
        self.assertEqual(config["Cmd"], ["/bin/sh"])
        created_by = [command for command, _ in self.history("x")]
        self.assertEqual(created_by[:2] + [created_by[3]],
                         [NOP + ' CMD ["/bin/sh"]', NOP + " ENV A=b C=d e",
                          SH + "echo out && echo err >&2 && echo hi > /x"])
        self.assertRegex(created_by[2], r"^/bin/sh -c #\(nop\) COPY file:[0-9a-f]{64} in /dst/ $")
        self.assertEqual(self.files("x", "/x", "/dst/a"),
                         ["/x regular file 644 0:0", "hi", "/dst/a regular file 644 0:0", "text"])

    def test_cache(self):
        dockerfile = "FROM kit\nARG v\nRUN echo $v > /x\nCOPY d /dst/\nWORKDIR /w\n"
        tree = {"d": None, "d/a": "1", "d/b": "2"}
        first = self.build(dockerfile, tree, buildargs={"v": "1"})
        again = self.build(dockerfile, tree, buildargs={"v": "1"})
        self.assertEqual(again.text.count(" ---> Using cache\n"), 4)
        self.assertEqual(again.aux, first.aux)

        def cached(dockerfile=dockerfile, tree=tree, value="1", **more):
            return self.build(dockerfile, tree, buildargs={"v": value}, **more).text.count(" ---> Using cache\n")
        self.assertEqual(cached(value="2"), 1, "another value: only ARG itself is known")
        self.assertEqual(cached(tree=dict(tree, **{"d/b": "3"})), 2, "other bytes")
        self.assertEqual(cached(tree={"d": None, "d/a": "1", "d/c": "2"}), 2, "another name")
        mode = tarfile.TarInfo("d/b")
        mode.mode, mode.size = 0o600, 0
        self.assertEqual(cached(tree=dict(tree, **{"d/b": mode})), 2, "another mode")
        self.assertEqual(cached(tree=dict(tree, other="x")), 4, "a file that no step takes")
        self.assertEqual(cached(nocache=True), 0)
        times = self.build(None, body=context(dict(tree, Dockerfile=dockerfile), mtime=1), buildargs={"v": "1"})
        self.assertEqual(times.text.count(" ---> Using cache\n"), 4, "other times")
        # What follows a step that was done is done as well.
        self.assertEqual(cached(dockerfile.replace("RUN echo", "RUN echo -n")), 1)

    def test_stages(self):
        built = self.build("FROM kit AS One\nRUN echo one > /one\nFROM scratch\nCOPY --from=one /one /two\n"
                           "FROM kit\nCOPY --from=1 /two /three\nCOPY --from=kit /data/owned /four\n"
                           "COPY --from=kit --chown=1:2 /data/owned /five\n", t="staged")
        self.assertEqual((built.error, len(built.aux)), (None, 3))
        self.assertEqual(self.files("staged", "/three", "/four", "/five"),
                         ["/three regular file 644 0:0", "one", "/four regular file 600 1000:1000", "alice's",
                          "/five regular file 600 1:2", "alice's"])
        built = self.build("FROM kit AS a\nLABEL stage=a\nFROM kit AS b\nLABEL stage=b\n", target="A", t="target")
        self.assertEqual(self.config("target")["Labels"], {"stage": "a"})
        self.assertNotIn("stage=b", built.text)

    def test_copy_follows_dockers_rules(self):
        built = self.build("""FROM kit
COPY d /new
COPY d /data
COPY . /all/
COPY d/*.txt d/e/f /w/
WORKDIR /rel
COPY d/one.txt .
COPY d/one.txt two
COPY --chown=alice:extra d /own/er/
COPY --chown=7 d/one.txt /own2/p/q
COPY link /from-link
""", {"d": None, "d/one.txt": "1", "d/two.txt": "2", "d/e/f": "3", "link": symlink("link", "d/one.txt")}, t="copied")
        self.assertEqual(built.error, None)
        self.assertEqual(
            self.files("copied", "/new", "/new/e/f", "/data/seed", "/data/one.txt", "/all/d/two.txt", "/w/one.txt",
                       "/w/f", "/rel/one.txt", "/rel/two", "/own", "/own/er", "/own/er/e/f", "/own2/p", "/own2/p/q",
                       "/from-link", "/all/link"),
            self.files_of_copy())

    @staticmethod
    def files_of_copy():
        # Files do not end with a newline: what follows them stands in the same line.
        return ("/new directory 755 0:0\n/new/e/f regular file 644 0:0\n3/data/seed regular file 644 0:0\n"
                "from the image\n/data/one.txt regular file 644 0:0\n1/all/d/two.txt regular file 644 0:0\n"
                "2/w/one.txt regular file 644 0:0\n1/w/f regular file 644 0:0\n3/rel/one.txt regular file 644 0:0\n"
                "1/rel/two regular file 644 0:0\n1/own directory 755 0:0\n/own/er directory 755 1000:2000\n"
                "/own/er/e/f regular file 644 1000:2000\n3/own2/p directory 755 7:7\n"
                "/own2/p/q regular file 644 7:7\n1/from-link regular file 644 0:0\n"
                "1/all/link symbolic link 777 0:0\n1").splitlines()

    def test_what_copy_takes_and_leaves(self):
        """Links that lead out of where they are put, privileges, "..", and characters of more than a byte."""
        def entry(name, mode=0o644, link=None):
            info = tarfile.TarInfo(name)
            info.mode = mode
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            return info
        files = {"d": None, "d/l": entry("d/l", 0o777, "../x"), "f": "file\n", "s": entry("s", 0o4755), "g": None,
                 "g/s": entry("g/s", 0o6755), "link": entry("link", 0o777, "d"), "secret": "s", "é.txt": "e\n"}
        taken = "FROM kit\nRUN mkdir /p && cp /bin/busybox /p/x && chmod 6755 /p/x\nFROM kit\n"
        for steps, printed in (("FROM kit\nCOPY d /dst/\nRUN readlink /dst/l", "../x"),
                               ("FROM kit\nCOPY s /s\nCOPY g /g\nRUN stat -c %a /s /g/s", "755\n755"),
                               ("FROM kit\nCOPY --chown=alice s /s\nRUN stat -c '%a %U' /s", "755 alice"),
                               (taken + "COPY --from=0 /p /p\nRUN stat -c %a /p/x", "6755"),
                               (taken + "COPY --from=0 /p/x /x\nRUN stat -c %a /x", "6755"),
                               ("FROM kit\nCOPY nodir/../f /d/\nRUN cat /d/f", "file"),
                               ("FROM kit\nRUN mkdir -p /a/b && ln -s /a/b /l\nCOPY f /l/../x\nRUN cat /x", "file"),
                               ("FROM kit\nCOPY ?.txt /d/\nRUN cat /d/é.txt", "e"),
                               ("FROM kit\nCOPY [à-ï].txt /e/\nRUN cat /e/é.txt", "e")):
            with self.subTest(steps):
                built = self.build(steps + "\n", files)
                self.assertIn("\n%s\n" % printed, built.text, built.error)
        for steps, why in (("COPY ../secret /x", "COPY failed: forbidden path outside the build context: ../secret ()"),
                           ("COPY a/../../secret /x", "COPY failed: forbidden path outside the build context: a/../../secret ()"),
                           ("EXPOSE foo:80", "invalid hostPort: foo")):
            self.assertEqual(self.build("FROM kit\n%s\n" % steps, files).error["message"], why)
        self.assertEqual(self.build("FROM kit\n", dockerfile="../Dockerfile").error,
                         {"status": 500, "message": "forbidden path outside the build context: ../Dockerfile ()"})

    def test_add_unpacks_archives(self):
        built = self.build("FROM kit\nADD a.tar /one\nADD a.tgz /two/\nADD plain bad.gz /four/\nCOPY a.tar /six/\n",
                           {"a.tar": archive(["q", "w/e"]), "a.tgz": archive(["q"], "w:gz"), "plain": "p\n",
                            "bad.gz": b"\x1f\x8b\x08garbage"}, t="added")
        self.assertEqual(built.error, None)
        self.assertEqual(self.files("added", "/one/w/e", "/two/q", "/four/plain"),
                         ["/one/w/e regular file 644 5:6", "x/two/q regular file 644 5:6",
                          "x/four/plain regular file 644 0:0", "p"])
        self.assertEqual(self.files("added", "/six/a.tar")[0], "/six/a.tar regular file 644 0:0")
        self.assertEqual(self.files("added", "/four/bad.gz")[0], "/four/bad.gz regular file 644 0:0")

    def test_arguments(self):
        built = self.build("ARG v=kit\nFROM $v\nARG v\nARG z=1\nRUN echo \"<$v $z $w>\"\nENV z=2\nRUN echo \"<$z>\"\n"
                           "LABEL l=${z:-x} m=${q:-y} n='$z'\n", t="args",
                           buildargs={"w": "W", "unused": "1", "HTTP_PROXY": "p", "z": "9", "none": None})
        self.assertIn("\n<kit 9 >\n", built.text)
        self.assertIn("\n<2>\n", built.text)
        self.assertIn("[Warning] One or more build-args [none unused w] were not consumed\n", built.text)
        self.assertEqual(self.config("args")["Labels"], {"l": "2", "m": "y", "n": "$z"})
        # Proxies are used and not written down.
        self.assertEqual([command for command, _ in self.history("args")][1], "|1 v=kit " + SH + "echo \"<$z>\"")

    def test_configuration(self):
        built = self.build("""FROM kit
MAINTAINER me
EXPOSE 80 443/udp
USER alice
VOLUME /v [x]
STOPSIGNAL SIGTERM
SHELL ["/bin/sh","-xc"]
ENTRYPOINT echo a
CMD echo b
HEALTHCHECK --interval=5s --retries=3 CMD curl x
ONBUILD RUN echo triggered
WORKDIR a
WORKDIR b
""", t="configured", labels={"z": "$HOME", "a": "1"})
        self.assertEqual(built.error, None)
        config = self.config("configured")
        expected = {"ExposedPorts": {"443/udp": {}, "80/tcp": {}}, "User": "alice", "Volumes": {"/v": {}, "[x]": {}},
                    "StopSignal": "SIGTERM", "Shell": ["/bin/sh", "-xc"], "Entrypoint": ["/bin/sh", "-xc", "echo a"],
                    "Cmd": ["/bin/sh", "-xc", "echo b"], "OnBuild": ["RUN echo triggered"], "WorkingDir": "/a/b",
                    "Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 5000000000, "Retries": 3},
                    "Labels": {"z": "$HOME", "a": "1"}}
        self.assertEqual({name: config[name] for name in expected}, expected)
        with self.daemon.client() as connection:
            image = connection.get("/v1.44/images/configured/json")
        self.assertEqual((image["Author"], image["DockerVersion"]), ("me", "28.2.2"))
        self.assertIn('/bin/sh -xc #(nop)  HEALTHCHECK &{["CMD-SHELL" "curl x"] "5s" "0s" "0s" "0s" \'\\x03\'}',
                      [command for command, _ in self.history("configured")])
        triggered = self.build("FROM configured\n")
        # Standard error comes in red, in as many pieces as the shell writes.
        log = re.sub("\x1b\\[91m.*?\x1b\\[0m", "", triggered.log, flags=re.DOTALL)
        self.assertEqual(log.splitlines()[:5],
                         ["Step 1/1 : FROM configured", "# Executing 1 build trigger", " ---> Running in <1>",
                          "triggered", " ---> Removed intermediate container <1>"])

    def test_failing_command(self):
        message = "The command '/bin/sh -c exit 3' returned a non-zero code: 3"
        for parameters, left in (({}, 1), ({"forcerm": True}, 0), ({"rm": False}, 1)):
            built = self.build("FROM kit\nRUN exit 3\n", **parameters)
            self.assertEqual(built.messages[-1], {"errorDetail": {"code": 3, "message": message}, "error": message})
            with self.daemon.client() as connection:
                self.assertEqual(len(connection.get("/containers/json?all=1")), left, parameters)
            self.daemon.remove_containers()

    def test_containers_stay_without_rm(self):
        self.assertNotIn("Removed", self.build("FROM kit\nENV a=b\nRUN true\n", rm=False).text)
        with self.daemon.client() as connection:
            states = sorted(container["State"] for container in connection.get("/containers/json?all=1"))
        self.assertEqual(states, ["created", "exited"])

    def test_quiet(self):
        built = self.build("FROM kit\nENV a=b\n", q=True)
        self.assertEqual(len(built.messages), 1)
        self.assertRegex(built.text, "^sha256:[0-9a-f]{64}\n$")
        self.assertIn("Step 2/2", self.build("FROM kit\nRUN exit 1\n", q=True).text)

    def test_refused_before_anything_is_done(self):
        cases = [
            ({"text": "FROM kit\nNOPE a\n"}, 400,
             "dockerfile parse error on line 2: unknown instruction: NOPE (did you mean COPY?)"),
            ({"text": ""}, 400, "the Dockerfile (Dockerfile) cannot be empty"),
            ({"text": "# a\n"}, 400, "failed to parse Dockerfile: file with no instructions"),
            ({"text": "RUN a\n"}, 400, "no build stage in current context"),
            ({"text": None, "files": {"x": "y"}}, 500, "Cannot locate specified Dockerfile: Dockerfile"),
            ({"text": "FROM kit\n", "target": "x"}, 400, 'target stage "x" could not be found'),
            ({"text": "FROM kit\n", "t": "UPPER"}, 500,
             "invalid reference format: repository name (library/UPPER) must be lowercase"),
            ({"text": "FROM kit\n", "buildargs": "{bad"}, 400,
             "error reading build args: invalid character 'b' looking for beginning of object key string"),
            ({"text": "FROM kit\n", "labels": "[1]"}, 400,
             "error reading labels: json: cannot unmarshal array into Go value of type map[string]string"),
            ({"text": "FROM kit\n", "securityopt": "x"}, 400, "security options are not supported on linux"),
            ({"text": "FROM kit\n", "squash": True}, 400, "squash is only supported with experimental mode"),
            ({"text": "FROM kit\n", "version": "3"}, 400, 'invalid version "3"'),
            ({"text": "FROM kit\n", "isolation": "x"}, 400, 'unsupported isolation: "x"'),
            ({"text": "FROM kit\n", "isolation": "hyperv"}, 400, 'unsupported isolation: "hyperv"'),
            ({"text": None, "body": b"this is no tar" * 100}, 500, "archive/tar: invalid tar header"),
        ]
        for parameters, status, message in cases:
            self.assertEqual(self.build(**parameters).error, {"status": status, "message": message}, parameters)

    def test_refused_in_a_step(self):
        cases = [
            ("COPY nope /", "COPY failed: file not found in build context or excluded by .dockerignore: "
                            "stat nope: file does not exist"),
            ("COPY z* /x/", "COPY failed: no source files were specified"),
            ("COPY a b /x", "When using COPY with more than one source file, the destination must be a directory and "
                            "end with a /"),
            ("COPY http://x/y /", "COPY failed: source can't be a URL for COPY"),
            ("COPY --chown=who a /", "unable to convert uid/gid chown string to host mapping: can't find uid for user "
                                     "who: no such user: who"),
            ("COPY --from=0 /a /b", "invalid from flag value 0: refers to current build stage"),
            ("COPY --from=7 /a /b", "invalid from flag value 7: index out of bounds"),
            ("STOPSIGNAL FOO", "invalid signal: FOO"),
            ("EXPOSE foo", "invalid containerPort: foo"),
            ("ENV a=${b:?needed}", 'failed to process "${b:?needed}": b: needed'),
            ("WORKDIR /etc/passwd", "Cannot mkdir: /etc/passwd is not a directory"),
        ]
        for line, message in cases:
            built = self.build("FROM kit\n%s\n" % line, {"a": "1", "b": "2"})
            self.assertEqual(built.error, {"message": message}, line)
            self.assertNotIn("Successfully", built.text)

    def test_limits_of_steps_without_a_container(self):
        """Docker makes a container for each step, and so refuses what a container cannot have."""
        for text, limits, message in (
                ("ENV a=b", {"memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
                ("WORKDIR /w", {"memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
                ("LABEL a=b", {"memory": 1 << 26, "memswap": 1},
                 "Minimum memoryswap limit should be larger than memory limit, see usage"),
                ("ENV a=c", {"cpusetcpus": "x"}, "Invalid value x for cpuset cpus: invalid format: x"),
                ("ENV a=d", {"cpuperiod": 5}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
                ("ENV a=e", {"extrahosts": "bad"}, 'bad format for add-host: "bad"'),
                ("ENV a=f", {"shmsize": -1}, "SHM size can not be less than 0"),
                # These have none in Docker's either.
                ("COPY a /a", {"memory": 1 << 20}, None), ("ENV a=g", {"networkmode": "nowhere"}, None)):
            built = self.build("FROM kit\n" + text + "\n", {"a": "1"}, **limits)
            self.assertEqual(built.error and built.error["message"], message, text)

    def test_dockerfile_by_other_names(self):
        self.assertIn("Successfully built", self.build(None, {"dockerfile": "FROM kit\n"}).text)
        self.assertIn("Successfully built", self.build(None, {"d/x": "FROM kit\n"}, dockerfile="d/x").text)
        # A file that is left out is still what the build is made by.
        built = self.build("FROM kit\nCOPY . /all/\nRUN ls -A /all\n", {".dockerignore": "*\n!keep\n", "keep": "1"})
        self.assertIn("\nkeep\n", built.text)
        self.assertNotIn("\nDockerfile\n", built.text)

    def test_client_that_leaves_ends_the_build(self):
        body = context({"Dockerfile": "FROM kit\nRUN sleep 1000\n"})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.daemon.socket)
            client.sendall(b"POST /build?nocache=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
            received = b""
            while b"Running in" not in received:
                received += client.recv(65536)
            with self.daemon.client() as connection:
                wait_for(lambda: connection.get("/containers/json"), what="the step's container")
        with self.daemon.client() as connection:
            wait_for(lambda: not connection.get("/containers/json?all=1"), what="the container's end")

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's engine keeps the container, ended")
    def test_killed_daemon_leaves_nothing_of_a_build(self):
        body = context({"Dockerfile": "FROM kit\nRUN sleep 1000\n"})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.daemon.socket)
            client.sendall(b"POST /build?nocache=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
            with self.daemon.client() as connection:
                wait_for(lambda: connection.get("/containers/json"), what="the step's container")
            self.daemon.kill()
        self.daemon.start()
        self.assertEqual(os.listdir(self.daemon.root + "/tmp"), [])
        with self.daemon.client() as connection:
            self.assertEqual(connection.get("/containers/json?all=1"), [])

    def test_stage_without_steps(self):
        built = self.build("FROM scratch AS nothing\nFROM nothing\nCOPY a /a\n", {"a": "1"})
        self.assertEqual(built.error, None)

    def test_builds_side_by_side(self):
        """What is built at once, of files that are partly the same, is what is built alone."""
        def one(number):
            tree = {"d": None, "d/same": "same", "d/own": str(number // 2)}
            built = self.build("FROM kit\nRUN echo %d > /n\nCOPY d /d\nRUN cat /n /d/* > /all\n" % (number // 3), tree,
                               t="side%d" % number)
            return built.error
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            self.assertEqual(list(pool.map(one, range(8))), [None] * 8)
        for number in range(8):
            done = self.cli("run", "--rm", "--entrypoint", "cat", "side%d" % number, "/all")
            self.assertEqual(done.stdout.decode(), "%d\n%dsame" % (number // 3, number // 2))

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder leaves heredocs to the shell")
    def test_heredocs(self):
        built = self.build("""FROM kit
ARG who=you
RUN <<EOF
echo "hello $who" > /one
echo two > /two
EOF
RUN cat <<A > /three && cat <<B > /four
3
A
4
B
COPY <<x <<-"y" /dst/
it's $who
x
\t$who
y
COPY --chmod=600 <<x /x
x
""", t="heredocs")
        self.assertEqual(built.error, None)
        self.assertEqual(self.files("heredocs", "/one", "/two", "/three", "/four", "/dst/x", "/dst/y"),
                         ["/one regular file 644 0:0", "hello you", "/two regular file 644 0:0", "two",
                          "/three regular file 644 0:0", "3", "/four regular file 644 0:0", "4",
                          "/dst/x regular file 644 0:0", "it's you", "/dst/y regular file 644 0:0", "$who"])
        self.assertEqual(self.files("heredocs", "/x"), ["/x regular empty file 600 0:0"])

    def test_docker_build(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        os.mkdir(folder + "/sub")
        for name, content in (("Dockerfile", "FROM kit\nCOPY . /c/\nRUN cat /c/sub/a\n"), (".dockerignore", "secret\n"),
                              ("secret", "s"), ("sub/a", "found\n")):
            with open(folder + "/" + name, "w") as file:
                file.write(content)
        done = self.cli("build", "-t", "by-cli", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"\nfound\n", done.stdout)
        self.assertTrue(done.stdout.endswith(b"Successfully tagged by-cli:latest\n"))
        self.assertEqual(self.files("by-cli", "/c/secret"), ["stat: can't stat '/c/secret': No such file or directory"])
        done = self.cli("build", "-q", folder)
        self.assertRegex(done.stdout, b"^sha256:[0-9a-f]{64}\n$")
        done = self.cli("build", "-", stdin=b"FROM kit\nRUN exit 4\n")
        self.assertEqual((done.returncode, done.stderr.decode().splitlines()[-1]),
                         (4, "The command '/bin/sh -c exit 4' returned a non-zero code: 4"))


def symlink(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


if __name__ == "__main__":
    main()
