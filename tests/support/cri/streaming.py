"""The streams of a command in a container, over a WebSocket as ``kubectl exec`` has them: RFC 6455.

Each message is of one channel, which its first byte names (k8s.io/apimachinery, httpstream/wsstream).
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from typing import BinaryIO

PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)
TIMEOUT = 100
_SWITCHING_PROTOCOLS = b"101"
_FINAL, _MASKED = 0x80, 0x80
_BINARY, _CLOSE = 2, 8
_SHORT, _LENGTH_16, _LENGTH_64 = 125, 126, 127


@dataclass
class Attached:
    """A running command; what it says is kept by channel."""

    connection: socket.socket
    answers: BinaryIO
    said: dict[int, bytes] = field(default_factory=dict)

    @staticmethod
    def to(url: str) -> Attached:
        """Connect to the address that the engine gave."""
        address = urlsplit(url)
        assert address.hostname is not None
        connection = socket.create_connection((address.hostname, address.port or 80), timeout=TIMEOUT)
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n".encode()
        )
        answers = connection.makefile("rb")
        status = answers.readline()
        assert status.split()[1] == _SWITCHING_PROTOCOLS, status
        while answers.readline().strip():
            pass
        return Attached(connection, answers)

    def send(self, channel: int, data: bytes) -> None:
        """Send one message."""
        self._frame(_BINARY, bytes([channel]) + data)

    def close(self) -> None:
        """Go away, as a client that was killed."""
        self.answers.close()
        self.connection.close()

    def read_until(self, channel: int, wanted: bytes) -> bytes:
        """Return what was said on a channel up to this."""
        while wanted not in self.said.get(channel, b""):
            assert self._receive(), self.said
        return self.said[channel]

    def wait(self) -> int:
        """Return the exit code."""
        while self._receive():
            pass
        status = json.loads(self.said[STATUS])
        self.close()
        if status["status"] == "Success":
            return 0
        causes = {cause["reason"]: cause["message"] for cause in status["details"]["causes"]}
        return int(causes["ExitCode"])

    def _receive(self) -> bool:
        """Take one message; False at the end."""
        head = self.answers.read(2)
        if len(head) < 2 or head[0] & 0x0F == _CLOSE:
            return False
        length = head[1]
        if length == _LENGTH_16:
            (length,) = struct.unpack(">H", self.answers.read(2))
        elif length == _LENGTH_64:
            (length,) = struct.unpack(">Q", self.answers.read(8))
        message = self.answers.read(length)
        if message:
            self.said[message[0]] = self.said.get(message[0], b"") + message[1:]
        return True

    def _frame(self, kind: int, data: bytes) -> None:
        size = len(data)
        if size <= _SHORT:
            head = struct.pack(">BB", _FINAL | kind, _MASKED | size)
        else:
            head = struct.pack(">BBH", _FINAL | kind, _MASKED | _LENGTH_16, size)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self.connection.sendall(head + mask + masked)
