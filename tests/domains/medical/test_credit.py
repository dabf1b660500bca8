"""Turn rewards: the numbers of ProMed's and IGPO's cards, and what must never be paid."""

from __future__ import annotations

import pytest

from domains.medical.credit import Coefficients, distribute_rewards, probability_gains, sig_turns

WEIGHTS = {"f1": 0.330409, "f2": 0.343019, "f3": 0.326572}


def test_only_new_facts_are_paid() -> None:
    assert sig_turns({"a": 0.7, "b": 0.3}, [["a"], ["a"], ["a", "b"]]) == [0.7, 0.0, 0.3]
    assert sig_turns({"a": 0.7, "b": 0.3}, [["a"], ["b"]], known=["a"]) == [0.0, 0.3]
    assert sig_turns({"a": 1.0}, [["z"], []]) == [0.0, 0.0]


def test_promed_rewards_of_the_card() -> None:
    gain = sum(sig_turns(WEIGHTS, [["f2", "f3"]]))
    assert gain == pytest.approx(0.669591)
    assert distribute_rewards([gain], [1, 1], True) == pytest.approx([3.008772, 4], abs=2e-6)
    assert distribute_rewards([gain], [1, 1], False) == pytest.approx([2.339182, 1], abs=2e-6)
    assert distribute_rewards([0.0], [1, 0.5], True) == [1.0, 3.5]
    assert distribute_rewards([1.0], [1, 1], True) == [4.0, 4.0]
    assert distribute_rewards([0.5], [1, 1], True, Coefficients(1, 0, 5, 0)) == [0.5, 5.0]
    with pytest.raises(ValueError, match="1 questions and an answer need 2 forms; found 1"):
        distribute_rewards([0.5], [1], True)


def test_two_rollouts_of_the_card() -> None:
    first = distribute_rewards(sig_turns(WEIGHTS, [["f2"], []]), [1, 1, 1], True)
    second = distribute_rewards(sig_turns(WEIGHTS, [["f3"]]), [1, 1], False)
    assert first == pytest.approx([2.029056, 1, 4], abs=2e-6)
    assert second == pytest.approx([1.653144, 1], abs=2e-6)


def test_igpo_of_the_card() -> None:
    """The probability of an answer is the geometric mean of its tokens'."""
    probabilities = [(0.1 * 0.2) ** 0.5, (0.4 * 0.5) ** 0.5, (0.3 * 0.6) ** 0.5]
    assert probabilities == pytest.approx([0.1414, 0.4472, 0.4243], abs=5e-5)
    gains = probability_gains(probabilities)
    assert gains == pytest.approx([0.3058, -0.0229], abs=6e-5)
    assert sum(gains) == pytest.approx(probabilities[-1] - probabilities[0], abs=1e-6)
