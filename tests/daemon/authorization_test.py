"""Authorization plugins: what they are told before and after each request, what their answers do, chains, reload."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import support  # noqa: F401

import own_mounts
from certificates import Authority
from daemon import wait_for
from flagscase import ORACLE, FlagsCase
from plugincase import ENTER
from testcase import main
from volume_plugin import Plugin

PLUGINS = tempfile.mkdtemp(prefix="dockerd-plugins-")


class Guard(Plugin):
    """Allows all and remembers what it was told."""

    def __init__(self, name):
        super().__init__(PLUGINS, name, None)

    def Plugin_Activate(self, _):
        return {"Implements": ["authz"]}

    def AuthZPlugin_AuthZReq(self, _):
        return {"Allow": True}

    def AuthZPlugin_AuthZRes(self, _):
        return {"Allow": True}

    def told(self, path, method="AuthZReq"):
        """What it was told of the requests to the path, in order."""
        return [told for called, told in self.calls if called == "AuthZPlugin." + method and told["RequestUri"].split("?")[0] == path]

    def refuse(self, method, path, answer):
        """Answers so to this path, and allows all others."""
        def reply(told):
            return answer if told["RequestUri"].split("?")[0] == path else {"Allow": True}
        self.answers["AuthZPlugin." + method] = reply


class Authorization(FlagsCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(shutil.rmtree, PLUGINS)
        holder = subprocess.Popen(own_mounts.PREFIX + ("sh", "-c", ENTER, PLUGINS), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.addClassCleanup(holder.communicate)
        holder.stdout.readline()
        cls.prefix = ["nsenter", "--mount=/proc/%d/ns/mnt" % holder.pid]

    def guard(self, name):
        guard = Guard(name)
        self.addCleanup(guard.stop)
        return guard

    def guarded(self, *names, **more):
        daemon = self.daemon(*("--authorization-plugin=" + name for name in names), **more)
        daemon.prefix = self.prefix
        return daemon

    def ask(self, daemon, method, path, body=None, **headers):
        with daemon.client("1.50") as client:
            return client.request(method, path, body, [(name.replace("_", "-"), value) for name, value in headers.items()])

    def test_what_it_is_told(self):
        guard = self.guard("tells")
        daemon = self.guarded("tells", "tells").start()  # twice counts once
        answer = self.ask(daemon, "POST", "/volumes/create", {"Name": "a<b"}, x_registry_auth="secret", x_mine="<&>")
        self.assertEqual(answer.status, 400)
        [asked] = guard.told("/v1.50/volumes/create")
        self.assertEqual(json.loads(base64.b64decode(asked.pop("RequestBody"))), {"Name": "a<b"})
        headers = asked.pop("RequestHeaders")
        self.assertEqual((headers["X-Mine"], headers["Content-Type"], headers["Content-Length"]), ("<&>", "application/json", "15"))
        self.assertFalse({"X-Registry-Auth", "Host"} & set(headers), headers)
        self.assertEqual(asked, {"RequestMethod": "POST", "RequestUri": "/v1.50/volumes/create"})
        # An error of the handler has no status yet, and its text is not shown.
        [answered] = guard.told("/v1.50/volumes/create", "AuthZRes")
        self.assertEqual(sorted(set(answered) - set(asked)), ["RequestBody", "RequestHeaders", "ResponseHeaders"])
        self.ask(daemon, "POST", "/volumes/create?x=1", {"Name": "fine"})
        [_, answered] = guard.told("/v1.50/volumes/create", "AuthZRes")
        self.assertEqual((answered["ResponseStatusCode"], json.loads(base64.b64decode(answered["ResponseBody"]))["Name"]), (201, "fine"))
        self.assertEqual(answered["RequestUri"], "/v1.50/volumes/create?x=1")
        told = answered["ResponseHeaders"]
        self.assertEqual((told["Content-Type"], told["Api-Version"], told["Ostype"], told["Docker-Experimental"]),
                         ("application/json", "1.50", "linux", "false"))
        self.assertTrue(told["Server"].startswith("Docker/"), told)
        # Passwords are for nobody; pages that do not exist are nobody's business.
        self.ask(daemon, "POST", "/auth", {"username": "me", "password": "secret", "serveraddress": "127.0.0.1:1"})
        [login] = guard.told("/v1.50/auth")
        self.assertNotIn("RequestBody", login)
        self.assertEqual(self.ask(daemon, "GET", "/nothing").status, 404)
        self.assertEqual(guard.told("/v1.50/nothing"), [])
        with daemon.client("1.50") as client:
            self.assertEqual(client.get("/info")["Plugins"]["Authorization"], ["tells", "tells"])

    @unittest.skipIf(ORACLE, "CVE-2026-34040: Docker before 29.3.1 carries out what it has not shown to the plugins")
    def test_long_bodies(self):
        """A plugin that looks into bodies is not passed by a padded one: what is too long to be shown is refused."""
        guard = self.guard("looks")
        guard.answers["AuthZPlugin.AuthZReq"] = lambda told: {
            "Allow": b"evil" not in base64.b64decode(told.get("RequestBody", "")), "Msg": "evil"}
        daemon = self.guarded("looks").start()

        def create(size, chunked=False, path="/volumes/create"):
            """Asks for a volume of the name, padded to so many bytes."""
            body = b'{"Name": "evil"}'.ljust(size)
            path = "/v1.50" + path
            before = len(guard.told(path))
            with daemon.client("1.50") as client:
                answer = client.request("POST", path[len("/v1.50"):], iter((body[:9], body[9:])) if chunked else body,
                                        [("Content-Type", "application/json")])
            return answer.status, answer.message(), len(guard.told(path)) - before

        judged = 403, "authorization denied by plugin looks: evil", 1
        refused = 500, "request body too large for authorization plugin: size exceeds 1048576 bytes", 0
        for chunked in (False, True):
            for size, said in ((16, judged), (1 << 20, judged), ((1 << 20) + 1, refused), (8 << 20, refused)):
                self.assertEqual(create(size, chunked), said, (size, chunked))
                # Bodies that handlers read themselves: this one would say that it is no archive.
                self.assertEqual(create(size, chunked, "/images/load"), said, (size, chunked))
                # And those of connections: nobody has such an exec.
                self.assertEqual(create(size, chunked, "/exec/none/start"), said, (size, chunked))
        # What is not JSON is shown to nobody, and has no limit here.
        self.assertEqual(self.ask(daemon, "POST", "/build", b"x" * (2 << 20), Content_Type="application/x-tar").status, 500)
        self.assertNotIn("RequestBody", guard.told("/v1.50/build")[0])
        guard.answers.clear()
        with daemon.client("1.50") as client:
            self.assertEqual(client.get("/volumes")["Volumes"], [])

    def test_refusals(self):
        first, second = self.guard("first"), self.guard("second")
        daemon = self.guarded("first", "second").start()

        def version(guard, method, answer):
            guard.refuse(method, "/v1.50/version", answer)
            said = self.ask(daemon, "GET", "/version")
            guard.answers.clear()
            return said

        for method in ("AuthZReq", "AuthZRes"):
            said = version(second, method, {"Allow": False, "Msg": "not you"})
            self.assertEqual((said.status, said.message()), (403, "authorization denied by plugin second: not you"))
            self.assertEqual([said.header(name) for name in ("Content-Type", "Api-Version", "Server")], ["application/json", None, None])
            said = version(second, method, (500, '{"Err": "broken"}'))
            self.assertEqual((said.status, said.message()), (500, "plugin second failed with error: AuthZPlugin.%s: broken" % method))
            self.assertEqual(version(second, method, {}).message(), "authorization denied by plugin second: ")
        # Whom the first refuses, the second does not hear of, nor of the answer.
        heard = len(second.told("/v1.50/version")), len(second.told("/v1.50/version", "AuthZRes"))
        version(first, "AuthZReq", {"Allow": False})
        self.assertEqual((len(second.told("/v1.50/version")), len(second.told("/v1.50/version", "AuthZRes"))), heard)
        # What was refused has not happened; what was refused afterwards has.
        first.refuse("AuthZReq", "/v1.50/volumes/create", {"Allow": False})
        self.assertEqual(self.ask(daemon, "POST", "/volumes/create", {"Name": "before"}).status, 403)
        first.answers.clear()
        first.refuse("AuthZRes", "/v1.50/volumes/create", {"Allow": False})
        self.assertEqual(self.ask(daemon, "POST", "/volumes/create", {"Name": "after"}).status, 403)
        first.answers.clear()
        with daemon.client("1.50") as client:
            self.assertEqual([volume["Name"] for volume in client.get("/volumes")["Volumes"]], ["after"])

    def test_streams_and_connections(self):
        guard = self.guard("streams")
        daemon = self.guarded("streams").start()
        daemon.load_image()
        ran = daemon.cli("run", "--rm", "-i", "kit", "cat", stdin=b"through\n")
        self.assertEqual((ran.returncode, ran.stdout), (0, b"through\n"), ran.stderr)
        with subprocess.Popen(["docker", "events"], env=daemon.cli_environment(), stdout=subprocess.PIPE) as events:
            self.addCleanup(events.kill)
            wait_for(lambda: any("/events" in told["RequestUri"] for _, told in guard.calls if told), what="the listener")
            wait_for(lambda: self.ask(daemon, "POST", "/volumes/create", {}).status == 201 and events.stdout.readline(), what="an event")
            events.kill()
        container = daemon.run("/payload", "pause", name="kept")
        self.assertEqual(daemon.cli("exec", "kept", "/payload", "echo", "said").stdout, b"said\n")
        copied = daemon.cli("cp", os.path.abspath(__file__), "kept:/copied")
        self.assertEqual(copied.returncode, 0, copied.stderr)
        self.assertEqual(len(daemon.cli("export", "kept").stdout) > 1 << 20, True)
        # The answer to an attach was sent before; the plugin hears of its end.
        [attached] = [told for method, told in guard.calls
                      if method == "AuthZPlugin.AuthZRes" and told["RequestUri"].split("?")[0].endswith("/attach")]
        self.assertNotIn("ResponseBody", attached)
        guard.answers["AuthZPlugin.AuthZReq"] = lambda told: {"Allow": "/attach" not in told["RequestUri"], "Msg": "no"}
        said = self.ask(daemon, "POST", "/containers/kept/attach?stream=1&stdout=1", Connection="Upgrade", Upgrade="tcp")
        self.assertEqual((said.status, said.message()), (403, "authorization denied by plugin streams: no"))
        guard.answers.clear()
        self.assertEqual(self.ask(daemon, "DELETE", "/containers/%s?force=1" % container).status, 204)

    def test_who_asks(self):
        guard = self.guard("knows")
        daemon = self.guarded("knows")
        authority = Authority(daemon.base + "/pki", "ca")
        certificate, key = authority.issue("server", "serverAuth")
        files = "--tlsverify", "--tlscacert", authority.certificate, "--tlscert", certificate, "--tlskey", key
        daemon.arguments += files
        daemon.listen = [daemon.host, "tcp://127.0.0.1:2376"]
        daemon.start()
        own, own_key = authority.issue("someone", "clientAuth")
        shown = daemon.in_net(lambda: subprocess.run(
            ["curl", "-s", "--cacert", authority.certificate, "--cert", own, "--key", own_key, "https://127.0.0.1:2376/version"],
            check=True, stdout=subprocess.PIPE).stdout)
        self.assertEqual(json.loads(shown)["ApiVersion"], "1.50")
        for method in ("AuthZReq", "AuthZRes"):
            [told] = guard.told("/version", method)
            self.assertEqual((told["User"], told["UserAuthNMethod"]), ("someone", "TLS"))
            with open(own) as pem:
                self.assertEqual(base64.b64decode(told["RequestPeerCertificates"][0]).decode(), pem.read())
        self.ask(daemon, "GET", "/info")
        self.assertNotIn("User", guard.told("/v1.50/info")[0])

    def test_one_that_is_not_there(self):
        with open(PLUGINS + "/other.spec", "w") as file:
            file.write("unix:///nowhere.sock")
        self.addCleanup(os.unlink, PLUGINS + "/other.spec")
        volumes = Plugin(PLUGINS, "volumes", None)
        self.addCleanup(volumes.stop)
        daemon = self.guarded("volumes")
        with self.assertRaisesRegex(RuntimeError, 'failed to validate authorization plugin: .*plugin="volumes", requested implementation="authz"'):
            daemon.start()
        daemon.process = None

    @unittest.skipIf(ORACLE, "Docker's engine forgets its flag, and ends when a plugin is missing")
    def test_reload(self):
        first, second = self.guard("early"), self.guard("late")
        daemon = self.guarded(file={"authorization-plugins": ["early"]}).start()
        self.ask(daemon, "GET", "/version")
        self.reload(daemon, {"authorization-plugins": ["late"]})
        self.ask(daemon, "GET", "/version")
        self.assertEqual((len(first.told("/v1.50/version")), len(second.told("/v1.50/version"))), (1, 1))
        # What is no such plugin changes nothing.
        volumes = Plugin(PLUGINS, "none", None)
        self.addCleanup(volumes.stop)
        self.reload(daemon, {"authorization-plugins": ["none"]}, "Error reconfiguring the daemon")
        self.ask(daemon, "GET", "/version")
        self.assertEqual(len(second.told("/v1.50/version")), 2)
        self.reload(daemon, {})
        self.ask(daemon, "GET", "/version")
        self.assertEqual(len(second.told("/v1.50/version")), 2)


if __name__ == "__main__":
    main()
