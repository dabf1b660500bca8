"""WorkerPool: verifiers run in worker processes that are killed and replaced when they misbehave.

A time limit that is a signal or a thread cannot stop a loop inside a C library; killing the process can. The item
that hung or crashed gets a score of status `timeout` or `error`; the items behind it go to another worker.
The pool protects a run from its own verifiers. It is no sandbox for answers that are programs.
"""

from __future__ import annotations

import pickle
import signal
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.verification.base import Item, PerItemVerifier, Rubric, Stage, Verifier, evaluate_stages
from sciRL.verification.process import MAX_PROGRAMS, Chunk, WorkerProcess
from sciRL.verification.worker import LEAK_SHARE, SHORT_OF_MEMORY, Program, ProgramStage, describe, judge, survives

MAX_FAILED_STARTS = 3
CHUNKS_PER_WORKER = 4


@dataclass
class _Batch:
    """The state of one `verify` call: what is queued, what has come back, who has been tried alone."""

    key: int
    payload: bytes
    names: tuple[str, ...]
    items: Sequence[Item]
    queue: deque[list[int]]
    rows: list[list[Score] | None]
    retried: set[int] = field(default_factory=set)
    missing: int = 0

    def put(self, position: int, row: list[Score]) -> None:
        """Record an item's scores by stage."""
        if self.rows[position] is None:
            self.missing -= 1
        self.rows[position] = row

    def settle(self, positions: Sequence[int], score: Score) -> None:
        """Record the verdict on items whose worker was lost."""
        for position in positions:
            self.put(position, [score])


