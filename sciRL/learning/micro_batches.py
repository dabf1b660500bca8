"""Cut a batch so that answers to one prompt stay together, for a forward that computes each prompt once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sciRL.trajectory import TrajectoryBatch

PADDED_SHARE = 2
"""Attention is padded; its padded size may exceed the token budget this many times."""


def shared_prompt_batches(batch: TrajectoryBatch, max_tokens: int, unit: int = 1) -> Iterator[Tensor]:
    """Yield row indices of which each group's first prompt and all answers fit into `max_tokens`.

    Rows come group by group, groups with the longest row first, so that rows of like length are near each other.
    At least one unit (`unit` rows in sequence, such as a preference pair) is in each micro-batch.
    """
    if len(batch) % unit:
        raise ValueError(f"{len(batch)} rows cannot be cut into units of {unit}")
    lengths = batch.lengths.tolist()
    prompts = _prompt_lengths(batch).tolist()
    groups = batch.group.tolist()
    longest: dict[int, int] = {}
    for group, length in zip(groups, lengths, strict=True):
        longest[group] = max(longest.get(group, 0), length)
    units = [range(start, start + unit) for start in range(0, len(batch), unit)]
    units.sort(key=lambda rows: (-longest[groups[rows[0]]], groups[rows[0]], -max(lengths[i] for i in rows)))
    chunk: list[int] = []
    tokens, widest = 0, 0
    known: set[int] = set()
    for rows in units:
        new = sum(lengths[i] - prompts[i] for i in rows)
        new += sum(prompts[i] for i in rows if groups[i] not in known)
        width = max(widest, *(lengths[i] for i in rows))
        if chunk and (tokens + new > max_tokens or (len(chunk) + unit) * width > PADDED_SHARE * max_tokens):
            yield torch.tensor(chunk)
            chunk, tokens, known = [], 0, set()
            new, width = sum(lengths[i] for i in rows), max(lengths[i] for i in rows)
        chunk.extend(rows)
        tokens, widest = tokens + new, width
        known.update(groups[i] for i in rows)
    if chunk:
        yield torch.tensor(chunk)


def _prompt_lengths(batch: TrajectoryBatch) -> Tensor:
    """Tokens before each row's first action [N] (the whole row where there is none)."""
    position = torch.arange(batch.n_tokens) - batch.spread(batch.offsets[:-1], "row")
    first = batch.lengths.clone()
    return first.scatter_reduce_(0, batch.row_of_token[batch.action], position[batch.action], "amin")
