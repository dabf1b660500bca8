"""Shapley values: the card's numbers, the axioms, sampling against enumeration, and the weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.medical.belief import NaiveBayesBelief, TableBelief
from domains.medical.cohort import make_case
from domains.medical.kb import Disease, Finding, KnowledgeBase
from domains.medical.schema import BoolArray, Case, FloatArray
from domains.medical.shapley import (
    Value,
    _marginals,
    case_weights,
    fact_values,
    fact_weights,
    shapley_exact,
    shapley_sampled,
)
from sciRL.errors import UserError

MakeCase = Callable[..., Case]
VALUES = {
    (): -0.693147, ("f1",): -0.427444, ("f2",): -0.336472, ("f3",): -0.441833, ("f1", "f2"): -0.168335,
    ("f1", "f3"): -0.259511, ("f2", "f3"): -0.200671, ("f1", "f2", "f3"): -0.096992,
}  # fmt: skip
PHI = np.array([0.181537, 0.256443, 0.158175])


def game(table: FloatArray) -> Value:
    """The game whose set number (bit i: player i) has the value of the table."""

    def value(sets: BoolArray) -> FloatArray:
        return np.asarray(table[sets @ (1 << np.arange(sets.shape[1]))])

    return value


def test_values_of_the_example(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    case = three_case()
    sets = np.array([case.mask(ids) for ids in VALUES])
    logp = NaiveBayesBelief(three_kb).logp(case, sets)
    assert logp == pytest.approx(list(VALUES.values()), abs=1e-6)
    assert np.exp(logp[-1]) == pytest.approx(0.907563, abs=1e-6)


def test_phi_of_the_example(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    values = fact_values(NaiveBayesBelief(three_kb), three_case())
    assert values.phi == pytest.approx(PHI, abs=1e-6)
    assert values.phi.sum() == pytest.approx(0.596155, abs=1e-6)
    assert (values.ids, values.se.tolist()) == (("f1", "f2", "f3"), [0.0] * 3)
    assert fact_values(TableBelief(VALUES), three_case()).phi == pytest.approx(PHI, abs=1e-5)


def test_known_facts_do_not_play(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    belief, case = NaiveBayesBelief(three_kb), three_case(known=("f1",))
    values = fact_values(belief, case)
    assert values.ids == ("f2", "f3")
    assert values.phi == pytest.approx([0.210814, 0.119638], abs=1e-6)
    assert values.phi.sum() == pytest.approx(0.330452, abs=1e-6)
    assert values.empty == pytest.approx(-0.427444, abs=1e-6)
    assert fact_values(belief, case, players="all").phi == pytest.approx(PHI, abs=1e-6)


def test_phi_of_the_probability() -> None:
    order = [(), ("f1",), ("f2",), ("f1", "f2"), ("f3",), ("f1", "f3"), ("f2", "f3"), ("f1", "f2", "f3")]
    phi = shapley_exact(game(np.exp([VALUES[ids] for ids in order])), 3)
    assert phi == pytest.approx([0.123744, 0.178177, 0.105642], abs=1e-6)
    assert phi.sum() == pytest.approx(0.407563, abs=1e-6)


def test_a_misleading_fact(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    values = fact_values(NaiveBayesBelief(three_kb), three_case((1, 1, 1)))
    assert values.phi == pytest.approx([0.348012, 0.493833, -0.799285], abs=1e-6)
    assert values.phi.sum() == pytest.approx(0.042559, abs=1e-6)
    assert fact_weights(values.phi, "paper") == pytest.approx([0.378917, 0.407576, 0.213507], abs=1e-6)
    # The released code's z-scores pay most for the fact that misleads; the default pays nothing for it.
    assert fact_weights(values.phi, "zscore") == pytest.approx([0.218397, 0.281034, 0.500569], abs=1e-6)
    assert fact_weights(values.phi)[2] == 0.0


def test_weights_of_the_example() -> None:
    assert fact_weights(PHI) == pytest.approx([0.304513, 0.430162, 0.265325], abs=1e-6)
    assert fact_weights(PHI, "paper") == pytest.approx([0.330409, 0.343019, 0.326572], abs=1e-6)
    # softmax(2 phi / 2): the paper's weights at temperature 1.
    assert fact_weights(2 * PHI, "paper") == pytest.approx([0.327365, 0.352829, 0.319806], abs=1e-6)
    assert fact_weights(PHI, "uniform") == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("rule", ["positive", "paper", "uniform", "zscore"])
def test_weights_without_a_difference_are_even(rule: str) -> None:
    for phi in ([0.2, 0.2, 0.2, 0.2], [0.0] * 4):
        assert fact_weights(np.array(phi), rule) == pytest.approx([0.25] * 4)  # type: ignore[arg-type]
    assert fact_weights(np.array([-0.3]), rule).tolist() == [1.0]  # type: ignore[arg-type]
    assert fact_weights(np.zeros(0), rule).tolist() == []  # type: ignore[arg-type]
    assert fact_weights(np.array([-1.0, -2.0])) == pytest.approx([0.5, 0.5])


@settings(max_examples=60)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_axioms(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=2**n)
    phi = shapley_exact(game(table), n)
    assert phi.sum() == pytest.approx(table[-1] - table[0])
    numbers = np.arange(2**n)
    # Null player: player 0 changes no set's value.
    assert shapley_exact(game(table[numbers & ~1]), n)[0] == pytest.approx(0)
    if n > 1:
        # Symmetry: exchanging players 0 and 1 leaves the game as it is.
        swapped = numbers & ~3 | (numbers & 1) << 1 | (numbers & 2) >> 1
        first, second = shapley_exact(game(table + table[swapped]), n)[:2]
        assert first == pytest.approx(second)
    order = rng.permutation(n)
    relabelled = sum((numbers >> order[i] & 1) << i for i in range(n))
    assert shapley_exact(game(table[relabelled]), n)[order] == pytest.approx(phi)


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_every_permutation_is_walked_to_its_end(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=2**n)
    marginals = _marginals(game(table), np.array([rng.permutation(n) for _ in range(4)]))
    assert np.abs(marginals.sum(axis=1) - (table[-1] - table[0])).max() < 1e-12


def test_a_fact_that_is_equally_likely_everywhere_is_worth_nothing(three_case: MakeCase) -> None:
    findings = tuple(Finding(f"f{i}", f"Is sign {i} there?", 0.0) for i in (1, 2, 3))
    chances = [(0.9, 0.9, 0.5), (0.6, 0.6, 0.5), (0.3, 0.3, 0.5)]
    diseases = tuple(
        Disease(f"d{row}", f"illness {row}", 1.0, {f"f{i}": p for i, p in enumerate(shown, start=1)})
        for row, shown in enumerate(chances)
    )
    phi = fact_values(NaiveBayesBelief(KnowledgeBase(diseases, findings)), three_case((1, 1, 1))).phi
    assert phi[2] == pytest.approx(0, abs=1e-12)
    assert phi[0] == pytest.approx(phi[1])
    assert phi[0] > 0.1


def test_sampling_is_within_three_standard_errors() -> None:
    misses, players = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        value = game(np.random.default_rng(1000 + seed).normal(size=2**8))
        phi, se = shapley_sampled(value, 8, 256, rng)
        misses += int((np.abs(phi - shapley_exact(value, 8)) > 3 * se).sum())
        players += 8
        assert (se > 0).all()
    # 0.4 of 160 are expected; a standard error that is too small by a third would give 7.
    assert misses <= 2, f"{misses} of {players}"


def test_five_thousand_permutations_of_the_example() -> None:
    order = [(), ("f1",), ("f2",), ("f1", "f2"), ("f3",), ("f1", "f3"), ("f2", "f3"), ("f1", "f2", "f3")]
    phi, _ = shapley_sampled(game(np.array([VALUES[ids] for ids in order])), 3, 5000, np.random.default_rng(0))
    assert phi == pytest.approx(PHI, abs=0.005)


def test_an_additive_game_has_no_sampling_error() -> None:
    worth = np.array([0.5, -1.0, 2.0, 0.0])
    phi, se = shapley_sampled(lambda sets: sets @ worth, 4, 4, np.random.default_rng(0))
    assert phi == pytest.approx(worth)
    assert se == pytest.approx(0, abs=1e-12)


def test_many_facts_are_sampled_reproducibly(kb: KnowledgeBase) -> None:
    case, belief = make_case(kb, 3, 0), NaiveBayesBelief(kb)
    values = fact_values(belief, case)
    assert values.phi.sum() == pytest.approx(values.full - values.empty)
    assert values.se.max() > 0
    assert fact_values(belief, case).phi.tolist() == values.phi.tolist()
    weights = case_weights(belief, case)
    assert sum(weights.values()) == pytest.approx(1)
    assert not set(weights) & set(case.known_ids)


def test_values_that_are_not_finite_are_an_error_not_a_weight(three_case: MakeCase) -> None:
    with pytest.raises(UserError, match="case 'three': the belief in its right answer is not finite"):
        fact_values(TableBelief({ids: -np.inf for ids in VALUES}), three_case())
    with pytest.raises(UserError, match="the table has no value for the facts"):
        fact_values(TableBelief({(): 0.0}), three_case())


@pytest.mark.parametrize("permutations", [0, 2, 7])
def test_permutations_come_in_pairs(permutations: int) -> None:
    with pytest.raises(UserError, match="an even number of at least 4"):
        shapley_sampled(lambda sets: sets.sum(axis=1).astype(float), 3, permutations, np.random.default_rng(0))
