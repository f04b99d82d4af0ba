"""`docker diff` and `docker commit`, by the CLI and the API, and what images with parents are then."""
import hashlib
import json
import os
import tarfile
import threading
import time
import unittest

import support

import daemon
import rawhttp
from testcase import DaemonTestCase, main

# A little tree of its own, so that what changed in it can be listed to the last line.
TREE = ("mkdir -p /t/dir/sub /t/whole/deep /t/moved && cd /t && echo one > file && echo two > dir/a && echo b > dir/b &&"
        " echo x > dir/sub/x && ln -s file link && ln file hard && echo deep > whole/deep/w && mkfifo pipe && mknod dev c 1 3 &&"
        " echo m > moved/m && chmod 755 /t/*/ && find /t -exec touch -h -d @1600000000 {} +")

# name: (what the container does, what `docker diff` says)
DIFFS = {
    "nothing": ("true", ""),
    "add": ("echo n > /t/new", "C /t\nA /t/new\n"),
    "add-folder": ("mkdir -p /t/n/m && echo 1 > /t/n/m/f", "C /t\nA /t/n\nA /t/n/m\nA /t/n/m/f\n"),
    "empty-folder": ("mkdir /t/dir/none", "C /t\nC /t/dir\nA /t/dir/none\n"),
    "modify": ("echo other > /t/file", "C /t\nC /t/file\n"),
    "append": ("echo more >> /t/dir/a", "C /t\nC /t/dir\nC /t/dir/a\n"),
    "same-size-later": ("echo owt > /t/dir/a", "C /t\nC /t/dir\nC /t/dir/a\n"),
    "rewritten-same-time": ("echo two > /t/dir/a; touch -d @1600000000 /t/dir/a", ""),
    "touch": ("touch -d @1500000000 /t/file", "C /t\nC /t/file\n"),
    "touch-folder": ("touch -d @1500000000 /t/dir", ""),
    "chmod": ("chmod 600 /t/file", "C /t\nC /t/file\n"),
    "chmod-folder": ("chmod 700 /t/dir", "C /t\nC /t/dir\n"),
    "chown": ("chown 5:6 /t/dir/sub", "C /t\nC /t/dir\nC /t/dir/sub\n"),
    "chown-link": ("chown -h 5:6 /t/link", "C /t\nC /t/link\n"),
    "delete": ("rm /t/file", "C /t\nD /t/file\n"),
    "delete-folder": ("rm -r /t/dir", "C /t\nD /t/dir\n"),
    "delete-added": ("echo 1 > /t/new; rm /t/new", ""),
    "delete-in-added": ("mkdir /t/n; echo 1 > /t/n/f; rm -r /t/n", ""),
    "replace-file-by-folder": ("rm /t/file; mkdir /t/file; echo 1 > /t/file/in", "C /t\nC /t/file\nA /t/file/in\n"),
    "replace-folder-by-file": ("rm -r /t/dir; echo 1 > /t/dir", "C /t\nC /t/dir\n"),
    "replace-file-by-link": ("rm /t/file; ln -s dir /t/file", "C /t\nC /t/file\n"),
    "link-elsewhere": ("ln -sfn dir /t/link", "C /t\nC /t/link\n"),
    "opaque-empty": ("rm -r /t/dir; mkdir /t/dir", "C /t\nC /t/dir\nD /t/dir/a\nD /t/dir/b\nD /t/dir/sub\n"),
    "opaque-some-again": ("rm -r /t/dir; mkdir -p /t/dir/sub; echo new > /t/dir/a; echo z > /t/dir/z",
                          "C /t\nC /t/dir\nC /t/dir/a\nD /t/dir/b\nC /t/dir/sub\nD /t/dir/sub/x\nA /t/dir/z\n"),
    "opaque-deep": ("rm -r /t/whole; mkdir -p /t/whole/deep; echo v > /t/whole/deep/v",
                    "C /t\nC /t/whole\nC /t/whole/deep\nA /t/whole/deep/v\nD /t/whole/deep/w\n"),
    "rename-file": ("mv /t/file /t/renamed", "C /t\nD /t/file\nA /t/renamed\n"),
    "rename-over": ("mv /t/dir/a /t/dir/b", "C /t\nC /t/dir\nD /t/dir/a\nC /t/dir/b\n"),
    "rename-folder": ("mv /t/moved /t/there", "C /t\nD /t/moved\nA /t/there\nA /t/there/m\n"),
    "rename-into": ("mv /t/moved /t/dir/", "C /t\nC /t/dir\nA /t/dir/moved\nA /t/dir/moved/m\nD /t/moved\n"),
    "hard-link-new": ("ln /t/dir/a /t/again", "C /t\nA /t/again\n"),
    "hard-link-write": ("echo z >> /t/hard", "C /t\nC /t/hard\n"),
    "device": ("mknod /t/null c 1 3; mkfifo /t/p2; rm /t/dev; mknod /t/dev c 1 5", "C /t\nC /t/dev\nA /t/null\nA /t/p2\n"),
    "device-mode": ("chmod 600 /t/pipe", "C /t\nC /t/pipe\n"),
    "odd-names": ("echo 1 > '/t/a b'; echo 1 > '/t/\"q\"'; echo 1 > /t/$(printf 'n\\303\\244')",
                  "C /t\nA /t/\"q\"\nA /t/a b\nA /t/n\u00e4\n"),
    "root-level": ("echo 1 > /top; rm /etc/passwd; chmod 700 /var", "C /etc\nD /etc/passwd\nA /top\nC /var\n"),
    "mount-points": ("echo 1 > /dev/shm/x; echo 1 > /etc/hosts", ""),
}


