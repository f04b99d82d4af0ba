"""Builds through dockerode, the client of Node.js that testcontainers and others stand on.

DOCKERD_DOCKERODE names a folder whose node_modules has it: npm install dockerode.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from buildcase import BuildTestCase
from daemon import wait_for
from testcase import main

# Builds what it is told by its one argument, and prints what the stream said, and what an image's program prints.
SCRIPT = r"""
const Docker = require('dockerode');
const {socket, source, options, run, leave} = JSON.parse(process.argv[1]);
const docker = new Docker({socketPath: socket});
const read = (stream) => new Promise((done) => {
  docker.modem.followProgress(stream, (error, output) => done({error: error && error.message, output}),
    (entry) => { if (leave && entry.stream === leave) { stream.destroy(); done({output: []}); } });
});
(async () => {
  const {error, output} = await read(await docker.buildImage(source, options));
  const text = output.map((entry) => entry.stream || '').join('');
  let printed = '';
  if (run) {
    const {PassThrough} = require('stream');
    const out = new PassThrough();
    out.on('data', (chunk) => { printed += chunk; });
    await docker.run(options.t, [], out, {HostConfig: {AutoRemove: true, NetworkMode: 'none'}});
  }
  const last = output[output.length - 1] || {};
  console.log(JSON.stringify({error: error || last.error, text, printed, id: (output.filter((entry) => entry.aux).pop() || {aux: {}}).aux.ID}));
})().catch((error) => console.log(JSON.stringify({status: error.statusCode})));
"""


@unittest.skipUnless(os.environ.get("DOCKERD_DOCKERODE") and shutil.which("node"), "DOCKERD_DOCKERODE names no folder")
class Builds(BuildTestCase):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="dockerd-node-")
        self.addCleanup(shutil.rmtree, self.folder)

    def build_by_node(self, files, leave=None, run=False, **options):
        for name, text in files.items():
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
        told = {"socket": self.daemon.socket, "source": {"context": self.folder, "src": sorted(files)},
                "options": dict({"t": "node"}, **options), "run": run, "leave": leave}
        done = subprocess.run(["node", "-e", SCRIPT, json.dumps(told)], cwd=os.environ["DOCKERD_DOCKERODE"], stdout=subprocess.PIPE,
                              timeout=120, check=True)
        return json.loads(done.stdout)

    def test_build_and_run(self):
        files = {"Dockerfile": "FROM kit AS a\nARG WHO\nCOPY one /one\nRUN echo $WHO >> /one\nCMD [\"cat\", \"/one\"]\nFROM a\nRUN exit 1\n",
                 "one": "of node\n"}
        told = self.build_by_node(files, run=True, target="a", buildargs={"WHO": "me"}, labels={"k": "v"})
        self.assertEqual((told.get("error"), told["printed"]), (None, "of node\r\nme\r\n"))  # by a terminal
        self.assertTrue(told["text"].endswith("Successfully tagged node:latest\n"), told["text"])
        with self.daemon.client() as connection:
            image = connection.get("/images/node/json")
        self.assertEqual((image["Id"], image["Config"]["Labels"]), (told["id"], {"k": "v"}))
        self.assertEqual(self.build_by_node(files, target="a", buildargs={"WHO": "me"}, labels={"k": "v"})["text"].count("Using cache"), 5)

    def test_what_fails(self):
        told = self.build_by_node({"Dockerfile": "FROM kit\nRUN exit 3\n"})
        self.assertEqual(told["error"], "The command '/bin/sh -c exit 3' returned a non-zero code: 3")
        told = self.build_by_node({"Dockerfile": "FROM kit\n"}, dockerfile="none")
        self.assertEqual(told["status"], 500)

    def test_leaving_ends_the_build(self):
        self.build_by_node({"Dockerfile": "FROM kit\nRUN echo begun && sleep 300\n"}, leave="begun\n", forcerm=True)
        with self.daemon.client() as connection:
            wait_for(lambda: connection.get("/containers/json?all=1") == [], what="the end of the build")


if __name__ == "__main__":
    main()
