"""Certificates of a test's own: authorities, servers and clients, also expired ones, by the openssl command."""
import datetime
import os
import subprocess


class Authority:
    """An authority in a folder of its own."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        os.makedirs(folder, exist_ok=True)
        self.certificate, self.key = self.path(name, "ca.pem"), self.path(name, "ca-key.pem")
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key,
                  "-out", self.certificate, "-subj", "/CN=" + name, "-days", "2", "-addext", "keyUsage=critical,keyCertSign")

    def path(self, *parts):
        return os.path.join(self.folder, "-".join(parts))

    @staticmethod
    def _run(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def issue(self, name, usage, names="IP:127.0.0.1,DNS:localhost", days=(-1, 1)):
        """A certificate for clientAuth or serverAuth, valid between these days from now: paths of certificate and key."""
        certificate, key, request = (self.path(self.name, name, end) for end in ("cert.pem", "key.pem", "req.pem"))
        self._run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                  "-subj", "/CN=" + name)
        begin, end = ((datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=day)).strftime("%Y%m%d%H%M%SZ")
                      for day in days)
        extensions, config, database = (self.path(self.name, name, end) for end in ("ext.cnf", "ca.cnf", "index"))
        with open(extensions, "w") as file:
            file.write("extendedKeyUsage=%s\nsubjectAltName=%s\n" % (usage, names))
        with open(config, "w") as file:
            file.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
                       "unique_subject=no\n[p]\ncommonName=supplied\n" % (database, self.folder))
        with open(database, "w"):
            pass
        self._run("ca", "-batch", "-config", config, "-cert", self.certificate, "-keyfile", self.key, "-in", request, "-out", certificate,
                  "-startdate", begin, "-enddate", end, "-extfile", extensions, "-notext")
        return certificate, key
