"""What a person sees while a run goes on: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

# The metrics worth a place on one line, with their short names, in this order; others are in metrics.jsonl.
SHOWN = {
    "loss": "loss",
    "reward/mean": "reward",
    "held_out/pass_rate": "held-out pass rate",
    "length/mean": "length",
    "kl": "KL",
    "entropy": "entropy",
    "logp_gap": "logp gap",
    "time/tokens_per_s": "tok/s",
    "time/steps_per_s": "steps/s",
    "time/trajectories_per_s": "trajectories/s",
}
PART_PREFIX = "reward/part/"


class Display:
    """Shows a run's progress.

        display = Display(run.path)
        display.begin("rl", total=200)
        display.update(step, metrics)        # the dictionary that `Algorithm.iterate` returned
        display.end()

    `PART_PREFIX` metrics are the reward's parts. Lines go out at most every `interval_s` seconds when
    the output is not a terminal, so that a log file stays readable.
    """

    def __init__(self, where: Path, stream: TextIO | None = None, interval_s: float = 10.0) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._interval_s = interval_s
        self._where = where
        self._live: Any = None
        self._stage, self._total, self._first, self._spent = "", 0, 0.0, 0.0
        self._began = self._printed = 0.0

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Open a stage of `total` steps, `done` of which a resumed run has behind it."""
        self.end()
        self._stage, self._total, self._first = stage, total, done / max(1, total)
        self._began, self._printed = time.monotonic(), -math.inf
        if self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), refresh_per_second=4)
            self._live.start()
        else:
            self._print(f"{stage}: steps {done} to {total}; writing to {self._where}")

    def update(self, step: int, metrics: Mapping[str, float], spent: float = 0.0) -> None:
        """Show a finished step (counted from 1); `spent` is the share of a compute budget that is used up, if any."""
        self._spent = spent
        if self._live is not None:
            self._live.update(self._panel(step, metrics))
            return
        now = time.monotonic()
        if now - self._printed >= self._interval_s or step >= self._total:
            self._printed = now
            values = "  ".join(f"{name} {value}" for name, value in shown_values(metrics).items())
            self._print(f"{self._stage} {step}/{self._total}  {values}  left {self._left(step)}")

    def message(self, text: str) -> None:
        """Show a line that stays (an evaluation's result, a warning)."""
        if self._live is not None:
            self._live.console.print(text)
        else:
            self._print(text)

    def end(self) -> None:
        """Close the stage; the last state stays on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _left(self, step: int) -> str:
        reached = max(step / max(1, self._total), self._spent)
        if reached <= self._first:
            return "?"
        return duration((time.monotonic() - self._began) / (reached - self._first) * max(0.0, 1 - reached))

    def _panel(self, step: int, metrics: Mapping[str, float]) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 3))
        values = shown_values(metrics)
        table.add_row(*(Text(name, style="dim") for name in values))
        table.add_row(*(Text(value, style="bold") for value in values.values()))
        bar = ProgressBar(total=self._total, completed=step, width=60)
        foot = Text(f"left {self._left(step)}   writing to {self._where}", style="dim")
        return Panel(Group(bar, table, foot), title=f"{self._stage}  step {step} of {self._total}", expand=False)


def shown_values(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the metrics that fit on a screen, by short name, formatted."""
    values = {name: _short(metrics[key]) for key, name in SHOWN.items() if key in metrics}
    parts = {
        key.removeprefix(PART_PREFIX): _short(value) for key, value in metrics.items() if key.startswith(PART_PREFIX)
    }
    return values | parts


def duration(seconds: float) -> str:
    """Return a span as a person says it.

    Example:
        >>> duration(3725)
        '1 h 2 min'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _short(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
