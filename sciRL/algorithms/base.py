"""Policy and Algorithm: all that a run knows of what it drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeAlias

Metrics: TypeAlias = dict[str, float]


class Policy(Protocol):
    """What a run trains and evaluates: a language model, a Q-table, a flow network."""

    def save(self, folder: Path) -> None:
        """Write the policy so that it can be loaded again (language models: Hugging Face layout)."""
        ...

    def load(self, folder: Path) -> None:
        """Put what `save` wrote into this policy, exactly."""
        ...


class Algorithm(Protocol):
    """One learner: a language-model trainer, a tabular Q-learner, a GFlowNet.

    A run calls `iterate` until its step budget is spent. Everything that influences a later
    iteration must be in `state_dict`, so that a resumed run is the uninterrupted run bit for bit.
    """

    @property
    def compute(self) -> int:
        """What was spent so far, in the learner's unit (language models: token passes)."""
        ...

    def iterate(self) -> Metrics:
        """Do one training step and return its metrics."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the policy's weights (optimiser, generators, counters, buffers)."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...
