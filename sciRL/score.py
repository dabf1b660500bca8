"""Score: what a verifier says about one answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Who failed, if anyone: `malformed` is the answer's fault, `timeout` and `error` the verifier's."""

    OK = "ok"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    ERROR = "error"

    @property
    def scorable(self) -> bool:
        """Whether a sample of this status may be trained on."""
        return self in (Status.OK, Status.MALFORMED)


@dataclass(frozen=True)
class Score:
    """A verdict: `value` in [0, 1], or None when the verifier itself failed.

    A failed verifier is never a zero: `timeout` and `error` carry value None, and such samples are
    masked out of training, counted and shown.

    Example:
        >>> Score.ok(0.5, reason="half of the sites").scorable
        True
        >>> Score.failed(Status.TIMEOUT, "over 2 s").value is None
        True
    """

    value: float | None
    components: Mapping[str, float] = field(default_factory=dict)
    status: Status = Status.OK
    reason: str = ""
    measurements: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))
        if self.status.scorable:
            if self.value is None or not math.isfinite(self.value) or not 0.0 <= self.value <= 1.0:
                raise ValueError(f"a score of status {self.status} needs a value in [0, 1]; found {self.value!r}")
            if self.status is Status.MALFORMED and self.value != 0.0:
                raise ValueError(f"a malformed answer scores 0; found {self.value!r}")
        elif self.value is not None:
            raise ValueError(f"a score of status {self.status} has no value; found {self.value!r}")

    @property
    def scorable(self) -> bool:
        """Whether the sample may be trained on."""
        return self.status.scorable

    @classmethod
    def ok(cls, value: float, reason: str = "", **measurements: Any) -> Score:
        """The answer was read and judged."""
        return cls(float(value), reason=reason, measurements=measurements)

    @classmethod
    def malformed(cls, reason: str, **measurements: Any) -> Score:
        """The answer could not be read: value 0."""
        return cls(0.0, status=Status.MALFORMED, reason=reason, measurements=measurements)

    @classmethod
    def failed(cls, status: Status, reason: str) -> Score:
        """The verifier failed (`timeout` or `error`): no value."""
        return cls(None, status=status, reason=reason)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary."""
        return {
            "value": self.value,
            "components": dict(self.components),
            "status": self.status.value,
            "reason": self.reason,
            "measurements": dict(self.measurements),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        """Build a score from `to_dict` output."""
        return cls(
            data["value"],
            components=data.get("components") or {},
            status=Status(data.get("status", "ok")),
            reason=data.get("reason", ""),
            measurements=data.get("measurements") or {},
        )
