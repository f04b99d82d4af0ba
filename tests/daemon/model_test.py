"""Random operations of several clients on the same containers: every answer has to be explained by a model.

DOCKERD_MODEL_OPERATIONS: how many (20000 for a long run), DOCKERD_MODEL_SEED: to repeat one.
"""
import collections
import os
import random
import sys
import threading
import time

import support  # noqa: F401  (makes tests/support importable)

import container_model
from container_model import KINDS, Op
from testcase import DaemonTestCase, main

OPERATIONS = int(os.environ.get("DOCKERD_MODEL_OPERATIONS", "1200"))
SEED = int(os.environ.get("DOCKERD_MODEL_SEED", "0")) or int(time.time())
CLIENTS = 6
SLOTS = 8

PROGRAMS = {"steady": (["/payload", "pause"], {}), "auto": (["/payload", "pause"], {"AutoRemove": True}),
            "brief": (["sleep", "0.1"], {}),
            "looping": (["sleep", "0.1"], {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}})}
WEIGHTS = {"create": 16, "start": 18, "stop": 8, "kill": 6, "term": 4, "restart": 6, "pause": 8, "unpause": 8,
           "update": 5, "exec": 6, "inspect": 14, "rename": 5, "rm": 7, "rm-f": 5}


def name_of(slot, name):
    return "slot%d%s" % (slot, "ab"[name])


# Refusals that need no look; any other text is shown.
USUAL_WORDS = ("is not running", "is not paused", "No such container", "is already in use", "is already paused",
               "is restarting, wait", "unpause the container", "before removing or force remove", "is already in progress",
               "must be unpaused", "marked for removal", "cannot start a paused", "same name as its current")
USUAL_TEXTS = ("",)


class Client(threading.Thread):
    """Does operations until there are enough, and notes what was answered when."""

    def __init__(self, daemon, seed, numbers, histories):
        super().__init__()
        self.daemon_under_test, self.random = daemon, random.Random(seed)
        self.numbers, self.histories, self.error, self.text = numbers, histories, None, ""

    def run(self):
        try:
            connection = self.daemon_under_test.client(timeout=120)
            for number in self.numbers:
                slot, name = self.random.randrange(SLOTS), self.random.choices((0, 1), (3, 1))[0]
                what = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                if what == "create":
                    what += "-" + self.random.choice(KINDS)
                begin = time.monotonic()
                self.text = ""
                answer = self.one(connection, what, slot, name)
                if self.text.split(":")[0] not in USUAL_TEXTS and not any(word in self.text for word in USUAL_WORDS):
                    print("%s of %s: %s %s" % (what, name_of(slot, name), answer, self.text), file=sys.stderr)
                self.histories[slot].append(Op(number, what, name, begin, time.monotonic(), answer))
            connection.close()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
            raise

    def ask(self, connection, method, path, body=None):
        answer = connection.request(method, path, body)
        if answer.status >= 400:
            self.text = answer.message()
        return answer.status

    def one(self, connection, what, slot, name):
        path = "/containers/" + name_of(slot, name)
        if what.startswith("create-"):
            command, host = PROGRAMS[what.split("-")[1]]
            body = {"Image": "kit", "Cmd": command, "HostConfig": dict(host, NetworkMode="none")}
            return self.ask(connection, "POST", "/containers/create?name=" + name_of(slot, name), body)
        if what == "inspect":
            answer = connection.request("GET", path + "/json")
            return answer.json()["State"]["Status"] if answer.status == 200 else answer.status
        if what in ("rm", "rm-f"):
            return self.ask(connection, "DELETE", path + ("?force=1" if what == "rm-f" else ""))
        if what == "exec":
            answer = connection.request("POST", path + "/exec", {"Cmd": ["/bin/true"]})
            if answer.status == 201:
                # The container may end at any moment: only that there is an answer counts.
                connection.request("POST", "/exec/%s/start" % answer.json()["Id"], {"Detach": True})
            return answer.status
        query = {"stop": "stop?t=1", "kill": "kill", "term": "kill?signal=TERM", "restart": "restart?t=1",
                 "rename": "rename?name=" + name_of(slot, 1 - name)}.get(what, what)
        body = {"CpuShares": self.random.choice((256, 512, 1024))} if what == "update" else None
        return self.ask(connection, "POST", path + "/" + query, body)


class Model(DaemonTestCase):
    def test_random_operations(self):
        print("seed %d, %d operations of %d clients on %d pairs of names" % (SEED, OPERATIONS, CLIENTS, SLOTS),
              file=sys.stderr)
        histories = collections.defaultdict(list)
        begun = time.monotonic()
        share = OPERATIONS // CLIENTS
        clients = [Client(self.daemon, SEED * 100 + i, range(1 + i * share, 1 + (i + 1) * share), histories)
                   for i in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual([client.error for client in clients], [None] * CLIENTS)
        took = time.monotonic() - begun
        answers = collections.Counter()
        for slot in range(SLOTS):
            for op in histories[slot]:
                answers[(op.what.split("-")[0], op.answer)] += 1
            with self.subTest(seed=SEED, slot=slot):
                container_model.check(histories[slot])
        print("%d answers in %.1f s, checked in %.1f s: %s" % (
            sum(answers.values()), took, time.monotonic() - begun - took,
            " ".join("%s:%s=%d" % (what, answer, count) for (what, answer), count in sorted(answers.items(), key=str))),
            file=sys.stderr)
        self.assertEqual(sum(answers.values()), share * CLIENTS)


if __name__ == "__main__":
    main()
