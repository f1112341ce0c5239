"""TCP clients, as MicroPython's ports with a network have them. Simulated: the host makes the connections.

Rules: a read of n bytes gives n, or less at the end of the stream, or None where nothing is there and the socket
does not block; a write gives all. No listening, no UDP, no poll.
"""

import _hw
import json
import time
from errno import EAGAIN

AF_INET = 2
SOCK_STREAM = 1
SOL_SOCKET = 1
SO_REUSEADDR = 4

_ETIMEDOUT = 110
_MOST = 1024  # bytes in one question, netline.py


def _ask(**question):
    answer = json.loads(_hw.net(json.dumps(question)))
    if "errno" in answer:
        raise OSError(answer["errno"])
    return answer


def getaddrinfo(host, port, family=0, kind=0, proto=0, flags=0):
    return [(AF_INET, SOCK_STREAM, 0, "", (host, port))]  # the host resolves it at connect


class socket:
    def __init__(self, family=AF_INET, kind=SOCK_STREAM, proto=0):
        if family != AF_INET or kind != SOCK_STREAM:
            raise OSError(93)  # EPROTONOSUPPORT
        self._socket = None
        self._timeout = None  # s

    def connect(self, address):
        self._socket = _ask(open=[address[0], address[1]])["socket"]

    def close(self):
        if self._socket is not None:
            _ask(close=self._socket)
            self._socket = None

    def settimeout(self, seconds):
        self._timeout = seconds

    def setblocking(self, blocking):
        self._timeout = None if blocking else 0

    def setsockopt(self, level, option, value):
        pass

    def send(self, data):
        return _ask(send=bytes(data[:_MOST]).hex(), socket=self._number())["count"]

    def write(self, data, count=None):
        data = bytes(data) if count is None else bytes(data[:count])
        sent = 0
        while sent < len(data):
            sent += self.send(data[sent:])
        return sent

    def sendall(self, data):
        self.write(data)

    def recv(self, count):
        data = self._receive(count)
        if data is None:
            raise OSError(_ETIMEDOUT if self._timeout else EAGAIN)
        return data

    def read(self, count=-1):
        data = b""
        while count < 0 or len(data) < count:
            piece = self._receive(_MOST if count < 0 else count - len(data))
            if piece is None:
                if self._timeout:
                    raise OSError(_ETIMEDOUT)
                return data or None
            if not piece:
                break
            data += piece
        return data

    def readinto(self, buffer, count=None):
        data = self.read(len(buffer) if count is None else count)
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            piece = self.read(1)
            if not piece:
                break
            line += piece
        return line

    def makefile(self, mode="rb"):
        return self

    def _receive(self, count):
        """Some bytes; b"" at the end of the stream, None where nothing came in time."""
        start = time.ticks_ms()
        while True:
            answer = _ask(receive=count, socket=self._number(), wait=self._timeout != 0)
            if "data" in answer:
                return bytes.fromhex(answer["data"])
            waited = time.ticks_diff(time.ticks_ms(), start)
            if self._timeout is not None and waited >= self._timeout * 1000:
                return None

    def _number(self):
        if self._socket is None:
            raise OSError(9)  # EBADF
        return self._socket
