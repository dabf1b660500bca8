"""Which searches a moving figure shows, and how finely: the first start conditions, the same ones for every arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.nanorobot.metrics import Search
from sciRL.domain import Record

Runs = Mapping[str, Sequence[tuple[Record, Search]]]
"""Valid searches by arm, in the order of the report."""
Centres = tuple[tuple[float, float, float], ...]

MOST_POINTS = 10_000
"""Positions of one figure: about 200 kB of text."""


@dataclass(frozen=True)
class Path:
    """A search that is shown.

    Attributes:
        arm: number of its arm.
        start: number of its start condition.
        tumours: centres in um.
        points: [N, 3] in um, decimated; the last one is the end of the search.
        end: time of the last point in s.
        found: whether it reached a tumour.
    """

    arm: int
    start: int
    tumours: Centres
    points: NDArray[np.float64]
    end: float
    found: bool


@dataclass(frozen=True)
class Selection:
    """The paths of a figure; `stride` recorded positions lie between two points of a path."""

    arms: tuple[str, ...]
    starts: int
    paths: tuple[Path, ...]
    stride: int

    def describe(self, step: float) -> str:
        """Return which searches these are, as sentences of a caption; `step` is the time between two points in s."""
        many = f"first {self.starts} held-out start conditions" if self.starts > 1 else "first held-out start condition"
        arms = f"{len(self.arms)} arms" if len(self.arms) > 1 else "one arm"
        return f"The {many} (not chosen), searched by {arms}; positions every {step:g} s, joined by straight lines."


def select(runs: Runs, most_starts: int, most_paths: int) -> Selection:
    """Return the first start conditions of the evaluation, at most `most_starts` and so many that paths stay few."""
    count = max(1, min(most_starts, most_paths // max(1, len(runs))))
    tasks: dict[str, Centres] = {}
    for own in runs.values():
        for record, search in own:
            if len(tasks) < count and search.task not in tasks:
                tasks[search.task] = tumours_of(record)
    chosen = []
    for arm, own in enumerate(runs.values()):
        by_task: dict[str, Search] = {}
        for _, search in own:
            by_task.setdefault(search.task, search)
        chosen += [(arm, index, task, by_task[task]) for index, task in enumerate(tasks) if task in by_task]
    stride = max(1, math.ceil(sum(len(search.path) for *_, search in chosen) / MOST_POINTS))
    paths = tuple(
        Path(arm, index, tasks[task], decimated(search, stride), search.seconds, search.found)
        for arm, index, task, search in chosen
    )
    return Selection(tuple(runs), len(tasks), paths, stride)


def tumours_of(record: Record) -> Centres:
    """Return the tumour centres of a record's task in um."""
    reference = record.task.reference
    assert isinstance(reference, dict), "only tasks with a scenario have readable searches"
    return tuple((float(x), float(y), float(z)) for x, y, z in reference["tumours"])


def decimated(search: Search, stride: int) -> NDArray[np.float64]:
    """Return every `stride`-th position [N, 3] of a search, and its last."""
    points = np.array(search.path)[:, 1:]
    kept = points[::stride]
    return np.concatenate([kept, points[-1:]]) if (len(points) - 1) % stride else kept
