"""What the end of a child means: from exit codes and untrusted bytes to a payload, measurements or a failure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sciRL.verification.sandbox import frames
from sciRL.verification.sandbox.failure import MEASURED_CODES, SCRIPT_CODES
from sciRL.verification.sandbox.outcome import Outcome, one_line
from sciRL.verification.sandbox.profile import Limits, whole_seconds

MAX_SCRIPT_HEADER_BYTES = 1 << 16
_USED_UP = 0.5
"""Share of its CPU limit from which a killed process counts as killed for it. The kernel judges the limit by whole
clock ticks, and on a busy machine counts ticks of which a process ran a part: what it reports in the end is less."""

_MARKS = frames.ALONE + frames.NOT_ALONE

Cut: TypeAlias = Literal["", "wall", "size"]


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Args:
        data: what it wrote to its pipe.
        cut: why the pool killed it, "" when it did not.
        exit_code: as the system gives it (negative: the signal), None when it was never learnt.
        cpu_s: CPU seconds that it used.
    """

    data: bytes | bytearray
    cut: Cut
    exit_code: int | None
    cpu_s: float

    @property
    def started(self) -> bool:
        """Whether the locks closed and the work began; nothing untrusted has run before."""
        return self.data.startswith(frames.READY)

    @property
    def alone(self) -> bool:
        """Whether a meter had nothing but the payload in its hands when it ended (see `blame`)."""
        marks = bytes(self.data[len(frames.READY) :])
        return marks.endswith(frames.ALONE) and not marks.strip(_MARKS)

    def content(self, max_header_bytes: int, marks: bytes = b"") -> tuple[dict[str, Any], list[bytes]]:
        """Return the frame behind the marks.

        Raises:
            FrameError: there is none, or the child did not end by itself with exit code 0.
        """
        if self.cut or self.exit_code != 0:
            raise frames.FrameError("the process did not end in order")
        return frames.decode(memoryview(self.data)[len(frames.READY) :].tobytes().lstrip(marks), max_header_bytes)


class NotStartedError(Exception):
    """The sandbox itself failed before it touched anything untrusted; the job may be tried again."""


def script_verdict(ending: Ending, limits: Limits) -> bytes | Outcome:
    """Return the payload of a script, or its failure; whatever a script does, the failure is the script's.

    Raises:
        NotStartedError: the script never ran.
    """
    _demand_start(ending)
    if ending.cut == "wall":
        return _failed("timeout", f"over the wall limit of {limits.wall_s:g} s")
    if ending.cut == "size":
        return _failed("too_big", f"the result is larger than {limits.payload_mb:g} MiB")
    try:
        content, blobs = ending.content(MAX_SCRIPT_HEADER_BYTES)
    except frames.FrameError:
        return _without_result(ending, limits)
    if content.get("kind") == "payload" and len(blobs) == 1:
        return blobs[0]
    named = _named_failure(content)
    if named is None or named.code in MEASURED_CODES:
        return _failed("exit", "the script ended the process with a broken result")
    return named


def meter_verdict(ending: Ending, limits: Limits) -> Outcome:
    """Return the measurements, the failure that the meter found or died of, or the meter's own failure.

    Raises:
        NotStartedError: the meter never ran.
    """
    _demand_start(ending)
    over_cpu = ending.exit_code == -signal.SIGKILL and ending.cpu_s > _USED_UP * whole_seconds(limits.meter_cpu_s)
    if (over_cpu or _crashed(ending.exit_code)) and ending.alone:
        if over_cpu:
            return _failed("too_big", f"the result takes too much of {limits.meter_cpu_s:g} s of CPU to measure")
        return _failed("crash", f"the process that read the result {_ending_text(ending.exit_code)}")
    if ending.cut == "wall" or over_cpu:
        limit = f"{limits.meter_cpu_s:g} s of CPU" if over_cpu else f"{limits.meter_wall_s:g} s"
        return Outcome("meter_timeout", f"the measurement took more than {limit}", fault="sandbox")
    if ending.cut == "size":
        return sandbox_error(f"the measurement is larger than {limits.payload_mb:g} MiB")
    try:
        content, blobs = ending.content(frames.MAX_HEADER_BYTES, _MARKS)
    except frames.FrameError as error:
        return sandbox_error(f"the meter {_ending_text(ending.exit_code)}: {error}")
    measurements = content.get("measurements")
    if content.get("kind") == "measurements" and isinstance(measurements, dict):
        return Outcome("ok", measurements=measurements, blobs=tuple(blobs))
    return _named_failure(content) or sandbox_error(f"meter: {content.get('message')}")


def sandbox_error(message: str) -> Outcome:
    """Return the outcome of a job that the sandbox could not do."""
    return Outcome("sandbox_error", one_line(message), fault="sandbox")


def _demand_start(ending: Ending) -> None:
    if not ending.started:
        reason = bytes(ending.data[:500]).decode(errors="replace") or _ending_text(ending.exit_code)
        raise NotStartedError(f"a process could not lock itself in: {reason}")


def _without_result(ending: Ending, limits: Limits) -> Outcome:
    """Return why a script that ran left no result."""
    if ending.exit_code == -signal.SIGKILL:
        if ending.cpu_s > _USED_UP * whole_seconds(limits.cpu_s):
            return _failed("timeout", f"over the CPU limit of {whole_seconds(limits.cpu_s)} s")
        return _failed("memory", "ended by SIGKILL: the system was short of memory, or the script killed itself")
    if _crashed(ending.exit_code):
        return _failed("crash", f"the process {_ending_text(ending.exit_code)}")
    return _failed("exit", f"the process {_ending_text(ending.exit_code)} without a result")


def _crashed(exit_code: int | None) -> bool:
    """Whether a signal other than SIGKILL, which may come from the system, ended the process."""
    return exit_code is not None and exit_code < 0 and exit_code != -signal.SIGKILL


def _named_failure(content: dict[str, Any]) -> Outcome | None:
    code, message = content.get("code"), content.get("message")
    if content.get("kind") == "failure" and isinstance(code, str) and code in SCRIPT_CODES and isinstance(message, str):
        return _failed(code, message)
    return None


def _failed(code: str, message: str) -> Outcome:
    return Outcome(code, one_line(message), fault="script")


def _ending_text(exit_code: int | None) -> str:
    if exit_code is None:
        return "was lost"
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
