"""Named settings of the search task; each fills the options that a user did not give.

================  ==================================================================================================
preset            what it is
================  ==================================================================================================
standard          1 um swimmer, 25 um/s, one 15 um spheroid that secretes 2e5 molecules/s
strong            the same with 5e5 molecules/s: a clearer signal
hard              0.5 um swimmer, 20 um/s: it loses its heading eight times as fast and counts fewer molecules
kavousinejad2024  a scripted oracle, for comparison only: S. Kavousinejad, arXiv 2411.02345 (2024). Its two actions move
                  towards the TRUE position of a biomarker point or of the cell, and near the cell the action is
                  ignored, so reaching the cell shows no learning (see `kavousinejad`)
================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

PresetName = Literal["standard", "strong", "hard", "kavousinejad2024"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "standard": {},
    "strong": {"secretion": 5e5},
    # The heading of a 0.5 um body is forgotten in 0.44 s, so the time step is halved.
    "hard": {"robot_radius": 0.5, "speed": 20.0, "dt": 0.05},
    # Lengths have no unit there and frames stand for seconds.
    "kavousinejad2024": {"box": 100.0, "dt": 1.0, "duration": 1000.0, "record_every": 10.0, "actions": "scripted"},
}
"""Option values by preset; what is absent keeps the default of `NanorobotOptions`."""
