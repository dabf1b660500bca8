"""Figures of an evaluation: diversity, distance from the training distribution, and stable-unique-novel rates.

A policy can satisfy a verifier by collapsing onto a few templates, elements or cell sizes without repeating a
formula, so each of these distributions is measured on its own, as an effective number (the exponential of the
entropy): 1 means a single value, k means as spread as k equally frequent values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domains.crystal.novelty import TrainingSet
from sciRL.score import Score


def effective_number(counts: Iterable[float]) -> float:
    """Return exp(entropy) of a histogram: how many equally frequent values it is worth (0 for an empty one).

    Example:
        >>> effective_number([5, 5, 0]), effective_number([7])
        (2.0, 1.0)
    """
    weights = [count for count in counts if count > 0]
    total = math.fsum(weights)
    if not total:
        return 0.0
    return round(math.exp(-math.fsum(w / total * math.log(w / total) for w in weights)), 12)


def jensen_shannon(first: Mapping[Any, float], second: Mapping[Any, float]) -> float:
    """Return the Jensen-Shannon divergence of two histograms in bits: 0 equal, 1 disjoint; nan when one is empty."""
    total_first, total_second = math.fsum(first.values()), math.fsum(second.values())
    if not total_first or not total_second:
        return math.nan
    out = 0.0
    for key in sorted(set(first) | set(second), key=repr):
        p, q = first.get(key, 0) / total_first, second.get(key, 0) / total_second
        middle = (p + q) / 2
        out += sum(share * math.log2(share / middle) / 2 for share in (p, q) if share > 0)
    return max(0.0, out)


def wasserstein(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the 1-Wasserstein distance of two samples, in their unit; nan when one is empty.

    Example: {0, 1} against {2, 3} is 2.
    """
    if not len(first) or not len(second):
        return math.nan
    a, b = np.sort(np.asarray(first, dtype=float)), np.sort(np.asarray(second, dtype=float))
    grid = np.sort(np.concatenate([a, b]))
    share_a = np.searchsorted(a, grid[:-1], side="right") / len(a)
    share_b = np.searchsorted(b, grid[:-1], side="right") / len(b)
    return float(np.sum(np.abs(share_a - share_b) * np.diff(grid)))


def diversity(scores: Sequence[Score], training: TrainingSet | None = None) -> dict[str, float]:
    """Return the diversity and distribution metrics of an evaluation.

    Shares are over *all* attempts. The distributions (`effective_*`, `mean_atoms`, `share_top_*`, divergences) are over
    the readable crystals: those with the measurements of the `parse` stage.

    Args:
        scores: one for each attempt; failed verifications count as attempts.
        training: reference distributions; without it the divergences are left out.
    """
    measured = [score.measurements for score in scores if "sg_written" in score.measurements]
    groups = Counter(m["sg_written"] for m in measured)
    templates = Counter(m["template"] for m in measured)
    elements = Counter(element for m in measured for element in m["elements"])
    out = {
        "attempts": float(len(scores)),
        "readable_share": _share(len(measured), len(scores)),
        "passed_share": _share(sum(bool(s.measurements.get("passed")) for s in scores), len(scores)),
        "novel_share": _share(sum(s.components.get("novel", 0.0) >= 1.0 for s in scores), len(scores)),
        "unique_share": _share(sum(s.components.get("unique", 0.0) >= 1.0 for s in scores), len(scores)),
        "distinct_formulas": float(len({m["reduced_formula"] for m in measured})),
        "effective_space_groups": effective_number(groups.values()),
        "effective_templates": effective_number(templates.values()),
        "effective_elements": effective_number(elements.values()),
        "mean_atoms": _mean([m["n_atoms"] for m in measured]),
        "share_top_space_group": _share(max(groups.values(), default=0), len(measured)),
        "share_top_template": _share(max(templates.values(), default=0), len(measured)),
    }
    if training is not None:
        out["space_group_js"] = jensen_shannon(groups, training.space_groups)
        out["element_js"] = jensen_shannon(elements, training.elements)
        out["n_elements_wasserstein"] = wasserstein(
            [len(m["elements"]) for m in measured], list(training.n_elements.elements())
        )
        new = sum(m["template"] not in training.templates for m in measured)
        out["novel_template_share"] = _share(new, len(scores))
    return out


