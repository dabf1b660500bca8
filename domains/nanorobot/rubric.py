"""Rubric presets of the nanorobot domain.

=======  ==========================================================================
preset   what it pays
=======  ==========================================================================
success  validity (gate, unpaid), success 1: the share of searches that end at a tumour
time     validity (gate, unpaid), success 1, time 1: also pays for finding it sooner
=======  ==========================================================================
"""

from __future__ import annotations

from domains.nanorobot.verifiers import Success, Time, Validity
from sciRL.errors import UserError
from sciRL.verification.base import Rubric, Stage

PRESETS = ("success", "time")


def make_rubric(preset: str = "success") -> Rubric:
    """Return a rubric preset.

    Raises:
        UserError: an unknown preset.

    Example: `make_rubric("time")` gives a tumour reached after 30 of 120 s (1 + 0.75) / 2 = 0.875.
    """
    if preset not in PRESETS:
        raise UserError(f"unknown rubric {preset!r}; allowed: {', '.join(PRESETS)}")
    stages = [Stage(Validity(), 0.0, gate=True), Stage(Success(), 1.0)]
    return Rubric(preset, [*stages, Stage(Time(), 1.0)] if preset == "time" else stages)
