"""Preference pairs from verified crystals: PLaID++'s tiers.

Follows Xu et al., "PLaID++" (arXiv 2509.07150): a crystal is stable (e_hull <= 0), metastable (0 < e_hull <= threshold)
or unstable (above it, or without an energy). Every chosen item draws its own rejected ones, so a tier gives
`len(chosen) * draws` pairs; a tier with no chosen or no rejected item gives none and is counted.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sciRL.domain import Record

STABILITY_THRESHOLD = 0.08
"""eV/atom above the hull up to which a crystal counts as metastable (PLaID++'s default)."""


@dataclass(frozen=True)
class Candidate:
    """What the tiers need to know of one sample.

    `e_hull` is in eV/atom, None when there is no energy; `sg_right` says whether the *measured* space group is the
    requested one (None when none was requested).
    """

    e_hull: float | None
    novel: bool = False
    sg_right: bool | None = None


@dataclass(frozen=True)
class Pair:
    """Two samples of which the first is to be preferred, by index, and the tier that says why."""

    chosen_index: int
    rejected_index: int
    tier: str


@dataclass
class PairSet:
    """Pairs with the count of each tier and the names of the tiers that had nothing to draw from."""

    pairs: list[Pair] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)


Test = Callable[[Candidate], bool]


@dataclass(frozen=True)
class _Tier:
    name: str
    chosen: Test
    rejected: Test
    draws: int


def candidates(records: Sequence[Record]) -> list[Candidate]:
    """Read candidates from scored records (measurements `e_hull`, `sg_measured`; component `novel`; asked `sg`)."""
    out = []
    for record in records:
        measured = record.score.measurements
        reference = record.task.reference
        asked = reference.get("sg") if isinstance(reference, dict) else None
        out.append(
            Candidate(
                e_hull=measured.get("e_hull"),
                novel=record.score.components.get("novel", 0.0) >= 1.0,
                sg_right=None if asked is None else measured.get("sg_measured") == asked,
            )
        )
    return out


def basic_pairs(
    items: Sequence[Candidate],
    *,
    seed: int,
    ratio: int = 3,
    threshold: float = STABILITY_THRESHOLD,
    max_pairs: int | None = None,
) -> PairSet:
    """Prefer every crystal with e_hull < threshold to `ratio` random ones at or above it.

    Args:
        items: the samples of one prompt kind.
        seed: of the draws.
        ratio: rejected items per chosen one.
        threshold: in eV/atom.
        max_pairs: cap on the pairs of each tier (a random subset is kept).
    """

    def low(item: Candidate) -> bool:
        return item.e_hull is not None and item.e_hull < threshold

    tier = _Tier("low e_hull > high e_hull", low, lambda item: not low(item), ratio)
    return _draw(items, [tier], seed, max_pairs)


def tiered_pairs(
    items: Sequence[Candidate],
    *,
    seed: int,
    ratio: int = 2,
    threshold: float = STABILITY_THRESHOLD,
    max_pairs: int | None = None,
) -> PairSet:
    """Prefer by stability class, and novel to known among the stable ones (PLaID++'s unconditional tiers).

    Example: two stable (one novel), two metastable and three unstable samples give 1 + 2 + 4 + 4 = 11 pairs.
    """
    stable, metastable, unstable = _classes(threshold)
    tiers = [
        _Tier("stable novel > stable known", lambda i: stable(i) and i.novel, lambda i: stable(i) and not i.novel, 1),
        _Tier("stable > metastable", stable, metastable, 1),
        _Tier("stable > unstable", stable, unstable, 2),
        _Tier("metastable > unstable", metastable, unstable, ratio),
    ]
    return _draw(items, tiers, seed, max_pairs)


def space_group_pairs(
    items: Sequence[Candidate],
    *,
    seed: int,
    ratio: int = 2,
    threshold: float = STABILITY_THRESHOLD,
    max_pairs: int | None = None,
) -> PairSet:
    """Prefer the requested space group, novelty and stability, for samples of one space-group prompt.

    Example: ok samples {right and novel, right and known, wrong} and two unstable ones with ratio 2 give
    2*2 + 1*2 + 3*2 = 12 draws.
    """
    _, _, unstable = _classes(threshold)

    def ok(item: Candidate) -> bool:
        return not unstable(item)

    def right(item: Candidate) -> bool:
        return ok(item) and item.sg_right is True

    tiers = [
        _Tier("right group > wrong group", right, lambda i: ok(i) and not i.sg_right, ratio),
        _Tier("right novel > right known", lambda i: right(i) and i.novel, lambda i: right(i) and not i.novel, ratio),
        _Tier("stable enough > unstable", ok, unstable, ratio),
    ]
    return _draw(items, tiers, seed, max_pairs)


def write_pairs(path: Path, pairs: Sequence[Pair], records: Sequence[Record]) -> None:
    """Write pairs as JSONL rows {prompt, chosen, rejected, tier, chosen_score, rejected_score} (aside, then renamed).

    `prompt` is the chosen sample's list of messages; `chosen` and `rejected` are raw answer texts.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with aside.open("w", encoding="utf-8") as stream:
        for pair in pairs:
            chosen, rejected = records[pair.chosen_index], records[pair.rejected_index]
            row = {
                "prompt": [dict(message) for message in chosen.task.prompt],
                "chosen": chosen.answer,
                "rejected": rejected.answer,
                "tier": pair.tier,
                "chosen_score": chosen.score.to_dict(),
                "rejected_score": rejected.score.to_dict(),
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(aside, path)


def _classes(threshold: float) -> tuple[Test, Test, Test]:
    def stable(item: Candidate) -> bool:
        return item.e_hull is not None and item.e_hull <= 0

    def metastable(item: Candidate) -> bool:
        return item.e_hull is not None and 0 < item.e_hull <= threshold

    def unstable(item: Candidate) -> bool:
        # A missing energy is unstable, never dropped.
        return not stable(item) and not metastable(item)

    return stable, metastable, unstable


def _draw(items: Sequence[Candidate], tiers: Sequence[_Tier], seed: int, max_pairs: int | None) -> PairSet:
    generator = random.Random(seed)
    result = PairSet()
    for tier in tiers:
        chosen = [index for index, item in enumerate(items) if tier.chosen(item)]
        rejected = [index for index, item in enumerate(items) if tier.rejected(item)]
        pairs: list[Pair] = []
        if chosen and rejected:
            for index in chosen:
                pairs.extend(Pair(index, other, tier.name) for other in _pick(generator, rejected, tier.draws))
        else:
            result.empty.append(tier.name)
        if max_pairs is not None and len(pairs) > max_pairs:
            pairs = [pairs[i] for i in sorted(generator.sample(range(len(pairs)), max_pairs))]
        result.pairs.extend(pairs)
        result.counts[tier.name] = len(pairs)
    return result


def _pick(generator: random.Random, pool: Sequence[int], draws: int) -> list[int]:
    """Draw without replacement while the pool lasts, with replacement when it is too small."""
    return generator.sample(pool, draws) if draws <= len(pool) else generator.choices(pool, k=draws)


BUILDERS: Mapping[str, Callable[..., PairSet]] = {
    "basic": basic_pairs,
    "tiered": tiered_pairs,
    "space_group": space_group_pairs,
}
