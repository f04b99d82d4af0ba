"""Debian's docker-registry beside a daemon, and certificates for it."""
import crypt
import json
import shutil
import socket
import subprocess
import tempfile

from daemon import wait_for


class Registry:
    """One docker-registry in the daemon's network namespace, at an address of it.

    `shared` is another one, of another namespace: this one serves the same by the same name.
    """

    def __init__(self, daemon, password=None, tls=None, client_ca=None, address="127.0.0.1", shared=None):
        self.folder = tempfile.mkdtemp(prefix="registry-")
        self.address = address
        self.port = shared.port if shared else daemon.in_net(self.free_port)
        self.name = "%s:%d" % (address, self.port)
        data = (shared or self).folder + "/data"
        config = {"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": data}, "delete": {"enabled": True}},
                  "http": {"addr": self.name}}
        if password:
            with open(self.folder + "/htpasswd", "w") as file:
                file.write("alice:%s\n" % crypt.crypt(password, "$2y$05$" + "a" * 22))
            config["auth"] = {"htpasswd": {"realm": "test", "path": self.folder + "/htpasswd"}}
        if tls:
            config["http"]["tls"] = {"certificate": tls + ".crt", "key": tls + ".key"}
            if client_ca:
                config["http"]["tls"]["clientcas"] = [client_ca]
        with open(self.folder + "/config.json", "w") as file:
            json.dump(config, file)  # YAML is a superset
        with open(self.folder + "/log", "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", self.folder + "/config.json"], stdout=log,
                                            stderr=log, preexec_fn=daemon.enter_net, pass_fds=(daemon.net,))
        wait_for(lambda: daemon.in_net(self.answers), what="docker-registry")

    def free_port(self):
        with socket.create_server((self.address, 0)) as listener:
            return listener.getsockname()[1]

    def answers(self):
        try:
            socket.create_connection((self.address, self.port)).close()
            return True
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def certificate(folder, name, authority=None, usage="serverAuth", address="127.0.0.1"):
    """A key pair below `folder`, signed by itself or by `authority`; returns its path without the ending."""
    path = folder + "/" + name
    config = "subjectAltName=IP:%s\nextendedKeyUsage=%s\n" % (address, usage) if authority else "basicConstraints=CA:TRUE\n"
    with open(path + ".ext", "w") as file:
        file.write(config)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key", "-out",
            path + ".csr", "-subj", "/CN=" + name)
    signer = ("-CA", authority + ".crt", "-CAkey", authority + ".key", "-CAcreateserial") if authority \
        else ("-signkey", path + ".key")
    openssl("x509", "-req", "-in", path + ".csr", "-out", path + ".crt", "-days", "2", "-extfile", path + ".ext", *signer)
    return path
