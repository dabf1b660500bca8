"""The worker's side of the pool: a process that holds loaded verifiers and scores chunks of items.

Messages to a worker (pickled tuples): ``("load", key, program, forget)`` and ``("chunk", serial, key, items)``.
Messages from it: ``("loaded", key, bytes)``, ``("unloadable", key, text)``, ``("unreadable", serial, text)`` and
``("scores", serial, blobs, done, bytes)``; a blob is ``(n, pickled rows)`` and a row holds one item's scores by stage.

What the worker is doing stands in a small shared memory (`Progress`), so that the parent can tell who ran
into a limit or killed the process, at no cost per item.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias

from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Item, PerItemVerifier

FLUSH_S = 0.05
MAX_RESULT_BYTES = 1 << 20
PARENT_CHECK_S = 1.0
PACKING = -1
LEAK_SHARE = 0.25
SHORT_OF_MEMORY = 77

EncodedScore: TypeAlias = tuple[float | None, dict[str, float], str, str, dict[str, Any]]


@dataclass(frozen=True)
class ProgramStage:
    """A per-item verifier and the value that the item must reach to go on (None when it is no gate)."""

    verifier: PerItemVerifier
    gate: float | None = None


Program: TypeAlias = tuple[ProgramStage, ...]


_PROGRESS = struct.Struct("=qqqd")
PROGRESS_BYTES = _PROGRESS.size


class Progress(NamedTuple):
    """Where a worker is: the chunk, the item in it (or `PACKING`), the stage, and since when (monotonic, s)."""

    serial: int
    item: int
    stage: int
    since: float

    @classmethod
    def read(cls, memory: mmap.mmap) -> Progress:
        """Return what the worker wrote last."""
        return cls(*_PROGRESS.unpack_from(memory))


def judge(verifier: PerItemVerifier, task: Task, answer: str) -> Score:
    """Score one answer; an exception or a result that is no `Score` is the verifier's failure (status `error`)."""
    try:
        score = verifier.verify_one(task, answer)
    except (Exception, SystemExit) as error:
        return Score.failed(Status.ERROR, f"{verifier.name}: {describe(error)}")
    if not isinstance(score, Score):
        return Score.failed(Status.ERROR, f"{verifier.name}: returned {type(score).__name__} instead of a Score")
    return score


def describe(error: BaseException) -> str:
    """Return an exception's type and message in at most 500 characters, even when its `__str__` is broken."""
    try:
        message = str(error)
    except Exception:
        message = "(no message)"
    return f"{type(error).__name__}: {message}"[:500]


def survives(score: Score, gate: float | None) -> bool:
    """Whether an item goes on to the next stage: the rule of `evaluate_stages`."""
    return score.status is Status.OK and not (gate is not None and (score.value or 0.0) < gate)


def encode(score: Score) -> EncodedScore:
    """Return a score as a plain tuple, which pickles faster than the object."""
    return score.value, dict(score.components), score.status.value, score.reason, dict(score.measurements)