def by_path(text):
    return "".join(sorted(text.splitlines(True), key=lambda line: line.split(" ", 1)[1]))


class CommitCase(DaemonTestCase):
    """Every test starts with "kit" and "tree" and nothing else."""

    @classmethod
    def warm_up(cls):
        super().warm_up()
        cls.daemon.cli("run", "--name", "tree", "kit", "sh", "-c", TREE)
        cls.daemon.cli("commit", "tree", "tree")
        cls.daemon.cli("run", "--name", "again", "tree", "true")
        cls.daemon.cli("commit", "again", "warm")
        cls.daemon.remove_containers()
        cls.daemon.cli("rmi", "warm")

    def setUp(self):
        super().setUp()
        self.images_before = set(self.ids("images", "-qa", "--no-trunc"))

    def tearDown(self):
        self.daemon.remove_containers()
        for _ in range(8):
            left = set(self.ids("images", "-qa", "--no-trunc")) - self.images_before
            if not left:
                break
            self.cli("rmi", "-f", *left)
        super().tearDown()

    # -- shorthands ---------------------------------------------------------
    def ids(self, *arguments):
        return self.out(*arguments).split()

    def out(self, *arguments, **more):
        return self.assertCli(0, *arguments, **more).stdout.decode()

    def made(self, script, name, image="tree", *options):
        """A container that ran the script and ended."""
        self.assertCli(0, "run", "--name", name, "--network", "none", *options, image, "sh", "-c", script)
        return name

    def inspect(self, name, version=None):
        with self.daemon.client(version) as connection:
            return connection.get("/images/%s/json" % name)

    def raw_config(self, image):
        with open("%s/image/overlay2/imagedb/content/sha256/%s" % (self.daemon.root, image.split(":")[-1])) as file:
            return file.read()

    def events(self, since):
        """All events since the moment. Not by the CLI: up to API 1.45, which an older one speaks, no image's create is told."""
        with self.daemon.client() as connection:
            body = connection.request("GET", "/events?since=%s&until=%s" % (since, self.now())).body
        return [json.loads(line) for line in body.splitlines()]

    @staticmethod
    def now():
        return "%.9f" % time.time()


class Diff(CommitCase):
    def test_table(self):
        wrong = {}
        for name, (script, expected) in DIFFS.items():
            self.made(script, name)
            shown = by_path(self.out("diff", name))
            if shown != by_path(expected):
                wrong[name] = shown
        self.assertEqual(wrong, {})

    def test_folders_stand_before_what_is_in_them(self):
        self.made("mkdir -p /t/z/y; echo 1 > /t/z/y/x; echo 1 > /t/dir/sub/new; rm /t/dir/a", "order")
        lines = self.out("diff", "order").splitlines()
        seen = set()
        for line in lines:
            path = line.split(" ", 1)[1]
            if line.startswith("A"):
                self.assertIn(os.path.dirname(path), seen | {"/"}, lines)
            seen.add(path)
        self.assertLess(lines.index("C /t/dir"), lines.index("C /t/dir/sub"))

    def test_api_numbers_and_null(self):
        self.made("echo 1 > /t/new; rm /t/file; chmod 700 /t/dir", "kinds")
        with self.daemon.client() as connection:
            changes = connection.get("/containers/kinds/changes")
            self.assertEqual(sorted((c["Path"], c["Kind"]) for c in changes),
                             [("/t", 0), ("/t/dir", 0), ("/t/file", 2), ("/t/new", 1)])
            self.assertEqual(list(changes[0]), ["Path", "Kind"])
            made = connection.post("/containers/create", {"Image": "tree"})["Id"]
            answer = connection.request("GET", "/containers/%s/changes" % made)
            self.assertEqual((answer.status, answer.body), (200, b"null\n"))
            answer = connection.request("GET", "/containers/none/changes")
            self.assertEqual((answer.status, answer.message()), (404, "No such container: none"))

    def test_running_and_paused(self):
        self.daemon.run("sh", "-c", "echo 1 > /t/new; exec /payload pause", image_name="tree", name="live")
        daemon.wait_for(lambda: self.out("diff", "live") == "C /t\nA /t/new\n", what="the new file in the diff")
        self.assertCli(0, "pause", "live")
        self.assertEqual(self.out("diff", "live"), "C /t\nA /t/new\n")
        self.assertCli(0, "unpause", "live")

    def test_volume_and_binds_do_not_show(self):
        self.made("echo 1 > /v/x; echo 1 > /tmp/x; echo 1 > /t/x", "mounted", "tree", "-v", "/v", "--tmpfs", "/tmp")
        self.assertEqual(by_path(self.out("diff", "mounted")), "C /t\nA /t/x\nA /v\n")


