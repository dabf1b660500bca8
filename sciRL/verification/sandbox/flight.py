"""Flight: one child of a zygote as the pool sees it, from its start to its end."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field

from sciRL.verification.sandbox.frames import READY
from sciRL.verification.sandbox.verdict import Cut, Ending
from sciRL.verification.sandbox.zygote_process import ZygoteProcess

START_LIMIT_S = 10.0
KILL_LIMIT_S = 0.5
_CHUNK = 1 << 20


@dataclass(eq=False)
class Flight:
    """A running child.

    Args:
        serial: the number by which zygote and pool speak of it.
        position: the job's position in its batch.
        payload: what is being measured, None for a script.
        zygote: its parent.
        pipe: descriptor of its result pipe, -1 once closed.
        wall_s: seconds until it is killed.
        max_bytes: bytes that it may write.
    """

    serial: int
    position: int
    payload: bytes | None
    zygote: ZygoteProcess
    pipe: int
    wall_s: float
    max_bytes: int
    started: float = field(default_factory=time.monotonic)
    data: bytearray = field(default_factory=bytearray)
    cut: Cut = ""

    @property
    def seconds(self) -> float:
        """Wall seconds since the start."""
        return time.monotonic() - self.started

    @property
    def deadline(self) -> float:
        """When (monotonic, s) the pool must look at it next."""
        if self.cut:
            return self.started + self.wall_s + KILL_LIMIT_S
        if not self.data.startswith(READY):
            return self.started + min(START_LIMIT_S, self.wall_s)
        return self.started + self.wall_s

    def read(self) -> bool:
        """Take a piece of what the child has written, and kill it when that is too much; False when none is there."""
        try:
            chunk = os.read(self.pipe, _CHUNK)
        except OSError:
            return False
        if len(self.data) <= self.max_bytes:
            self.data += chunk
        if len(self.data) > self.max_bytes and not self.cut:
            self.kill("size")
        return bool(chunk)

    def kill(self, cut: Cut) -> None:
        """Ask the zygote to kill the child."""
        self.cut = cut
        self.zygote.kill_child(self.serial)

    def end(self, exit_code: int | None, cpu_s: float) -> Ending:
        """Return how the child ended, with all it has written; the pipe is closed."""
        while not self.cut and self.read():
            pass
        self.close()
        return Ending(self.data, self.cut, exit_code, cpu_s)

    def close(self) -> None:
        """Close the pipe."""
        if self.pipe >= 0:
            with contextlib.suppress(OSError):
                os.close(self.pipe)
            self.pipe = -1
