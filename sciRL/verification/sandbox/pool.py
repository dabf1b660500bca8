"""SandboxPool: scripts go in, measurements come out, and nothing else gets out of a script's process."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import selectors
import threading
import time
import weakref
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

from sciRL.errors import UserError
from sciRL.verification.sandbox import frames
from sciRL.verification.sandbox.control import Settings
from sciRL.verification.sandbox.flight import Flight
from sciRL.verification.sandbox.layers import LAYERS, demand_enough, demand_platform
from sciRL.verification.sandbox.outcome import Job, Outcome
from sciRL.verification.sandbox.profile import SandboxProfile, whole_seconds
from sciRL.verification.sandbox.verdict import (
    MAX_SCRIPT_HEADER_BYTES,
    Ending,
    NotStartedError,
    meter_verdict,
    sandbox_error,
    script_verdict,
)
from sciRL.verification.sandbox.zygote_line import ZygoteLine
from sciRL.verification.sandbox.zygote_process import ZygoteProcess

ATTEMPTS = 2
_PATIENCE_S = 1.0


@dataclass
class _Batch:
    """The state of one `run`: what waits, what is under way, what has come back."""

    jobs: Sequence[Job]
    scripts: deque[int]
    payloads: deque[tuple[int, bytes]] = field(default_factory=deque)
    flights: dict[int, Flight] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def settle(self, position: int, outcome: Outcome) -> None:
        """Record a job's outcome."""
        self.outcomes[position] = replace(outcome, seconds=self.seconds.get(position, 0.0))