def density_wasserstein(scores: Sequence[Score], reference: Sequence[float]) -> float:
    """Return the Wasserstein distance of the densities of readable crystals to `reference`, in g/cm^3."""
    return wasserstein([s.measurements["density"] for s in scores if "density" in s.measurements], reference)


def space_group_split(
    scores: Sequence[Score], asked: Sequence[int], training: TrainingSet, frequent: float = 0.02
) -> dict[str, float]:
    """Return how often the measured group is the requested one, for frequent and rare groups apart.

    Args:
        scores: one for each attempt.
        asked: the requested group of each attempt.
        training: says which groups are frequent.
        frequent: a group is frequent when at least this share of the training crystals has it.
    """
    hits: dict[str, list[bool]] = {"frequent": [], "rare": []}
    for score, group in zip(scores, asked, strict=True):
        kind = "frequent" if training.space_groups[group] >= frequent * len(training) else "rare"
        hits[kind].append(score.measurements.get("sg_measured") == group)
    out = {f"sg_right_{kind}": _mean(found) for kind, found in hits.items()}
    return out | {f"sg_asked_{kind}": float(len(found)) for kind, found in hits.items()}


@dataclass(frozen=True)
class SunRow:
    """What the stable-unique-novel rates need of one attempt.

    `e_hull` is None when the attempt is unreadable or has no energy: then it is not stable. `identity` is equal
    for attempts that are the same crystal; `novel` is False for known and for unreadable ones.
    """

    e_hull: float | None
    identity: Hashable = None
    novel: bool = False


def sun_rates(rows: Sequence[SunRow], threshold: float = 0.0) -> dict[str, float]:
    """Return stable, unique and novel counts and rates; all attempts are in the denominator.

    Of each group of equal crystals the first *stable* member is kept, so a duplicate does not erase its original.

    Args:
        rows: one for each attempt.
        threshold: stable means e_hull <= threshold in eV/atom (0: SUN, 0.1: MetaSUN).

    Example: five attempts (stable new A, its duplicate, stable but in the training set, e_hull 0.2, unreadable) give
    stable 3/5, unique among stable 2, SUN 1/5.
    """
    stable = [row for row in rows if row.e_hull is not None and row.e_hull <= threshold]
    firsts = {row.identity: row for row in reversed(stable)}
    kept = [row for row in firsts.values() if row.novel]
    return {
        "attempts": float(len(rows)),
        "stable": float(len(stable)),
        "stable_unique": float(len(firsts)),
        "sun": float(len(kept)),
        "stable_share": _share(len(stable), len(rows)),
        "sun_share": _share(len(kept), len(rows)),
    }


def stability(scores: Sequence[Score]) -> dict[str, float]:
    """Return SUN (e_hull <= 0) and MetaSUN (<= 0.1 eV/atom) rates and the stable shares, over all attempts."""
    rows = sun_rows(scores)
    strict, meta = sun_rates(rows, 0.0), sun_rates(rows, 0.1)
    return {
        "stable_share": strict["stable_share"],
        "metastable_share": meta["stable_share"],
        "sun_share": strict["sun_share"],
        "metasun_share": meta["sun_share"],
    }


def sun_rows(scores: Sequence[Score]) -> list[SunRow]:
    """Read the rows of `sun_rates` from scores of one batch with the stages `novel`, `unique` and `e_hull`."""
    return [
        SunRow(
            e_hull=score.measurements.get("e_hull"),
            identity=score.measurements.get("identity", index),
            novel=score.components.get("novel", 0.0) >= 1.0,
        )
        for index, score in enumerate(scores)
    ]


def _share(k: int, n: int) -> float:
    return k / n if n else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
