"""A volume plugin for tests: a server on a socket that speaks the protocol and can misbehave."""
import http.server
import json
import os
import socketserver
import sys
import threading


class Plugin:
    """Listens on FOLDER/NAME.sock; its volumes are folders below `data`.

    calls        every (method, request) in order
    answers      method -> function(request) that answers instead, with a dict, (status, text), or None to hang up
    held         methods that wait until `release` is set
    """

    def __init__(self, folder, name, data, scope=None):
        self.path, self.data, self.scope, self.name = os.path.join(folder, name + ".sock"), data, scope, name
        self.volumes, self.calls, self.answers, self.held = {}, [], {}, set()
        self.release, self.arrived = threading.Event(), threading.Event()
        self.server = None
        self.start()

    def start(self):
        plugin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def body(self):
                if self.headers.get("Transfer-Encoding") != "chunked":  # as Docker's engine sends it
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def do_POST(self):
                body = self.body()
                method = self.path.lstrip("/")
                request = json.loads(body) if body else None
                plugin.calls.append((method, request))
                if method in plugin.held:
                    plugin.arrived.set()
                    plugin.release.wait()
                answer = plugin.answers.get(method, plugin.answer_to(method))(request)
                self.close_connection = True
                if answer is None:
                    return
                status, text = answer if isinstance(answer, tuple) else (200, json.dumps(answer))
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(text.encode())

            def address_string(self):
                return "daemon"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_):
                if not isinstance(sys.exc_info()[1], ConnectionError):  # who asked did not wait
                    super().handle_error(*_)

        self.server = Server(self.path, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def stop(self, remove=True):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        if remove:
            os.unlink(self.path)

    def answer_to(self, method):
        return getattr(self, method.replace(".", "_"))

    def count(self, method):
        return sum(1 for called, _ in self.calls if called == "VolumeDriver." + method)

    def ids(self, method):
        return [request["ID"] for called, request in self.calls if called == "VolumeDriver." + method]

    def folder(self, name):
        return os.path.join(self.data, name)

    def described(self, name):
        return {"Name": name, "Mountpoint": self.folder(name), "CreatedAt": "2020-02-03T04:05:06Z",
                "Status": {"z": 1, "a": {"y": True, "b": None}}}

    # -- the protocol -----------------------------------------------------
    def Plugin_Activate(self, _):
        return {"Implements": ["VolumeDriver"]}

    def VolumeDriver_Create(self, request):
        os.makedirs(self.folder(request["Name"]), exist_ok=True)
        self.volumes[request["Name"]] = request["Opts"]
        return {}

    def VolumeDriver_Remove(self, request):
        self.volumes.pop(request["Name"], None)
        return {"Err": ""}

    def VolumeDriver_Path(self, request):
        return {"Mountpoint": self.folder(request["Name"])}

    def VolumeDriver_Mount(self, request):
        return {"Mountpoint": self.folder(request["Name"])}

    def VolumeDriver_Unmount(self, request):
        return {}

    def VolumeDriver_Get(self, request):
        if request["Name"] not in self.volumes:
            return {"Err": "no such volume"}
        return {"Volume": self.described(request["Name"])}

    def VolumeDriver_List(self, _):
        return {"Volumes": [{"Name": name, "Mountpoint": self.folder(name)} for name in self.volumes]}

    def VolumeDriver_Capabilities(self, _):
        return {"Capabilities": {"Scope": self.scope}} if self.scope else (404, "page not found")