class SandboxPool:
    """Runs scripts in locked processes and measures their results in others, `workers` at a time.

    Results come back in the order of the jobs. A job takes at most its wall limits and a second. What a script does to
    its own process is its own failure; a fault of the sandbox (a zygote that was lost) is tried once more and then
    named "sandbox_error". The processes start at once and load their libraries while the caller goes on; they end with
    the pool, with the calling process, and when `run` is interrupted (the next `run` starts new ones).

    Args:
        profile: libraries, runner, meter and limits.
        workers: processes at work at a time.
        unsafe: run even where the machine cannot lock scripts in.
        without: layers of `layers.LAYERS` not to use, to see what the others hold.

    Raises:
        UserError: this platform cannot run a sandbox. A machine that cannot lock scripts in, and a profile whose
            modules cannot be imported, are found by the first `run` or look at `layers`.

    Example::

        with SandboxPool(CAD, workers=2) as pool:
            pool.layers  # ('rlimits', 'namespaces', 'own root', 'user', 'landlock', 'seccomp')
            [outcome] = pool.run([Job("result = 1/0")])
            outcome.code  # 'exec_error'
    """

    def __init__(
        self, profile: SandboxProfile, workers: int = 2, unsafe: bool = False, without: Collection[str] = ()
    ) -> None:
        if workers < 1:
            raise UserError(f"sandbox {profile.name!r}: workers must be at least 1; found {workers}")
        if not set(without) <= set(LAYERS):
            raise UserError(f"sandbox {profile.name!r}: layers are {', '.join(LAYERS)}; found {sorted(without)}")
        demand_platform(profile.name, unsafe)
        self.profile = profile
        self.workers = workers
        self.unsafe = unsafe
        self._without = tuple(sorted(without))
        self._serials = itertools.count()
        self._lock = threading.RLock()
        self._open()
        for line in self._lines.values():
            line.ready()

    def _open(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._scripts = ZygoteLine(_settings(self, "script", self._without), self._selector, self.profile.name)
        self._meters = ZygoteLine(_settings(self, "meter", self._without), self._selector, self.profile.name)
        self._lines = {"script": self._scripts, "meter": self._meters}
        self._finalizer = weakref.finalize(self, _close, self._lines, os.getpid())
        _POOLS.add(self)

    def __enter__(self) -> SandboxPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; the pool may be used again and then starts new ones."""
        with self._lock:
            _close(self._lines, os.getpid())

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that hold around every script and every measurement, in the order of `layers.LAYERS`.

        Raises:
            UserError: they are not enough, or the processes cannot start.
        """
        with self._lock:
            idle = _Batch((), deque())
            while not all([line.ready() for line in self._lines.values()]):
                self._step(idle)
            return self._held()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Return one outcome for each job, in order; several threads may call, one after the other is served.

        Raises:
            UserError: the layers are not enough, the processes cannot start, or a request is no JSON.
        """
        _demand_json(jobs, self.profile.name)
        with self._lock:
            batch = _Batch(jobs, deque(i for i, job in enumerate(jobs) if job.payload is None))
            batch.payloads.extend((i, job.payload) for i, job in enumerate(jobs) if job.payload is not None)
            try:
                while len(batch.outcomes) < len(jobs):
                    self._fill(batch)
                    self._step(batch)
            except BaseException:
                # Ctrl-C, or a sandbox that does not start: no process may go on with a batch that nobody waits for.
                self._start_over(batch)
                raise
            return [batch.outcomes[position] for position in range(len(jobs))]

    # -- work ----------------------------------------------------------------------------------

    def _fill(self, batch: _Batch) -> None:
        """Start children while there are free workers; what is half done goes first."""
        while len(batch.flights) < self.workers:
            meters, scripts = self._meters.ready(), self._scripts.ready()
            self._held()
            if batch.payloads and meters is not None:
                position, payload = batch.payloads.popleft()
                job = batch.jobs[position]
                self._start(batch, meters, position, frames.encode(job.request, [payload, *job.blobs]), payload)
            elif batch.scripts and scripts is not None:
                position = batch.scripts.popleft()
                source = batch.jobs[position].source.encode("utf-8", "surrogatepass")
                self._start(batch, scripts, position, frames.encode({}, [source]), None)
            else:
                return

    def _start(self, batch: _Batch, zygote: ZygoteProcess, position: int, data: bytes, payload: bytes | None) -> None:
        limits = self.profile.limits
        largest = int(limits.payload_mb * (1 << 20)) + len(frames.READY)
        wall_s, header = limits.wall_s, MAX_SCRIPT_HEADER_BYTES
        if payload is not None:
            wall_s, header = limits.meter_wall_s, frames.MAX_HEADER_BYTES
        serial = next(self._serials)
        try:
            pipe = zygote.start_child(serial, data)
        except OSError:
            pipe = -1
        flight = Flight(serial, position, payload, zygote, pipe, wall_s, largest + header)
        batch.flights[serial] = flight
        if pipe < 0:
            self._lost(zygote, batch)
        else:
            self._selector.register(pipe, selectors.EVENT_READ, flight)

    def _step(self, batch: _Batch) -> None:
        """Wait for something to happen, and deal with it."""
        deadline = min((flight.deadline for flight in batch.flights.values()), default=time.monotonic() + _PATIENCE_S)
        for key, _ in self._selector.select(min(_PATIENCE_S, max(0.0, deadline - time.monotonic()))):
            if isinstance(key.data, ZygoteProcess):
                self._hear(key.data, batch)
            elif key.data.pipe >= 0 and not key.data.read():
                self._selector.unregister(key.data.pipe)
        self._enforce_limits(batch)
        busy = {flight.zygote for flight in batch.flights.values()}
        for line in self._lines.values():
            line.release(busy)

    def _hear(self, zygote: ZygoteProcess, batch: _Batch) -> None:
        """Take what a zygote says."""
        line = self._lines[zygote.role]
        if zygote not in line.zygotes:
            return
        try:
            messages = zygote.receive()
        except (EOFError, OSError):
            self._lost(zygote, batch)
            return
        for message in messages:
            if message["kind"] == "hello":
                line.greet(zygote, message)
            elif message["kind"] == "error":
                line.refuse(zygote, message["message"])
            elif message["kind"] == "unforked":
                flight = self._land(batch, message["job"])
                self._again(batch, flight, f"no new process: {message['message']}")
            else:
                zygote.resident = message["resident"]
                flight = self._land(batch, message["job"])
                self._finish(batch, flight, flight.end(message["exit_code"], message["cpu_s"]))

    def _land(self, batch: _Batch, serial: int) -> Flight:
        """Take a flight off the board."""
        flight = batch.flights.pop(serial)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(flight.pipe)
        batch.seconds[flight.position] = batch.seconds.get(flight.position, 0.0) + flight.seconds
        return flight

    def _finish(self, batch: _Batch, flight: Flight, ending: Ending) -> None:
        """Go on from the end of a child: measure its payload, settle the job, or try again."""
        limits = self.profile.limits
        try:
            if flight.payload is not None:
                batch.settle(flight.position, meter_verdict(ending, limits))
                return
            result = script_verdict(ending, limits)
        except NotStartedError as reason:
            self._again(batch, flight, str(reason))
            return
        if isinstance(result, Outcome):
            batch.settle(flight.position, result)
        else:
            batch.failures.pop(flight.position, None)
            batch.payloads.append((flight.position, result))

    # -- misbehaviour --------------------------------------------------------------------------

    def _enforce_limits(self, batch: _Batch) -> None:
        """Kill the children that are overdue; a zygote that does not even do that is lost."""
        now = time.monotonic()
        for flight in list(batch.flights.values()):
            if flight.serial not in batch.flights or now < flight.deadline:
                continue
            if flight.cut or not flight.data:
                self._lost(flight.zygote, batch, hangs=True)
            else:
                flight.kill("wall")

    def _lost(self, zygote: ZygoteProcess, batch: _Batch, hangs: bool = False) -> None:
        """Replace a zygote that died or hangs; its jobs are tried again, but for those that were killed anyway."""
        flights = [flight for flight in batch.flights.values() if flight.zygote is zygote]
        self._lines[zygote.role].lose(zygote, hangs)
        for flight in flights:
            self._land(batch, flight.serial)
            if flight.cut:
                self._finish(batch, flight, flight.end(None, 0.0))
            else:
                flight.close()
                self._again(batch, flight, "the process that holds the libraries was lost")

    def _again(self, batch: _Batch, flight: Flight, reason: str) -> None:
        """Queue a job again after a fault of the sandbox, or give it up."""
        failures = batch.failures[flight.position] = batch.failures.get(flight.position, 0) + 1
        if failures >= ATTEMPTS:
            batch.settle(flight.position, sandbox_error(reason))
        elif flight.payload is None:
            batch.scripts.appendleft(flight.position)
        else:
            batch.payloads.appendleft((flight.position, flight.payload))

    def _held(self) -> tuple[str, ...]:
        """Return the layers of all zygotes that are ready; refuse to go on when they are not enough."""
        held = set(LAYERS)
        for line in self._lines.values():
            for zygote in line.zygotes:
                held &= zygote.layers if zygote.layers is not None else held
        layers = tuple(layer for layer in LAYERS if layer in held)
        if not self.unsafe:
            demand_enough(layers, self.profile.name)
        return layers

    def _start_over(self, batch: _Batch) -> None:
        """End all processes and forget all that was going on, which may have been interrupted anywhere."""
        self._finalizer()
        self._selector.close()
        for flight in batch.flights.values():
            flight.close()
        self._open()

    def _abandon(self) -> None:
        """In a fork of the trainer: leave its zygotes to it, and start others when they are needed."""
        self._finalizer.detach()
        for line in self._lines.values():
            line.abandon()
        # Closed, not emptied: the two processes share what is registered.
        self._selector.close()
        self._lock = threading.RLock()
        self._open()


@functools.cache
def shared_pool(profile: SandboxProfile, workers: int = 2, unsafe: bool = False) -> SandboxPool:
    """Return the one pool of this process for a profile, so that several verifiers share its processes."""
    return SandboxPool(profile, workers, unsafe)


def _settings(pool: SandboxPool, role: str, without: tuple[str, ...]) -> Settings:
    profile, limits = pool.profile, pool.profile.limits
    script = role == "script"
    return Settings(
        role=role,
        function=profile.runner if script else profile.meter,
        preload=profile.preload,
        modules=profile.modules,
        readable=profile.readable,
        own=("sciRL", profile.runner.partition(":")[0], profile.meter.partition(":")[0]),
        without=without,
        cpu_s=whole_seconds(limits.cpu_s if script else limits.meter_cpu_s),
        memory_mb=limits.memory_mb if script else limits.meter_memory_mb,
        threads=limits.threads,
        children=pool.workers,
    )


def _demand_json(jobs: Sequence[Job], name: str) -> None:
    for position, job in enumerate(jobs):
        try:
            json.dumps(job.request, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(f"sandbox {name!r}: the request of job {position} is no JSON: {error}") from error


def _close(lines: dict[str, ZygoteLine], owner: int) -> None:
    for line in lines.values():
        if os.getpid() == owner:
            line.close()


_POOLS: weakref.WeakSet[SandboxPool] = weakref.WeakSet()


def _abandon_pools() -> None:
    for pool in list(_POOLS):
        pool._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_pools)
