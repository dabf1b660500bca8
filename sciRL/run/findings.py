"""What the results of a run's arms say, in words: the verdict and the warnings of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sciRL.run.results import ArmResult

COLLAPSE_SHARE = 0.7
FEW_ATTEMPTS = 100
DIVERSITY_MARK = "effective"
RIVALS = ("control", "reference", "untrained")
"""Roles of arms that should not be as good as a trained one."""
FEW_PASS = 0.01
"""Where no compared arm passes this share of its attempts, mean scores decide."""


@dataclass(frozen=True)
class Measure:
    """What arms are compared by.

    Attributes:
        title: its name in a chart.
        value: an arm's figure; nan where it has none.
        interval: the 95 % interval of that figure.
        says: figure and interval as the rest of a sentence that begins with the arm's name.
        intro: what the verdict says first.
    """

    title: str
    value: Callable[[ArmResult], float]
    interval: Callable[[ArmResult], tuple[float, float]]
    says: Callable[[ArmResult], str]
    intro: str = ""


def _passes(arm: ArmResult) -> str:
    low, high = arm.pass_interval
    return f"passes {arm.pass_rate:.1%} of {arm.n} (95 % {low:.1%} to {high:.1%})"


def _scores(arm: ArmResult) -> str:
    low, high = arm.score_interval
    return f"scores {arm.mean_score:.3f} (95 % {low:.3f} to {high:.3f})"


PASS_RATE = Measure("Pass rate", lambda arm: arm.pass_rate, lambda arm: arm.pass_interval, _passes)
MEAN_SCORE = Measure(
    "Mean score",
    lambda arm: arm.mean_score,
    lambda arm: arm.score_interval,
    _scores,
    f"No arm compared passes {FEW_PASS:.0%} of its attempts, so mean scores decide: ",
)


def measure_of(arms: Sequence[ArmResult]) -> Measure:
    """Return what arms are compared by: the pass rate, or the mean score where hardly any attempt passes."""
    compared = [arm for arm in arms if arm.role in ("trained", *RIVALS)]
    passing = any(arm.pass_rate >= FEW_PASS for arm in compared)
    scored = any(arm.values for arm in compared)
    return MEAN_SCORE if scored and not passing else PASS_RATE


def verdict(arms: Sequence[ArmResult]) -> str:
    """Return one sentence: the trained arm against the strongest arm that should not be as good."""
    measure = measure_of(arms)
    trained = _strongest(arms, ("trained",), measure)
    rival = _strongest(arms, RIVALS, measure)
    if trained is None:
        return "No trained arm was evaluated."
    own = f"{measure.intro}{trained.name} {measure.says(trained)}"
    if rival is None:
        return f"{own}. There is no other arm to compare it with: this says nothing about training."
    other = f"{rival.name}, the strongest other arm, {measure.says(rival)}"
    (low, high), (rival_low, rival_high) = measure.interval(trained), measure.interval(rival)
    if low > rival_high:
        return f"{own}; {other}. The intervals do not overlap: it got better."
    if high < rival_low:
        return f"{own}; {other}. The intervals do not overlap: it got worse."
    return f"{own}; {other}. The intervals overlap: this run does not show that it got better."


def find_warnings(arms: Sequence[ArmResult]) -> list[str]:
    """Return what a reader must know before believing the figures."""
    found = [
        f"{arm} collapsed: {name.replace('_', ' ')} is {own:.3g}, {own / reference:.0%} of the reference arm's "
        f"{reference:.3g}."
        for (arm, name), (own, reference) in collapsed_metrics(arms).items()
    ]
    for arm in arms:
        failures = arm.statuses["timeout"] + arm.statuses["error"]
        if failures:
            found.append(f"The verifiers failed on {failures} of {arm.n} answers of {arm.name}: they have no score.")
        if arm.n < FEW_ATTEMPTS:
            found.append(f"{arm.name} was evaluated on {arm.n} answers only: its intervals are wide.")
    trained = [arm for arm in arms if arm.role == "trained"]
    if trained and not any(arm.role == "control" for arm in arms):
        found.append("No control arm was run: this report cannot tell training by reward from mere further training.")
    measure = measure_of(arms)
    for arm in trained:
        found += [
            f"{control.name} (a control) does as well as {arm.name}: the reward is not what helped."
            for control in arms
            if control.role == "control" and measure.value(control) >= measure.value(arm)
        ]
    return found


def collapsed_metrics(arms: Sequence[ArmResult]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the diversity measures that fell below 70 % of the reference arm's.

    A diversity measure has "effective" in its name (an effective number, exp of an entropy).

    Returns:
        {(arm, metric): (value, the reference arm's value)}
    """
    reference = next((arm for arm in arms if arm.role == "reference"), None)
    if reference is None:
        return {}
    return {
        (arm.name, name): (value, reference.metrics[name])
        for role in ("trained", "warning")
        for arm in arms
        if arm.role == role
        for name, value in arm.metrics.items()
        if DIVERSITY_MARK in name and reference.metrics.get(name, 0.0) > 0
        if value < COLLAPSE_SHARE * reference.metrics[name]
    }


def _strongest(arms: Sequence[ArmResult], roles: Sequence[str], measure: Measure) -> ArmResult | None:
    known = (arm for arm in arms if arm.role in roles and not math.isnan(measure.value(arm)))
    return max(known, key=measure.value, default=None)
