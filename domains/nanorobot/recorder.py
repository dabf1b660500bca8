"""The record of evaluated episodes: decimated paths, and the JSON text that the verifiers read.

    {"preset":"standard","hit":true,"hit_time":31.4,"tumour":0,"path":[[0.0,101.2,8.0,-33.1],...],
     "path_length":785.0,"tumbles":29,"seed":7}

`path` holds [t, x, y, z] in s and um: the start, one point every `record_every` seconds, and the end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor

from domains.nanorobot.options import NanorobotOptions

DIGITS = 4


class Recorder:
    """Collects what `NanorobotEnvironment.episodes` writes.

    Args:
        options: the simulation.
        seeds: of the n episodes.
        position: start positions [3, M], M >= n.
    """

    def __init__(self, options: NanorobotOptions, seeds: Sequence[int], position: Tensor) -> None:
        self.options = options
        self.seeds = list(seeds)
        rows = position.shape[1]
        self.points = [position.clone()]
        self.last = position.clone()
        self.steps = torch.zeros(rows, dtype=torch.int64, device=position.device)
        self.length = torch.zeros(rows, device=position.device)
        self.tumbles = torch.zeros_like(self.steps)
        self.tumour = torch.full_like(self.steps, -1)
        self.taken = 0

    def add(self, position: Tensor, running: Tensor, tumbled: Tensor | None, contact: Tensor) -> None:
        """Add one step.

        Args:
            position: [3, M] after the step.
            running: [M] bool, rows that had not ended before it.
            tumbled: [M] bool, rows that tumbled in it; None where no action is a tumble.
            contact: [K, M] bool, which tumours the robot touches after it.
        """
        offset = position - self.last
        self.length += torch.where(running, (offset * offset).sum(0).sqrt_(), 0.0)
        self.last = torch.where(running, position, self.last)
        self.steps += running
        if tumbled is not None:
            self.tumbles += running & tumbled
        first = contact.to(torch.int64).argmax(0)
        self.tumour = torch.where(running & contact.any(0), first, self.tumour)
        self.taken += 1
        if self.taken % self.options.record_stride == 0:
            self.points.append(self.last.clone())

    def episodes(self) -> list[str]:
        """Return the record of each of the n episodes, as far as it has come."""
        path = torch.stack(self.points).permute(2, 0, 1).cpu().tolist()
        last = self.last.T.cpu().tolist()
        steps, tumour = self.steps.tolist(), self.tumour.tolist()
        length, tumbles = self.length.tolist(), self.tumbles.tolist()
        return [
            self._text(path[row], last[row], steps[row], tumour[row], length[row], tumbles[row], self.seeds[row])
            for row in range(len(self.seeds))
        ]

    def _text(
        self,
        path: list[list[float]],
        last: list[float],
        steps: int,
        tumour: int,
        length: float,
        tumbles: int,
        seed: int,
    ) -> str:
        stride, dt = self.options.record_stride, self.options.dt
        points = [(index * stride, point) for index, point in enumerate(path) if index * stride <= steps]
        if points[-1][0] < steps:
            points.append((steps, last))
        rounded = [[round(step * dt, 6), *(round(x, DIGITS) for x in point)] for step, point in points]
        record = {
            "preset": self.options.preset,
            "hit": tumour >= 0,
            "hit_time": round(steps * dt, 6) if tumour >= 0 else None,
            "tumour": tumour if tumour >= 0 else None,
            "path": rounded,
            "path_length": round(length, 3),
            "tumbles": tumbles,
            "seed": seed,
        }
        return json.dumps(record, separators=(",", ":"))