class WorkerPool:
    """Runs verifiers over worker processes, with a wall limit per item and a memory limit per worker.

    Every `PerItemVerifier` goes to the workers; a batch verifier runs in the calling process. Consecutive per-item
    stages of a rubric make one trip. A verifier is pickled when it is first seen and sent once to each worker, so
    later changes to it are not noticed. Results come back in the order of the items, whatever the workers do.

    Args:
        workers: number of processes; 0 runs everything in the calling process, without limits.
        wall_limit_s: seconds an item may take (all per-item stages of one trip together) before its worker is
            killed and its score is `timeout`. Loading a verifier does not count.
        memory_limit_mb: private memory (MiB) that a worker may take beyond what its loaded verifiers need; more
            is a `MemoryError` in the verifier, so status `error` (Linux; None: no limit).
        chunk: most items sent to a worker at once.
        recycle_after: replace a worker after this many items (None: only when its memory has grown by a quarter
            of `memory_limit_mb`).

    Example:
        >>> with WorkerPool(workers=2, wall_limit_s=5) as pool:  # doctest: +SKIP
        ...     scores = pool.verify(rubric, [(task, text) for task, text in answers])
    """

    def __init__(
        self,
        workers: int,
        wall_limit_s: float = 10.0,
        memory_limit_mb: int | None = 2048,
        chunk: int = 32,
        recycle_after: int | None = None,
    ) -> None:
        for name, value, least in (("workers", workers, 0), ("chunk", chunk, 1), ("recycle_after", recycle_after, 1)):
            if value is not None and value < least:
                raise UserError(f"worker pool: {name} must be at least {least}; found {value}")
        if not wall_limit_s > 0:
            raise UserError(f"worker pool: wall_limit_s must be above 0; found {wall_limit_s}")
        if memory_limit_mb is not None and memory_limit_mb < 16:
            raise UserError(f"worker pool: memory_limit_mb must be at least 16 or None; found {memory_limit_mb}")
        self.workers = workers
        self.wall_limit_s = wall_limit_s
        self.memory_limit_mb = memory_limit_mb
        self.chunk = chunk
        self.recycle_after = recycle_after
        self._processes: list[WorkerProcess] = []
        self._programs: OrderedDict[tuple[Any, ...], tuple[int, Program, bytes]] = OrderedDict()
        self._serial = 0
        self._failed_starts = 0
        self._lock = threading.RLock()
        self._finalizer = weakref.finalize(self, _close_all, self._processes)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the workers; the pool may be used again and then starts new ones."""
        with self._lock:
            _close_all(self._processes)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [process.pid for process in self._processes]

    def verify(self, verifier: Verifier | Rubric, items: Sequence[Item]) -> list[Score]:
        """Return one score for each (task, answer text), in order.

        Raises:
            UserError: the verifier cannot be pickled, or cannot be loaded in a worker.
        """
        with self._lock:
            if isinstance(verifier, Rubric):
                return evaluate_stages(verifier, items, _FusedStages(self, verifier.stages))
            if isinstance(verifier, PerItemVerifier):
                return [row[0] for row in self.run_stages([Stage(verifier, 1.0)], items)]
            return _verify_here(verifier, items)

    def run_stages(self, stages: Sequence[Stage], items: Sequence[Item]) -> list[list[Score]]:
        """Run per-item stages in one trip; an item's list ends with the first stage that it did not survive."""
        if self.workers == 0:
            return [_run_here(stages, item) for item in items]
        if not items:
            return []
        key, program, payload = self._program(stages)
        size = max(1, min(self.chunk, -(-len(items) // (self.workers * CHUNKS_PER_WORKER))))
        queue = deque(list(range(at, min(at + size, len(items)))) for at in range(0, len(items), size))
        names = tuple(stage.verifier.name for stage in program)
        batch = _Batch(key, payload, names, items, queue, [None] * len(items), missing=len(items))
        try:
            while batch.missing:
                self._assign(batch)
                waiting = {process.connection: process for process in self._processes}
                for connection in wait(list(waiting), self._patience()):
                    self._receive(waiting[connection], batch)  # type: ignore[index]
                self._enforce_limits(batch)
        except BaseException:
            # Ctrl-C or a verifier that cannot be loaded: no worker may go on with a batch that nobody waits for.
            self.close()
            raise
        return [row for row in batch.rows if row is not None]

    # -- programs ------------------------------------------------------------------------------

    def _program(self, stages: Sequence[Stage]) -> tuple[int, Program, bytes]:
        """Pickle the verifiers of the stages together (what they share travels once), when first seen."""
        identity = tuple((id(stage.verifier), _gate(stage)) for stage in stages)
        if identity in self._programs:
            self._programs.move_to_end(identity)
            return self._programs[identity]
        # The program holds its verifiers, so that no other object can take over their ids.
        program = tuple(ProgramStage(stage.verifier, _gate(stage)) for stage in stages)  # type: ignore[arg-type]
        self._serial += 1
        self._programs[identity] = (self._serial, program, _pickled(program))
        if len(self._programs) > MAX_PROGRAMS:
            self._programs.popitem(last=False)
        return self._programs[identity]

    # -- work ----------------------------------------------------------------------------------

    def _assign(self, batch: _Batch) -> None:
        """Give queued chunks to idle workers, and start workers while there is more to do than they can take."""
        idle = [process for process in self._processes if process.idle]
        busy = len(self._processes) - len(idle)
        starting = sum(process.loading is not None for process in self._processes)
        lacking = min(len(batch.queue) - len(idle) - starting, self.workers - busy - len(idle))
        for _ in range(max(0, lacking)):
            idle.append(WorkerProcess(self.memory_limit_mb))
            self._processes.append(idle[-1])
        for process in idle:
            if not batch.queue:
                break
            try:
                if batch.key not in process.programs:
                    process.load(batch.key, batch.payload)
                    continue
                self._serial += 1
                chunk = Chunk(self._serial, batch.queue.popleft())
                process.send_chunk(chunk, batch.key, [batch.items[position] for position in chunk.positions])
            except OSError:
                self._lost(process, batch)

    def _receive(self, process: WorkerProcess, batch: _Batch) -> None:
        """Take one message from a worker."""
        try:
            kind, *content = process.receive()
        except (EOFError, OSError):
            self._lost(process, batch)
            return
        if kind == "loaded":
            process.programs.append(content[0])
            process.loading, process.memory_after_load = None, content[1]
            self._failed_starts = 0
        elif kind == "unloadable":
            raise UserError(f"verifier {'+'.join(batch.names)} cannot be loaded in a worker process: {content[1]}")
        elif kind == "unreadable":
            self._unreadable(process, batch, content[1])
        else:
            self._take_scores(process, batch, *content)

    def _take_scores(
        self, process: WorkerProcess, batch: _Batch, serial: int, blobs: list[tuple[int, bytes]], done: bool, size: int
    ) -> None:
        chunk = process.chunk
        if chunk is None or chunk.serial != serial:
            return
        for count, blob in blobs:
            positions = chunk.positions[chunk.done : chunk.done + count]
            for position, row in zip(positions, _decode(blob, count), strict=True):
                batch.put(position, row)
            chunk.done += count
        if done:
            process.items_done += len(chunk.positions)
            process.chunk = None
            if self._worn_out(process, size):
                self._discard(process)

    def _worn_out(self, process: WorkerProcess, private: int) -> bool:
        if self.recycle_after is not None and process.items_done >= self.recycle_after:
            return True
        if self.memory_limit_mb is None:
            return False
        return private - process.memory_after_load > LEAK_SHARE * self.memory_limit_mb * (1 << 20)

    # -- misbehaviour --------------------------------------------------------------------------

    def _patience(self) -> float:
        """Seconds until the next worker may be overdue; an item that starts just now may be within `wall_limit_s`."""
        deadlines = [process.deadline(self.wall_limit_s) for process in self._processes]
        now = time.monotonic()
        due = min((deadline - now for deadline in deadlines if deadline is not None), default=self.wall_limit_s)
        return min(self.wall_limit_s, max(0.001, due))

    def _enforce_limits(self, batch: _Batch) -> None:
        """Kill the workers that are overdue."""
        for process in list(self._processes):
            if not process.overdue(self.wall_limit_s):
                continue
            before = process.progress()
            process.kill()
            while process.chunk is not None and process.connection.poll():
                try:
                    kind, *content = process.receive()
                except (EOFError, OSError):
                    break
                if kind == "scores":
                    self._take_scores(process, batch, *content)
            # The worker may have moved on between the look at the clock and the kill: then nobody is to blame.
            moved = process.progress() != before
            if process in self._processes:
                self._lost(process, batch, overdue=not moved)

    def _lost(self, process: WorkerProcess, batch: _Batch, overdue: bool = False) -> None:
        """Replace a dead worker: score the culprit, queue the others again."""
        exit_code = process.kill()
        chunk, (culprit, stage), was_loading = process.chunk, process.culprit(), process.loading is not None
        self._discard(process)
        if was_loading:
            self._count_failed_start(batch, exit_code, overdue)
        if chunk is None or not chunk.unfinished:
            return
        suspects = chunk.unfinished if culprit is None else [culprit]
        blameless = culprit is None or (not overdue and exit_code in _BLAMELESS_EXITS)
        if blameless and not batch.retried.issuperset(suspects):
            batch.retried.update(suspects)
            batch.queue.extendleft([position] for position in reversed(suspects))
        elif overdue:
            reason = f"{batch.names[stage]}: over the wall limit of {self.wall_limit_s:g} s"
            batch.settle(suspects, Score.failed(Status.TIMEOUT, reason))
        else:
            reason = f"{batch.names[stage]}: the worker {_ending(exit_code)}"
            batch.settle(suspects, Score.failed(Status.ERROR, reason))
        rest = [position for position in chunk.unfinished if position not in suspects]
        if rest:
            batch.queue.append(rest)

    def _unreadable(self, process: WorkerProcess, batch: _Batch, text: str) -> None:
        if process.chunk is not None:
            reason = f"the tasks cannot be read in a worker process: {text}"
            batch.settle(process.chunk.unfinished, Score.failed(Status.ERROR, reason))
            process.chunk = None

    def _count_failed_start(self, batch: _Batch, exit_code: int, overdue: bool) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS or overdue:
            self._failed_starts = 0
            ending = "did not load it in time" if overdue else _ending(exit_code)
            raise UserError(f"verifier {'+'.join(batch.names)} cannot be loaded: the worker process {ending}")

    def _discard(self, process: WorkerProcess) -> None:
        self._processes.remove(process)
        process.close()


class _FusedStages:
    """A stage runner for one evaluation: consecutive per-item stages make one trip to the workers."""

    def __init__(self, pool: WorkerPool, stages: Sequence[Stage]) -> None:
        self._pool = pool
        self._stages = stages
        self._next = 0
        self._rows: list[list[Score]] = []
        self._offset = 0

    def __call__(self, verifier: Verifier, items: Sequence[Item]) -> list[Score]:
        """Return the next stage's scores; `evaluate_stages` passes exactly the items that survived so far."""
        number, self._next = self._next, self._next + 1
        if not isinstance(verifier, PerItemVerifier):
            self._rows = []
            return self._pool.verify(verifier, items)
        self._offset += 1
        if not self._rows:
            self._rows = self._pool.run_stages(self._run_from(number), items)
            self._offset = 0
        # A list that ends here belongs to an item that did not survive the stage before.
        self._rows = [row for row in self._rows if len(row) > self._offset]
        return [row[self._offset] for row in self._rows]

    def _run_from(self, number: int) -> list[Stage]:
        run = []
        for stage in self._stages[number:]:
            if not isinstance(stage.verifier, PerItemVerifier):
                break
            run.append(stage)
        return run


# A kill from outside (an operator, the kernel short of memory) or memory that earlier items kept: not the item's doing.
_BLAMELESS_EXITS = (-signal.SIGKILL, -signal.SIGTERM, SHORT_OF_MEMORY)


def _close_all(processes: list[WorkerProcess]) -> None:
    while processes:
        processes.pop().close()


def _gate(stage: Stage) -> float | None:
    return stage.threshold if stage.gate else None


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"


def _decode(blob: bytes, count: int) -> list[list[Score]]:
    """Unpickle the scores of `count` items; what cannot be unpickled here is the verifier's failure."""
    try:
        return [[Score(*encoded) for encoded in row] for row in pickle.loads(blob)]
    except Exception as error:
        return [[Score.failed(Status.ERROR, f"the result cannot be read: {describe(error)}")] for _ in range(count)]


def _pickled(program: Program) -> bytes:
    names = "+".join(stage.verifier.name for stage in program)
    try:
        payload = pickle.dumps(program, pickle.HIGHEST_PROTOCOL)
        if b"__main__" in payload:
            # A worker has another `__main__`: classes of a script or a notebook must travel by value.
            import cloudpickle

            payload = cloudpickle.dumps(program)
    except ModuleNotFoundError:
        raise UserError(
            f"verifier {names} is defined in __main__: move it to a module, or pip install cloudpickle"
        ) from None
    except Exception as error:
        raise UserError(f"verifier {names} cannot be sent to a worker process: {describe(error)}") from error
    return payload


def _run_here(stages: Sequence[Stage], item: Item) -> list[Score]:
    row = []
    for stage in stages:
        score = judge(stage.verifier, *item)  # type: ignore[arg-type]
        row.append(score)
        if not survives(score, _gate(stage)):
            break
    return row


def _verify_here(verifier: Verifier, items: Sequence[Item]) -> list[Score]:
    """Run a batch verifier in this process; an exception is its failure on every item."""
    try:
        return verifier.verify(items)
    except Exception as error:
        return [Score.failed(Status.ERROR, f"{verifier.name}: {describe(error)}")] * len(items)
