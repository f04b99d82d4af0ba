"""A disk with a write cache that a power cut empties, served to qemu by the NBD protocol.

What was not flushed when the power went may be on the disk or not, block by block, as on a real one: a seed decides.
"""
import os
import random
import socket
import struct
import threading

BLOCK = 4096
OPTION, OPTION_REPLY = 0x49484156454F5054, 0x3E889045565A9
REQUEST, REPLY = 0x25609513, 0x67446698
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
EXPORT_NAME, ABORT, GO = 1, 2, 7
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
FUA = 1


class Closed(Exception):
    pass


class VolatileDisk:
    """Serves the file `image` at the Unix socket `address`. One client at a time; one thread."""

    def __init__(self, image, address, seed=1):
        self.file = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.file).st_size
        self.chance = random.Random(seed)
        self.cache = {}
        self.lost = self.kept = self.flushes = 0
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(address):
            os.unlink(address)
        self.listener.bind(address)
        self.listener.listen(1)
        self.idle = threading.Event()
        self.idle.set()
        threading.Thread(target=self.serve, daemon=True).start()

    def power_cut(self):
        """After qemu's end: forgets the cache but for some blocks of it. Returns (lost, kept) blocks."""
        self.idle.wait()
        self.lost = self.kept = 0
        for number, data in self.cache.items():
            if self.chance.random() < 0.5:
                os.pwrite(self.file, data, number * BLOCK)
                self.kept += 1
            else:
                self.lost += 1
        self.cache.clear()
        return self.lost, self.kept

    def close(self):
        self.listener.close()
        self.idle.wait()
        os.close(self.file)

    # -- protocol -----------------------------------------------------------
    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.idle.clear()
            with sock:
                try:
                    self.negotiate(sock)
                    self.transmit(sock)
                except (Closed, OSError):
                    pass
            self.idle.set()

    @staticmethod
    def take(sock, size):
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            count = sock.recv_into(view[done:])
            if not count:
                raise Closed
            done += count
        return data

    def negotiate(self, sock):
        sock.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        no_zeroes = struct.unpack(">I", self.take(sock, 4))[0] & 2
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
        while True:
            _, option, length = struct.unpack(">QII", self.take(sock, 16))
            self.take(sock, length)

            def reply(kind, data=b""):
                sock.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data)
            if option == EXPORT_NAME:
                sock.sendall(struct.pack(">QH", self.size, flags) + (b"" if no_zeroes else bytes(124)))
                return
            if option == GO:
                reply(INFO, struct.pack(">HQH", 0, self.size, flags))
                reply(ACK)
                return
            if option == ABORT:
                reply(ACK)
                raise Closed
            reply(UNSUPPORTED)

    def transmit(self, sock):
        while True:
            _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", self.take(sock, 28))
            data = b""
            if kind == READ:
                data = self.read(offset, length)
            elif kind == WRITE:
                self.write(offset, self.take(sock, length))
                if flags & FUA:
                    self.flush(range(offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK))
            elif kind == FLUSH:
                self.flushes += 1
                self.flush(list(self.cache))
            elif kind == DISCONNECT:
                raise Closed
            sock.sendall(struct.pack(">IIQ", REPLY, 0, handle) + bytes(data))

    # -- blocks ---------------------------------------------------------------
    def read(self, offset, length):
        data = bytearray(os.pread(self.file, length, offset))
        if self.cache:
            for number in range(offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK):
                block = self.cache.get(number)
                if block is None:
                    continue
                start = max(offset, number * BLOCK)
                end = min(offset + length, (number + 1) * BLOCK)
                data[start - offset:end - offset] = block[start - number * BLOCK:end - number * BLOCK]
        return data

    def write(self, offset, data):
        done = 0
        while done < len(data):
            number, inside = divmod(offset + done, BLOCK)
            count = min(BLOCK - inside, len(data) - done)
            if count == BLOCK:
                self.cache[number] = bytes(data[done:done + count])
            else:
                block = bytearray(self.cache.get(number) or os.pread(self.file, BLOCK, number * BLOCK))
                block[inside:inside + count] = data[done:done + count]
                self.cache[number] = bytes(block)
            done += count

    def flush(self, numbers):
        for number in numbers:
            block = self.cache.pop(number, None)
            if block is not None:
                os.pwrite(self.file, block, number * BLOCK)
