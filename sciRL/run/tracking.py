"""Trackers outside the run directory's own files: TensorBoard, Weights & Biases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sciRL.errors import UserError
from sciRL.run.metrics import Tracker

TRACKERS = ("tensorboard", "wandb")


def make_trackers(names: Sequence[str], run: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """Return the trackers a run asked for.

    Args:
        names: any of "tensorboard" and "wandb".
        run: the run directory; TensorBoard events go to its `tensorboard/`, its name is the W&B run's name.
        config: the resolved configuration, shown beside the curves.

    Raises:
        UserError: an unknown name, or a package that is not installed.
    """
    unknown = sorted(set(names) - set(TRACKERS))
    if unknown:
        raise UserError(f"unknown tracker {unknown[0]!r}; allowed: {', '.join(TRACKERS)}")
    made: list[Tracker] = []
    if "tensorboard" in names:
        made.append(TensorBoardTracker(run / "tensorboard"))
    if "wandb" in names:
        made.append(WandbTracker(run, config))
    return made


class TensorBoardTracker:
    """Writes TensorBoard event files."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("tracker 'tensorboard' needs the package: pip install tensorboard") from None
        self._writer = SummaryWriter(str(folder))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to each curve; values that are not finite are left out."""
        for name, value in metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class WandbTracker:
    """Logs to Weights & Biases (online or offline as WANDB_MODE says); a resumed run continues its curves."""

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("tracker 'wandb' needs the package: pip install wandb") from None
        self._run = wandb.init(
            project="sciRL", name=run.name, id=run.name, resume="allow", dir=str(run), config=dict(config)
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
