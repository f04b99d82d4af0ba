"""Where archives from outside are unpacked: a process of its own for each, that nothing of the daemon depends on."""
import gzip
import io
import os
import re
import signal
import socket
import tarfile
import threading

import support  # noqa: F401  (makes tests/support importable)

from daemon import descendants, wait_for
from testcase import DaemonTestCase, main

# A whole block goes to the worker at once; behind so much it has surely begun.
ENOUGH = 1 << 20


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def tar_of(name, size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return out.getvalue()


class Upload:
    """A request whose body is sent in part: the rest waits until it is asked for."""

    def __init__(self, client, method, path, body):
        self.client, self.rest = client, body[ENOUGH:]
        client.open()
        client.sock.sendall(("%s %s HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\n"
                             "Content-Length: %d\r\n\r\n" % (method, client.path(path), len(body))).encode())
        client.sock.sendall(body[:ENOUGH])

    def finish(self):
        """The answer; the connection, which may be kept for another request, is closed."""
        try:
            self.client.sock.sendall(self.rest)
        except OSError:
            pass  # the answer came before
        with self.client:
            return self.answer()

    def answer(self):
        self.client.sock.settimeout(60)
        data = b""
        while b"rror" not in data:
            part = self.client.sock.recv(1 << 16)
            if not part:
                break
            data += part
        return data.decode(errors="replace")


class UnpackTest(DaemonTestCase):
    def workers(self):
        """Pids of the workers there are."""
        return [pid for pid in descendants(self.daemon.pid)
                if read("/proc/%d/comm" % pid).strip() == "docker-unpack"]

    def worker(self):
        return wait_for(self.workers, 20, "a worker")[0]

    def layers(self):
        """What is on disk of layers, finished or not."""
        root = self.daemon.root
        return (sorted(os.listdir(root + "/overlay2")), sorted(os.listdir(root + "/overlay2/l")),
                sorted(os.listdir(root + "/image/overlay2/layerdb/tmp")),
                sorted(os.listdir(root + "/image/overlay2/layerdb/sha256")))

    def importing(self, body=None):
        return self.uploading("POST", "/images/create?fromSrc=-&repo=new", body or tar_of("f", 4 * ENOUGH))

    def uploading(self, *request):
        upload = Upload(self.daemon.client(), *request)
        self.addCleanup(upload.client.close)
        return upload

    def test_a_worker_is_confined_and_no_part_of_the_launcher(self):
        upload = self.importing()
        pid = self.worker()
        wait_for(lambda: "Seccomp:\t2" in read("/proc/%d/status" % pid), what="the filter")
        status = dict(re.findall(r"^(\w+):\t(.*)$", read("/proc/%d/status" % pid), re.M))
        self.assertEqual(int(status["PPid"]), self.daemon.pid)
        self.assertEqual(status["NoNewPrivs"], "1")
        # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN, MKNOD, SETFCAP: all that making files takes.
        self.assertEqual(int(status["CapEff"], 16) & ~0x8820001b, 0)
        self.assertEqual(int(status["CapBnd"], 16), 0)
        self.assertEqual(os.readlink("/proc/%d/exe" % pid), "/memfd:docker-unpack (deleted)")
        self.assertEqual(os.listdir("/proc/%d/root/" % pid), ["f"], "its root is the layer")
        self.assertEqual(read("/proc/%d/environ" % pid), "")
        kinds = {fd: re.sub(r":.*", "", os.readlink("/proc/%d/fd/%s" % (pid, fd)))
                 for fd in os.listdir("/proc/%d/fd" % pid)}
        self.assertEqual(sorted(kinds, key=int)[:9], [str(number) for number in range(9)])
        self.assertEqual({kinds[fd] for fd in "012"}, {"/dev/null"})
        self.assertEqual([kinds["3"], kinds["4"], kinds["5"], kinds["6"]], ["pipe", "pipe", "/memfd", "pipe"])
        self.assertTrue(kinds["7"].endswith("tar-split.json.gz"), kinds["7"])
        self.assertNotIn("socket", kinds.values())
        self.assertIn("sha256:", upload_answer(upload))
        self.assertCli(0, "rmi", "new")
        self.assertEqual(self.workers(), [])

    def test_a_killed_worker_is_an_error_and_leaves_nothing(self):
        before = self.layers()
        for body in (None, gzip.compress(tar_of("f", 4 * ENOUGH), 1)):
            upload = self.importing(body)
            os.kill(self.worker(), signal.SIGKILL)
            self.assertIn("unpack: killed by signal 9", upload.finish())
            upload.client.close()  # kept by the daemon where it had read the whole body before it saw the end
            wait_for(lambda: self.layers() == before, what="the layer's removal")
            self.assertEqual(self.workers(), [])
        upload = self.importing()
        self.assertIn("sha256:", upload_answer(upload))
        self.assertCli(0, "rmi", "new")

    def test_a_client_that_goes_leaves_nothing(self):
        before = self.layers()
        upload = self.importing()
        self.worker()
        upload.client.close()
        wait_for(lambda: not self.workers() and self.layers() == before, what="the end of all of it")

    def test_a_worker_goes_with_the_daemon(self):
        before = self.layers()
        upload = self.importing()
        pid = self.worker()
        self.daemon.kill()
        upload.client.close()
        wait_for(lambda: not os.path.exists("/proc/%d" % pid), what="the worker's end")
        self.daemon.start()
        wait_for(lambda: self.layers() == before, what="the layer's removal")

    def test_another_launcher_starts_workers_as_well(self):
        launcher = [pid for pid in descendants(self.daemon.pid)
                    if read("/proc/%d/comm" % pid).strip() == "docker-launcher"]
        os.kill(launcher[0], signal.SIGKILL)
        self.assertIn("sha256:", upload_answer(self.importing()))
        self.assertCli(0, "rmi", "new")

    def test_a_copy_is_unpacked_by_a_worker_that_can_be_killed(self):
        self.assertCli(0, "create", "--name", "box", "kit", "/payload", "echo")
        upload = self.uploading("PUT", "/containers/box/archive?path=/tmp", tar_of("f", 4 * ENOUGH))
        os.kill(self.worker(), signal.SIGKILL)
        answer = upload.finish()
        self.assertIn("500 Internal Server Error", answer)
        self.assertIn("unpack: killed by signal 9", answer)
        self.assertEqual(self.workers(), [])

    def test_many_at_once(self):
        failures = []

        def one(number):
            with self.daemon.client() as client:
                answer = client.request("POST", "/images/create?fromSrc=-&repo=many%d" % number,
                                        tar_of("f%d" % number, 100_000))
                if answer.status != 200 or b"sha256:" not in answer.body:
                    failures.append(answer.body)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertCli(0, "rmi", *["many%d" % number for number in range(16)])
        self.assertEqual(self.workers(), [])


def upload_answer(upload):
    """The whole answer of an upload that is to succeed."""
    upload.client.sock.sendall(upload.rest)
    upload.client.sock.shutdown(socket.SHUT_WR)
    return upload.client.read_to_end().decode(errors="replace")


if __name__ == "__main__":
    main()
