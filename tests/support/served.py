"""A program that answers on port 80 of a container, and a client of the port it is published on."""
import socket

SERVER = ("sh", "-c", "while :; do echo served | nc -l -p 80; done")


def answer(daemon, address, port, source=None):
    """What a client on the daemon's host, of that address and port, reads; None when nobody listens there."""
    def ask():
        try:
            with socket.create_connection((address, port), 5, source) as client:
                client.shutdown(socket.SHUT_WR)
                # To the end: a connection that is cut off keeps its namespace, and that its interfaces, for a while.
                return b"".join(iter(lambda: client.recv(200), b""))
        except (ConnectionRefusedError, TimeoutError, ConnectionResetError):
            return None
    return daemon.in_net(ask)
