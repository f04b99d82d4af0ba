"""Repositories made on the spot, and servers of them on loopback."""
import http.server
import os
import subprocess

from localserver import LocalServer, reply

# Nobody's settings, and always the same times: so a commit has the same name wherever it is made.
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
               "GIT_AUTHOR_NAME": "kit", "GIT_AUTHOR_EMAIL": "kit@test", "GIT_AUTHOR_DATE": "1700000000 +0000",
               "GIT_COMMITTER_NAME": "kit", "GIT_COMMITTER_EMAIL": "kit@test", "GIT_COMMITTER_DATE": "1700000000 +0000"}


class Repository:
    """A work tree with its repository, below the folder that is served."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)
        self.git("init", "-q", "-b", "master", self.path, cwd=folder)

    def git(self, *arguments, cwd=None):
        done = subprocess.run(["git", "-c", "protocol.file.allow=always", *arguments], cwd=cwd or self.path, env=ENVIRONMENT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        return done.stdout.decode().strip()

    def write(self, files):
        """Files by their names; a link is (target,)."""
        for name, content in files.items():
            path = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(content, tuple):
                os.symlink(content[0], path)
                continue
            with open(path, "w") as file:
                file.write(content)

    def commit(self, files=(), message="change"):
        """Writes files, commits everything, and returns the commit's name."""
        self.write(dict(files))
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def add_submodule(self, url, path, commit):
        """An entry as `git submodule add` makes it, of any address."""
        with open(self.path + "/.gitmodules", "a") as file:
            file.write('[submodule "%s"]\n\tpath = %s\n\turl = %s\n' % (path, path, url))
        self.git("update-index", "--add", "--cacheinfo", "160000,%s,%s" % (commit, path))
        self.git("add", ".gitmodules")
        self.git("commit", "-q", "-m", "with a submodule")


class _Handler(http.server.BaseHTTPRequestHandler):
    """As a web server with git's own program behind it; "/dumb/" gives files out and nothing else."""
    folder = asked = None

    def handle_git(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/dumb/"):
            return self.give_file(os.path.join(self.folder, path[len("/dumb/"):]))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environment = dict(ENVIRONMENT, GIT_PROJECT_ROOT=self.folder, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path,
                           QUERY_STRING=query, REQUEST_METHOD=self.command, REMOTE_ADDR="127.0.0.1",
                           CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(len(body)),
                           HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
                           GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        done = subprocess.run(["git", "http-backend"], env=environment, input=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.answer(int(headers.pop("Status", "200").split()[0]), headers, answer)

    def give_file(self, path):
        if not os.path.isfile(path):
            return self.answer(404, {}, b"")
        with open(path, "rb") as file:
            self.answer(200, {"Content-Type": "text/plain"}, file.read())

    def answer(self, status, headers, body):
        self.asked.append(self.path)
        reply(self, status, body, headers)

    do_GET = do_HEAD = do_POST = handle_git

    def log_message(self, *_):
        pass


class Server(LocalServer):
    """Repositories of a folder by HTTP. Made where its address is to be."""

    def __init__(self, folder):
        self.asked = []
        super().__init__(type("Handler", (_Handler,), {"folder": folder, "asked": self.asked}))
