"""Preference losses on pairs of answers to one prompt: DPO and IPO.

    h = (logp_w - ref_w) - (logp_l - ref_l),  log-probabilities summed over the answer's tokens
    DPO   -log sigmoid(beta h)          arXiv 2305.18290
    IPO   (h - 1 / (2 beta))^2          arXiv 2310.12036; here on summed (not mean) log-probabilities

Rows 2k and 2k+1 of the batch are the chosen and the rejected answer of pair k.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from sciRL.objective.base import MicroBatch
from sciRL.trajectory import TrajectoryBatch

PreferenceLoss: TypeAlias = Literal["dpo", "ipo"]


def preference_loss(h: Tensor, beta: float, kind: PreferenceLoss) -> Tensor:
    """Return the loss of every pair.

    Example: h = 2.5, beta = 0.1 gives DPO 0.5759 and IPO 6.25; h = 0 gives DPO ln 2.
    """
    return -logsigmoid(beta * h) if kind == "dpo" else (h - 1 / (2 * beta)).square()


class PreferenceTerm:
    """Mean preference loss over the pairs of the global batch."""

    name = "preference"
    needs = frozenset({"logp_ref"})
    outputs: frozenset[str] = frozenset()
    unit = 2

    def __init__(self, beta: float = 0.1, kind: PreferenceLoss = "dpo") -> None:
        if kind not in get_args(PreferenceLoss):
            raise ValueError(f"unknown preference loss {kind!r}; allowed: {', '.join(get_args(PreferenceLoss))}")
        if beta <= 0:
            raise ValueError(f"beta must be positive; found {beta}")
        self.beta, self.kind = beta, kind

    def prepare(self, batch: TrajectoryBatch) -> Tensor:
        """Return 1 / number of pairs on every action token [S]."""
        if len(batch) % 2:
            raise ValueError(f"a batch of pairs has an even number of rows; found {len(batch)}")
        return batch.action.float() * (2 / max(1, len(batch)))

    def active_rows(self, batch: TrajectoryBatch, coefficient: Tensor) -> Tensor:
        """Every row of every pair takes part."""
        return torch.ones(len(batch), dtype=torch.bool)

    def loss(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the pairs' share of the mean loss, and sums of margin and accuracy."""
        log_ratio = micro.row_sum(micro.logp - micro.columns["logp_ref"])
        h = log_ratio[0::2] - log_ratio[1::2]
        per_row = torch.zeros(micro.n_rows, dtype=micro.logp.dtype, device=micro.logp.device)
        per_row.scatter_reduce_(0, micro.row, micro.columns[self.name], "amax")
        total = (preference_loss(h, self.beta, self.kind) * per_row[0::2]).sum()
        chosen = micro.row_sum(micro.logp.detach())[0::2]
        return total, {
            "pair/margin": h.detach().sum(),
            "pair/accuracy": (h.detach() > 0).float().sum(),
            "pair/logp_chosen": chosen.sum(),
        }
