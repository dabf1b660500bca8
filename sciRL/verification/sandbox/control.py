"""What a pool and a zygote say to each other over their socket.

The pool first sends its `Settings`; the zygote answers with one "hello" (or "error"), then with one "done" for every
child that ended. Requests are 9 bytes, so that the descriptors that travel with one cannot be taken for another's.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

START, KILL = b"S", b"K"
_REQUEST = struct.Struct(">cQ")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class Settings:
    """What a zygote is told before it loads anything.

    Args:
        role: "script" or "meter".
        function: "module:function" of the role.
        preload: modules to import.
        modules: top-level modules that scripts may import.
        readable: files and folders to read inside, besides interpreter and libraries.
        own: modules whose packages are hidden inside.
        without: layers not to use.
        cpu_s, memory_mb, threads: the limits of one child.
        children: how many children there may be at a time.
    """

    role: str
    function: str
    preload: tuple[str, ...]
    modules: tuple[str, ...]
    readable: tuple[str, ...]
    own: tuple[str, ...]
    without: tuple[str, ...]
    cpu_s: int
    memory_mb: int
    threads: int
    children: int


def send_settings(connection: socket.socket, settings: Settings) -> None:
    """Send the settings (pool)."""
    send_message(connection, asdict(settings))


def receive_settings(connection: socket.socket) -> Settings:
    """Wait for the settings (zygote).

    Raises:
        EOFError: the pool is gone.
    """
    reader = MessageReader()
    while True:
        data = connection.recv(1 << 16)
        if not data:
            raise EOFError("the pool is gone")
        for message in reader.feed(data):
            lists_as_tuples: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in message.items()
            }
            return Settings(**lists_as_tuples)


def send_start(connection: socket.socket, job: int, input_fd: int, output_fd: int) -> None:
    """Ask for a child that reads its input from one descriptor and writes its result to the other (pool)."""
    socket.send_fds(connection, [_REQUEST.pack(START, job)], [input_fd, output_fd])


def send_kill(connection: socket.socket, job: int) -> None:
    """Ask for the end of a child (pool)."""
    connection.sendall(_REQUEST.pack(KILL, job))


def receive_request(connection: socket.socket) -> tuple[bytes, int, list[int]]:
    """Return (kind, job, descriptors) (zygote).

    Raises:
        EOFError: the pool is gone.
    """
    data, descriptors, _, _ = socket.recv_fds(connection, _REQUEST.size, 2)
    if len(data) < _REQUEST.size:
        raise EOFError("the pool is gone")
    kind, job = _REQUEST.unpack(data)
    return kind, job, descriptors


def send_message(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send a JSON object with its length in front."""
    data = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(data)) + data)


class MessageReader:
    """Cuts a stream of bytes into the objects of `send_message`."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take bytes and yield the objects that are complete."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            message = json.loads(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield message
