"""Draw tokens by inverting the cumulative distribution: one uniform number decides one token.

Exponential-noise samplers (Gumbel, multinomial) need V random numbers a token and cost ten times more at
V = 512 on a CPU. One uniform a position also makes a draw depend on its request's seed alone.

Shapes: B rows, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.rollout.base import ForcedText, GenerationRequest, SamplingParameters

_SEED_MASK = (1 << 64) - 1


def padded_left(forced: Sequence[ForcedText], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what a model reads to predict every target, padded on the left [B, T], and each row's padding [B].

    Example: prefix (5, 6) with target (7, 8) reads 5, 6, 7: its last two places predict the target.
    """
    rows = [[*text.prefix, *text.target[:-1]] for text in forced]
    width = max(map(len, rows), default=0)
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=device)
    return ids, torch.tensor([width - len(row) for row in rows], device=device)


def check(requests: Sequence[GenerationRequest], parameters: SamplingParameters, max_length: int | None) -> None:
    """Raise `UserError` when the parameters are out of range or a prompt does not fit into the context."""
    if parameters.max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {parameters.max_new_tokens}; it must be at least 1")
    if not 0 <= parameters.temperature < float("inf"):
        raise UserError(f"temperature is {parameters.temperature}; it must be 0 (greedy) or a positive number")
    if not 0 < parameters.top_p <= 1:
        raise UserError(f"top_p is {parameters.top_p}; it must be above 0 and at most 1 (off)")
    if parameters.top_k < 0:
        raise UserError(f"top_k is {parameters.top_k}; it must be 0 (off) or a positive count")
    for index, request in enumerate(requests):
        length = len(request.prompt_ids)
        if length == 0:
            raise UserError(f"request {index} has an empty prompt; a prompt needs at least one token")
        if max_length is not None and length + parameters.max_new_tokens > max_length:
            raise UserError(
                f"request {index}: a prompt of {length} tokens and max_new_tokens={parameters.max_new_tokens} "
                f"exceed the model's context of {max_length} tokens"
            )


def refuse_images(requests: Sequence[GenerationRequest | ForcedText], sampler: str) -> None:
    """Raise `UserError` when a request has pictures, which `sampler` cannot show to the model."""
    if any(request.images for request in requests):
        raise UserError(f"sampler {sampler!r} cannot show pictures to the model; use 'transformers' or 'auto'")


def uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Return uniform numbers in [0, 1) as fp32 [len(seeds), count]; row i depends on seeds[i] alone.

    A counter-based generator (Philox) keyed by the seed: number t is the same however many are asked for.
    """
    rows = np.empty((len(seeds), count), dtype=np.float32)
    for row, seed in zip(rows, seeds, strict=True):
        np.random.Generator(np.random.Philox(key=seed & _SEED_MASK)).random(out=row, dtype=np.float32)
    return torch.from_numpy(rows)


def draw(
    logits_BV: Tensor, uniform_B: Tensor, parameters: SamplingParameters, barred: int | None = None
) -> tuple[Tensor, Tensor]:
    """Pick one token a row.

    Args:
        logits_BV: unscaled logits; computed with in fp32.
        uniform_B: one number in [0, 1) a row (unread when greedy).
        parameters: temperature, top-k and top-p; the filters apply in this order, as in transformers.
        barred: a token that is never drawn, the first of the filters; None bars nothing.

    Returns:
        ids [B], and their log-probabilities [B] in fp32 under softmax(logits / temperature) before the filters
        (temperature 1 when greedy).
    """
    logits_BV = logits_BV.float()
    if parameters.temperature == 0:
        ids_B = (logits_BV if barred is None else _without(logits_BV, barred, float("-inf"))).argmax(dim=-1)
        return ids_B, logits_BV.gather(1, ids_B[:, None])[:, 0] - logits_BV.logsumexp(dim=-1)
    if parameters.temperature != 1:
        logits_BV = logits_BV / parameters.temperature
    p_BV = logits_BV.softmax(dim=-1)
    kept_BV = filtered(p_BV if barred is None else _without(p_BV, barred, 0.0), parameters)
    cumulative_BV = kept_BV.cumsum(dim=-1)
    # Scaling the uniform by the last sum, not the sums by 1/sum, keeps the point below the last sum after rounding.
    point_B1 = (uniform_B * cumulative_BV[:, -1])[:, None]
    # right=True skips every token of probability zero: the sum has to rise above the point.
    ids_B1 = torch.searchsorted(cumulative_BV, point_B1, right=True).clamp_(max=p_BV.shape[1] - 1)
    if p_BV.is_cuda:
        # A parallel scan rounds differently along the row and may dip, so that the search can end on a zero.
        zero_B1 = kept_BV.gather(1, ids_B1) == 0
        ids_B1 = torch.where(zero_B1, kept_BV.argmax(dim=-1, keepdim=True), ids_B1)
    return ids_B1[:, 0], p_BV.gather(1, ids_B1)[:, 0].log()


def _without(x_BV: Tensor, token: int, value: float) -> Tensor:
    return x_BV.index_fill(1, torch.tensor([token], device=x_BV.device), value)


def filtered(p_BV: Tensor, parameters: SamplingParameters) -> Tensor:
    """Return the probabilities with everything outside top-k and top-p set to zero (not renormalised)."""
    vocabulary = p_BV.shape[1]
    if 0 < parameters.top_k < vocabulary:
        threshold_B1 = p_BV.topk(parameters.top_k, dim=-1).values[:, -1:]
        p_BV = p_BV * (p_BV >= threshold_B1)
    if parameters.top_p < 1:
        sorted_BV, order_BV = p_BV.sort(dim=-1, descending=True)
        before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
        keep_BV = before_BV < parameters.top_p * sorted_BV.sum(dim=-1, keepdim=True)
        p_BV = torch.zeros_like(p_BV).scatter_(1, order_BV, sorted_BV * keep_BV)
    return p_BV
