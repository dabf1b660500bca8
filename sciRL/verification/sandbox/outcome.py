"""Job and Outcome: what goes into the sandbox, and what comes out of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

MAX_MESSAGE = 500

Fault: TypeAlias = Literal["none", "script", "sandbox"]


@dataclass(frozen=True)
class Job:
    """A script, and what the meter is asked about its result; `request` and `blobs` never reach the script's process.

    With a `payload` no script runs: the meter, which is locked in as well, gets these bytes in place of a result. So a
    file from elsewhere is measured that might crash or hang the library that reads it.

    Args:
        source: the program text, untrusted.
        request: JSON for the meter.
        blobs: bytes for the meter, such as a reference shape.
        payload: what is measured instead of a script's result.
    """

    source: str
    request: Mapping[str, Any] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()
    payload: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job; a `fault` of "sandbox" is never the script's doing and must not be scored as 0.

    Args:
        code: "ok", a code of `failure.SCRIPT_CODES`, "sandbox_error" or "meter_timeout".
        message: one line of at most 500 printable characters; for "exec_error" the type, message and line.
        measurements: the meter's numbers (empty unless the code is "ok").
        blobs: the meter's bytes, such as a mesh.
        seconds: wall time of the script and of the meter, without waiting for a worker.
        fault: who failed, if anyone.

    Example: a script ``1/0`` gives ``Outcome("exec_error", "ZeroDivisionError: division by zero (line 1)",
    fault="script")``.
    """

    code: str
    message: str = ""
    measurements: Mapping[str, Any] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()
    seconds: float = 0.0
    fault: Fault = "none"

    @property
    def ok(self) -> bool:
        """Whether the result was measured."""
        return self.code == "ok"


def one_line(text: str) -> str:
    """Return untrusted text as one line of printable characters, at most `MAX_MESSAGE` of them.

    Example:
        >>> one_line("a\\nb\\x1b[31m\\u202e c")
        'a b [31m c'
    """
    shown = "".join(" " if _unprintable(char) else char for char in text[: 4 * MAX_MESSAGE])
    return " ".join(shown.split())[:MAX_MESSAGE]


def _unprintable(char: str) -> bool:
    """Whether a character is a control, a direction mark, half of a surrogate pair or unassigned."""
    return unicodedata.category(char)[0] == "C"
