"""What the results of a run's arms say, in words: the verdict and the warnings of a report."""

from __future__ import annotations

from collections.abc import Sequence

from sciRL.run.results import ArmResult

COLLAPSE_SHARE = 0.7
FEW_ATTEMPTS = 100
DIVERSITY_MARK = "effective"


def verdict(arms: Sequence[ArmResult]) -> str:
    """Return one sentence: the trained arm against the strongest arm that should not be as good."""
    trained = _strongest(arms, ("trained",))
    rival = _strongest(arms, ("control", "reference", "untrained"))
    if trained is None:
        return "No trained arm was evaluated."
    own = f"{trained.name} passes {_percent(trained)}"
    if rival is None:
        return f"{own}. There is no other arm to compare it with: this says nothing about training."
    other = f"{rival.name}, the strongest other arm, passes {_percent(rival)}"
    if trained.pass_interval[0] > rival.pass_interval[1]:
        return f"{own}; {other}. The intervals do not overlap: it got better."
    if trained.pass_interval[1] < rival.pass_interval[0]:
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
    for arm in trained:
        found += [
            f"{control.name} (a control) does as well as {arm.name}: the reward is not what helped."
            for control in arms
            if control.role == "control" and control.pass_rate >= arm.pass_rate
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


def _strongest(arms: Sequence[ArmResult], roles: Sequence[str]) -> ArmResult | None:
    return max((arm for arm in arms if arm.role in roles and arm.n), key=lambda arm: arm.pass_rate, default=None)


def _percent(arm: ArmResult) -> str:
    low, high = arm.pass_interval
    return f"{arm.pass_rate:.1%} of {arm.n} (95 % {low:.1%} to {high:.1%})"
