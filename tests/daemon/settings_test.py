"""Settings of the daemon that clients see: what info repeats of them, and containers without the default bridge."""
import support  # noqa: F401

from testcase import DaemonTestCase, main


class Settings(DaemonTestCase):
    arguments = ("-H", "127.0.0.1:2375", "--registry-mirror", "https://192.0.2.1", "--registry-mirror", "http://mirror.test:5000/")

    def test_info_warns_of_an_open_port(self):
        with self.daemon.client("1.50") as client:
            info = client.get("/info")
        wanted = "[DEPRECATION NOTICE]: API is accessible on http://127.0.0.1:2375 without encryption."
        self.assertEqual([text.split("\n")[0] for text in info["Warnings"] if "API" in text], [wanted])

    def test_mirrors_end_with_a_slash(self):
        with self.daemon.client("1.50") as client:
            config = client.get("/info")["RegistryConfig"]
        mirrors = ["https://192.0.2.1/", "http://mirror.test:5000/"]
        self.assertEqual((config["Mirrors"], config["IndexConfigs"]["docker.io"]["Mirrors"]), (mirrors, mirrors))


class EmptyProfile(DaemonTestCase):
    arguments = ("--seccomp-profile=",)

    def test_an_empty_seccomp_profile_is_the_default(self):
        with self.daemon.client("1.50") as client:
            self.assertIn("name=seccomp,profile=builtin", client.get("/info")["SecurityOptions"])


class WithoutBridge(DaemonTestCase):
    arguments = ("--bridge", "none")

    @classmethod
    def warm_up(cls):
        """There is no bridge to publish ports on."""

    check_leaks = False

    def test_containers_have_a_loopback_alone(self):
        for mode in ("default", "bridge"):
            made = self.daemon.run("sh", "-c", "exit $(($(wc -l </proc/net/dev) - 2))", host={"NetworkMode": mode})
            with self.daemon.client() as client:
                self.assertEqual(client.post("/containers/%s/wait" % made)["StatusCode"], 1, mode)
                found = client.get("/containers/%s/json" % made)
            self.assertEqual((found["Config"]["NetworkDisabled"], found["State"]["Error"]), (True, ""))


if __name__ == "__main__":
    main()