class Commit(CommitCase):
    def test_files_come_back(self):
        self.made("cd /t; echo new > dir/new; rm file; rm -r whole; mkdir whole; echo w > whole/w; ln dir/a dir/a2; "
                  "chown 7:8 dir/b; chmod 4711 dir/b; touch -d @1400000000 dir/b; ln -sfn /nowhere link; rm dev; "
                  "mknod dev c 1 5; dd if=/dev/zero of=big bs=1000 count=300 2>/dev/null; truncate -s 5000000 sparse", "c1")
        image = self.out("commit", "c1", "c1:v").strip()
        self.assertRegex(image, "^sha256:[0-9a-f]{64}$")
        show = "cd /t; find . ! -type d -exec ls -ln --full-time {} + | awk '{$2=\"\";print}'; cat dir/new whole/w; stat -c '%n %i' dir/a dir/a2 | awk '{print $2}' | uniq | wc -l"
        seen = self.out("run", "--rm", "c1:v", "sh", "-c", show)
        self.assertIn("-rws--x--x 7 8 2 2014-05-13 16:53:20 +0000 ./dir/b\n", seen.replace("  ", " "))
        self.assertIn("./link -> /nowhere\n", seen)
        self.assertTrue(seen.endswith("new\nw\n1\n"), seen)
        for gone in ("./file\n", "./whole/deep"):
            self.assertNotIn(gone, seen)
        self.assertIn("5000000", seen)

    def test_layer_is_the_same_as_dockers(self):
        """Byte for byte: members, their order, hard links, opaque folders, long names and odd ones."""
        self.made("cd /t; echo new > dir/new; ln dir/a dir/a2; chown 70000:3000000 dir/b; mkdir -p dir/" + "l" * 120 +
                  "; ln -s /" + "x" * 110 + " dir/long; touch dir/\u00e4; mkfifo dir/p;"
                  "find . -exec touch -h -d @1650000000 {} +; touch -d @1650000000 /t", "c2")
        self.out("commit", "c2", "c2")
        layers = self.inspect("c2")["RootFS"]["Layers"]
        self.assertEqual(len(layers), 3)
        # What Docker 28.2.2 answers.
        self.assertEqual(layers[-1], "sha256:02b5f6f79fe6fef5d3405be4b7957dcd7a90cae0d025329dc589d5eab339e1bc")

    def test_members_of_the_layer(self):
        self.made("cd /t; rm file link; rm -r whole; mkdir whole; rm -r dir; mkdir -m 750 dir; echo 1 > dir/n", "c2b")
        self.out("commit", "c2b", "c2b")
        self.assertCli(0, "save", "-o", self.daemon.base + "/c2b.tar", "c2b")
        with tarfile.open(self.daemon.base + "/c2b.tar") as archive:
            manifest = json.load(archive.extractfile("manifest.json"))[0]
            with tarfile.open(fileobj=archive.extractfile(manifest["Layers"][-1])) as layer:
                members = [(m.name, m.type, oct(m.mode), m.size, m.linkname) for m in layer]
        os.unlink(self.daemon.base + "/c2b.tar")
        file, folder = tarfile.REGTYPE, tarfile.DIRTYPE
        # Whiteouts are links to one device; Docker's headers keep the first one's name.
        self.assertEqual(members, [
            ("t", folder, "0o755", 0, ""), ("t/dir", folder, "0o750", 0, ""), ("t/dir/.wh..wh..opq", file, "0o750", 0, ""),
            ("t/dir/n", file, "0o644", 2, ""),
            ("t/.wh.file", file, "0o600", 0, ""), ("t/.wh.link", file, "0o600", 0, "t/file"),
            ("t/whole", folder, "0o755", 0, ""), ("t/whole/.wh..wh..opq", file, "0o755", 0, "")])

    def test_image_is_the_parents_child(self):
        self.made("echo 1 > /t/x", "c3")
        image = self.out("commit", "-m", "words & <more>", "-a", "Some One <a@b>", "c3", "c3").strip()
        container = self.out("inspect", "-f", "{{.Id}}", "c3").strip()
        parent = self.inspect("tree")
        shown = self.inspect("c3")
        self.assertEqual(shown["Id"], image)
        self.assertEqual(shown["Parent"], parent["Id"])
        self.assertEqual(shown["Comment"], "words & <more>")
        self.assertEqual(shown["Author"], "Some One <a@b>")
        self.assertEqual(shown["RootFS"]["Layers"][:2], parent["RootFS"]["Layers"])
        self.assertEqual(shown["Size"], parent["Size"] + 2)
        self.assertEqual(shown["Config"]["Cmd"], ["sh", "-c", "echo 1 > /t/x"])
        self.assertNotIn("Container", shown)
        old = self.inspect("c3", "1.44")
        self.assertEqual(old["Container"], container)
        self.assertEqual(old["ContainerConfig"]["Hostname"], container[:12])
        self.assertEqual(old["ContainerConfig"]["Cmd"], ["sh", "-c", "echo 1 > /t/x"])
        self.assertEqual(old["ContainerConfig"]["Image"], "tree")
        config = json.loads(self.raw_config(image))
        self.assertEqual(list(config), ["architecture", "author", "config", "container", "container_config", "created",
                                        "docker_version", "history", "os", "rootfs"])
        self.assertEqual(list(config["history"][-1]), ["created", "created_by", "author", "comment"])
        self.assertEqual(config["history"][-1]["created_by"], "sh -c echo 1 > /t/x")
        self.assertEqual(config["history"][-1]["created"], config["created"])
        self.assertEqual(hashlib.sha256(self.raw_config(image).encode()).hexdigest(), image[7:])
        self.assertIn("words \\u0026 \\u003cmore\\u003e", self.raw_config(image))
        folder = "%s/image/overlay2/imagedb/metadata/sha256/%s/" % (self.daemon.root, image[7:])
        with open(folder + "parent") as file:
            self.assertEqual(file.read(), parent["Id"])
        with open(folder + "builtLocally", "rb") as file:
            self.assertEqual(file.read(), b"\x01")

    def test_nothing_changed_makes_no_layer(self):
        self.made("true", "c4")
        self.out("commit", "c4", "c4")
        shown = self.inspect("c4")
        parent = self.inspect("tree")
        self.assertEqual(shown["RootFS"]["Layers"], parent["RootFS"]["Layers"])
        self.assertEqual(shown["Size"], parent["Size"])
        self.assertNotEqual(shown["Id"], parent["Id"])
        self.assertTrue(json.loads(self.raw_config(shown["Id"]))["history"][-1]["empty_layer"])
        self.assertEqual(self.out("run", "--rm", "c4", "cat", "/t/file"), "one\n")

    def test_configuration(self):
        self.assertCli(0, "create", "--name", "c5", "-e", "A=b", "-l", "k=v", "-u", "alice", "-w", "/t", "--expose", "80",
                       "-v", "/vol", "--stop-signal", "SIGINT", "--health-cmd", "true", "tree", "sh")
        self.out("commit", "c5", "c5")
        config = self.inspect("c5")["Config"]
        self.assertEqual(config, {"User": "alice", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"] + config["Env"][1:],
                                  "Cmd": ["sh"], "Volumes": {"/vol": {}}, "WorkingDir": "/t", "Labels": {"k": "v"},
                                  "StopSignal": "SIGINT", "Healthcheck": {"Test": ["CMD-SHELL", "true"]}})

    def test_changes(self):
        self.assertCli(0, "create", "--name", "c6", "-e", "OLD=1", "tree", "sh")
        changes = ['CMD ["/payload","ids"]', "ENTRYPOINT [\"/payload\"]", "ENV A=$OLD B=\"two words\" OLD=2", "EXPOSE 80 90/udp",
                   "LABEL l=1 m=\"2 3\"", "ONBUILD RUN true", "USER alice:extra", "VOLUME /v1 /v2", "WORKDIR /a",
                   "WORKDIR b", "STOPSIGNAL 9", "HEALTHCHECK --interval=5s --retries=3 CMD echo hi"]
        self.out("commit", *[word for change in changes for word in ("-c", change)], "c6", "c6")
        config = self.inspect("c6")["Config"]
        self.assertEqual(config["Cmd"], ["/payload", "ids"])
        self.assertEqual(config["Entrypoint"], ["/payload"])
        self.assertEqual([e for e in config["Env"] if not e.startswith("PATH=")], ["OLD=2", "A=1", "B=two words"])
        self.assertEqual(config["ExposedPorts"], {"80/tcp": {}, "90/udp": {}})
        self.assertEqual(config["Labels"], {"l": "1", "m": "2 3"})
        self.assertEqual(config["OnBuild"], ["RUN true"])
        self.assertEqual(config["User"], "alice:extra")
        self.assertEqual(config["Volumes"], {"/v1": {}, "/v2": {}})
        self.assertEqual(config["WorkingDir"], "/a/b")
        self.assertEqual(config["StopSignal"], "9")
        self.assertEqual(config["Healthcheck"], {"Test": ["CMD-SHELL", "echo hi"], "Interval": 5000000000, "Retries": 3})

    def test_body_wins_over_the_container(self):
        self.assertCli(0, "create", "--name", "c7", "-e", "A=b", "-e", "C=d", "-l", "k=v", "-w", "/t", "tree", "sh", "-x")
        with self.daemon.client() as connection:
            body = {"Cmd": ["other"], "Env": ["A=mine"], "Labels": {"n": "w"}, "User": "alice"}
            image = connection.post("/commit?container=c7&repo=c7&tag=body", body)["Id"]
        config = self.inspect("c7:body")["Config"]
        self.assertEqual(self.inspect("c7:body")["Id"], image)
        self.assertEqual(config["Cmd"], ["other"])
        self.assertEqual(config["Env"][:2], ["A=mine", "C=d"])
        self.assertEqual(config["Labels"], {"k": "v", "n": "w"})
        self.assertEqual(config["User"], "alice")
        self.assertEqual(config["WorkingDir"], "/t")

    def test_refusals_change_nothing(self):
        self.assertCli(0, "create", "--name", "c8", "tree", "sh")
        images = ("images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.CreatedAt}} {{.Size}}")
        before = self.out(*images)
        cases = [
            ("container=none", 404, "No such container: none"),
            ("container=c8&repo=UP", 400, "invalid reference format: repository name (library/UP) must be lowercase"),
            ("container=c8&repo=a&tag=.b", 400, "invalid tag format"),
            ("container=c8&repo=a@sha256:" + "0" * 64, 400, "cannot import digest reference"),
            ("container=c8&changes=RUN%20x", 400, "RUN is not a valid change command"),
            ("container=c8&changes=COPY%20a%20b", 400, "COPY is not a valid change command"),
            ("container=c8&changes=ENV%20x", 400, "ENV must have two arguments"),
            ("container=c8&changes=STOPSIGNAL%20NOPE", 400, "invalid signal: NOPE"),
            ("container=c8&changes=EXPOSE%20x", 400, "invalid containerPort: x"),
        ]
        with self.daemon.client() as connection:
            for query, status, text in cases:
                answer = connection.request("POST", "/commit?" + query)
                self.assertEqual((answer.status, answer.message()), (status, text), query)
            answer = connection.request("POST", "/commit?container=c8", b"{", headers=[("Content-Type", "application/json")])
            self.assertEqual((answer.status, answer.message()), (400, "invalid JSON: unexpected EOF"))
            answer = connection.request("POST", "/commit?container=c8", b"x", headers=[("Content-Type", "text/plain")])
            self.assertEqual(answer.status, 400)
        self.assertEqual(self.out(*images), before)

    def test_running_container_is_paused_meanwhile(self):
        self.daemon.run("/payload", "pause", image_name="tree", name="c9")
        start = self.now()
        image = self.out("commit", "-m", "why", "c9", "c9:x").strip()
        seen = [(e["Type"], e["Action"]) for e in self.events(start)]
        self.assertEqual(seen, [("container", "pause"), ("image", "create"), ("image", "tag"), ("container", "commit"),
                                ("container", "unpause")])
        events = self.events(start)
        attributes = events[3]["Actor"]["Attributes"]
        self.assertEqual({key: attributes[key] for key in ("comment", "imageID", "imageRef", "image", "name")},
                         {"comment": "why", "imageID": image, "imageRef": "docker.io/library/c9:x".split("/")[-1],
                          "image": "tree", "name": "c9"})
        self.assertEqual(events[1]["Actor"], {"ID": image, "Attributes": {"name": image}})
        self.assertEqual(events[2]["Actor"], {"ID": image, "Attributes": {"name": "c9:x"}})
        self.assertEqual(self.out("inspect", "-f", "{{.State.Status}}", "c9"), "running\n")

    def state(self, name):
        with self.daemon.client() as connection:
            return connection.get("/containers/%s/json" % name)["State"]

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "with Docker's engine the container stays paused")
    def test_a_commit_that_dies_with_the_daemon_holds_nobody(self):
        # Enough to be copied that the daemon is killed while the container is paused.
        self.daemon.run("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=400 2>&1 && exec /payload pause",
                        image_name="tree", name="held")
        daemon.wait_for(lambda: b"records out" in self.cli("logs", "held").stdout, 60, "the files")
        with self.daemon.client() as client:
            client.send("POST", "/commit?container=held", {})
            daemon.wait_for(lambda: self.state("held")["Paused"], 20, "the pause")
            self.daemon.kill()
            self.assertRaises((OSError, rawhttp.HttpError), client.head)  # it was at it
        self.daemon.start()
        state = self.state("held")
        self.assertEqual((state["Status"], state["Paused"]), ("running", False))
        self.assertCli(0, "exec", "held", "echo", "awake", stdout="awake\n")
        # One that a user has paused stays so.
        self.assertCli(0, "pause", "held")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.state("held")["Status"], "paused")

    def test_without_pause(self):
        self.daemon.run("/payload", "pause", image_name="tree", name="c10")
        start = self.now()
        self.out("commit", "--pause=false", "c10")
        self.assertEqual([(e["Type"], e["Action"]) for e in self.events(start)], [("image", "create"), ("container", "commit")])

    def test_paused_container_stays_paused(self):
        self.daemon.run("/payload", "pause", image_name="tree", name="c11")
        self.assertCli(0, "pause", "c11")
        start = self.now()
        self.out("commit", "c11")
        self.assertEqual([e["Action"] for e in self.events(start)], ["create", "commit"])
        self.assertEqual(self.out("inspect", "-f", "{{.State.Status}}", "c11"), "paused\n")
        self.assertCli(0, "unpause", "c11")

    def test_failure_wakes_the_container(self):
        self.daemon.run("/payload", "pause", image_name="tree", name="c12")
        start = self.now()
        self.assertCli(1, "commit", "-c", "RUN x", "c12", stderr="Error response from daemon: RUN is not a valid change command\n")
        self.assertEqual([e["Action"] for e in self.events(start)], ["pause", "unpause"])
        self.assertEqual(self.out("inspect", "-f", "{{.State.Status}}", "c12"), "running\n")

    def test_tag_moves(self):
        self.made("echo 1 > /t/x", "c13")
        first = self.out("commit", "c13", "moving").strip()
        second = self.out("commit", "c13", "moving").strip()
        self.assertNotEqual(first, second)
        self.assertEqual(self.inspect("moving")["Id"], second)
        self.assertEqual(self.inspect(first)["RepoTags"], [])
        self.assertEqual(self.out("images", "-q", "--no-trunc", "-f", "dangling=true"), first + "\n")

    def test_survives_a_restart(self):
        self.made("echo kept > /t/x", "c14")
        image = self.out("commit", "c14", "c14").strip()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.inspect("c14")["Id"], image)
        self.assertEqual(self.inspect("c14")["Parent"], self.inspect("tree")["Id"])
        self.assertEqual(self.out("run", "--rm", "c14", "cat", "/t/x"), "kept\n")

    def test_removal_meanwhile(self):
        """What is being committed is read to the end, though the container goes."""
        self.made("dd if=/dev/zero of=/t/big bs=1M count=64 2>/dev/null; echo end > /t/z", "c15")
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.cli("commit", "c15", "c15"))),
                   threading.Thread(target=lambda: self.cli("rm", "-f", "c15"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if results[0].returncode == 0:
            self.assertEqual(self.out("run", "--rm", "c15", "sh", "-c", "cat /t/z; stat -c %s /t/big"), "end\n67108864\n")
        else:
            self.assertRegex(results[0].stderr.decode(), "No such container|being removed|which is Dead|mount does not exist")


class Sizes(CommitCase):
    def test_sizes_of_containers(self):
        base = self.inspect("tree")["Size"]
        self.made("dd if=/dev/zero of=/t/big bs=1000 count=300 2>/dev/null; ln /t/big /t/big2; ln -s 1234567 /t/l; rm /t/file", "s1")
        with self.daemon.client() as connection:
            for _ in range(2):
                shown = connection.get("/containers/s1/json?size=1")
                self.assertEqual((shown["SizeRw"], shown["SizeRootFs"]), (300007, base + 300007))
                row, = connection.get("/containers/json?all=1&size=1")
                self.assertEqual((row["SizeRw"], row["SizeRootFs"]), (300007, base + 300007))
            self.assertNotIn("SizeRw", connection.get("/containers/s1/json"))
            usage = connection.get("/system/df")
            self.assertEqual([c["SizeRw"] for c in usage["Containers"]], [300007])
        self.assertEqual(self.out("ps", "-as", "--format", "{{.Size}}"), "300kB (virtual %s)\n" % human(base + 300007))

    def test_size_follows_a_restart(self):
        self.assertCli(0, "create", "--name", "s2", "tree", "sh", "-c", "echo 12345 >> /t/new")
        with self.daemon.client() as connection:
            size = lambda: connection.get("/containers/s2/json?size=1")["SizeRw"]
            first = size()
            for run in (1, 2, 3):
                self.assertCli(0, "start", "-a", "s2")
                self.assertEqual(size() - first, 6 * run)
                self.assertEqual(size() - first, 6 * run)

    def test_size_of_a_running_one(self):
        self.daemon.run("sh", "-c", "read a < /t/pipe; echo 123456789 > /t/n; exec /payload pause", image_name="tree", name="s3")
        with self.daemon.client() as connection:
            size = lambda: connection.get("/containers/s3/json?size=1").get("SizeRw", 0)
            before = size()
            self.assertCli(0, "exec", "s3", "sh", "-c", "echo go > /t/pipe")
            daemon.wait_for(lambda: size() == before + 10, what="the larger size")

    def test_system_df(self):
        base = self.inspect("tree")
        self.made("dd if=/dev/zero of=/t/big bs=1000 count=200 2>/dev/null", "s4")
        self.out("commit", "s4", "s4")
        self.made("true", "s5", "s4")
        with self.daemon.client() as connection:
            usage = connection.get("/system/df")
            images = {(image["RepoTags"] or ["none"])[0]: image for image in usage["Images"]}
            self.assertEqual(images["s4:latest"]["Size"], base["Size"] + 200000)
            self.assertEqual(images["s4:latest"]["SharedSize"], base["Size"])
            self.assertEqual(images["tree:latest"]["SharedSize"], base["Size"])
            self.assertEqual(images["s4:latest"]["Containers"], 1)
            self.assertEqual(images["tree:latest"]["Containers"], 1)
            self.assertEqual(images["kit:latest"]["Containers"], 0)
            self.assertEqual(images["s4:latest"]["ParentId"], base["Id"])
            self.assertEqual(usage["LayersSize"], base["Size"] + 200000)
        table = self.out("system", "df", "-v")
        self.assertIn("200kB", table)


def human(size):
    """As docker/go-units HumanSizeWithPrecision(size, 3)."""
    number, unit = float(size), 0
    while number >= 1000 and unit < 4:
        number, unit = number / 1000, unit + 1
    return "%.3g%s" % (number, ("B", "kB", "MB", "GB", "TB")[unit])


class Parents(CommitCase):
    """Images that were committed from images."""

    def chain(self, *names):
        """tree <- first <- second ...; the containers are gone. Ids by name."""
        below, out = "tree", {}
        for name in names:
            self.made("echo %s > /t/%s" % (name, name), "make-" + name, below)
            out[name] = self.out("commit", "-m", "step " + name, "make-" + name, name).strip()
            self.assertCli(0, "rm", "make-" + name)
            below = name
        return out

    def test_history(self):
        ids = self.chain("p1", "p2")
        rows = self.out("history", "--no-trunc", "--format", "{{.ID}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "p2").splitlines()
        tree, kit = self.inspect("tree")["Id"], self.inspect("kit")["Id"]
        self.assertEqual(rows[0], ids["p2"] + "|sh -c echo p2 > /t/p2|3B|step p2")
        self.assertEqual(rows[1], ids["p1"] + "|sh -c echo p1 > /t/p1|3B|step p1")
        self.assertEqual(rows[2].split("|")[0], tree)
        self.assertEqual(rows[3].split("|")[0], kit)
        with self.daemon.client() as connection:
            items = connection.get("/images/p2/history")
        self.assertEqual([item["Tags"] for item in items], [["p2:latest"], ["p1:latest"], ["tree:latest"], ["kit:latest"]])

    def test_parent_in_use_by_a_child_is_only_untagged(self):
        ids = self.chain("p3", "p4")
        self.assertCli(0, "rmi", "p3", stdout="Untagged: p3:latest\n")
        self.assertIn(ids["p3"], self.ids("images", "-aq", "--no-trunc"))
        self.assertNotIn(ids["p3"], self.ids("images", "-q", "--no-trunc"))
        short = ids["p3"][7:19]
        self.assertCli(1, "rmi", short, stderr="Error response from daemon: conflict: unable to delete %s (cannot be forced)"
                                               " - image has dependent child images\n" % short)
        self.assertCli(1, "rmi", "-f", short)
        gone = self.out("rmi", "p4").splitlines()
        self.assertEqual(gone[0], "Untagged: p4:latest")
        self.assertEqual(gone[1], "Deleted: " + ids["p4"])
        # Its untagged parent goes with it.
        self.assertEqual(gone[3], "Deleted: " + ids["p3"])
        self.assertEqual(len(gone), 5)

    def test_no_prune_keeps_the_parent(self):
        ids = self.chain("p5", "p6")
        self.assertCli(0, "rmi", "p5")
        gone = self.out("rmi", "--no-prune", "p6").splitlines()
        self.assertEqual(len(gone), 3)
        self.assertIn(ids["p5"], self.ids("images", "-q", "--no-trunc", "-f", "dangling=true"))

    def test_filters(self):
        ids = self.chain("p7", "p8", "p9")
        names = lambda *filters: self.out("images", "--format", "{{.Repository}}", *[w for f in filters for w in ("-f", f)]).split()
        self.assertEqual(names("since=p7"), ["p9", "p8"])
        self.assertEqual(names("since=p7", "before=p9"), ["p8"])
        self.assertEqual(names("before=p7"), ["tree", "kit"])
        self.assertEqual(names("reference=p?"), ["p9", "p8", "p7"])
        self.assertCli(0, "rmi", "p8")
        self.assertEqual(names("dangling=true"), [])
        self.assertEqual(self.ids("images", "-aq", "--no-trunc", "-f", "since=p7"), [ids["p9"], ids["p8"]])
        self.assertCli(1, "images", "-f", "since=none", stderr="Error response from daemon: No such image: none:latest\n")

    def test_prune(self):
        ids = self.chain("p10", "p11")
        self.assertCli(0, "rmi", "p10")
        done = self.out("image", "prune", "-f")
        self.assertNotIn("sha256", done)  # has a child
        self.made("true", "user", "p11")
        self.assertCli(0, "tag", "kit", "p11")
        self.assertNotIn("Deleted", self.out("image", "prune", "-f"))  # a container needs it
        self.assertCli(0, "rm", "user")
        done = self.out("image", "prune", "-f").splitlines()
        self.assertIn("deleted: " + ids["p11"], done)
        self.assertIn("deleted: " + ids["p10"], done)
        self.assertEqual(done[-1], "Total reclaimed space: 8B")

    def test_container_keeps_its_committed_image(self):
        ids = self.chain("p12")
        self.assertCli(0, "create", "--name", "holder", "p12", "cat", "/t/p12")
        done = self.cli("rmi", "p12")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is using its referenced image " + ids["p12"][7:19], done.stderr.decode())
        # Forced, the image goes and its layers stay.
        self.assertCli(0, "rmi", "-f", "p12", stdout="Untagged: p12:latest\nDeleted: %s\n" % ids["p12"])
        self.assertEqual(self.out("inspect", "-f", "{{.Image}}", "holder"), ids["p12"] + "\n")
        self.assertEqual(self.out("start", "-a", "holder"), "p12\n")
        self.assertEqual(self.out("diff", "holder"), "")
        with self.daemon.client() as connection:
            answer = connection.request("POST", "/commit?container=holder")
        path = "%s/image/overlay2/imagedb/content/sha256/%s" % (self.daemon.root, ids["p12"][7:])
        self.assertEqual((answer.status, answer.message()),
                         (404, "failed to get digest %s: open %s: no such file or directory" % (ids["p12"], path)))

    def test_saved_and_loaded_elsewhere(self):
        ids = self.chain("p13")
        archive = self.daemon.base + "/p13.tar"
        self.assertCli(0, "save", "-o", archive, "p13")
        self.assertCli(0, "rmi", "p13")
        self.assertCli(0, "load", "-q", "-i", archive)
        os.unlink(archive)
        self.assertEqual(self.inspect("p13")["Id"], ids["p13"])
        self.assertEqual(self.out("run", "--rm", "p13", "cat", "/t/p13"), "p13\n")


if __name__ == "__main__":
    main()