class Worker:
    """Scores chunks until the connection closes."""

    def __init__(self, connection: Connection, memory: mmap.mmap, memory_limit_mb: int | None) -> None:
        self._connection = connection
        self._memory = memory
        self._memory_limit_mb = memory_limit_mb
        self._memory_after_load = 0
        self._programs: dict[int, Program] = {}

    def serve(self) -> None:
        """Answer messages until the parent closes the connection."""
        while True:
            try:
                message = pickle.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                return
            if message[0] == "load":
                self._load(*message[1:])
            else:
                self._chunk(*message[1:])

    def _send(self, *message: Any) -> None:
        self._connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _load(self, key: int, payload: bytes, forget: int | None) -> None:
        limit_memory(None)
        if forget is not None:
            self._programs.pop(forget, None)
        try:
            self._programs[key] = pickle.loads(payload)
        except (Exception, SystemExit) as error:
            self._send("unloadable", key, describe(error))
            return
        limit_memory(self._memory_limit_mb)
        self._memory_after_load = private_bytes()
        self._send("loaded", key, self._memory_after_load)

    def _chunk(self, serial: int, key: int, payload: bytes) -> None:
        try:
            items: Sequence[Item] = pickle.loads(payload)
        except Exception as error:
            self._send("unreadable", serial, describe(error))
            return
        program = self._programs[key]
        rows: list[list[EncodedScore]] = []
        flushed = time.monotonic()
        for index, (task, answer) in enumerate(items):
            rows.append(self._run_item(program, serial, index, task, answer))
            if time.monotonic() - flushed > FLUSH_S:
                self._flush(serial, rows, done=False)
                rows, flushed = [], time.monotonic()
        self._flush(serial, rows, done=True)

    def _run_item(self, program: Program, serial: int, index: int, task: Task, answer: str) -> list[EncodedScore]:
        since = time.monotonic()
        row = []
        for number, stage in enumerate(program):
            _PROGRESS.pack_into(self._memory, 0, serial, index, number, since)
            score = judge(stage.verifier, task, answer)
            if score.status is Status.ERROR and "MemoryError" in score.reason and self._has_leaked():
                os._exit(SHORT_OF_MEMORY)
            row.append(encode(score))
            if not survives(score, stage.gate):
                break
        return row

    def _has_leaked(self) -> bool:
        """Whether earlier items kept memory that the present one may have needed."""
        limit = (self._memory_limit_mb or 0) * (1 << 20)
        return private_bytes() - self._memory_after_load > LEAK_SHARE * limit

    def _flush(self, serial: int, rows: list[list[EncodedScore]], done: bool) -> None:
        _PROGRESS.pack_into(self._memory, 0, serial, PACKING, 0, time.monotonic())
        self._send("scores", serial, pack(rows), done, private_bytes() if done else 0)


def pack(rows: list[list[EncodedScore]]) -> list[tuple[int, bytes]]:
    """Pickle rows together, or one by one when that fails or is too large, so that only the culprit is lost."""
    with contextlib.suppress(Exception):
        together = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
        if len(together) <= MAX_RESULT_BYTES:
            return [(len(rows), together)]
    blobs = []
    for row in rows:
        try:
            blob = pickle.dumps([row], pickle.HIGHEST_PROTOCOL)
            problem = f"the result is larger than {MAX_RESULT_BYTES} bytes" if len(blob) > MAX_RESULT_BYTES else ""
        except Exception as error:
            problem = f"the result cannot be sent: {describe(error)}"
        if problem:
            blob = pickle.dumps([[encode(Score.failed(Status.ERROR, problem))]], pickle.HIGHEST_PROTOCOL)
        blobs.append((1, blob))
    return blobs


def limit_memory(limit_mb: int | None) -> None:
    """Allow the process `limit_mb` of private memory beyond what it has now; None lifts the limit (Linux only).

    RLIMIT_DATA rather than RLIMIT_AS: mapped libraries and reserved addresses (torch, CUDA) do not count.
    """
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = hard
    if limit_mb is not None and (used := private_bytes()):
        soft = used + limit_mb * (1 << 20)
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def private_bytes() -> int:
    """Return the private memory of this process (data and stack), 0 where /proc is missing."""
    with contextlib.suppress(OSError), open("/proc/self/statm") as statm:
        return int(statm.read().split()[5]) * mmap.PAGESIZE
    return 0


def _leave_with(parent: int) -> None:
    """Exit when the parent is gone, even while a verifier loops for ever."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def main(connection_fd: int, memory_fd: int, parent: int, memory_limit_mb: int | None) -> None:
    """Run a worker; Ctrl-C in the terminal is the parent's to handle, and a crash leaves no core file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    # A program that a verifier starts must not inherit the connection.
    os.set_inheritable(connection_fd, False)
    os.set_inheritable(memory_fd, False)
    Worker(Connection(connection_fd), mmap.mmap(memory_fd, PROGRESS_BYTES), memory_limit_mb).serve()
    sys.exit(0)
