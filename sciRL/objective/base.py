"""LossTerm: a loss over the action tokens of a micro-batch, with denominators of the global batch.

Every aggregation is a sum over tokens of coefficient x loss, the coefficients being fixed on the global
batch before it is cut. Loss and gradient therefore do not depend on how the batch is cut, sorted, or
spread over processes:

    token-mean                 c = w / sum(w)                      DAPO
    seq-mean-token-sum         c = w / N
    seq-mean-token-mean        c = w / (N sum_i(w))                GRPO; with weights CAD-RL, arXiv 2508.10118, eq. 8
    seq-mean-token-sum-norm    c = w / (N L)                       Dr.GRPO; verl's is not divided by N

with w > 0 the weight of a trained token (1 unless a token is to count more), sum_i over row i, N the rows that
have a trained token, L a constant length. Both means are weighted means: only ratios of weights matter to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

import torch
from torch import Tensor

from sciRL.trajectory import TrajectoryBatch

Aggregation: TypeAlias = Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
AGGREGATIONS: tuple[str, ...] = get_args(Aggregation)


def token_coefficients(
    batch: TrajectoryBatch, aggregation: Aggregation, constant_length: int | None = None, *, weighted: bool = True
) -> Tensor:
    """Return c [S], so that the aggregated loss is sum(c x loss); without `weighted` every trained token weighs 1.

    Example: one row with token losses 1, 4, 1 and weights 1, 2, 1 has the mean 2.5; with equal weights 2.0.
    """
    mask = batch.action & (batch.weight > 0)
    weight = batch.weight * mask if weighted else mask.to(batch.weight.dtype)
    if aggregation == "token-mean":
        return weight / _divisor(weight.double().sum())
    rows = (batch.segment_sum(mask.float(), "row") > 0).sum().clamp(min=1)
    if aggregation == "seq-mean-token-sum":
        return weight / rows
    if aggregation == "seq-mean-token-mean":
        return weight / (rows * batch.spread(_divisor(batch.segment_sum(weight, "row")), "row"))
    if aggregation == "seq-mean-token-sum-norm":
        if constant_length is None:
            raise ValueError("seq-mean-token-sum-norm needs a constant length L")
        return weight / (rows * constant_length)
    raise ValueError(f"unknown aggregation {aggregation!r}; allowed: {', '.join(AGGREGATIONS)}")


def _divisor(total: Tensor) -> Tensor:
    """Return sums of weights to divide by: a sum of nothing divides nothing."""
    return torch.where(total > 0, total, torch.ones_like(total))


@dataclass
class MicroBatch:
    """The action tokens (A) of some rows: what the model said now, and the columns of the batch.

    `row` numbers the rows of the micro-batch 0..R-1. `columns` holds the batch's token columns at those
    tokens plus each term's coefficients under its name. Only `logp`, `entropy` and `value` carry gradient.
    """

    logp: Tensor
    row: Tensor
    n_rows: int
    columns: dict[str, Tensor]
    entropy: Tensor | None = None
    value: Tensor | None = None

    @property
    def logp_old(self) -> Tensor:
        """Log-probabilities before the update; on the first pass they are the current ones, detached."""
        return self.columns.get("logp_old", self.logp.detach())

    def row_sum(self, x: Tensor) -> Tensor:
        """Sum over the action tokens of each row [R]."""
        return torch.zeros(self.n_rows, dtype=x.dtype, device=x.device).index_add_(0, self.row, x)


class LossTerm(Protocol):
    """One part of an objective.

    `needs` names scoring passes (`logp_old`, `logp_ref`, `value`), `outputs` what the training forward
    must also return (`entropy`, `value`). `unit` is the number of neighbouring rows that must stay
    together (2 for preference pairs).
    """

    name: str
    needs: frozenset[str]
    outputs: frozenset[str]
    unit: int

    def prepare(self, batch: TrajectoryBatch) -> Tensor:
        """Return the coefficient of every token [S], taken on the global batch."""
        ...

    def active_rows(self, batch: TrajectoryBatch, coefficient: Tensor) -> Tensor:
        """Return which rows [N] can have a gradient from this term; the others are skipped."""
        ...

    def loss(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return this micro-batch's share of the loss, and sums for metrics (named `sum/<metric>`)."""
        ...


class TokenTerm(ABC):
    """Base of terms that are a weighted sum of per-token losses.

    `weighted` says whether a token counts by its weight (what is learnt from the answer) or every trained token
    the same (what holds the policy in place: KL, entropy, value).
    """

    name = "token"
    weighted = False
    needs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    unit = 1

    def __init__(
        self, aggregation: Aggregation = "token-mean", coefficient: float = 1.0, constant_length: int | None = None
    ) -> None:
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"unknown aggregation {aggregation!r}; allowed: {', '.join(AGGREGATIONS)}")
        self.aggregation = aggregation
        self.coefficient = coefficient
        self.constant_length = constant_length

    def prepare(self, batch: TrajectoryBatch) -> Tensor:
        """Return the coefficient of every token [S]."""
        coefficient = token_coefficients(batch, self.aggregation, self.constant_length, weighted=self.weighted)
        return self.coefficient * coefficient

    def active_rows(self, batch: TrajectoryBatch, coefficient: Tensor) -> Tensor:
        """Return the rows with any token of non-zero coefficient."""
        return batch.segment_sum((coefficient != 0).float(), "row") > 0

    @abstractmethod
    def per_token(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of every action token [A] and per-token quantities to average as metrics."""

    def loss(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return sum(c x loss) of the micro-batch and metric sums over its tokens."""
        per_token, metrics = self.per_token(micro)
        total = (micro.columns[self.name] * per_token).sum()
        return total, {name: value.detach().sum() for name, value in metrics.items()}


def objective_needs(terms: list[Any]) -> frozenset[str]:
    """Return all scoring passes the terms ask for."""
    return frozenset().union(*(term.needs for term in terms))
