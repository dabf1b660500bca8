"""Shapley values of a case's facts: how much each fact is worth for the diagnosis (ProMed, arXiv 2508.13514).

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S))

with v(S) = log P(right answer | known facts and S). By default the players are the facts that are not known at the
start, so the values sum to what can be gained (efficiency). Up to 10 players all 2^n sets are enumerated; above,
permutations are drawn in antithetic pairs (one and its reverse), each walked to its end: every single one sums to
v(all) - v(none) exactly. Research software, not medical advice.

Shapes: n players, S = 2^n sets, K permutations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Literal, TypeAlias

import numpy as np

from domains.medical.belief import BeliefModel
from domains.medical.schema import BoolArray, Case, FloatArray
from sciRL.errors import UserError
from sciRL.seeding import request_seed

MOST_EXACT = 10
PERMUTATIONS = 64
PAPER_TEMPERATURE = 2.0
_LEAST_SPREAD = 1e-8

Players: TypeAlias = Literal["unknown", "all"]
WeightRule: TypeAlias = Literal["positive", "paper", "uniform", "zscore"]
Value: TypeAlias = Callable[[BoolArray], FloatArray]


@dataclass(frozen=True)
class ShapleyValues:
    """Shapley values of the facts `ids` [n], in nats.

    `se` are their standard errors, zero when every set was enumerated; `empty` and `full` are v of no player and of
    all.
    """

    ids: tuple[str, ...]
    phi: FloatArray
    se: FloatArray
    empty: float
    full: float


def fact_values(
    belief: BeliefModel, case: Case, players: Players = "unknown", permutations: int = PERMUTATIONS, seed: int = 0
) -> ShapleyValues:
    """Return the Shapley values of a case's facts.

    Args:
        belief: values sets of facts.
        case: the patient.
        players: the facts that are not known at the start (those are in every set), or all facts as in the paper.
        permutations: how many to draw above `MOST_EXACT` players; an even number of at least 4.
        seed: of the permutations; together with the case's id it fixes them.

    Raises:
        UserError: the belief gives a value that is not finite, or `permutations` is odd or too small.
    """
    playing = np.flatnonzero(~case.known) if players == "unknown" else np.arange(len(case.facts))
    always = case.known if players == "unknown" else np.zeros_like(case.known)

    def value(sets: BoolArray) -> FloatArray:
        facts = np.repeat(always[None], len(sets), axis=0)
        facts[:, playing] = sets
        logp = belief.logp(case, facts)
        if not np.isfinite(logp).all():
            raise UserError(f"case {case.id!r}: the belief in its right answer is not finite for some facts")
        return logp

    n = len(playing)
    ends = value(np.array([[False] * n, [True] * n]))
    if n <= MOST_EXACT:
        phi, se = shapley_exact(value, n), np.zeros(n)
    else:
        phi, se = shapley_sampled(value, n, permutations, np.random.default_rng(request_seed(seed, case.id)))
    ids = tuple(case.facts[index].id for index in playing)
    return ShapleyValues(ids, phi, se, float(ends[0]), float(ends[1]))


def shapley_exact(value: Value, n: int) -> FloatArray:
    """Return the Shapley values [n] from the values of all 2^n sets.

    Example: with v = 0, 1, 3, 6 of the sets {}, {1}, {2}, {1, 2} they are (2, 4).
    """
    numbers = np.arange(2**n)
    sets = (numbers[:, None] >> np.arange(n) & 1).astype(bool)
    v = value(sets)
    sizes = sets.sum(axis=1)
    weights = np.array([factorial(k) * factorial(max(0, n - k - 1)) / factorial(n) for k in range(n + 1)])
    phi = np.empty(n)
    for player in range(n):
        without = numbers[~sets[:, player]]
        phi[player] = (weights[sizes[without]] * (v[without | 1 << player] - v[without])).sum()
    return phi


def shapley_sampled(value: Value, n: int, permutations: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return estimates of the Shapley values and their standard errors, both [n], from antithetic permutations.

    A pair is one permutation and its reverse; pairs are independent, so the error is that of the mean over pairs.
    """
    if permutations < 4 or permutations % 2:
        raise UserError(f"permutations={permutations}: an even number of at least 4 is needed")
    orders = rng.permuted(np.tile(np.arange(n), (permutations // 2, 1)), axis=1)
    forward, backward = _marginals(value, orders), _marginals(value, orders[:, ::-1])
    pairs = (forward + backward) / 2
    return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))


def _marginals(value: Value, orders: np.ndarray) -> FloatArray:
    """Return what each player adds when it joins those before it [K, n]; every row sums to v(all) - v(none)."""
    count, n = orders.shape
    joined_at = np.argsort(orders, axis=1)
    sets = joined_at[:, None, :] < np.arange(n + 1)[None, :, None]
    v = value(sets.reshape(-1, n)).reshape(count, n + 1)
    return np.take_along_axis(np.diff(v, axis=1), joined_at, axis=1)


def fact_weights(phi: FloatArray, rule: WeightRule = "positive") -> FloatArray:
    """Return weights that sum to 1 from Shapley values [n].

    - positive: the positive part of phi over its sum; the default, since a misleading fact gets nothing.
    - paper: softmax(phi / 2), close to uniform where values differ by tenths of a nat.
    - zscore: softmax of |z-scores|, as in the released code: gives the most misleading fact the largest weight.
    - uniform: 1 / n. The others fall back to it when all values are equal or, for `positive`, none is above zero.

    Example: phi = (0.181537, 0.256443, 0.158175) gives (0.304513, 0.430162, 0.265325) by `positive`.
    """
    n = len(phi)
    even = np.full(n, 1 / n) if n else np.zeros(0)
    if rule == "uniform" or n < 2 or float(phi.std()) < _LEAST_SPREAD:
        return even
    if rule == "positive":
        positive = np.maximum(phi, 0)
        return positive / positive.sum() if positive.sum() > 0 else even
    scores = phi / PAPER_TEMPERATURE if rule == "paper" else np.abs((phi - phi.mean()) / phi.std())
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum())


def case_weights(
    belief: BeliefModel, case: Case, rule: WeightRule = "positive", players: Players = "unknown"
) -> dict[str, float]:
    """Return the weight of every player fact by its id; they sum to 1."""
    values = fact_values(belief, case, players)
    return dict(zip(values.ids, map(float, fact_weights(values.phi, rule)), strict=True))
