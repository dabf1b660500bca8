"""Metrics of sampled molecules: reward, top-k, diversity, modes, and shares over all samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from domains.gflownet.properties import fingerprint
from domains.gflownet.reading import Problem, canonical_smiles

DIVERSITY_SAMPLE = 1000
"""Most molecules whose pairwise distances are averaged: the first ones."""


def molecule_metrics(
    texts: Sequence[str],
    rewards: Sequence[float],
    known: Collection[str] = (),
    top: int = 100,
    threshold: float = 0.5,
    distance: float = 0.7,
) -> dict[str, float]:
    """Return the metrics of a sample; every attempt is in the denominator of every share.

    `tanimoto_distance` is over the molecules as drawn, copies included: a sampler of one molecule has distance 0.

    Args:
        texts: sampled SMILES; those that are no molecule count as attempts.
        rewards: of each text.
        known: canonical SMILES that are not novel.
        top: k of the top-k metrics, over *distinct* molecules.
        threshold: least reward of a mode.
        distance: least Tanimoto distance between modes.

    Example: texts "CCO", "OCC", "C(", "c1ccccc1" have valid_share 0.75, unique_share 0.5 and, with "CCO" known,
    novel_share 0.25 (one of four attempts: of a novel molecule's copies only the first counts).
    """
    read = [canonical_smiles(text) for text in texts]
    best: dict[str, float] = {}
    for smiles, reward in zip(read, rewards, strict=True):
        if not isinstance(smiles, Problem):
            best.setdefault(str(smiles), float(reward))
    ranked = sorted(best, key=lambda smiles: (-best[smiles], smiles))
    n, valid = len(texts), sum(1 for smiles in read if not isinstance(smiles, Problem))
    return {
        "attempts": float(n),
        "reward_mean": float(np.mean(rewards)) if n else 0.0,
        "reward_median": float(np.median(rewards)) if n else 0.0,
        f"reward_top{top}": float(np.mean([best[s] for s in ranked[:top]])) if ranked else 0.0,
        "valid_share": valid / n if n else 0.0,
        "unique_share": len(best) / n if n else 0.0,
        "novel_share": sum(smiles not in known for smiles in best) / n if n else 0.0,
        "tanimoto_distance": mean_distance([str(s) for s in read if not isinstance(s, Problem)]),
        f"tanimoto_distance_top{top}": mean_distance(ranked[:top]),
        "modes": float(len(modes(ranked, [best[s] for s in ranked], threshold, distance))),
    }


def mean_distance(smiles: Sequence[str]) -> float:
    """Return the mean pairwise Tanimoto distance (Morgan, radius 2, 2,048 bits); 0 for fewer than two molecules.

    Of more than `DIVERSITY_SAMPLE` molecules the first ones are compared.
    """
    from rdkit.DataStructs import BulkTanimotoSimilarity

    prints = [fingerprint(text) for text in smiles[:DIVERSITY_SAMPLE]]
    if len(prints) < 2:
        return 0.0
    similar = float(np.sum([np.sum(BulkTanimotoSimilarity(prints[k], prints[:k])) for k in range(1, len(prints))]))
    return 1.0 - similar / (len(prints) * (len(prints) - 1) / 2)


def modes(smiles: Sequence[str], rewards: Sequence[float], threshold: float, distance: float) -> list[str]:
    """Return the modes of readable molecules: in order, each of reward >= `threshold` and new by `distance`.

    A molecule is new when its Tanimoto distance to every mode before is at least `distance`; the best first, the count
    is that of a greedy cover.
    """
    from rdkit.DataStructs import BulkTanimotoSimilarity

    found: list[str] = []
    prints: list[Any] = []
    for text, reward in zip(smiles, rewards, strict=True):
        if reward < threshold:
            continue
        print_ = fingerprint(text)
        if not prints or max(BulkTanimotoSimilarity(print_, prints)) <= 1.0 - distance:
            found.append(text)
            prints.append(print_)
    return found


def mode_curve(
    smiles: Sequence[str], rewards: Sequence[float], threshold: float, distance: float, points: int = 50
) -> list[tuple[float, float]]:
    """Return (samples seen, modes found) at about `points` places along a sample, in the order it was drawn.

    Texts that are no molecule count as seen.
    """
    order, values, seen_at = [], [], []
    for at, (text, reward) in enumerate(zip(smiles, rewards, strict=True), 1):
        read = canonical_smiles(text)
        if not isinstance(read, Problem):
            order.append(str(read))
            values.append(float(reward))
            seen_at.append(at)
    first = dict(zip(reversed(order), reversed(seen_at), strict=True))
    when = sorted(first[mode] for mode in modes(order, values, threshold, distance))
    ends = sorted({max(1, round(len(smiles) * k / points)) for k in range(1, points + 1)}) if len(smiles) else []
    return [(float(end), float(np.searchsorted(when, end, side="right"))) for end in ends]
