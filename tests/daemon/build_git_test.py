"""Builds of repositories: contexts that are one, and ADD of one.

What contexts say was compared with Docker 28.2.2; ADD of repositories is BuildKit's, and as its documentation says.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import support

import daemon
import gitkit
import own_mounts
from buildcase import BuildTestCase, layers, lines_of_tree
from testcase import main, require

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
NOWHERE = "0" * 40


def without_folders(text):
    """The folder something was fetched to has another name each time."""
    return re.sub(r"/[^ :]*/(docker-build-git\d+|docker-builder\w+/git)", "<root>", text)


class GitTestCase(BuildTestCase):
    @classmethod
    def setUpClass(cls):
        require(shutil.which("git"), "no git")
        # A daemon hands none of its own settings of git on.
        cls.hooks = {"GIT_TEMPLATE_DIR": cls.hostile_template(), "GIT_CONFIG_COUNT": "1",
                     "GIT_CONFIG_KEY_0": "core.sshCommand", "GIT_CONFIG_VALUE_0": "/nonexistent"}
        os.environ.update({} if ORACLE else cls.hooks)
        try:
            super().setUpClass()
        finally:
            for name in cls.hooks:
                os.environ.pop(name, None)
        cls.folder = tempfile.mkdtemp(prefix="dockerd-repositories-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.make_repositories()
        cls.server = cls.daemon.in_net(gitkit.Server, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.repo.add_submodule(cls.server.url + "/sub", "sub", cls.sub_commit)
        cls.head = cls.repo.git("rev-parse", "HEAD")
        cls.repo.git("update-server-info")
        cls.url = cls.server.url + "/repo/.git"

    @classmethod
    def hostile_template(cls):
        """Hooks that would run on the host; what they would do is leave a file behind."""
        top = tempfile.mkdtemp(prefix="dockerd-template-")
        cls.addClassCleanup(shutil.rmtree, top)
        cls.canary = top + "/canary"
        os.mkdir(top + "/hooks")
        for name in ("post-checkout", "reference-transaction", "post-index-change"):
            with open(top + "/hooks/" + name, "w") as file:
                file.write("#!/bin/sh\n: > %s\n" % cls.canary)
            os.chmod(top + "/hooks/" + name, 0o755)
        return top

    @classmethod
    def make_repositories(cls):
        sub = gitkit.Repository(cls.folder, "sub")
        cls.sub_commit = sub.commit({"subfile": "of a submodule\n"})
        cls.repo = gitkit.Repository(cls.folder, "repo")
        cls.first = cls.repo.commit({"Dockerfile": "FROM kit\nLABEL at=top\nCOPY . /ctx/\n", "top": "1\n",
                                     "dir/Dockerfile": "FROM kit\nLABEL at=dir\nCOPY . /ctx/\n", "dir/below": "2\n",
                                     "absolute": ("/dir",), "parent": ("dir/../dir",), "outside": ("/../../etc",)})
        cls.repo.git("tag", "-a", "-m", "a tag", "v1")
        cls.repo.git("tag", "light")
        cls.repo.git("checkout", "-q", "-b", "other")
        cls.repo.commit({"Dockerfile": "FROM kit\nLABEL at=other\n", "dir/Dockerfile": "FROM kit\nLABEL at=other-dir\n"})
        cls.repo.git("checkout", "-q", "master")

    def tearDown(self):
        self.assertFalse(os.path.exists(self.canary), "a hook was executed")
        if not ORACLE:  # which keeps what it could not use
            self.assertEqual(os.listdir(self.daemon.root + "/tmp"), [])
        super().tearDown()

    def tree(self, image):
        """What a build added, but for what git keeps for itself."""
        with self.daemon.client() as connection:
            found, base = connection.get("/images/%s/json" % image), connection.get("/images/kit/json")
        lines = [line for layer in layers(found) if layer not in layers(base) for line in lines_of_tree(layer)]
        # Its text has the server's port in it.
        lines = [re.sub("(/.gitmodules) .*", r"\1", line) for line in lines if "/.git/" not in line.split(" ")[2]]
        return sorted(lines, key=lambda line: line.split(" ")[2])


class Contexts(GitTestCase):
    def built_at(self, remote, **more):
        """Which Dockerfile was found; or the error."""
        built = self.build(None, body=b"", remote=remote, t="git", **more)
        if built.error is not None:
            return without_folders("%s %s" % (built.error.get("status"), built.error["message"]))
        return self.config("git")["Labels"]["at"]

    def test_refs_and_directories(self):
        for fragment, expected in (
                ("", "top"), ("#master", "top"), ("#:dir", "dir"), ("#master:dir/", "dir"), ("#other", "other"),
                ("#other:", "other"), ("#other:dir", "other-dir"), ("#refs/heads/other", "other"), ("#v1", "top"),
                ("#light:dir", "dir"), ("#" + self.first, "top"), ("#:absolute", "dir"), ("#:parent", "dir"),
                ("#:dir/../dir", "dir"), ("#%6fther", "other")):
            self.assertEqual(self.built_at(self.url + fragment), expected, fragment)
        self.assertEqual(self.built_at(self.url, dockerfile="dir/Dockerfile"), "dir")

    def test_what_is_no_ref_or_directory(self):
        for fragment, expected in (
                ("#:nowhere", "500 stat <root>/nowhere: no such file or directory"),
                ("#:Dockerfile", "500 error setting git context, not a directory: <root>/Dockerfile"),
                # Links stay inside: of "/../../etc" there is only an "/etc" of the repository's own.
                ("#:outside", "500 stat <root>/etc: no such file or directory"),
                ("#:outside/passwd", "500 stat <root>/etc/passwd: no such file or directory"),
                ("#missing", "500 error fetching: fatal: couldn't find remote ref missing\n: exit status 128"),
                ("#with space", "500 error fetching: fatal: invalid refspec 'with space'\n: exit status 128"),
                ("#--upload-pack=x", "500 invalid refspec: --upload-pack=x"),
                ("#-b:dir", "500 invalid refspec: -b"),
                ("#%zz", '500 parse "https://%s#%%zz": invalid URL escape "%%zz"' % self.url)):
            self.assertEqual(self.built_at(self.url + fragment), expected, fragment)
        for fragment in ("#:..", "#:../repo", "#master:dir/../../x"):
            self.assertRegex(self.built_at(self.url + fragment),
                             r'^500 error setting git context, "[^"]*" not within git root: evalSymlinksInScope: \S+ is not in \S+$')

    def test_which_urls_are_repositories(self):
        self.assertEqual(self.built_at("ssh://git@127.0.0.1/r.git"),
                         "500 remoteURL (ssh://git@127.0.0.1/r.git) could not be recognized as URL")
        self.assertEqual(self.built_at(self.server.url + "/nowhere.git"),
                         "500 error fetching: fatal: repository '%s/nowhere.git/' not found\n: exit status 128" % self.server.url)
        # It is a file then, and there is none.
        self.assertRegex(self.built_at(self.url + "#"), "^404 error downloading remote context ")
        self.assertEqual(self.built_at("git://127.0.0.1:1/r"),
                         "500 error fetching: fatal: unable to connect to 127.0.0.1:\n"
                         "127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n\n: exit status 128")

    def test_files(self):
        self.assertEqual(self.built_at(self.url), "top")
        self.assertEqual(self.tree("git"), [
            "drwxr-xr-x 0:0 /ctx", "drwxr-xr-x 0:0 /ctx/.git", "-rw-r--r-- 0:0 /ctx/.gitmodules",
            "-rw-r--r-- 0:0 /ctx/Dockerfile 'FROM kit\\nLABEL at=top\\nCOPY . /ctx/\\n'", "lrwxrwxrwx 0:0 /ctx/absolute -> /dir",
            "drwxr-xr-x 0:0 /ctx/dir", "-rw-r--r-- 0:0 /ctx/dir/Dockerfile 'FROM kit\\nLABEL at=dir\\nCOPY . /ctx/\\n'",
            "-rw-r--r-- 0:0 /ctx/dir/below '2\\n'", "lrwxrwxrwx 0:0 /ctx/outside -> /../../etc",
            "lrwxrwxrwx 0:0 /ctx/parent -> dir/../dir", "drwxr-xr-x 0:0 /ctx/sub",
            "-rw-r--r-- 0:0 /ctx/sub/.git 'gitdir: ../.git/modules/sub\\n'", "-rw-r--r-- 0:0 /ctx/sub/subfile 'of a submodule\\n'",
            "-rw-r--r-- 0:0 /ctx/top '1\\n'"])
        self.assertEqual(self.built_at(self.url + "#:dir"), "dir")
        self.assertEqual(self.tree("git"), [
            "drwxr-xr-x 0:0 /ctx", "-rw-r--r-- 0:0 /ctx/Dockerfile 'FROM kit\\nLABEL at=dir\\nCOPY . /ctx/\\n'",
            "-rw-r--r-- 0:0 /ctx/below '2\\n'"])

    def test_servers_of_files_alone(self):
        """Of these all the history comes; a submodule there cannot."""
        self.assertEqual(self.built_at(self.server.url + "/dumb/repo/.git#v1"), "top")

    def test_git_protocol(self):
        port = 9418
        served = subprocess.Popen(["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", "--port=%d" % port,
                                   "--base-path=" + self.folder, self.folder], env=gitkit.ENVIRONMENT, preexec_fn=self.daemon.enter_net,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

        def end():
            os.killpg(served.pid, signal.SIGTERM)
            served.wait()

        def answers():
            try:
                self.daemon.in_net(socket.create_connection, ("127.0.0.1", port)).close()
                return True
            except OSError:
                return False
        try:
            daemon.wait_for(answers, what="git daemon")
            self.assertEqual(self.built_at("git://127.0.0.1/repo#other:dir"), "other-dir")
        finally:
            end()

    def test_submodules_that_may_not_be(self):
        """Files of the host and programs are no repositories (CVE-2022-39253)."""
        for name, url, message in (("file", "file://" + self.folder + "/sub", "transport 'file' not allowed"),
                                   ("path", self.folder + "/sub", "(transport 'file' not allowed|repository '.*' does not exist)"),
                                   ("program", "ext::sh -c touch% " + self.canary, "transport 'ext' not allowed"),
                                   ("option", "-u./x", "")):
            repo = gitkit.Repository(self.folder, name)
            repo.commit({"Dockerfile": "FROM kit\nLABEL at=%s\n" % name})
            repo.add_submodule(url, "sub", self.sub_commit)
            result = self.built_at(self.server.url + "/" + name + "/.git")
            if message:
                self.assertRegex(result, "^500 error initializing submodules: (.|\n)*fatal: %s" % message)
                self.assertTrue(result.endswith(": exit status 128") or result.endswith(": exit status 1"), result)
            else:
                self.assertTrue(result.startswith("500 error initializing submodules: ") or result == name, result)

    def test_a_client_that_goes_ends_git(self):
        with self.hanging_server() as (url, accepted):
            waiting = self.start_build(url)
            accepted.wait(60)
            if not ORACLE:
                self.assertTrue(self.git_processes())
            waiting.close()
            if ORACLE:
                return  # it fetches on
            daemon.wait_for(lambda: not self.git_processes() and not os.listdir(self.daemon.root + "/tmp"), what="the end of git")

    @unittest.skipIf(ORACLE, "Docker's engine leaves git running")
    def test_a_killed_daemon_leaves_nothing(self):
        with self.hanging_server() as (url, accepted):
            waiting = self.start_build(url)
            accepted.wait(60)
            processes = self.git_processes()
            self.assertTrue(processes)
            self.daemon.kill()
            waiting.close()
            daemon.wait_for(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in processes), what="the end of git")
            self.daemon.start()

    def git_processes(self):
        def is_git(pid):
            try:
                with open("/proc/%d/comm" % pid) as file:
                    return "git" in file.read()
            except FileNotFoundError:
                return False
        return [pid for pid in daemon.descendants(self.daemon.pid) if is_git(pid)]

    def start_build(self, url):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.daemon.socket)
        connection.sendall(("POST /v1.44/build?remote=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % url).encode())
        return connection

    def hanging_server(self):
        """Takes connections and says nothing: a context manager of (a repository's URL, the event of the first one)."""
        @contextlib.contextmanager
        def manage():
            listener = self.daemon.in_net(socket.create_server, ("127.0.0.1", 0))
            accepted, held = threading.Event(), []

            def serve():
                try:
                    while True:
                        held.append(listener.accept()[0])
                        accepted.set()
                except OSError:
                    pass
            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield "git://127.0.0.1:%d/r" % listener.getsockname()[1], accepted
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                listener.close()
                for one in held:
                    one.close()
                thread.join()
        return manage()


@unittest.skipIf(ORACLE, "Docker's classic builder has no ADD of repositories")
class Added(GitTestCase):
    def added(self, line, **more):
        built = self.build("FROM kit\n%s\n" % line, t="added", **more)
        if built.error is not None:
            return without_folders(built.error["message"])
        return self.tree("added")

    files = ["-rw-r--r-- 0:0 /r/Dockerfile 'FROM kit\\nLABEL at=top\\nCOPY . /ctx/\\n'", "lrwxrwxrwx 0:0 /r/absolute -> /dir",
             "drwxr-xr-x 0:0 /r/dir", "-rw-r--r-- 0:0 /r/dir/Dockerfile 'FROM kit\\nLABEL at=dir\\nCOPY . /ctx/\\n'",
             "-rw-r--r-- 0:0 /r/dir/below '2\\n'", "lrwxrwxrwx 0:0 /r/outside -> /../../etc", "lrwxrwxrwx 0:0 /r/parent -> dir/../dir"]
    whole = (["drwxr-xr-x 0:0 /r", "-rw-r--r-- 0:0 /r/.gitmodules"] + files +
             ["drwxr-xr-x 0:0 /r/sub", "-rw-r--r-- 0:0 /r/sub/subfile 'of a submodule\\n'", "-rw-r--r-- 0:0 /r/top '1\\n'"])
    tagged = ["drwxr-xr-x 0:0 /r"] + files + ["-rw-r--r-- 0:0 /r/top '1\\n'"]

    def test_files(self):
        self.assertEqual(self.added("ADD %s /r" % self.url), self.whole)
        self.assertEqual(self.added("ADD %s#v1 /r/" % self.url), self.tagged)
        self.assertEqual(self.added("ADD %s#%s /r" % (self.url, self.first)), self.tagged)
        self.assertEqual(self.added("ADD --chown=1000:1000 --chmod=640 %s#light:dir /r" % self.url),
                         ["drwxr-xr-x 1000:1000 /r", "-rw-r----- 1000:1000 /r/Dockerfile 'FROM kit\\nLABEL at=dir\\nCOPY . /ctx/\\n'",
                          "-rw-r----- 1000:1000 /r/below '2\\n'"])
        self.assertEqual(self.added("ADD --exclude=dir --exclude=*file --exclude=o* --exclude=*ol* --exclude=p* %s#v1 /r" % self.url),
                         ["drwxr-xr-x 0:0 /r", "-rw-r--r-- 0:0 /r/top '1\\n'"])
        self.assertEqual(self.added("ADD %s#v1:dir a.txt /r/" % self.url, files={"a.txt": "a"})[-1], "-rw-r--r-- 0:0 /r/below '2\\n'")

    def test_its_own_folder(self):
        lines = self.added("ADD --keep-git-dir=true %s /r" % self.url)
        self.assertIn("drwxr-xr-x 0:0 /r/.git", lines)
        done = self.assertCli(0, "run", "--rm", "added", "sh", "-c",
                              "cat /r/.git/HEAD /r/.git/config; test -e /r/.git/FETCH_HEAD || echo none")
        text = done.stdout.decode()
        self.assertEqual(text.splitlines()[0], self.head)
        self.assertIn("url = %s\n" % self.url, text)
        self.assertTrue(text.endswith("\nnone\n"), text)
        # Of a part of the repository there is none.
        self.assertNotIn(".git", " ".join(self.added("ADD --keep-git-dir %s#v1:dir /r" % self.url)))

    def test_passwords_stay_out(self):
        url = self.url.replace("http://", "http://me:secret@")
        self.assertIn("drwxr-xr-x 0:0 /r/.git", self.added("ADD --keep-git-dir=true %s /r" % url))
        done = self.cli("run", "--rm", "added", "grep", "-r", "secret", "/r")
        self.assertEqual(done.stdout, b"")
        self.assertNotIn("secret", json.dumps(self.history("added")))
        self.assertNotIn("secret", self.added("ADD %s#nowhere /r" % url))

    def test_checksums(self):
        for checksum in (self.head, self.head[:7]):
            self.assertEqual(self.added("ADD --checksum=%s %s /r" % (checksum, self.url)), self.whole)
        self.assertEqual(self.added("ADD --checksum=%s %s#v1 /r" % (self.first, self.url)), self.tagged)
        wrong = "ADD failed: expected checksum to match %s, got %s"
        self.assertEqual(self.added("ADD --checksum=%s %s /r" % (NOWHERE[:8], self.url)), wrong % (NOWHERE[:8], self.head))
        self.assertEqual(self.added("ADD --checksum=%s %s /r" % (NOWHERE, self.url)), wrong % (NOWHERE, self.head))
        self.assertEqual(self.added("ADD --checksum=sha256:abc %s /r" % self.url),
                         "ADD failed: invalid checksum sha256:abc for Git URL, expected hex commit hash")

    def test_what_cannot_be_had(self):
        failed = "ADD failed: failed to fetch remote %s: git stderr:\nfatal: repository '%s' not found\n: exit status 128"
        nowhere = self.server.url + "/nowhere.git"
        for line, message in (
                ("ADD %s#missing /r" % self.url, 'ADD failed: repository does not contain ref missing, output: ""'),
                ("ADD %s#x /r" % nowhere, failed % (nowhere, nowhere + "/")),
                ("ADD %s#:nowhere /r" % self.url, "ADD failed: failed to open subdir nowhere: no such file or directory"),
                ("ADD %s#:top /r" % self.url, "ADD failed: failed to open subdir top: not a directory"),
                ("ADD %s#:.. /r" % self.url, "ADD failed: failed to open subdir ..: not within the repository"),
                ("ADD %s#:dir/../../x /r" % self.url, "ADD failed: failed to open subdir dir/../../x: not within the repository"),
                ("ADD %s#:outside /r" % self.url, "ADD failed: failed to open subdir outside: no such file or directory"),
                ("ADD %s#--upload-pack=x /r" % self.url, "ADD failed: invalid refspec: --upload-pack=x"),
                ("ADD git@127.0.0.1:r /r", 'ADD failed: no SSH key "default" forwarded from the client'),
                ("ADD ssh://git@127.0.0.1/r /r", 'ADD failed: no SSH key "default" forwarded from the client')):
            self.assertEqual(self.added(line), message)

    def test_cache(self):
        """By the commit, which the server is asked for; fetched is only what no step has."""
        repo = gitkit.Repository(self.folder, "growing")
        repo.commit({"one": "1\n"})
        line = "FROM kit\nADD %s/growing/.git#master /r\n" % self.server.url

        def packs():
            return len([path for path in self.server.asked if path.endswith("/git-upload-pack")])
        self.assertNotIn("Using cache", self.build(line).text)
        before = packs()
        self.assertIn("Using cache", self.build(line).text)
        self.assertEqual(packs() - before, 1, "more than the question for the commit")
        repo.commit({"one": "2\n"})
        built = self.build(line, t="added")
        self.assertNotIn("Using cache", built.text)
        self.assertEqual(self.tree("added"), ["drwxr-xr-x 0:0 /r", "-rw-r--r-- 0:0 /r/one '2\\n'"])
        # A server that names another commit than it gives spoils nothing.
        self.assertNotIn("Using cache", self.build(line.replace("#master", "#master:."), t="added").text)


@unittest.skipIf(ORACLE, "Docker's engine runs git as root on the host")
class Jail(GitTestCase):
    """Another program in git's place, that tries what it can."""
    # Below /usr, so that the jail sees it: the real one's place, in a mount namespace of the daemon's own.
    program = os.path.realpath(shutil.which("git") or "/usr/bin/git")

    @classmethod
    def setUpClass(cls):
        cls.attack = tempfile.mkdtemp(prefix="dockerd-git-") + "/git"
        cls.addClassCleanup(shutil.rmtree, os.path.dirname(cls.attack))
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "false_git.py"), cls.attack)
        os.chmod(cls.attack, 0o755)
        cls.prefix = own_mounts.PREFIX + ("sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', cls.attack, cls.program)
        super().setUpClass()

    def test_what_git_can_reach(self):
        built = self.build(None, body=b"", remote="http://127.0.0.1/r.git")
        message = built.error["message"]
        self.assertRegex(message, r"^failed to init repo at \S+: \{")
        found = json.loads(message[message.index("{"):message.rindex("}") + 1])
        self.assertEqual(found, {
            "ids": [65534, 65534, 65534, 65534, []], "capabilities": "none", "pid_is_small": True,
            "root": ["bin", "dev", "etc", "lib", "root", "sbin", "tmp", "tree", "usr"], "home": [".gitconfig"],
            "etc/shadow": "ENOENT", "proc": "ENOENT", "write /usr/x": "EROFS", "write /etc/x": "EACCES", "write /x": "EACCES",
            "write /tree/x": "done", "write /tmp/x": "done", "execute /tree/x": "EACCES", "chroot": "EPERM", "mount": "EPERM",
            "unshare": "EPERM", "ptrace": "EPERM", "unix socket": "EAFNOSUPPORT", "netlink socket": "EAFNOSUPPORT",
            "raw socket": "EPERM", "kill all": ["ESRCH"], "set-user-ID": "no_new_privs", "environment": [
                "GIT_ALLOW_PROTOCOL=git:http:https", "GIT_ATTR_NOSYSTEM=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_PROTOCOL_FROM_USER=0",
                "GIT_TERMINAL_PROMPT=0", "HOME=/root", "LC_ALL=C", "SSH_ASKPASS_REQUIRE=never"], "descriptors": [0, 1, 2]})
        self.assertEqual(os.listdir(self.daemon.root + "/tmp"), [])


@unittest.skipIf(ORACLE, "Docker's engine needs other programs on its path")
class Missing(BuildTestCase):
    """Without git there is an error that says so. Its words are Docker's."""
    prefix = ("env", "PATH=/nonexistent")

    def test_error(self):
        built = self.build(None, body=b"", remote="git://127.0.0.1/r")
        self.assertEqual(without_folders(built.error["message"]),
                         'failed to init repo at <root>: : exec: "git": executable file not found in $PATH')


if __name__ == "__main__":
    main()
