"""Programs on a pseudo-terminal, driven like a person would: type, read until something shows, resize."""
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time

import reports


class Terminal:
    """Runs a command with a terminal as its three descriptors."""

    def __init__(self, command, rows=24, columns=80, env=None):
        self.master, slave = os.openpty()
        self.resize(rows, columns)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        preexec_fn=own_terminal, close_fds=True)
        os.close(slave)
        self.text = ""
        self.seen = 0

    def resize(self, rows, columns):
        # The kernel sends SIGWINCH to the foreground group by itself.
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def _read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, seconds=20):
        """Reads until the pattern shows behind what was matched before; returns the match."""
        deadline = time.monotonic() + seconds * reports.PATIENCE
        while True:
            match = re.compile(pattern).search(self.text, self.seen)
            if match:
                self.seen = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                match = re.compile(pattern).search(self.text, self.seen)
                if match:
                    self.seen = match.end()
                    return match
                raise AssertionError("%r did not show; got %r" % (pattern, self.text[self.seen:]))

    def wait(self, seconds=20):
        """Reads to the end and returns the exit code."""
        deadline = time.monotonic() + seconds * reports.PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        while self._read(0):
            if not select.select([self.master], [], [], 0)[0]:
                break
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
