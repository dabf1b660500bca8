"""The logs of a run: append-only JSON lines that are identical, bit for bit, when a run is repeated.

    log = MetricsLog(run.path, trackers)
    log.write(step, "rl", {"reward/mean": 0.5, "time/tokens_per_s": 812.0})

`time/...` values depend on the machine's mood: they go to `timings.jsonl` and never into `metrics.jsonl`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sciRL.errors import UserError

TIME_PREFIX = "time/"


class JsonlLog:
    """A file with one JSON object a line that can be cut back to where a checkpoint was taken.

    `state_dict` belongs into the checkpoint; `load_state_dict` removes, atomically, every line that was
    written after it (a torn last line of a killed process included). `load_state_dict({"lines": 0})` empties
    the file: a resumed run without a checkpoint begins again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = _count_lines(path)
        self._stream = path.open("a", encoding="utf-8")

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one line; a number that JSON cannot hold (nan, inf) becomes null."""
        self._stream.write(json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n")
        self._stream.flush()
        self._lines += 1

    def state_dict(self) -> dict[str, int]:
        """Flush the file to the disk and return the number of its lines."""
        os.fsync(self._stream.fileno())
        return {"lines": self._lines}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Cut the file back to the lines it had; a file that has fewer raises `UserError`."""
        self._stream.close()
        truncate_lines(self.path, state["lines"])
        self._lines = state["lines"]
        self._stream = self.path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class Tracker(Protocol):
    """Where metrics go besides the run's own files."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take over the metrics of a step."""
        ...

    def close(self) -> None:
        """Write what is still held back."""
        ...


class MetricsLog:
    """`metrics.jsonl` (one object a step: step, stage, then the metrics), `timings.jsonl` and the trackers."""

    def __init__(self, folder: Path, trackers: Sequence[Tracker] = ()) -> None:
        self._metrics = JsonlLog(folder / "metrics.jsonl")
        self._timings = JsonlLog(folder / "timings.jsonl")
        self._trackers = tuple(trackers)

    def write(self, step: int, stage: str, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Log the metrics of a step and return the row as it stands in `metrics.jsonl`."""
        head: dict[str, Any] = {"step": step, "stage": stage}
        row = head | {key: value for key, value in metrics.items() if not key.startswith(TIME_PREFIX)}
        timing = {key.removeprefix(TIME_PREFIX): v for key, v in metrics.items() if key.startswith(TIME_PREFIX)}
        self._metrics.append(row)
        if timing:
            self._timings.append(head | timing)
        for tracker in self._trackers:
            tracker.log(step, {f"{stage}/{key}": value for key, value in metrics.items()})
        return row

    def state_dict(self) -> dict[str, Any]:
        """Return how long both files are."""
        return {"metrics": self._metrics.state_dict(), "timings": self._timings.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut both files back to where `state_dict` was taken."""
        self._metrics.load_state_dict(state["metrics"])
        self._timings.load_state_dict(state["timings"])

    def restart(self) -> None:
        """Empty both files: the run begins again."""
        self.load_state_dict({"metrics": {"lines": 0}, "timings": {"lines": 0}})

    def close(self) -> None:
        """Close the files and the trackers."""
        self._metrics.close()
        self._timings.close()
        for tracker in self._trackers:
            tracker.close()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file; a torn last line (a killed writer) is left out.

    Raises:
        UserError: a complete line that is not a JSON object, with its number.
    """
    return [row for _, row in _rows(path)] if path.exists() else []


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith("\n"):
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path} line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise UserError(f"{path} line {number} must be a JSON object; found {type(row).__name__}")
            yield number, row


def truncate_lines(path: Path, lines: int) -> None:
    """Keep the first `lines` lines of a file, through a copy aside; fewer than that raises `UserError`."""
    aside = path.with_name(f".{path.name}.aside")
    kept = 0
    with path.open("rb") as source, aside.open("wb") as target:
        for line in source:
            if kept == lines or not line.endswith(b"\n"):
                break
            target.write(line)
            kept += 1
        target.flush()
        os.fsync(target.fileno())
    if kept < lines:
        aside.unlink()
        raise UserError(f"{path} has {kept} lines but its checkpoint was taken at line {lines}: the file was changed")
    os.replace(aside, path)


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
