"""The parent's handle of one worker process."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from sciRL.verification.base import Item
from sciRL.verification.worker import PACKING, PROGRESS_BYTES, Progress

MAX_PROGRAMS = 8
MAX_MESSAGE_BYTES = 1 << 30
START_LIMIT_S = 120.0
# The start-up code of a worker: the parent's import path, and no `__main__` of the parent's to run again.
_BOOT = (
    "import json, sys; path, arguments = json.loads(sys.argv[1]); sys.path[:] = path; "
    "from sciRL.verification.worker import main; main(*arguments)"
)
# One thread per worker: the pool is the parallelism, and n workers x n threads would fight for the cores.
_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}


@dataclass
class Chunk:
    """Items on their way through a worker: their positions in the batch, and how many results have come back."""

    serial: int
    positions: list[int]
    sent: float = field(default_factory=time.monotonic)
    done: int = 0

    @property
    def unfinished(self) -> list[int]:
        """The positions whose results have not come back."""
        return self.positions[self.done :]


class WorkerProcess:
    """Starts, feeds, watches and kills one worker (its own process group, output to /dev/null)."""

    def __init__(self, memory_limit_mb: int | None) -> None:
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as shared, theirs:
            shared.truncate(PROGRESS_BYTES)
            self._memory = mmap.mmap(shared.fileno(), PROGRESS_BYTES)
            descriptors = (theirs.fileno(), shared.fileno())
            arguments = json.dumps([sys.path, [*descriptors, os.getpid(), memory_limit_mb]])
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.chunk: Chunk | None = None
        self.loading: int | None = None
        self.loading_since = 0.0
        self.programs: list[int] = []
        self.items_done = 0
        self.memory_after_load = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def idle(self) -> bool:
        """Whether the worker waits for work."""
        return self.chunk is None and self.loading is None

    def load(self, key: int, payload: bytes) -> None:
        """Send a program (once per worker); the oldest of `MAX_PROGRAMS` is forgotten."""
        forget = self.programs.pop(0) if len(self.programs) >= MAX_PROGRAMS else None
        self.loading, self.loading_since = key, time.monotonic()
        self._send("load", key, payload, forget)

    def send_chunk(self, chunk: Chunk, key: int, items: Sequence[Item]) -> None:
        """Send items to score."""
        self.chunk = chunk
        self._send("chunk", chunk.serial, key, pickle.dumps(items, pickle.HIGHEST_PROTOCOL))

    def _send(self, *message: Any) -> None:
        self.connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def receive(self) -> tuple[Any, ...]:
        """Return the next message; `OSError` or `EOFError` means that the process is gone."""
        message: tuple[Any, ...] = pickle.loads(self.connection.recv_bytes(MAX_MESSAGE_BYTES))
        return message

    def progress(self) -> Progress:
        """Return what the worker is doing."""
        return Progress.read(self._memory)

    def culprit(self) -> tuple[int | None, int]:
        """Return the position and stage of the item being judged, (None, 0) when that cannot be told."""
        if self.chunk is None:
            return None, 0
        progress = self.progress()
        if progress.serial == self.chunk.serial and progress.item >= self.chunk.done and progress.item != PACKING:
            return self.chunk.positions[progress.item], progress.stage
        # While a chunk is being read or results are being packed, any of its items may be at fault.
        return (self.chunk.positions[-1] if len(self.chunk.unfinished) == 1 else None), 0

    def deadline(self, wall_limit_s: float) -> float | None:
        """Return when (monotonic, s) the present work is overdue, None while idle."""
        if self.loading is not None:
            return self.loading_since + START_LIMIT_S
        if self.chunk is None:
            return None
        progress = self.progress()
        if progress.serial != self.chunk.serial:
            return self.chunk.sent + START_LIMIT_S
        return progress.since + wall_limit_s

    def overdue(self, wall_limit_s: float) -> bool:
        """Whether the deadline has passed; looked at twice, as the worker may be writing its progress just now."""
        for _ in range(2):
            deadline = self.deadline(wall_limit_s)
            if deadline is None or time.monotonic() < deadline:
                return False
        return True

    def kill(self) -> int:
        """Kill the process and what it started; return its exit code (negative: the signal that ended it)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def close(self) -> None:
        """Kill the process and release its descriptors."""
        self.kill()
        self.connection.close()
        self._memory.close()
