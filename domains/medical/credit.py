"""Turn rewards: what each question was worth by the facts it brought (ProMed) or by the belief it moved (IGPO).

    ProMed, arXiv 2508.13514:  question turn t: alpha SIG_t + beta SIG_t c + lam fmt_t;  answer turn: gamma c + lam fmt
    IGPO, arXiv 2510.14967:    question turn t: p_t - p_(t-1), p the probability of the right answer after turn t

SIG_t is the weight of the facts that the patient's reply of turn t told for the first time, c whether the answer is
right, fmt whether the turn has its form. `sciRL.advantage.turns` makes advantages of them. Research software, not
medical advice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coefficients:
    """ProMed's factors; a question that tells everything and a right answer both come to 4."""

    alpha: float = 2.0
    beta: float = 1.0
    gamma: float = 3.0
    lam: float = 1.0


def sig_turns(
    weights: Mapping[str, float], told: Sequence[Collection[str]], known: Collection[str] = ()
) -> list[float]:
    """Return the Shapley information gain of each turn: the weight of the facts told for the first time.

    Args:
        weights: weight of each fact by id; facts without one are worth nothing.
        told: ids of the facts in the patient's reply of each turn.
        known: facts that were known before the first turn.

    Example: weights a 0.7 and b 0.3, told [a], [a], [a, b] gives [0.7, 0, 0.3].
    """
    seen = set(known)
    gains = []
    for facts in told:
        new = set(facts) - seen
        seen |= new
        gains.append(float(sum(weights.get(fact, 0.0) for fact in sorted(new))))
    return gains


def distribute_rewards(
    gains: Sequence[float], forms: Sequence[float], correct: bool, coefficients: Coefficients | None = None
) -> list[float]:
    """Return ProMed's reward of each turn: one for each question, then one for the answer.

    Args:
        gains: SIG of each question turn.
        forms: form of each question turn and of the answer turn, in [0, 1]; one more than `gains`.
        correct: whether the answer is right.
        coefficients: ProMed's unless given.

    Example: a question that gains 0.669591 of form 1 before a right answer is worth 3.008772, the answer 4.
    """
    if len(forms) != len(gains) + 1:
        raise ValueError(f"{len(gains)} questions and an answer need {len(gains) + 1} forms; found {len(forms)}")
    factor = coefficients or Coefficients()
    per_gain = factor.alpha + factor.beta * correct
    questions = [per_gain * gain + factor.lam * form for gain, form in zip(gains, forms, strict=False)]
    return [*questions, factor.gamma * correct + factor.lam * forms[-1]]


def probability_gains(probabilities: Sequence[float]) -> list[float]:
    """Return IGPO's turn rewards: how much each turn raised the probability of the right answer.

    Args:
        probabilities: before the first turn and after every question turn.

    Example: (0.1414, 0.4472, 0.4243) gives [0.3058, -0.0229].
    """
    return [float(gain) for gain in np.diff(probabilities)]
