"""Clipped policy loss: PPO, GRPO, Dr.GRPO, DAPO, RLOO, REINFORCE++, GSPO and CAD-RL as settings of one term.

    r_t = exp(clamp(logp - logp_old, -20, 20))
    l_t = max(-A r, -A clip(r, 1 - eps_low, 1 + eps_high));  where A < 0 also l_t = min(l_t, -A c)

PPO arXiv 1707.06347; dual clip arXiv 1912.09729. CAD-RL's trust-region stretch (arXiv 2508.10118, eq. 7) is
eps_low 0.4 and eps_high 0.8 without dual clip: ratios between 0.6 and 1.8. With `ratio="sequence"` (GSPO,
arXiv 2507.18071) log s_i = mean_t(logp - logp_old) replaces the token's log-ratio in value, while the gradient
runs through every token's own log-prob: r_t = exp(logp - sg(logp) + sg(log s_i)).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from sciRL.objective.base import Aggregation, MicroBatch, TokenTerm
from sciRL.trajectory import TrajectoryBatch

RatioLevel: TypeAlias = Literal["token", "sequence"]


class ClippedPolicy(TokenTerm):
    """The clipped surrogate; a row whose advantages are all zero has no gradient and is skipped.

    `sampler_cap`, when set, multiplies a token's loss by min(exp(logp_old - logp_sampler), cap): the
    truncated importance weight that corrects for a sampler in lower precision.
    """

    name = "policy"
    weighted = True

    def __init__(
        self,
        aggregation: Aggregation = "token-mean",
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        dual_clip: float | None = 3.0,
        ratio: RatioLevel = "token",
        sampler_cap: float | None = None,
        constant_length: int | None = None,
    ) -> None:
        super().__init__(aggregation, 1.0, constant_length)
        if not (0 < clip_low <= 1 and clip_high > 0):
            raise ValueError(f"clip bounds need 0 < low <= 1 and high > 0; found {clip_low}, {clip_high}")
        if dual_clip is not None and dual_clip <= 1:
            raise ValueError(f"dual_clip must be above 1; found {dual_clip}")
        self.clip_low, self.clip_high, self.dual_clip = clip_low, clip_high, dual_clip
        self.ratio, self.sampler_cap = ratio, sampler_cap

    def active_rows(self, batch: TrajectoryBatch, coefficient: Tensor) -> Tensor:
        """Return the rows with a non-zero product of coefficient and advantage."""
        assert batch.advantage is not None
        return batch.segment_sum(((coefficient != 0) & (batch.advantage != 0)).float(), "row") > 0

    def per_token(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the clipped loss of every action token and the share of clipped tokens."""
        advantage = micro.columns["advantage"]
        log_ratio = micro.logp - micro.logp_old
        if self.ratio == "sequence":
            length = micro.row_sum(torch.ones_like(log_ratio)).clamp(min=1)
            mean = (micro.row_sum(log_ratio.detach()) / length)[micro.row]
            log_ratio = (micro.logp - micro.logp.detach() + mean).clamp(max=10.0)
        else:
            log_ratio = log_ratio.clamp(-20.0, 20.0)
        ratio = log_ratio.exp()
        loss = clipped_loss(ratio, advantage, self.clip_low, self.clip_high, self.dual_clip)
        if self.sampler_cap is not None:
            importance = (micro.logp_old - micro.columns["logp_sampler"]).exp().clamp(max=self.sampler_cap)
            loss = loss * importance
        outside = ((ratio > 1 + self.clip_high) & (advantage > 0)) | ((ratio < 1 - self.clip_low) & (advantage < 0))
        return loss, {"clip_share": outside.float()}


def clipped_loss(
    ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float, dual_clip: float | None
) -> Tensor:
    """Return the clipped loss of every token.

    Example: ratio 1.5, A=+1, eps 0.2 gives -1.2; ratio 4, A=-1, dual clip 3 gives 3.0; ratio 2, A=+1 with
    eps_high 0.8 gives -1.8.
    """
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = torch.maximum(-advantage * ratio, -advantage * clipped)
    if dual_clip is None:
        return loss
    return torch.where(advantage < 0, torch.minimum(loss, -advantage * dual_clip), loss)
