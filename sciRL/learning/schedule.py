"""LinearSchedule: a number that moves along a straight line during a stage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LinearSchedule(BaseModel):
    """From `start` to `end` over the first `share` of a stage, `end` after that.

    Example: start 0.3, end 0.02, share 0.5 gives 0.16 after a quarter of the stage and 0.02 from its half on.
    """

    model_config = ConfigDict(extra="forbid")

    start: float = Field(ge=0, le=1)
    """Value of the first step."""
    end: float = Field(ge=0, le=1)
    """Value of the last step."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of the stage's steps that the way takes."""

    def at(self, step: int, total_steps: int) -> float:
        """Return the value at step `step` (0-based) of `total_steps`."""
        progress = step / max(1, total_steps - 1)
        return self.start + (self.end - self.start) * min(1.0, progress / self.share)
