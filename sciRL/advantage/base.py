"""AdvantageTransform: turns scored trajectories into token advantages, as an ordered list of small parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from sciRL.trajectory import TrajectoryBatch


@dataclass(frozen=True)
class AdvantageContext:
    """What a transform may know beside the batch: the training step."""

    step: int


class AdvantageTransform(Protocol):
    """A pure step from columns to columns.

    `reads` and `writes` name columns of the batch; `needs` names the scoring passes (`logp_old`,
    `logp_ref`, `value`, `entropy`) that must have run. All three are checked when a run is composed.
    """

    reads: ClassVar[frozenset[str]]
    writes: ClassVar[frozenset[str]]
    needs: frozenset[str]

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the written columns."""
        ...


ALWAYS_FILLED = frozenset(
    {"ids", "role", "turn", "weight", "group", "source", "outcome", "truncated", "components", "status", "logp_sampler"}
)


def check_composition(transforms: Sequence[AdvantageTransform]) -> frozenset[str]:
    """Check that every column is written before it is read; return all scoring passes that are needed."""
    available = set(ALWAYS_FILLED)
    needs: set[str] = set()
    for transform in transforms:
        needs |= transform.needs
        missing = transform.reads - available - transform.needs
        if missing:
            raise ValueError(
                f"{type(transform).__name__} reads {sorted(missing)}, which nothing before it writes or scores"
            )
        available |= transform.writes
    if "advantage" not in available:
        raise ValueError("no transform of the composition writes 'advantage'")
    return frozenset(needs)


def apply_transforms(
    transforms: Sequence[AdvantageTransform], batch: TrajectoryBatch, context: AdvantageContext
) -> TrajectoryBatch:
    """Apply the transforms in order and return the batch with their columns."""
    for transform in transforms:
        batch = batch.with_columns(transform.apply(batch, context))
    return batch
