"""Precision-token weights: the tokens that carry an answer's numbers count more in the loss.

    L = 1/|B| sum_i 1/Z_i sum_t w_t l_t,   Z_i = sum_t w_t,   w_t > 1 on precise tokens, 1 elsewhere

CAD-RL (arXiv 2508.10118, eq. 8). The domain says which characters of an answer are precise. They are mapped to the
ids that were sampled, through the characters that each id decodes to: a text is never tokenised again. What the
weights do to a loss stands in `sciRL.objective.base`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from sciRL.domain import LanguageDomain
from sciRL.errors import UserError
from sciRL.models.loading import decode_completion
from sciRL.trajectory import TrajectoryBatch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span: TypeAlias = tuple[int, int]

_INCOMPLETE = "\ufffd"
"""What bytes that make no whole character decode to."""


class PrecisionWeights:
    """Gives the tokens of a domain's precise spans `weight`, relative to 1 on every other trained token.

    Args:
        tokenizer: the policy's.
        domain: says which spans of an answer are precise.
        weight: how much more a precise token counts; 1 changes nothing.

    Raises:
        UserError: the weight is not 1 and the domain names no precise spans, so that it would do nothing.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, domain: LanguageDomain, weight: float) -> None:
        if weight != 1 and type(domain).precise_spans is LanguageDomain.precise_spans:
            raise UserError(
                f"precision_weight is {weight:g}, but domain {domain.name!r} names no precise spans; allowed: 1 (off)"
            )
        self.tokenizer, self.domain, self.weight = tokenizer, domain, weight

    def apply(self, batch: TrajectoryBatch) -> tuple[TrajectoryBatch, dict[str, float]]:
        """Return the batch with its token weights multiplied, and the share of trained tokens that are precise."""
        if self.weight == 1:
            return batch, {}
        precise = precise_tokens(batch, self.tokenizer, self.domain.precise_spans)
        trained = batch.action & (batch.weight > 0)
        share = float((precise & trained).sum()) / max(1, int(trained.sum()))
        factor = torch.where(precise, self.weight, 1.0).to(batch.weight.dtype)
        return batch.with_columns({"weight": batch.weight * factor}), {"precise_tokens": share}


def precise_tokens(
    batch: TrajectoryBatch, tokenizer: PreTrainedTokenizerBase, spans_of: Callable[[str], Sequence[Span]]
) -> Tensor:
    """Return which tokens overlap a precise span of their row's answer [S]; only action tokens ever do."""
    precise = torch.zeros(batch.n_tokens, dtype=torch.bool)
    pieces: dict[int, str] = {}
    for start, end in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True):
        positions = start + batch.action[start:end].nonzero().flatten()
        ids = batch.ids[positions].tolist()
        spans = spans_of(decode_completion(tokenizer, ids))
        if spans:
            precise[positions] = torch.tensor(overlapping(token_spans(tokenizer, ids, pieces), spans))
    return precise


def overlapping(tokens: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """Return which token spans share a character with any of `spans`; all are (start, end), end excluded.

    Example: tokens (0, 2), (2, 4), (4, 5) and the span (1, 3) give True, True, False.
    """
    covered = bytearray(max([0, *(end for _, end in tokens)]))
    for start, end in spans:
        covered[max(0, start) : end] = b"\1" * (min(end, len(covered)) - max(0, start))
    return [1 in covered[start:end] for start, end in tokens]


def token_spans(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], pieces: dict[int, str] | None = None
) -> list[Span]:
    """Return the characters (start, end) of the decoded text that each id takes part in.

    Neighbouring ids share a character whose bytes they split between them.

    Args:
        tokenizer: any tokenizer of transformers.
        ids: the tokens of one text.
        pieces: a memory of what single ids decode to, kept by the caller between texts.

    Example: byte-level ids of "5°" as "5", first byte, second byte give (0, 1), (1, 2), (1, 2).
    """
    pieces = {} if pieces is None else pieces
    for index in ids:
        if index not in pieces:
            pieces[index] = _decode(tokenizer, [index])
    parts = [pieces[index] for index in ids]
    if "".join(parts) != _decode(tokenizer, ids):
        return _spans_in_context(tokenizer, ids)
    spans, at = [], 0
    for part in parts:
        spans.append((at, at + len(part)))
        at += len(part)
    return spans


def _spans_in_context(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[Span]:
    """As `token_spans`, for ids that decode otherwise alone than together.

    Reads ids one by one behind a short window of ids whose characters are known. The window moves on when it ends in
    a whole character, so that the time is linear in the number of ids unless the text is made of broken characters.
    """
    spans: list[Span] = []
    anchor = read = settled = known = 0
    for end in range(1, len(ids) + 1):
        before = len(_decode(tokenizer, ids[anchor:read]))
        text = _decode(tokenizer, ids[anchor:end])
        whole = settled + len(text.rstrip(_INCOMPLETE)) - before
        unfinished = text.endswith(_INCOMPLETE)
        # However many marks the first bytes of a character decode to, they become one character.
        spans.append((known, whole + unfinished))
        known = whole
        if not unfinished:
            anchor, read, settled = read, end, whole
    return spans


def _decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
