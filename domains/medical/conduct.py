"""Conduct: what the turns of consultations were, what each question taught, and which red flags were asked for.

Research software, not medical advice: the patients are simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal, TypeAlias

import numpy as np

from domains.medical.assessment import judge_questions, red_flag_coverage, sig_of_turns
from domains.medical.clinic import Clinic
from domains.medical.comparison import asked_within
from domains.medical.consultation import Consultation, Turn
from domains.medical.curves import INK, svg, text
from domains.medical.matching import QuestionMatcher
from domains.medical.verifiers import QuestionFlags
from sciRL.run.charts import Bar, bar_chart, line_chart
from sciRL.run.statistics import bootstrap_interval

Manner: TypeAlias = Literal["new", "repeated", "unclear", "invalid"]

COLORS: dict[Manner, str] = {
    "new": "var(--series-1,#1f6fb2)",
    "repeated": "var(--series-2,#d2691e)",
    "unclear": "var(--series-5,#b8860b)",
    "invalid": "var(--series-6,#c0392b)",
}
WIDTH, ROW, LEFT = 760, 28, 170


def manners(consultation: Consultation, matcher: QuestionMatcher | None = None) -> list[Manner]:
    """Return what each turn before the answer was, within the budget.

    invalid: neither a question nor an answer; unclear: several things at once, or nothing the patient could know;
    repeated: asked before, or known from the start; new: everything else. The first of these that holds counts.
    """
    flags = iter(judge_questions(consultation, matcher))
    within = consultation.asking[: consultation.budget]
    return [_manner(turn, next(flags) if turn.kind == "question" else None) for turn in within]


def _manner(turn: Turn, flags: QuestionFlags | None) -> Manner:
    if flags is None:
        return "invalid"
    if turn.reply is not None and turn.reply.status == "invalid":
        return "unclear"
    return "new" if flags.new else "repeated"


def manner_shares(consultations: Sequence[Consultation], matcher: QuestionMatcher | None) -> dict[Manner, float]:
    """Return the share of each manner among all turns before the answers; nothing where nothing was asked."""
    found = [manner for one in consultations for manner in manners(one, matcher)]
    return {manner: found.count(manner) / len(found) for manner in COLORS} if found else {}


def manner_bars(shares: Mapping[str, Mapping[Manner, float]]) -> str:
    """Return one bar an arm, cut into the shares of its turns."""
    parts = [
        f'<rect x="{LEFT + 110 * index}" y="6" width="11" height="11" rx="2" fill="{color}"/>'
        + text(LEFT + 16 + 110 * index, 16, manner, "start")
        for index, (manner, color) in enumerate(COLORS.items())
    ]
    for row, (name, own) in enumerate(shares.items()):
        top, x = 30 + ROW * row, float(LEFT)
        parts.append(text(LEFT - 8, top + 14, name[:26], "end", INK))
        if not own:
            parts.append(text(LEFT, top + 14, "asked nothing", "start"))
        for manner, share in own.items():
            width = (WIDTH - LEFT - 10) * share
            parts.append(_piece(x, top, width, COLORS[manner], f"{name}, {manner}: {share:.1%}", share))
            x += width
    return svg(WIDTH, 34 + ROW * len(shares), "".join(parts), "what the turns were")


def _piece(x: float, top: float, width: float, color: str, tip: str, share: float) -> str:
    bar = (
        f'<rect x="{x:.1f}" y="{top}" width="{max(0.0, width - 1):.1f}" height="20" fill="{color}" '
        f'fill-opacity="0.85"><title>{escape(tip)}</title></rect>'
    )
    return bar + (text(x + width / 2, top + 14, f"{share:.0%}", color="#fff") if width > 34 else "")


def sig_charts(gains: Mapping[str, Sequence[Sequence[float]]], budget: int) -> str:
    """Return two charts by arm: mean gain of the t-th turn where there is one, and mean gain up to it over all.

    Args:
        gains: of each arm's consultations, the Shapley information gain of every turn before the answer.
        budget: most turns.
    """
    each = {name: gain_of_turn(own, budget) for name, own in gains.items()}
    summed = {name: gain_until(own, budget) for name, own in gains.items()}
    charts = (
        line_chart("Gain of each turn, where there is one", each, "turn"),
        line_chart("Gain up to each turn, all consultations", summed, "turn", (0.0, 1.0)),
    )
    return f'<div class="charts">{"".join(f"<div>{chart}</div>" for chart in charts)}</div>'


def gain_of_turn(gains: Sequence[Sequence[float]], budget: int) -> list[tuple[float, float]]:
    """Return (t, mean gain of turn t over the consultations that had one) for t = 1..budget, as far as any went.

    Example: `gain_of_turn([[0.4], [0.2, 0.1]], 3)` is [(1, 0.3), (2, 0.1)].
    """
    reached = [[own[turn] for own in gains if len(own) > turn] for turn in range(budget)]
    return [(float(turn), float(np.mean(values))) for turn, values in enumerate(reached, start=1) if values]


def gain_until(gains: Sequence[Sequence[float]], budget: int) -> list[tuple[float, float]]:
    """Return (t, mean over all consultations of what turns 1..t gained) for t = 0..budget.

    Example: `gain_until([[0.4], [0.2, 0.1]], 2)` is [(0, 0.0), (1, 0.3), (2, 0.35)].
    """
    return [(float(turn), float(np.mean([sum(own[:turn]) for own in gains]))) for turn in range(budget + 1)]


def conduct_html(arms: Mapping[str, Sequence[Consultation]], clinic: Clinic) -> str:
    """Return the charts of conduct: what turns were, and where facts are valued and red flags known, those too."""
    parts = [manner_bars({name: manner_shares(own, clinic.matcher) for name, own in arms.items()})]
    if clinic.belief is not None:
        gains = {name: [_gains(one, clinic) for one in own] for name, own in arms.items()}
        parts.append(sig_charts(gains, clinic.options.budget))
    if clinic.kb is not None:
        covered = {name: [red_flag_coverage(one, clinic.kb) for one in own] for name, own in arms.items()}
        concerned = {name: [share for share in own if share is not None] for name, own in covered.items()}
        bars = [_coverage_bar(name, own, index) for index, (name, own) in enumerate(concerned.items()) if own]
        if bars:
            parts.append(bar_chart("Red flags covered, of those that concern the patient", bars, (0.0, 1.0)))
    return "".join(f'<div style="margin:14px 0">{part}</div>' for part in parts)


def _gains(consultation: Consultation, clinic: Clinic) -> list[float]:
    return sig_of_turns(consultation, clinic.weights(consultation.case))[: asked_within(consultation)]


def _coverage_bar(name: str, shares: Sequence[float], series: int) -> Bar:
    low, high = bootstrap_interval(shares, seed=0)
    return Bar(f"{name} ({len(shares)})", float(np.mean(shares)), low, high, series)
