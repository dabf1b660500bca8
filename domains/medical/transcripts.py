"""Transcripts: consultations as a person reads them, with the belief in the leading options after every turn.

Research software, not medical advice: the patients are simulated. All text of cases, patients and policies is escaped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from domains.medical.assessment import sig_of_turns
from domains.medical.clinic import Clinic
from domains.medical.conduct import Manner, manners
from domains.medical.consultation import Consultation, Turn
from domains.medical.schema import Case, FloatArray

BARS = 4
"""Options whose belief is shown after each turn."""
LONGEST = 400
"""Characters of one turn that are shown."""

TROUBLE: dict[Manner, str] = {
    "repeated": "repeated",
    "unclear": "unclear",
    "invalid": "no question and no answer",
}

STYLE = """<style>
.consult-pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:10px 30px}
.consult-row{display:grid;grid-template-columns:minmax(0,1fr) 212px;gap:12px;align-items:center;padding:5px 0;
border-top:1px solid var(--grid,#e3e8ee)}
.consult-chat .doctor,.consult-chat .patient{margin:3px 0;padding:4px 10px;border-radius:11px;font-size:13px;
line-height:1.35;width:fit-content;max-width:90%;overflow-wrap:anywhere;unicode-bidi:isolate;white-space:pre-wrap}
.consult-chat .doctor{background:color-mix(in srgb,var(--series-1,#1f6fb2) 15%,transparent)}
.consult-chat .patient{background:color-mix(in srgb,var(--series-8,#6b7280) 17%,transparent);margin-left:auto}
.consult-chat .verdict-right{border:1.5px solid var(--series-3,#2e8b57)}
.consult-chat .verdict-wrong{border:1.5px solid var(--series-6,#c0392b)}
.consult-note{font-size:11.5px;color:var(--soft,#5b6875);margin:0 10px}
.consult-note b{color:var(--series-6,#c0392b);font-weight:600}
.consult-bar{display:grid;grid-template-columns:104px 1fr 28px;gap:5px;font-size:11px;line-height:16px;
color:var(--soft,#5b6875);align-items:center}
.consult-bar span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.consult-bar i{display:block;height:9px;border-radius:2px;background:var(--series-8,#6b7280);opacity:.75}
.consult-bar.truth{color:var(--ink,#1c2530);font-weight:600}.consult-bar.truth i{background:var(--series-3,#2e8b57)}
.consult-side h4{margin:8px 0 6px;font-size:14px}
</style>"""


def transcripts_html(pairs: Sequence[tuple[str, Mapping[str, Consultation]]], clinic: Clinic) -> str:
    """Return consultations of the same patients side by side, one patient after another.

    Args:
        pairs: for each patient why it is shown, and the consultation of each arm by name.
        clinic: values facts and options, where it can.
    """
    blocks = [_patient(number, why, sides, clinic) for number, (why, sides) in enumerate(pairs, start=1)]
    return STYLE + "".join(blocks)


def _patient(number: int, why: str, sides: Mapping[str, Consultation], clinic: Clinic) -> str:
    case = next(iter(sides.values())).case
    known = " ".join(fact.text for fact in case.facts if fact.id in case.known_ids) or "nothing yet."
    asked = (
        f"Known at the start: {escape(_short(known))} {escape(_short(case.question))} "
        f"Right of {len(case.options)} options: <b>{escape(case.answer_text)}</b>."
    )
    columns = "".join(_side(name, consultation, clinic) for name, consultation in sides.items())
    return (
        f"<details{' open' if number == 1 else ''}><summary>Patient {number}: {escape(why)}</summary>"
        f'<p class="note">{asked}</p><div class="consult-pair">{columns}</div></details>'
    )


def _side(name: str, consultation: Consultation, clinic: Clinic) -> str:
    """Return one arm's consultation: a row for the start and for every turn."""
    belief, case = clinic.belief, consultation.case
    after = None if belief is None else np.exp(belief.option_logp(case, consultation.knowledge))
    bars: Iterator[str] = itertools.repeat("") if after is None else (belief_bars(case, row) for row in after)
    gains = None if clinic.belief is None else sig_of_turns(consultation, clinic.weights(case))
    kinds = manners(consultation, clinic.matcher)
    before = next(bars)
    rows = [_row(_note(["before the first turn"]), before)] if before else []
    for number, turn in enumerate(consultation.turns):
        if turn.kind == "answer":
            rows.append(_row(_answer(turn, case), ""))
        elif number == consultation.budget:
            rows.append(_row(_bubble("doctor", turn.text) + _note(["<b>no question left: it ends unanswered</b>"]), ""))
        else:
            gain = None if gains is None else gains[number]
            rows.append(_row(_exchange(turn, kinds[number], gain), next(bars)))
    outcome = "right" if consultation.correct else "no answer" if consultation.choice is None else "wrong"
    learned = "" if gains is None else f", learned {sum(gains):.2f}"
    turns = "1 question" if len(kinds) == 1 else f"{len(kinds)} questions"
    head = f'{escape(name)} <span class="tag">{outcome}</span> <small>{turns}{learned}</small>'
    return f'<section class="consult-side"><h4>{head}</h4>{"".join(rows)}</section>'


def belief_bars(case: Case, probability: FloatArray) -> str:
    """Return bars of the `BARS` most probable options [n_options], the right one marked by a tick."""
    bars = []
    for index in (-probability).argsort(kind="stable")[:BARS]:
        p, truth = float(probability[index]), int(index) == case.answer_index
        option = escape(case.options[index])
        bars.append(
            f'<div class="consult-bar{" truth" if truth else ""}" title="{option}: {p:.3f}">'
            f'<span>{"✓ " if truth else ""}{option}</span><div><i style="width:{100 * p:.1f}%"></i></div>'
            f"<span>{p:.2f}</span></div>"
        )
    return "".join(bars)


def _exchange(turn: Turn, manner: Manner, gain: float | None) -> str:
    """Return a question and its reply, with what it gained and what was wrong with it."""
    said = turn.content if turn.kind == "question" else turn.text
    notes = [] if gain is None else [f"SIG {gain:.2f}"]
    if manner in TROUBLE:
        why = f": {turn.reply.reason}" if turn.reply is not None and turn.reply.reason else ""
        notes.append(f"<b>{escape(_short(TROUBLE[manner] + why))}</b>")
    parts = [_bubble("doctor", said)]
    if turn.reply is not None:
        parts.append(_bubble("patient", turn.reply.text))
    return "".join([*parts, _note(notes)])


def _answer(turn: Turn, case: Case) -> str:
    if turn.choice is None:
        return _bubble("doctor verdict-wrong", turn.text) + _note(["<b>chooses no option</b>"])
    right = turn.choice == case.answer
    chosen = case.options[case.labels.index(turn.choice)]
    note = "right" if right else f"<b>wrong</b>: it is {escape(case.answer_text)}"
    bubble = _bubble(f"doctor verdict-{'right' if right else 'wrong'}", f"{turn.choice}: {chosen}")
    return bubble + _note([note])


def _bubble(kind: str, said: str) -> str:
    return f'<p class="{kind}">{escape(_short(said))}</p>'


def _note(notes: Sequence[str]) -> str:
    """Return ready pieces of HTML as one small line, nothing where there is none."""
    return f'<p class="consult-note">{" · ".join(notes)}</p>' if notes else ""


def _row(chat: str, bars: str) -> str:
    return f'<div class="consult-row"><div class="consult-chat">{chat}</div><div>{bars}</div></div>'


def _short(said: str) -> str:
    """Return a text on one line, cut where it is too long to be read."""
    line = " ".join(said[: 2 * LONGEST].split())
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"
