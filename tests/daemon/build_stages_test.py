"""Stages of a build: which are built, side by side, and in which order the client hears of them."""
import os
import time
import unittest

import support

from buildcase import BuildTestCase, context
from daemon import wait_for
from testcase import main


class Stages(BuildTestCase):
    def tearDown(self):
        with self.daemon.client() as connection:
            connection.post("/build/prune?all=1")
        super().tearDown()

    def test_the_text_is_in_the_order_of_the_dockerfile(self):
        built = self.build("ARG X=kit\nFROM $X AS one\nRUN sleep 0.3; echo slow > /a\n"
                           "FROM kit AS two\nRUN echo quick > /b\n"
                           "FROM kit\nCOPY --from=two /b /\nCOPY --from=0 /a /\nRUN cat /a /b\n", t="three")
        self.assertEqual(built.error, None)
        self.assertEqual(built.log, """Step 1/9 : ARG X=kit
Step 2/9 : FROM $X AS one
 ---> <1>
Step 3/9 : RUN sleep 0.3; echo slow > /a
 ---> Running in <2>
 ---> Removed intermediate container <2>
 ---> <3>
Step 4/9 : FROM kit AS two
 ---> <1>
Step 5/9 : RUN echo quick > /b
 ---> Running in <4>
 ---> Removed intermediate container <4>
 ---> <5>
Step 6/9 : FROM kit
 ---> <1>
Step 7/9 : COPY --from=two /b /
 ---> <6>
Step 8/9 : COPY --from=0 /a /
 ---> <7>
Step 9/9 : RUN cat /a /b
 ---> Running in <8>
slow
quick
 ---> Removed intermediate container <8>
 ---> <9>
Successfully built <9>
Successfully tagged three:latest
""")
        self.assertEqual(len(built.aux), 3)

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder builds all stages, one by one")
    def test_stages_that_nobody_needs_are_not_built(self):
        text = ("FROM kit AS no\nARG GIVEN\nRUN exit 9\nFROM kit AS base\nFROM no-such-image AS neither\n"
                "FROM base\nRUN --mount=from=last,target=/m true\nCOPY --from=3 / /n\n")
        built = self.build("FROM kit AS last\n" + text.replace("COPY --from=3 / /n\n", ""), buildargs={"GIVEN": "1"})
        self.assertEqual(built.error, None)
        # Numbers are those of the file. An argument that such a stage declares is none that nobody knows.
        self.assertEqual([line for line in built.text.splitlines() if not line.startswith(" ---")][:-1],
                         ["Step 1/8 : FROM kit AS last", "Step 5/8 : FROM kit AS base", "Step 7/8 : FROM base",
                          "Step 8/8 : RUN --mount=from=last,target=/m true"])
        self.assertEqual(self.build("FROM kit AS last\n" + text, target="no").error["message"],
                         "The command '/bin/sh -c exit 9' returned a non-zero code: 9")

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder builds one by one")
    def test_independent_stages_run_at_the_same_time(self):
        # Each waits for the other one's word: side by side they are through at once, one by one never.
        wait = "echo $0 > /c/%s; n=0; while [ ! -e /c/%s ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done; [ -e /c/%s ]"
        mount = "RUN --mount=type=cache,id=%s,target=/c " % os.urandom(4).hex()
        built = self.build("FROM kit AS a\n%s%s\nFROM kit AS b\n%s%s\nFROM kit\nCOPY --from=a /etc/passwd /1\n"
                           "COPY --from=b /etc/passwd /2\n"
                           % (mount, wait % ("a", "b", "b"), mount, wait % ("b", "a", "a")))
        self.assertEqual(built.error, None)

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder builds one by one")
    def test_a_failure_ends_the_other_stages(self):
        begin = time.monotonic()
        built = self.build("FROM kit AS slow\nRUN echo begun; sleep 300\nFROM kit AS wrong\nRUN echo no; sleep 0.5; exit 7\n"
                           "FROM kit AS third\nRUN sleep 300\n"
                           "FROM kit\nCOPY --from=slow / /\nCOPY --from=wrong / /\nCOPY --from=third / /\n", forcerm=True)
        self.assertLess(time.monotonic() - begin, 100)
        self.assertEqual(built.error["code"], 7)
        said = [line for line in built.text.splitlines() if not line.startswith(" ---")]
        self.assertEqual(said, ["Step 1/10 : FROM kit AS slow", "Step 2/10 : RUN echo begun; sleep 300", "begun",
                                "Step 3/10 : FROM kit AS wrong", "Step 4/10 : RUN echo no; sleep 0.5; exit 7", "no"])
        with self.daemon.client() as connection:
            self.assertEqual(connection.get("/containers/json?all=1"), [])

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder builds one by one")
    def test_a_stage_that_talks_much_waits_for_its_turn(self):
        # What it says is more than is kept of a stage that is not heard.
        loud = "i=0; while [ $i -lt 60000 ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done"
        built = self.build("FROM kit AS a\nRUN sleep 1; echo first\nFROM kit AS b\nRUN %s\n"
                           "FROM kit\nCOPY --from=a /etc/passwd /1\nCOPY --from=b /etc/passwd /2\n" % loud)
        self.assertEqual(built.error, None)
        self.assertEqual([line.split()[0] for line in built.text.splitlines() if "012345678901234" in line and line[0] != "S"],
                         [str(number) for number in range(60000)])
        self.assertLess(built.text.index("\nfirst\n"), built.text.index("\n0 0123"))

    def test_a_client_that_leaves_ends_all_stages(self):
        text = ("FROM kit AS a\nRUN sleep 1001\nFROM kit AS b\nRUN sleep 1002\nFROM kit\nCOPY --from=a / /a\n"
                "COPY --from=b / /b\n")
        connection = self.daemon.client(timeout=120)
        connection.send("POST", "/build", context({"Dockerfile": text}),
                                headers=[("Content-Type", "application/x-tar")])
        with self.daemon.client() as other:
            wanted = 1 if os.environ.get("DOCKERD_ORACLE") else 2
            wait_for(lambda: len(other.get("/containers/json")) == wanted, what="containers of both stages")
            connection.close()
            wait_for(lambda: other.get("/containers/json?all=1") == [] or os.environ.get("DOCKERD_ORACLE"),
                     what="their end")

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's classic builder builds all stages")
    def test_what_a_trigger_of_the_base_names_is_built_when_it_is_known(self):
        self.assertEqual(self.build("FROM kit\nONBUILD COPY --from=hidden /x /y\n", t="triggers").error, None)
        built = self.build("FROM kit AS hidden\nRUN echo found > /x\nFROM kit AS never\nRUN exit 1\n"
                           "FROM triggers\nRUN cat /y\n")
        self.assertEqual(built.error, None)
        self.assertIn("found\n", built.text)
        self.assertNotIn("exit 1", built.text)

    def test_two_stages_of_one_name(self):
        built = self.build("FROM kit AS a\nFROM kit AS A\nFROM kit\n")
        self.assertEqual(built.error["message"], "a stage name already used")
        self.assertEqual(built.log, "Step 1/3 : FROM kit AS a\n ---> <1>\n" if os.environ.get("DOCKERD_ORACLE") else "")

    def test_numbers_of_stages(self):
        for name, text in (("1", "refers to current build stage"), ("2", "index out of bounds"),
                           ("-1", "index out of bounds")):
            with self.subTest(name):
                built = self.build("FROM kit\nFROM kit\nCOPY --from=%s /x /y\nFROM kit\nCOPY --from=1 /etc /e\n" % name)
                self.assertEqual(built.error["message"], "invalid from flag value %s: %s" % (name, text))


if __name__ == "__main__":
    main()
